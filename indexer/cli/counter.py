"""The counter of a scan: at a terminal, or in the log."""

from __future__ import annotations

import time

from indexer.cli.line import Line, can_rewrite
from indexer.cli.log import log
from indexer.cli.texts import count_text

_FIRST_S = 0.3  # a scan that is done by then shows none
_EACH_S = 0.1
SAID_S = 10.0  # where there is no terminal, -v says that often how many there are


class Counter:
    """A line that says how many files were found so far, and that goes away again.

    What the log says begins with `about`.
    """

    def __init__(self, *, quiet: bool, about: str = "") -> None:
        self._is_shown = not quiet and can_rewrite()
        self._about = about
        self._line = Line()
        self._next = time.monotonic() + (_FIRST_S if self._is_shown else SAID_S)

    def count(self, files: int) -> None:
        """Say so many files, unless that was said a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        if self._is_shown:
            self._next = now + _EACH_S
            self._line.show(lambda columns: _text(files, columns))
        else:
            self._next = now + SAID_S
            message = f"{self._about}{count_text(files, 'file')} found so far"
            log.info(message, files=files)

    def close(self) -> None:
        """Remove the line."""
        self._line.clear()


def _text(files: int, columns: int) -> str:
    """The text in so many columns; the number is the last that goes."""
    texts = f"{count_text(files, 'file')} found", count_text(files, "file")
    fitting = (text for text in texts if len(text) <= columns)
    return next(fitting, f"{files:,}"[:columns])
