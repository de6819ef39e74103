"""From the bytes of a file to the text that may be indexed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.config import KEEP_SECRETS, SKIP_SECRETS, Reading

if TYPE_CHECKING:
    from indexer.text.parts import Part


class Source(Struct, frozen=True):
    """The parts of a file that may be indexed, or the `reason` why there are none.

    `language` is that of the file, "" for an unknown kind. `masked` is how many secrets were
    masked in it.
    """

    parts: tuple[Part, ...] = ()
    language: str = ""
    reason: str = ""
    masked: int = 0

    @property
    def text(self) -> str:
        """The text of all parts."""
        return "\n".join(part.text for part in self.parts)


def read_source(path: str, data: bytes, reading: Reading) -> Source:
    """What may be indexed of a file."""
    # Imported here because many commands import this module and never read a file.
    from indexer.text.decode import read_text
    from indexer.text.kinds import kind_of

    text, reason = read_text(path, data)
    if reason:
        return Source(reason=reason)
    language = kind_of(path, text.partition("\n")[0], reading.languages)
    parts, masked = _masked(_parts(text, language), path, reading)
    if masked and reading.secrets == SKIP_SECRETS:
        return Source(reason="secret")
    if not parts:  # a notebook without a word
        return Source(reason="empty")
    return Source(tuple(parts), language or "", masked=masked)


def _parts(text: str, language: str | None) -> list[Part]:
    from indexer.languages import NOTEBOOK
    from indexer.text.notebook import cells_of
    from indexer.text.parts import Part

    if language != NOTEBOOK:
        return [Part(text, language)]
    cells = cells_of(text)
    # One that cannot be read, such as after a merge with conflicts, is a text like any other.
    return [Part(text, "json")] if cells is None else cells


def _masked(parts: list[Part], path: str, reading: Reading) -> tuple[list[Part], int]:
    """The parts with their secrets masked, and how many there were.

    They are masked as one text, because what one cell keeps secret another may print.
    """
    from indexer.text.masking import mask_secrets

    if reading.secrets == KEEP_SECRETS or not parts:
        return parts, 0
    text, count = mask_secrets("\n".join(part.text for part in parts), path)
    return (list(_with_texts(parts, text)) if count else parts), count


def _with_texts(parts: Iterable[Part], text: str) -> Iterable[Part]:
    lines = text.split("\n")
    start = 0
    for part in parts:
        end = start + part.text.count("\n") + 1
        yield replace(part, text="\n".join(lines[start:end]))
        start = end
