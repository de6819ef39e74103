"""A line at the terminal that is written again and again, in its place."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from indexer.cli.log import log

_USUAL_COLUMNS = 80


def can_rewrite() -> bool:
    """Whether there is a terminal on stderr at which a line can be written again."""
    can_move = os.environ.get("TERM", "dumb") not in ("", "dumb")
    return can_move and log.format == "text" and sys.stderr.isatty()


def columns() -> int:
    """How many columns a line may have now; the last one of the terminal stays free.

    With a character in it, some terminals go on to the next line. COLUMNS can only make it
    less: a shell that exports it does not say so when the terminal is resized.
    """
    try:
        wide = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        wide = 0
    asked = os.environ.get("COLUMNS", "")
    known = [wide, int(asked) if asked.isdecimal() else 0]
    return max(min([one for one in known if one] or [_USUAL_COLUMNS]) - 1, 1)


class Line:
    """The line. What the log says goes above it."""

    def __init__(self) -> None:
        self._is_there = False

    def show(self, text_within: Callable[[int], str]) -> None:
        """Write the text that is made for so many columns in place of the one before."""
        text = text_within(columns())
        click.echo(f"\r{text}\x1b[K", nl=False, err=True)
        self._is_there = True
        log.make_room = self.clear

    def clear(self) -> None:
        """Remove the line."""
        log.make_room = None
        if self._is_there:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._is_there = False
