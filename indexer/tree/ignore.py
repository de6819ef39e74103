"""Ignore files in gitignore syntax, for what git does not decide: `.codxignore`, and
`.gitignore` outside a work tree. The patterns are pathspec's; precedence is the walk's.
"""

from __future__ import annotations

import re
import warnings

# More stars in one segment of a pattern would let a hostile name take minutes to match.
MAX_STARS = 4


class IgnoreRules:
    """One ignore file.

    A pattern decides about the very path it matches, not about what lies below: whoever
    walks the tree does not enter ignored folders. So precedence between nested files is
    git's: `!b` in `a/.gitignore` does not bring back `a/b/x.log` from a `*.log` above.

    `unusable` lists the patterns that are not followed: those that are no pattern to git
    either are not among them.
    """

    def __init__(self, text: bytes) -> None:
        self.unusable: list[str] = []
        self._patterns: list[tuple[re.Pattern[str], bool]] = []
        # Latin-1 gives each byte one character, for to git `?` is one byte.
        for line in text.removeprefix(b"\xef\xbb\xbf").decode("latin-1").split("\n"):
            self._add(line.removesuffix("\r"))
        self._patterns.reverse()  # the last one that matches decides

    def verdict(self, path: bytes) -> bool | None:
        """True: ignored. False: a `!` pattern keeps it. None: no pattern matches.

        `path` is relative to the folder of the file; that of a folder ends with `/`.
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
            warnings.simplefilter("ignore", FutureWarning)  # `[[` in a pattern
            try:
                pattern = GitIgnoreSpecPattern(line)
            except (ValueError, re.error):
                return
        if pattern.include is not None and pattern.regex is not None:
            self._patterns.append((pattern.regex, pattern.include))


def _is_about(match: re.Match[str], path: str) -> bool:
    """Is the match one of the path itself, not only of a folder above it?

    pathspec marks by the group `ps_d` the slash after a folder that matched.
    """
    if match.groupdict().get("ps_d") is not None:
        return match.end("ps_d") == len(path)
    # `a/**` is about what is in `a`, not about `a`.
    return not (path.endswith("/") and match.end() == len(path))
