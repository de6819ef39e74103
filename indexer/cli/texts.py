"""Text that is safe to print: escaped paths, worded numbers, one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click


def printable(text: str) -> str:
    """The text with every character escaped that moves the cursor or reverses the text."""
    return "".join(
        char if char.isprintable() or char in "\t" else f"\\u{ord(char):04x}"
        for char in text
    )


def shown(path: str) -> str:
    """A path fit for a terminal: control characters and bytes that are not UTF-8 are escaped.

    A path that comes from a row is escaped already; `printable` is enough for it.
    """
    from indexer.paths import escape_path

    return printable(escape_path(path))


def count_text(number: int, noun: str) -> str:
    """A number of things as a person reads it: 1 file, 2,000 files."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def counts_text(counts: Mapping[str, int]) -> str:
    """Several counts by name, without those that are zero: 2 added, 1 deleted."""
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def print_json(value: dict[str, object]) -> None:
    """Print one object, on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))
