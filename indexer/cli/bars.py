"""The progress of a run, as it is shown."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from indexer.cli.line import Line, can_rewrite
from indexer.cli.log import log
from indexer.cli.streams import has_any_character
from indexer.cli.texts import count_text, printable

if TYPE_CHECKING:
    from indexer.cli.counter import Counter
    from indexer.cli.headway import Headway
    from indexer.types import Step

_REDRAWN_S = 0.1
SAID_S = 10.0  # where there is no bar, -v says that often how far the run has come


class Bars:
    """The `Progress` of a run: a bar if stderr is a terminal, else only log lines.

    What is said of one run of many begins with its name, `about`.
    """

    def __init__(self, *, quiet: bool, about: str = "") -> None:
        self._about = f"{about}: " if about else ""
        self._is_told = not quiet and log.format == "text" and sys.stderr.isatty()
        self._is_shown = not quiet and can_rewrite()
        self._line = Line()
        self._counter: Counter | None = None
        self._headway: Headway | None = None
        self._next = 0.0

    def close(self) -> None:
        """Remove counter and bar from the terminal."""
        if self._counter is not None:
            self._counter.close()
        self._line.clear()

    def step(self, message: str) -> None:
        self.close()
        if self._is_told and not log.verbosity:
            click.echo(printable(self._about + message), err=True)
        log.info(self._about + message)

    def warn(self, message: str) -> None:
        self.close()
        log.warn(self._about + message)

    def scanned(self, files: int) -> None:
        if self._is_shown or log.verbosity:
            if self._counter is None:
                from indexer.cli.counter import Counter

                self._counter = Counter(quiet=not self._is_shown, about=self._about)
            self._counter.count(files)

    def start(self, files: int, size: int) -> None:
        self.close()
        log.info(f"{self._about}{count_text(files, 'file')} may have changed")
        if files and (self._is_shown or log.verbosity):
            from indexer.cli.headway import Headway

            now = time.monotonic()
            self._headway = Headway(files, size, now)
            if self._is_shown:
                self._draw(now)
            else:
                self._next = now + SAID_S

    def advance(self, step: Step) -> None:
        if self._headway is None:
            return
        now = time.monotonic()
        self._headway.advance(now, step)
        if now < self._next:
            return
        if self._is_shown:
            self._draw(now)
        else:
            self._next = now + SAID_S
            message = self._about + self._headway.sentence(now)
            log.info(message, **self._headway.fields(now))

    def _draw(self, now: float) -> None:
        headway = self._headway
        assert headway
        self._next = now + _REDRAWN_S
        is_ascii = not has_any_character(sys.stderr)
        self._line.show(lambda columns: headway.bar(now, columns, is_ascii=is_ascii))
