"""What a file says about itself: its purpose, its definitions and its imports.

This runs in worker processes, because grammars may crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.config import Reading

if TYPE_CHECKING:
    from indexer.text.source import Source


class Definition(Struct, frozen=True):
    """A function, class or the like: its dotted symbol, its first and its last line (1-based,
    inclusive), and the first sentence of what it says about itself."""

    symbol: str
    line: int
    end_line: int
    summary: str = ""


class Description(Struct, frozen=True):
    """A file whose bytes have this `file_hash` (their blob id).

    `purpose` is as returned by `purpose_of`, `imports` by `imports_of`, `module` by
    `module_of`. `text` is the file's text with its secrets masked.
    """

    path: str
    file_hash: str
    language: str
    purpose: str
    definitions: tuple[Definition, ...]
    imports: tuple[str, ...]
    text: str
    module: str = ""


def describe_files(
    files: Sequence[tuple[str, str, bytes]], reading: Reading
) -> list[Description]:
    """Describe files given as (path, file_hash, bytes). The description of a file that cannot be
    read as text is empty."""
    return [_describe(*file, reading) for file in files]


def _definitions(source: Source, lines: Sequence[str]) -> Iterator[Definition]:
    from indexer.text.parts import definitions_in
    from indexer.wiki.docstrings import summary_of

    for symbol, line, end_line in definitions_in(source.parts):
        summary = summary_of(lines, line, end_line, source.language)
        yield Definition(symbol, line, end_line, summary)


def _describe(path: str, file_hash: str, data: bytes, reading: Reading) -> Description:
    from indexer.text.source import read_source
    from indexer.wiki.imports import imports_of
    from indexer.wiki.modules import module_of
    from indexer.wiki.purpose import purpose_of

    try:
        source = read_source(path, data, reading)
        text, language = source.text, source.language
        return Description(
            path,
            file_hash,
            language,
            purpose_of(path, text, language),
            tuple(_definitions(source, text.split("\n"))),
            imports_of(text, language),
            text,
            module_of(path, text, language),
        )
    except Exception:  # a bug that one file meets must not cost the others
        return Description(path, file_hash, "", "", (), (), "")
