"""The counter of a scan, at a terminal."""

from __future__ import annotations

import sys
import time

import click

from indexer.cli.log import log
from indexer.cli.texts import count_text

_FIRST_S = 0.3  # a scan that is done by then shows none
_EACH_S = 0.1


class Counter:
    """A line that says how many files were found so far, and that goes away again."""

    def __init__(self, *, quiet: bool) -> None:
        self._is_shown = not quiet and log.format == "text" and sys.stderr.isatty()
        self._next = time.monotonic() + _FIRST_S
        self._width = 0

    def count(self, files: int) -> None:
        """Say so many files, unless that was said a moment ago."""
        if not self._is_shown or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EACH_S
        text = f"{count_text(files, 'file')} found"
        click.echo("\r" + text.ljust(self._width), nl=False, err=True)
        self._width = len(text)

    def close(self) -> None:
        """Remove the line."""
        if self._width:
            click.echo("\r" + " " * self._width + "\r", nl=False, err=True)
            self._width = 0
