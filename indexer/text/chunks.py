"""Cuts a text into chunks along its syntax, measured in the model's own tokens.

Cuts are only made between two lines. The cost of a cut before a line is known: the number of
syntax nodes that it goes through. A text that is too large for one chunk is cut at all of its
cheapest places. Parts that are still too large are cut again in the same way, and neighbours
that fit together are joined again. So whole definitions stay together where they fit, large
ones are cut between their statements, and no language needs rules of its own. Without a
grammar every cut costs the same, and blank lines decide.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from indexer.text.outline import MAX_DEPTH, Outline, parsed_trees
from indexer.text.shown import ShownText
from indexer.types import ID_BYTES, Chunk

MAX_CHUNK_BYTES = 16_384
"""The most UTF-8 bytes of a chunk's text. Tokens alone do not bound it: to BERT, white space is
no token and a word of over 100 characters is one."""


class Tokenizer(Protocol):
    """The tokenizer of the embedding model, without truncation and padding."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, including the special ones that the model adds."""

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of the same tokens, as native uint32."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Character offsets [start, end) of each token, without special tokens, in order."""


def chunk_text(
    text: str, language: str | None, tokenizer: Tokenizer, max_tokens: int
) -> list[Chunk]:
    """The chunks of a text in the order of its lines. Equal arguments give equal chunks.

    `language` is what `language_of` returns. Without a language, or without a grammar for it,
    blank lines alone decide. `max_tokens` (16 or more) bounds the tokens of each chunk's
    `embedded_text`, special tokens included. `MAX_CHUNK_BYTES` bounds its `text`.

    Every line that is not blank is in exactly one chunk, and chunks begin and end with such
    lines. A run of data is one placeholder (see `ShownText`). One that fills many lines ends its
    chunk, whose `text` then has fewer lines than there are from `start_line` to `end_line`;
    any other line of a text has its own number. A line too long for one chunk is cut into several, at white space if there is any,
    and their texts joined give the line. Only there can a chunk be blank, if white space is
    longer than a chunk may be.

    A chunk's symbol is the dotted path of the innermost definition that holds all of its
    lines, except lines that only close a bracket or block. It is shortened from the left to a
    quarter of `max_tokens`.
    """
    shown = ShownText.of(text)
    rows = [row for row, line in enumerate(shown.lines) if line.strip()]
    if not rows:
        return []
    outline = Outline(shown.lines, rows)
    outline.read(parsed_trees(shown.parsed, language))
    cutter = _Cutter(shown, rows, outline, tokenizer, max_tokens)
    return list(_within(list(cutter.drafts()), tokenizer, max_tokens))


# Lines that only close something.
_CLOSING = re.compile(
    r"[\s})\];,]*+(?:(?:end|fi|done|esac)\b)?+[\s})\];,.]*+"
    r"|\s*+</[\w:.-]++>\s*+|\s*+\#\s*+endif\b.*+",
)

# A cut before such a line is made only where there is no other choice.
_NO_CUT = 2 * MAX_DEPTH + 2

_MAX_SYMBOL_BYTES = 512


class _LineSpan(NamedTuple):
    """The lines [start, end) that are not blank, and the innermost definition of them all."""

    start: int
    end: int
    owner: int


