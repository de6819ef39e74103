"""What a tool of the MCP server answers: notes, then blocks of lines, within a number of tokens.

An answer is text, with no second form. Some clients pass a model the text,
some the object with a schema, some both; docs/design/cli.md says why there is only the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from msgspec import Struct

from indexer.address import without_passwords
from indexer.cli.texts import count_text, without_controls
from indexer.paths import escape_path

Count = Callable[[str], int]
"""The number of tokens of a text."""

LEAST_TOKENS = 100  # enough for a note, a place and what was left out
MOST_TOKENS = 100_000
USUAL_TOKENS = 8_000  # clients refuse answers that are much longer


class Block(NamedTuple):
    """A heading, such as a file, and the lines below it."""

    head: str
    lines: Sequence[str]


class _Line(NamedTuple):
    text: str
    is_head: bool = False
    is_content: bool = False


class Page(Struct, frozen=True):
    """An answer: first what to know about it, then what was found.

    Sooner or later an agent shows it at a terminal, so no line has anything that a terminal obeys.
    """

    notes: Sequence[str]
    blocks: Sequence[Block]

    def text(self, most_tokens: int, count: Count) -> str:
        """The answer as one text of at most `most_tokens` (`LEAST_TOKENS` or more).

        What does not fit is cut off at the end of a line, and the last line says how much is missing.
        """
        lines = [*self._lines()]
        whole = _joined(lines)
        if count(whole) <= most_tokens:
            return whole
        sums = [*accumulate((count(line.text) for line in lines), initial=0)]
        kept = bisect_right(sums, most_tokens) - 1
        while True:
            text = _joined([*lines[:kept], _rest(lines[kept:], most_tokens)])
            if not kept or count(text) <= most_tokens:
                return text
            kept -= 1

    def _lines(self) -> list[_Line]:
        found = [_Line(f"note: {one_line(note)}") for note in self.notes]
        for head, lines in self.blocks:
            if found:
                found.append(_Line(""))
            found.append(_Line(without_controls(head), is_head=True))
            shown = without_controls("\n".join(lines)).rstrip().split("\n")
            found += [_Line(line, is_content=True) for line in shown if lines]
        return found


def one_line(message: str) -> str:
    """The message in one line, without passwords, and with undecodable bytes escaped."""
    return without_controls(without_passwords(escape_path(" ".join(message.split()))))


def shortened(message: str, most_tokens: int, count: Count) -> str:
    """As much of a one-line message as `most_tokens` allow."""
    if count(message) <= most_tokens:
        return message
    words = message.split(" ")
    while words and count(" ".join([*words, "…"])) > most_tokens:
        words.pop()
    return " ".join([*words, "…"])


def _joined(lines: Sequence[_Line]) -> str:
    return "\n".join(line.text for line in lines)


def _rest(lines: Sequence[_Line], most_tokens: int) -> _Line:
    """The line that says what was left out."""
    heads = sum(line.is_head for line in lines)
    content = sum(line.is_content for line in lines)
    notes = sum(bool(line.text) for line in lines) - heads - content
    left = [
        *([count_text(notes, "note")] if notes > 0 else []),
        *([f"{heads:,} more files"] if heads > 1 else ["1 more file"] * heads),
        *([count_text(content, "line")] if content else []),
    ]
    return _Line(f"… {', '.join(left)} left out: max_tokens is {most_tokens}")
