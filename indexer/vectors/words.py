"""The tokens of a text line by line and word by word, where a tokenizer allows that.

A tokenizer of BERT's kind cleans a text character by character, cuts it at white space and at
punctuation, and gives each word its tokens whatever stands around it. So the tokens of a text
are those of its lines, and those of a line are those of its words, one after the other. Other
tokenizers look across words or line ends, and see each text as a whole.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import tokenizers

# A run without ASCII white space and punctuation, or one character of the latter. What a word
# is outside of ASCII is left to the tokenizer: to it, a run may be several.
_WORD = re.compile(r"[^\x00-\x20!-/:-@\[-`{-\x7f]+|[!-/:-@\[-`{-~]")

# Of these, some end a word and some are left out of it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

# None of them makes anything of two characters on both sides of white space or punctuation.
_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFD", "StripAccents"})

_NOTHING = re.compile(r"(?!)")

# About 10 and 5 MB at most. Anything longer, in characters, hardly comes again.
_MOST_WORDS, _LONGEST_WORD = 65_536, 64
_MOST_LINES, _LONGEST_LINE = 16_384, 200


class WordTokens:
    """Makes the tokens of a text of those of its words, which it remembers."""

    def __init__(self, raw: tokenizers.Tokenizer, rules: _Rules) -> None:
        self._raw, self._rules = raw, rules
        self._words = _Memo(self._of_part, _MOST_WORDS, _LONGEST_WORD)
        self._lines = _Memo(self._of_line, _MOST_LINES, _LONGEST_LINE)

    def ids(self, text: str) -> bytes:
        """The tokens of a text with the special ones around it, as native uint32."""
        rules = self._rules
        lines = map(self._lines.__getitem__, text.split("\n"))
        return b"".join([rules.begin, *lines, rules.end])

    def _of_line(self, line: str) -> bytes:
        if self._rules.is_unusual(line):
            return self._of_part(line)
        return b"".join(map(self._words.__getitem__, _WORD.findall(line)))

    def _of_part(self, part: str) -> bytes:
        return _packed(self._raw.encode(part, add_special_tokens=False).ids)


class _Memo(dict[str, bytes]):
    """What is made of each text. Short texts are remembered, up to so many at a time."""

    def __init__(self, make: Callable[[str], bytes], most: int, longest: int) -> None:
        super().__init__()
        self._make, self._most, self._longest = make, most, longest

    def __missing__(self, text: str) -> bytes:
        made = self._make(text)
        if len(text) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[text] = made
        return made


class _Rules(Struct, frozen=True):
    """What there is beside words: the special tokens before and behind each text, and those that
    a text may contain, such as "[MASK]".

    `added` are looked for in the text, `normalized` in what the tokenizer makes of it.
    """

    begin: bytes
    end: bytes
    added: re.Pattern[str]
    normalized: re.Pattern[str]

    def is_unusual(self, line: str) -> bool:
        """Whether the tokens of the line may be others than those of its words."""
        if not line.isprintable() and _CONTROL.search(line) or self.added.search(line):
            return True
        if self.normalized is _NOTHING:
            return False
        return not line.isascii() or bool(self.normalized.search(line))


def words_of(raw: tokenizers.Tokenizer) -> WordTokens | None:
    """The words of a tokenizer, None for one whose tokens depend on what is around a word.

    `raw` must not truncate or pad.
    """
    rules = _rules_of(raw)
    return WordTokens(raw, rules) if rules else None


def _rules_of(raw: tokenizers.Tokenizer) -> _Rules | None:
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import BertPreTokenizer

    if not (
        isinstance(raw.model, WordPiece)
        and isinstance(raw.pre_tokenizer, BertPreTokenizer)
        and _NORMALIZERS.issuperset(_normalizers(_state(raw.normalizer)))
    ):
        return None
    frame = _frame(_state(raw.post_processor))
    added = list(raw.get_added_tokens_decoder().values())
    if frame is None or not all(map(_is_in_a_line, added)):
        return None
    return _Rules(
        _packed(frame[0]),
        _packed(frame[1]),
        _any_of(one.content for one in added if not one.normalized),
        _any_of(one.content for one in added if one.normalized),
    )


def _is_in_a_line(token: tokenizers.AddedToken) -> bool:
    """Whether lines tell where this token is in a text, and ASCII text shows it as it is."""
    content = token.content
    is_plain = content.isascii() and content.isprintable()
    return len(content.split()) == 1 and (is_plain or not token.normalized)


def _frame(about: dict[str, Any]) -> tuple[list[int], list[int]] | None:
    """The special tokens that a post-processor puts before and behind a text, None where it does
    something else."""
    kind = about.get("type")
    if kind is None:
        return [], []
    if kind in ("BertProcessing", "RobertaProcessing"):
        return [about["cls"][1]], [about["sep"][1]]
    if kind != "TemplateProcessing":
        return None
    before, behind = list[int](), list[int]()
    place = before
    for part in about["single"]:
        if special := part.get("SpecialToken"):
            place += about["special_tokens"][special["id"]]["ids"]
        elif place is behind or part["Sequence"]["id"] != "A":
            return None
        else:
            place = behind
    return (before, behind) if place is behind else None


def _normalizers(about: dict[str, Any]) -> Iterator[str]:
    """Yield the types of a normalizer and of all that it consists of."""
    if about.get("type") == "Sequence":
        for one in about["normalizers"]:
            yield from _normalizers(one)
    elif about:
        yield about["type"]


def _state(part: Any) -> dict[str, Any]:
    """What a part of a tokenizer consists of, as in `tokenizer.json`."""
    found: dict[str, Any] = json.loads(part.__getstate__()) if part else {}
    return found


def _any_of(contents: Iterable[str]) -> re.Pattern[str]:
    parts = [re.escape(content) for content in sorted(contents)]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else _NOTHING


def _packed(ids: list[int]) -> bytes:
    return array("I", ids).tobytes()
