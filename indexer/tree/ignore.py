"""Ignore rules in gitignore syntax, for what git does not decide.

These are `.codxignore` files, `.gitignore` files outside a work tree, and the settings.
`Patterns` knows what a pattern matches; the precedence between nested files is decided here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from msgspec import Struct

from indexer.patterns import Patterns


class IgnoreRules:
    """The rules of one ignore file.

    A pattern decides about the very path that it matches and says nothing of what lies
    below, because a walk does not enter ignored folders. This gives nested files git's
    precedence: `!b` in `a/.gitignore` does not bring back `a/b/x.log` from a `*.log` above.
    """

    def __init__(self, text: bytes) -> None:
        lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        self._patterns = Patterns(line.removesuffix(b"\r") for line in lines)

    def verdict(self, path: bytes) -> bool | None:
        """True to ignore the path, False if a `!` pattern keeps it, None without a match.

        `path` is relative to the folder of the ignore file. That of a folder ends with `/`.
        """
        return self._patterns.verdict(path)


class NestedRules(Struct, frozen=True):
    """The ignore files that count in one folder, from the deepest up to the root's.

    Each comes with the length of the path of its folder.
    """

    files: tuple[tuple[int, IgnoreRules], ...] = ()

    def with_file(self, folder: bytes, rules: IgnoreRules) -> NestedRules:
        """These rules below those of a file in `folder`, which ends with `/`."""
        return NestedRules(((len(folder), rules), *self.files))

    def verdict(self, path: bytes) -> bool | None:
        """As in `IgnoreRules`, but for a `path` that is relative to the root."""
        for start, rules in self.files:
            verdict = rules.verdict(path[start:])
            if verdict is not None:
                return verdict
        return None


class SettingsRules:
    """What the settings leave out, whatever ignore files say.

    `patterns` are as in a `.gitignore` at the root. No path may hold any of the `texts`
    once a `/` is put before it.
    """

    def __init__(self, patterns: Sequence[str], texts: Sequence[str]) -> None:
        self._rules = IgnoreRules(os.fsencode("\n".join(patterns)))
        self._texts = [os.fsencode(text) for text in texts]

    def verdict(self, path: bytes) -> bool | None:
        """As in `IgnoreRules`, for a `path` that is relative to the root."""
        if any(text in b"/" + path for text in self._texts):
            return True
        return self._rules.verdict(path)
