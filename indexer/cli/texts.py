"""Text that is safe to print: escaped paths, worded numbers, one JSON object."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping

import click

from indexer.cli.streams import has_any_character, is_closed

# What a terminal obeys in place of showing it: control characters, those that change the
# direction of text, and line separators. Surrogates are no characters at all.
_CONTROLS = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_UNSAFE_IN_JSON = re.compile(f"[{_CONTROLS}]")
_UNSAFE = re.compile(f"[\0-\x08\x0b-\x1f{_CONTROLS}]")


def printable(text: str) -> str:
    """The text with every character escaped that moves the cursor or reverses the text."""
    return "".join(
        char if char.isprintable() or char in "\t" else _escaped(char) for char in text
    )


def without_controls(text: str) -> str:
    """The text with only those characters escaped that a terminal obeys, but for line breaks.

    It is for texts that go through others before they are shown, such as answers to an agent.
    """
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def with_controls(path: str) -> str:
    """The path in a row from which `without_controls` made this one."""
    return re.sub(
        r"\\(?:[^u]|u([0-9a-f]{4}))",
        lambda found: chr(int(found[1], 16)) if found[1] else found[0],
        path,
    )


def json_text(
    value: object,
    *,
    is_ascii: bool = False,
    separators: tuple[str, str] | None = None,
) -> str:
    """The value as JSON on one line, in which no character is left that a terminal obeys.

    A reader of the JSON gets them back. With `is_ascii`, all but ASCII is escaped, so that the
    JSON is the same in any encoding.
    """
    text = json.dumps(value, ensure_ascii=is_ascii, separators=separators)
    # They can stand in strings only, where their escape means the same.
    return _UNSAFE_IN_JSON.sub(lambda found: _escaped(found[0]), text)


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"


def shown(path: str) -> str:
    """A path fit for a terminal: control characters and bytes that are not UTF-8 are escaped.

    A path that comes from a row is escaped already; `printable` is enough for it.
    """
    from indexer.paths import escape_path

    return printable(escape_path(path))


def count_text(number: int, noun: str) -> str:
    """A number of things as a person reads it: 1 file, 2,000 files."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration_text(seconds: float) -> str:
    """About so long, such as "90 s" or "5 min"."""
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def counts_text(counts: Mapping[str, int]) -> str:
    """Several counts by name, without those that are zero: 2 added, 1 deleted."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def print_json(value: dict[str, object]) -> None:
    """Print one object, on one line of stdout."""
    click.echo(json_text(value, is_ascii=not has_any_character(sys.stdout)))


def confirm(text: str, *, err: bool = False) -> None:
    """Print what was done. Nobody misses it if stdout is closed."""
    if err or not is_closed(1):
        click.echo(text, err=err)
