"""What one file tells about itself: its purpose, its definitions, what it imports.

This runs in the worker processes, for grammars may crash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """A function, class or the like: its dotted symbol, its first and last line (1-based,
    inclusive)."""

    symbol: str
    line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class Description:
    """One file, of the bytes with this `file_hash` (their blob id).

    `purpose` is plain text, paragraphs with a blank line between them. `imports` are as
    `imports.imports_of` gives them, `module` as `imports.module_of`. `text` is what may be
    shown of the file, secrets masked.
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
    files: Sequence[tuple[str, str, bytes]], secrets: str
) -> list[Description]:
    """Describe files given as (path, file_hash, bytes); `secrets` is one of
    `config.SECRETS`. A file that cannot be read as text has a description without parts.
    """
    return [_describe(*file, secrets) for file in files]


def _describe(path: str, file_hash: str, data: bytes, secrets: str) -> Description:
    from indexer.text.languages import language_of
    from indexer.text.outline import definitions
    from indexer.text.source import read_source
    from indexer.wiki.imports import imports_of, module_of
    from indexer.wiki.purpose import purpose_of

    try:
        text, _, _ = read_source(path, data, secrets)
        language = language_of(path, text.partition("\n")[0]) or ""
        return Description(
            path,
            file_hash,
            language,
            purpose_of(path, text, language),
            tuple(Definition(*found) for found in definitions(text, language)),
            imports_of(text, language),
            text,
            module_of(path, text, language),
        )
    except Exception:  # a bug met by one file must not cost the others
        return Description(path, file_hash, "", "", (), (), "")
