"""The files that a run is limited to, as paths in the project."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable

from indexer.errors import UsageError

# As git quotes a name: https://git-scm.com/docs/git-config#Documentation/git-config.txt-corequotePath
_QUOTED = re.compile(rb'"(?:[^"\\]|\\(?:[abfnrtv"\\]|[0-3][0-7]{2}))*"')
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)")
_CONTROLS = dict(zip(b"abfnrtv", b"\a\b\f\n\r\t\v", strict=True))


def selected(project: str, paths: Iterable[str]) -> frozenset[str]:
    """The paths, relative to the project.

    Raises `UsageError` for one that is not in it.
    """
    return frozenset(_relative(project, path) for path in paths)


def listed_paths(data: bytes, null: bool) -> list[str]:
    """The paths in a list: one a line, or each with a NUL behind it.

    In lines, a name may be quoted as git does it without `-z`, and the first may begin with a
    byte order mark.
    """
    if null:
        names = data.split(b"\0")
    else:
        lines = data.removeprefix(codecs.BOM_UTF8).splitlines()
        names = [_unquoted(line) for line in lines]
    return [os.fsdecode(name) for name in names if name]


def _unquoted(line: bytes) -> bytes:
    if not _QUOTED.fullmatch(line) or os.path.lexists(line):
        return line
    return _ESCAPE.sub(lambda found: _byte(found[1]), line[1:-1])


def _byte(escaped: bytes) -> bytes:
    if len(escaped) == 3:
        return bytes([int(escaped, 8)])
    return bytes([_CONTROLS.get(escaped[0], escaped[0])])


def _relative(project: str, path: str) -> str:
    # The last part may be a symlink of the project, or gone: only its folder is resolved.
    folder, name = os.path.split(os.path.abspath(path))
    whole = os.path.join(os.path.realpath(folder), name)
    if whole == project:
        return ""
    if not whole.startswith(os.path.join(project, "")):
        raise UsageError(
            f"{path} is not in the project {project} (it is relative to {os.getcwd()})"
        )
    return os.path.relpath(whole, project)