class _Cutter:
    def __init__(
        self,
        shown: ShownText,
        rows: Sequence[int],
        outline: Outline,
        tokenizer: Tokenizer,
        max_tokens: int,
    ) -> None:
        lines = shown.lines
        self._shown, self._rows, self._outline = shown, rows, outline
        self._tokenizer, self._max_symbol_tokens = tokenizer, max_tokens // 4
        self._closing = [bool(_CLOSING.fullmatch(lines[row])) for row in rows]
        self._cost = [_NO_CUT] * len(rows)
        for line, (above, row) in enumerate(pairwise(rows), 1):
            if not self._closing[line]:
                # Half a step more where no blank line invites the cut.
                self._cost[line] = 2 * outline.crossed[line] + (row == above + 1)

        # Every distinct text is counted once, all in one batch.
        symbols = [f"{symbol}\n" for symbol in outline.symbols[1:]]
        texts = list(dict.fromkeys(["", *(f"{line}\n" for line in lines), *symbols]))
        counts = dict(zip(texts, tokenizer.count(texts), strict=True))
        special = counts[""]
        self._room = max_tokens - special
        self._symbol_tokens = [0]
        for symbol in symbols:
            self._symbol_tokens.append(
                min(counts[symbol] - special, self._max_symbol_tokens)
            )
        # Sums over the lines before each row give the size of any span by one subtraction.
        self._tokens = [0, *accumulate(counts[f"{line}\n"] - special for line in lines)]
        self._bytes = [0, *accumulate(_utf8_length(line) + 1 for line in lines)]

    def drafts(self) -> Iterator[Chunk]:
        """Yield the chunks, whose tokens are not counted yet."""
        shortened = cache(self._shortened)
        for span in self._spans():
            first, last = self._rows[span.start], self._rows[span.end - 1]
            symbol = shortened(self._outline.symbols[span.owner])
            texts = ["\n".join(self._shown.lines[first : last + 1])]
            if not self._fits(span):
                room = self._room - self._symbol_tokens[span.owner]
                texts = _pieces(texts[0], self._tokenizer, max(1, room))
            end_line = self._shown.last_row(last) + 1
            for text in texts:
                yield Chunk(first + 1, end_line, symbol, text, tokens=0)

    def _spans(self) -> Iterator[_LineSpan]:
        """Yield all spans. No span goes across a run of data that fills many lines."""
        is_long = self._shown.is_long
        ends = [line for line, row in enumerate(self._rows, 1) if is_long(row)]
        for start, end in pairwise(dict.fromkeys([0, *ends, len(self._rows)])):
            yield from self._cut(start, end)

    def _cut(self, start: int, end: int) -> list[_LineSpan]:
        """Spans that fit or are one line.

        Each recursion deals with a higher cost of cuts, and these costs are bounded.
        """
        if self._fits(_LineSpan(start, end, 0)):  # cheap, and true for small spans only
            span = _LineSpan(start, end, self._owner(start, end))
            if self._fits(span):
                return [span]
        if end - start == 1:
            return [_LineSpan(start, end, self._outline.owner[start])]
        costs = self._cost[start + 1 : end]
        cheapest = min(costs)
        cuts = [line for line, cost in enumerate(costs, start + 1) if cost == cheapest]
        spans: list[_LineSpan] = []
        for left, right in pairwise([start, *cuts, end]):
            for span in self._cut(left, right):
                if spans and (joined := self._joined(spans[-1], span)):
                    spans[-1] = joined
                else:
                    spans.append(span)
        return spans

    def _joined(self, left: _LineSpan, right: _LineSpan) -> _LineSpan | None:
        """Both spans as one.

        None if that does not fit, or would put a part of a definition next to something
        outside of that definition.
        """
        opened = self._outline.opened
        span = _LineSpan(
            left.start, right.end, self._outline.common(left.owner, right.owner)
        )
        torn = max(opened[left.start], opened[left.end], opened[right.end])
        whole = torn <= self._outline.levels[span.owner]
        return span if whole and self._fits(span) else None

    def _owner(self, start: int, end: int) -> int:
        lines = [line for line in range(start, end) if not self._closing[line]]
        owners = set(map(self._outline.owner.__getitem__, lines or range(start, end)))
        owner = owners.pop()
        for other in owners:
            owner = self._outline.common(owner, other)
        return owner

    def _fits(self, span: _LineSpan) -> bool:
        first, last = self._rows[span.start], self._rows[span.end - 1]
        tokens = (
            self._tokens[last + 1]
            - self._tokens[first]
            + self._symbol_tokens[span.owner]
        )
        size = self._bytes[last + 1] - self._bytes[first] - 1
        return tokens <= self._room and size <= MAX_CHUNK_BYTES

    def _shortened(self, symbol: str) -> str:
        """The innermost parts of a symbol that fit its share of tokens, or else the start of
        the last part."""
        symbol = _head(symbol.encode()[-_MAX_SYMBOL_BYTES:])
        spans = self._tokenizer.spans(symbol)
        if len(spans) > self._max_symbol_tokens:
            begin = spans[-self._max_symbol_tokens][0]
            dot = symbol.find(".", max(0, begin - 1))
            symbol = symbol[dot + 1 :] if dot >= 0 else symbol.rpartition(".")[2]
        while symbol and self._symbol_cost(symbol) > self._max_symbol_tokens:
            symbol = symbol[: len(symbol) // 2]
        return symbol.strip()

    def _symbol_cost(self, symbol: str) -> int:
        with_symbol, without = self._tokenizer.count([f"{symbol}\n", ""])
        return with_symbol - without


_TO_LAST_SPACE = re.compile(r".*\s", re.DOTALL)


def _pieces(line: str, tokenizer: Tokenizer, room: int) -> list[str]:
    """Parts of a line that is too long for one chunk.

    Each has at most `room` tokens, as counted within the line, and `MAX_CHUNK_BYTES`. A part
    ends behind white space in its second half, or else between tokens, or else between
    characters.
    """
    starts = [start for start, _ in tokenizer.spans(line)]
    content_end = len(line.rstrip())
    pieces = []
    begin = 0
    while begin < len(line):
        over = bisect_left(starts, begin) + room
        end = starts[over] if over < len(starts) else len(line)
        end = max(end, begin + 1)  # one character can be more tokens than there is room
        end = begin + len(_head(line[begin:end][:MAX_CHUNK_BYTES].encode()))
        if end < len(line):
            content = end - len(line[begin:end].lstrip())
            middle = max((begin + end) // 2, content)
            if space := _TO_LAST_SPACE.match(line, middle, end):
                end = space.end()
            if end >= content_end > begin + 1:
                # Only white space is left: leave it something to go with.
                end = (begin + content_end) // 2
        pieces.append(line[begin:end])
        begin = end
    return pieces


def _head(data: bytes) -> str:
    """The text of as many bytes as fit a chunk, without partial characters at either end."""
    return data[:MAX_CHUNK_BYTES].decode("utf-8", "ignore")


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _within(
    drafts: list[Chunk], tokenizer: Tokenizer, max_tokens: int
) -> Iterator[Chunk]:
    """Yield the drafts with their tokens counted.

    A draft with too many tokens is halved. The sum of its lines' counts can be too low, and so
    can the count of a line whose cut went through a token.
    """
    found = tokenizer.ids([draft.embedded_text for draft in drafts]) if drafts else []
    for draft, ids in zip(drafts, found, strict=True):
        tokens = len(ids) // ID_BYTES
        halves = _halves(draft) if tokens > max_tokens else []
        if halves:
            yield from _within(halves, tokenizer, max_tokens)
        else:
            yield replace(draft, tokens=tokens, ids=ids)


def _halves(chunk: Chunk) -> list[Chunk]:
    """A chunk in two, cut at a line in its middle or else at a character.

    A chunk of one character loses its symbol instead; without a symbol, nothing is left to
    cut.
    """
    lines = chunk.text.split("\n")
    if len(lines) > 1:
        content = [row for row, line in enumerate(lines) if line.strip()]
        half = len(content) // 2
        above, below = content[half - 1] + 1, content[half]
        start = chunk.start_line
        return [
            replace(chunk, end_line=start + above - 1, text="\n".join(lines[:above])),
            replace(chunk, start_line=start + below, text="\n".join(lines[below:])),
        ]
    text = chunk.text
    if len(text) > 1:
        begin, end = len(text) - len(text.lstrip()), len(text.rstrip())
        middle = (begin + end) // 2 if end - begin > 1 else len(text) // 2
        return [replace(chunk, text=text[:middle]), replace(chunk, text=text[middle:])]
    return [replace(chunk, symbol="")] if chunk.symbol else []
