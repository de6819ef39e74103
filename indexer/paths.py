"""Paths as the collection and the reports have them: valid UTF-8, whatever the bytes."""

from __future__ import annotations

import re

_NEEDS_ESCAPE = re.compile("[\\\\\udc80-\udcff]")
_ESCAPE = re.compile(r"\\(?:\\|x[89a-f][0-9a-f])")


def escape_path(path: str) -> str:
    """A path in valid UTF-8: `\\` is doubled, and a byte that is not UTF-8 (a lone
    surrogate, as `os.fsdecode` leaves it) becomes `\\xNN`. `unescape_path` reverts it.
    """
    return _NEEDS_ESCAPE.sub(
        lambda found: (
            "\\\\" if found[0] == "\\" else f"\\x{ord(found[0]) - 0xDC00:02x}"
        ),
        path,
    )


def unescape_path(text: str) -> str:
    """The path that `escape_path` made `text` of."""
    return _ESCAPE.sub(
        lambda found: (
            "\\" if found[0] == "\\\\" else chr(0xDC00 + int(found[0][2:], 16))
        ),
        text,
    )
