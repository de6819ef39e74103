"""The log: lines on stderr, as text or as JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from indexer.address import without_passwords
from indexer.cli.streams import has_any_character
from indexer.cli.texts import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Log:
    """Writes lines to stderr: JSON, or text that bears the time unless a terminal shows it.

    Other libraries add nothing to it, because `open` silences their loggers.
    """

    def __init__(self) -> None:
        self.format = "text"
        self.verbosity = 0
        self.make_room: Callable[[], None] | None = None  # removes what is on the line

    def open(self, kind: str, verbosity: int) -> None:
        """Start to log as "text" or "json"; verbosity 1 adds steps, 2 adds every event."""
        import logging

        self.format, self.verbosity = kind, verbosity
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(logging.NullHandler())

    def error(self, message: str, **about: object) -> None:
        """Say that something could not be done."""
        self._write("error", message, about)

    def warn(self, message: str, **about: object) -> None:
        """Say that something went wrong, although the command continues."""
        self._write("warning", message, about)

    def info(self, message: str, **about: object) -> None:
        """Say that a step was taken; only with --verbose."""
        if self.verbosity:
            self._write("info", message, about)

    def debug(self, event: str, about: Mapping[str, object]) -> None:
        """Say that an event happened; only with --verbose given twice."""
        if self.verbosity > 1:
            self._write("debug", event, about)

    def _write(self, level: str, message: str, about: Mapping[str, object]) -> None:
        now = (
            datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
        message = without_passwords(" ".join(message.split()))
        if self.make_room:
            self.make_room()
        if self.format == "json":
            line = {"time": now, "level": level, "message": message, **about}
            is_ascii = not has_any_character(sys.stderr)
            click.echo(json_text(line, is_ascii=is_ascii), err=True)
            return
        start = "codx-index: " if sys.stderr.isatty() else f"{now} codx-index: "
        if level == "debug":
            fields = (f"{name}={_field(value)}" for name, value in about.items())
            message = " ".join([message, *fields])
        click.echo(start + printable(message), err=True)


def _field(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text else text


log = Log()
