"""Ignore rules in gitignore syntax, for what git does not decide.

These are `.codxignore` files, `.gitignore` files outside a work tree, and the settings.
pathspec compiles the patterns; the precedence between nested files is decided here.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

# With more stars in one segment, a hostile name could take minutes to match.
MAX_STARS = 4

# Folders and files that nobody wants indexed where no repository says so. These are the
# weakest rules of all: a `.gitignore` brings any of them back with a `!` pattern.
IGNORED_OUTSIDE_GIT = b"""\
.bzr/
.cache/
.direnv/
.eggs/
.gradle/
.hypothesis/
.ipynb_checkpoints/
.mypy_cache/
.next/
.nox/
.nuxt/
.pytest_cache/
.ruff_cache/
.svelte-kit/
.terraform/
.tox/
.venv/
__pycache__/
bower_components/
node_modules/
venv/
.DS_Store
"""


class IgnoreRules:
    """The rules of one ignore file.

    A pattern decides about the very path that it matches and says nothing of what lies
    below, because a walk does not enter ignored folders. This gives nested files git's
    precedence: `!b` in `a/.gitignore` does not bring back `a/b/x.log` from a `*.log` above.

    `unusable` lists the patterns that are not followed. Patterns that mean nothing to git
    either are not among them.
    """

    def __init__(self, text: bytes) -> None:
        self.unusable: list[str] = []
        self._patterns: list[tuple[re.Pattern[str], bool]] = []
        # Latin-1 gives each byte one character: to git, `?` is one byte.
        for line in text.removeprefix(b"\xef\xbb\xbf").decode("latin-1").split("\n"):
            self._add(line.removesuffix("\r"))
        self._patterns.reverse()  # the last pattern that matches decides

    def verdict(self, path: bytes) -> bool | None:
        """True to ignore the path, False if a `!` pattern keeps it, None without a match.

        `path` is relative to the folder of the ignore file. That of a folder ends with `/`.
        """
        name = path.decode("latin-1")
        for regex, ignores in self._patterns:
            if any(_is_about(match, name) for match in regex.finditer(name)):
                return ignores
        return None

    def _add(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

        if any(segment.count("*") > MAX_STARS for segment in line.split("/")):
            self.unusable.append(line)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # from `[[` in a pattern
            try:
                pattern = GitIgnoreSpecPattern(line)
            except (ValueError, re.error):
                return
        if pattern.include is not None and pattern.regex is not None:
            self._patterns.append((pattern.regex, pattern.include))


def _is_about(match: re.Match[str], path: str) -> bool:
    """Whether a match is one of the path itself, and not only of a folder above it.

    pathspec marks the slash after a folder that matched as the group `ps_d`.
    """
    if match.groupdict().get("ps_d") is not None:
        return match.end("ps_d") == len(path)
    # `a/**` is about what is in `a`, not about `a`.
    return not (path.endswith("/") and match.end() == len(path))


@dataclass(frozen=True, slots=True)
class NestedRules:
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

    @property
    def unusable(self) -> list[str]:
        """The patterns that are not followed."""
        return self._rules.unusable

    def verdict(self, path: bytes) -> bool | None:
        """As in `IgnoreRules`, for a `path` that is relative to the root."""
        if any(text in b"/" + path for text in self._texts):
            return True
        return self._rules.verdict(path)
