"""The language of a file, by the settings first."""

from __future__ import annotations

import os
from functools import lru_cache

from indexer.patterns import Patterns
from indexer.text.languages import language_of

Languages = tuple[tuple[str, str], ...]
"""Endings of names (`.inc`) or patterns of paths, each with a language, "" for plain text."""


def kind_of(path: str, first_line: str, languages: Languages) -> str | None:
    """The language of the file at `path`, None for text of an unknown kind.

    The longest of the `languages` that fits decides, otherwise `language_of`.
    """
    name = os.fsencode(path.removeprefix("/"))
    for pattern, language in _longest_first(languages):
        if pattern.fits(name):
            return language or None
    return language_of(path, first_line)


class _Pattern:
    def __init__(self, text: str) -> None:
        is_ending = text.startswith(".") and not set(text) & set("*?[\\/")
        self._ending = os.fsencode(text.lower()) if is_ending else b""
        self._pattern = Patterns([] if is_ending else [os.fsencode(text)])

    def fits(self, path: bytes) -> bool:
        """Whether the pattern is about the file at this path."""
        if self._ending:
            return path.lower().endswith(self._ending)
        return bool(self._pattern.verdict_with_folders(path))


@lru_cache(maxsize=8)
def _longest_first(languages: Languages) -> list[tuple[_Pattern, str]]:
    ordered = sorted(languages, key=lambda pair: -len(pair[0]))
    return [(_Pattern(text), language) for text, language in ordered]
