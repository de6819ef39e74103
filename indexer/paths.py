"""Paths as rows and reports have them: valid UTF-8, whatever bytes the path consists of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

_NEEDS_ESCAPE = re.compile("[\\\\\udc80-\udcff]")
_ESCAPE = re.compile(r"\\(?:\\|x[89a-f][0-9a-f])")


def escape_path(path: str) -> str:
    """A path in valid UTF-8, which `unescape_path` turns back.

    `\\` is doubled. A byte that is not UTF-8, which `os.fsdecode` turns into a lone surrogate,
    becomes `\\xNN`.
    """
    return _NEEDS_ESCAPE.sub(
        lambda found: (
            "\\\\" if found[0] == "\\" else f"\\x{ord(found[0]) - 0xDC00:02x}"
        ),
        path,
    )


def unescape_path(text: str) -> str:
    """The path from which `escape_path` made `text`."""
    return _ESCAPE.sub(
        lambda found: (
            "\\" if found[0] == "\\\\" else chr(0xDC00 + int(found[0][2:], 16))
        ),
        text,
    )


def is_within(path: str, only: Set[str]) -> bool:
    """Whether the path is one of these, or lies below one of them."""
    return any(one in only for one in upwards(path))


def upwards(path: str) -> Iterator[str]:
    """The path, its folder, the folder above it, and so on up to "", the whole project."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""
