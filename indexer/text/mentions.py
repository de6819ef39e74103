"""Finds the mentions in a file: texts that are meant for an assistant."""

from __future__ import annotations

import re

from indexer.types import Mention

PROCESSING = "processing"  # why a file is skipped while someone works on its mention
MAX_TEXT = 2000  # characters of a mention that are reported

# In two parts, so that this file has no mention in it.
_IN_PROGRESS = "codx" + "-ok, please-wait..."
_PROCESSING = ("@" + _IN_PROGRESS + ":", "<" + _IN_PROGRESS)

_PENDING = re.compile(
    r"(?<!\w)@"
    r"codx:[ \t]*(?P<line>[^\r\n]*)"
    r"|<codx(?=[\s>])(?:\s*>)?(?P<block>.*?)(?:</codx>|\Z)",
    re.DOTALL,
)


def is_processing(data: bytes) -> bool:
    """Whether somebody is at work on a mention in this file."""
    if b"codx-ok" not in data:
        return False
    text = _decoded(data)
    return any(form in text for form in _PROCESSING)


def find_mentions(path: str, data: bytes) -> list[Mention]:
    """The pending mentions of a file, in order. A block that is not closed extends to the end."""
    if b"codx" not in data:
        return []
    text = _decoded(data)
    found = []
    line, seen = 1, 0
    for match in _PENDING.finditer(text):
        line += text.count("\n", seen, match.start())
        seen = match.start()
        said = match["line"] if match["line"] is not None else match["block"]
        found.append(Mention(path, line, said.strip()[:MAX_TEXT]))
    return found


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
