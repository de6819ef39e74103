"""Lines on stderr, as text or as JSON."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping


class Log:
    """Lines on stderr: text, with the time where no terminal shows it, or JSON.

    Nothing of other libraries is among them: `open` silences their loggers.
    """

    def __init__(self) -> None:
        self.format = "text"
        self.verbosity = 0

    def open(self, kind: str, verbosity: int) -> None:
        """Begin to write "text" or "json"; verbosity 1 is for steps too, 2 for all."""
        import logging

        self.format, self.verbosity = kind, verbosity
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(logging.NullHandler())

    def error(self, message: str, **about: object) -> None:
        """Something could not be done."""
        self._write("error", message, about)

    def warn(self, message: str, **about: object) -> None:
        """Something did not go as it should, and the command goes on."""
        self._write("warning", message, about)

    def info(self, message: str, **about: object) -> None:
        """A step that a person may want to know of; with --verbose."""
        if self.verbosity:
            self._write("info", message, about)

    def debug(self, event: str, about: Mapping[str, object]) -> None:
        """All that happens; with --verbose twice."""
        if self.verbosity > 1:
            self._write("debug", event, about)

    def _write(self, level: str, message: str, about: Mapping[str, object]) -> None:
        now = (
            datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
        message = " ".join(message.split())
        if self.format == "json":
            line = {"time": now, "level": level, "message": message, **about}
            click.echo(json.dumps(line, ensure_ascii=False), err=True)
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


def shown(path: str) -> str:
    """A path fit for a terminal: bytes that are not UTF-8, and controls, escaped."""
    from indexer.paths import escape_path

    return shown_row(escape_path(path))


def shown_row(path: str) -> str:
    """The same, for a path as rows have it."""
    return printable(path)


def printable(text: str) -> str:
    """Without the characters that move a cursor or turn text around."""
    return "".join(
        char if char.isprintable() or char in "\t" else f"\\u{ord(char):04x}"
        for char in text
    )
