"""The progress bar of a run."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.log import log
from indexer.cli.texts import count_text, printable
from indexer.environment import hidden, is_for_bars

if TYPE_CHECKING:
    from tqdm import tqdm

    from indexer.cli.counter import Counter
    from indexer.cli.eta import Estimate
    from indexer.types import Step


class Bars:
    """The `Progress` of a run: a tqdm bar if stderr is a terminal, else only log lines."""

    def __init__(self, *, quiet: bool) -> None:
        self._is_shown = not quiet and log.format == "text" and sys.stderr.isatty()
        self._counter: Counter | None = None
        self._bar: tqdm[Any] | None = None
        self._estimate: Estimate | None = None
        self._files = 0
        self._done = 0
        self._chunks = 0
        self._since = 0.0

    def close(self) -> None:
        """Remove counter and bar from the terminal."""
        self._end_counter()
        if self._bar is not None:
            self._bar.close()

    def step(self, message: str) -> None:
        self._end_counter()
        if self._is_shown and not log.verbosity:
            click.echo(printable(message), err=True)
        log.info(message)

    def warn(self, message: str) -> None:
        self._end_counter()
        log.warn(message)

    def scanned(self, files: int) -> None:
        if self._is_shown:
            if self._counter is None:
                from indexer.cli.counter import Counter

                self._counter = Counter(quiet=False)
            self._counter.count(files)

    def _end_counter(self) -> None:
        if self._counter is not None:
            self._counter.close()

    def start(self, files: int, size: int) -> None:
        self._end_counter()
        self._files = files
        log.info(f"{count_text(files, 'file')} may have changed")
        can_redraw = os.environ.get("TERM", "dumb") not in ("", "dumb")
        if self._is_shown and files and can_redraw:
            with hidden(is_for_bars):
                from tqdm import tqdm

            self._since = time.monotonic()
            # Bytes predict the remaining time better than files: the largest come first.
            from indexer.cli.eta import Estimate

            self._estimate = Estimate(size, self._since)
            self._bar = tqdm(
                total=size,
                leave=False,
                dynamic_ncols=True,
                desc=f" 0/{files:,} files",
                bar_format="{percentage:3.0f}% |{bar}|{desc}",
            )

    def advance(self, step: Step) -> None:
        self._done += step.files
        self._chunks += step.chunks
        if self._bar is None or self._estimate is None:
            return
        now = time.monotonic()
        self._estimate.advance(
            now, known=step.known, found=step.found, embedded=step.embedded
        )
        rate = self._chunks / max(now - self._since, 1e-3)
        left = self._estimate.remaining(now)
        self._bar.set_description_str(
            f" {self._done:,}/{self._files:,} files, {self._chunks:,} chunks, "
            f"{rate:,.0f} chunks/s" + (f", {_clock(left)} left" if left else ""),
            refresh=False,
        )
        self._bar.update(step.known + step.embedded)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
