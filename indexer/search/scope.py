"""Which files a search covers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.errors import UsageError
from indexer.languages import known_language, similar_languages
from indexer.milvus.schema import condition
from indexer.paths import escape_path, is_within, unescape_path
from indexer.patterns import Patterns

if TYPE_CHECKING:
    from indexer.search.line_pattern import LinePattern

_WILD = re.compile(r"[*?\[\\]")


class Scope(Struct, frozen=True):
    """Files of one language at paths that match; all files by default.

    Every path begins with `start`. `only` has the parts of the project that are meant, and `files`
    the files; None means all.
    """

    language: str = ""
    start: str = ""
    patterns: Patterns | None = None
    only: Set[str] | None = None
    files: Set[str] | None = None

    @property
    def condition(self) -> str:
        """The part that Milvus can check. It may let more through than `holds` does."""
        start = self.start
        if self.only and len(self.only) == 1 and not start:
            start = escape_path(*self.only)
        paths = None if self.files is None else [*map(escape_path, self.files)]
        return condition(self.language, start, paths)

    def within(self, only: Set[str] | None) -> Scope:
        """This scope within these parts of the project, None for all of it."""
        return replace(self, only=only)

    @property
    def folder(self) -> str:
        """A path in the project at or above all files in the scope."""
        if self.only and len(self.only) == 1:
            return min(self.only)
        folder, _, _ = unescape_path(self.start).rpartition("/")
        return folder

    def holds(self, path: str, language: str) -> bool:
        """Whether a file is in the scope; `path` is as in rows."""
        if self.language and language != self.language:
            return False
        name = unescape_path(path)
        if self.only is not None and not is_within(name, self.only):
            return False
        if self.files is not None and name not in self.files:
            return False
        if self.patterns is None:
            return True
        # The path of a file in an external folder begins with a slash.
        relative = os.fsencode(name).removeprefix(b"/")
        return bool(self.patterns.verdict_with_folders(relative))


def make_scope(language: str = "", paths: Sequence[str] = ()) -> Scope:
    """The scope for a language and for patterns of paths.

    The language is given by its name or by the ending of its files. Patterns are as in a
    `.gitignore`: the last one that matches a file decides, and one with `!` in front leaves
    the file out. Raises `UsageError` for an unknown language or an invalid pattern.
    """
    name = _known(language.strip().lower()) if language else ""
    given = [pattern for pattern in paths if pattern]
    if not given:
        return Scope(name)
    patterns = Patterns(map(os.fsencode, given))
    if patterns.meaningless:
        which = os.fsdecode(patterns.meaningless[0])
        raise UsageError(f"not a pattern of paths: {which!r} matches nothing")
    start = _literal_start(given[0]) if len(given) == 1 else ""
    return Scope(name, start, patterns)


def line_pattern(pattern: str, *, ignores_case: bool = False) -> LinePattern | None:
    """The pattern of this regular expression, None if it is "".

    Raises `UsageError` for one that RE2 refuses.
    """
    if not pattern:
        return None
    from indexer.search.line_pattern import LinePattern

    return LinePattern(f"(?i){pattern}" if ignores_case else pattern)


def _known(language: str) -> str:
    if found := known_language(language):
        return found
    near = similar_languages(language, 3)
    hint = f": did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"unknown language {language!r}{hint}")


def _literal_start(pattern: str) -> str:
    """What every path that the pattern matches begins with, "" if with anything."""
    pattern = pattern.rstrip(" ")
    if pattern.startswith("!") or "/" not in pattern.rstrip("/"):
        return ""  # the pattern matches at any depth
    return _WILD.split(pattern.removeprefix("/"), maxsplit=1)[0].rstrip("/")
