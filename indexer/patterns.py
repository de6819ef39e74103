"""Patterns of paths, with the syntax and the meaning of those in a `.gitignore`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from indexer.wildmatch import SPECIAL, NeverMatches, translate

CHUNK = 500  # patterns in one regular expression


class Patterns:
    """The lines of an ignore file, or a list like it: the last one that matches decides.

    A pattern decides about the very path that it matches, and says nothing of what lies
    below. `meaningless` are the lines that can match nothing, to git neither.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.meaningless: list[bytes] = []
        self._runs: list[_Run] = []
        # The last run that has this very name or path.
        self._names: dict[bytes, int] = {}
        self._paths: dict[bytes, int] = {}
        for line in lines:
            pattern = _parse(line)
            if pattern is None or not self._add(pattern):
                self.meaningless.append(line)
        self._wild_runs = [
            (number, run)
            for number, run in reversed(list(enumerate(self._runs)))
            if run.is_wild
        ]

    def verdict(self, path: bytes) -> bool | None:
        """True if the path matches, False if a `!` pattern decides, None without a match.

        The path of a folder ends with `/`.
        """
        return self._meaning(self._last_run(path))

    def verdict_with_folders(self, path: bytes) -> bool | None:
        """As `verdict`, but a pattern that matches a folder counts for what lies in it."""
        last = self._last_run(path)
        end = path.rfind(b"/", 0, -1)
        while end > 0:
            last = max(last, self._last_run(path[: end + 1]))
            end = path.rfind(b"/", 0, end)
        return self._meaning(last)

    def _meaning(self, run: int) -> bool | None:
        return self._runs[run].includes if run >= 0 else None

    def _last_run(self, path: bytes) -> int:
        """The number of the last run that matches, -1 if none does."""
        name = path[path.rfind(b"/", 0, -1) + 1 :]
        last = max(self._names.get(name, -1), self._paths.get(path, -1))
        for number, run in self._wild_runs:
            if number <= last:
                break
            if run.has_match(name, path):
                return number
        return last

    def _add(self, pattern: _Pattern) -> bool:
        """Add a pattern, unless it can match nothing. Returns whether it was added."""
        if not self._runs or self._runs[-1].includes != pattern.includes:
            self._runs.append(_Run(pattern.includes))
        if SPECIAL.search(pattern.text):
            return self._runs[-1].add(pattern)
        exact = self._paths if pattern.is_path else self._names
        for ending in pattern.endings:
            exact[pattern.text + ending] = len(self._runs) - 1
        return True


class _Pattern(NamedTuple):
    """A line of an ignore file: `text` has no `!` before it, nor a slash at either end.

    It `is_path` if it is matched with whole paths, else with their last parts.
    """

    text: bytes
    includes: bool
    is_path: bool
    is_of_folders: bool

    @property
    def endings(self) -> tuple[bytes, ...]:
        """What may stand behind a name that matches."""
        return (b"/",) if self.is_of_folders else (b"", b"/")


def _parse(line: bytes) -> _Pattern | None:
    """The pattern in a line, None if there is none."""
    text = _without_spaces(line.partition(b"\0")[0])
    if text.startswith(b"#"):
        return None
    includes = not text.startswith(b"!")
    text = text.removeprefix(b"!")
    is_of_folders = text.endswith(b"/")
    text = text.removesuffix(b"/")
    is_path = b"/" in text
    text = text.removeprefix(b"/")
    return _Pattern(text, includes, is_path, is_of_folders) if text else None


def _without_spaces(line: bytes) -> bytes:
    """The line without the spaces at its end; one stays that has a backslash before it."""
    bare = line.rstrip(b" ")
    backslashes = len(bare) - len(bare.rstrip(b"\\"))
    return line[: len(bare) + backslashes % 2]


class _Run:
    """Patterns with wildcards that follow each other and agree on what a match means.

    So their order does not matter, and many of them are one regular expression.
    """

    def __init__(self, includes: bool) -> None:
        self.includes = includes
        self._suffixes: list[bytes] = []  # of names: `*.pyc` is the commonest kind
        self._names = _Expressions()
        self._paths = _Expressions()
        self._endings: tuple[bytes, ...] = ()

    @property
    def is_wild(self) -> bool:
        """Whether any pattern was added."""
        return bool(self._suffixes or self._names.sources or self._paths.sources)

    def add(self, pattern: _Pattern) -> bool:
        """Add a pattern, unless it can match nothing. Returns whether it was added."""
        text = pattern.text
        is_suffix = text.startswith(b"*") and not SPECIAL.search(text, 1)
        if is_suffix and not pattern.is_path:
            self._suffixes += [text[1:] + ending for ending in pattern.endings]
            return True
        try:
            regex = translate(text, is_path=pattern.is_path)
        except NeverMatches:
            return False
        # Not after a slash: `a/*` is about what is in `a`, not about `a/`.
        ending = rb"(?<!/)/\Z" if pattern.is_of_folders else rb"(?<!/)/?\Z"
        (self._paths if pattern.is_path else self._names).sources.append(regex + ending)
        return True

    def has_match(self, name: bytes, path: bytes) -> bool:
        """Whether one of them matches the path, whose last part is `name`."""
        if len(self._endings) != len(self._suffixes):
            self._endings = tuple(self._suffixes)
        return (
            name.endswith(self._endings)
            or self._names.has_match(name)
            or self._paths.has_match(path)
        )


class _Expressions:
    """Regular expressions, compiled when they are first asked."""

    def __init__(self) -> None:
        self.sources: list[bytes] = []
        self._compiled: list[re.Pattern[bytes]] = []

    def has_match(self, text: bytes) -> bool:
        """Whether one of them matches the text from its beginning."""
        if self.sources and not self._compiled:
            for start in range(0, len(self.sources), CHUNK):
                some = self.sources[start : start + CHUNK]
                self._compiled.append(re.compile(b"|".join(some), re.DOTALL))
        return any(regex.match(text) for regex in self._compiled)
