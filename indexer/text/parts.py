"""The parts of a file that are chunked by themselves: the cells of a notebook, or all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.text.outline import definitions

if TYPE_CHECKING:
    from indexer.text.chunks import Tokenizer
    from indexer.types import Chunk


class Part(Struct, frozen=True):
    """Lines of a file in one language.

    `rows` has the row of the file on which each line begins, None where line and row have the
    same number. `place` is how a person calls the part, "" for the whole file.
    """

    text: str
    language: str | None
    place: str = ""
    rows: tuple[int, ...] | None = None

    def lines(self, first: int, last: int) -> tuple[int, int]:
        """The lines of the file where these lines of the part stand. All are counted from 1."""
        if self.rows is None:
            return first, last
        start = self.rows[first - 1] + 1
        return start, max(start, self.rows[last - 1] + 1)


def chunk_parts(
    parts: Iterable[Part],
    tokenizer: Tokenizer,
    max_tokens: int,
    *,
    with_syntax: bool = True,
) -> Iterator[Chunk]:
    """Yield the chunks of a file, part by part; lines are those of the file.

    Unless `with_syntax`, no grammar sees them.
    """
    from indexer.text.chunks import chunk_text

    for part in parts:
        language = part.language if with_syntax else None
        for chunk in chunk_text(part.text, language, tokenizer, max_tokens):
            start, end = part.lines(chunk.start_line, chunk.end_line)
            yield replace(chunk, start_line=start, end_line=end, place=part.place)


def definitions_in(parts: Iterable[Part]) -> Iterator[tuple[str, int, int]]:
    """Yield the definitions of each part, as `outline.definitions` does."""
    for part in parts:
        for symbol, first, last in definitions(part.text, part.language):
            yield symbol, *part.lines(first, last)
