"""How hits are shown: highlighted for a person; for a program as grep lines, or as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from msgspec.structs import asdict

from indexer.cli.texts import count_text, printable, shown
from indexer.languages import NOTEBOOK
from indexer.paths import escape_path, unescape_path
from indexer.search.answers import CHANGED_SINCE
from indexer.search.best_line import best_row, number_in_file, shortened

if TYPE_CHECKING:
    from indexer.search.answers import Hit
    from indexer.search.line_pattern import LinePattern

_LEXERS = {NOTEBOOK: "python"}  # what most cells are in


class View(NamedTuple):
    """What is shown of each hit for this query: so many lines around the best one, which is the first
    that matches `grep` if there is one, and so many characters of a line (0: all of them).
    """

    query: str
    context: int
    columns: int
    grep: LinePattern | None = None

    def cut(self, line: str) -> str:
        """What is shown of a line."""
        return shortened(line, self.query, self.columns, self.grep)

    def row(self, hit: Hit) -> int:
        """The best line of a hit's chunk, counted from 0."""
        return best_row(hit, self.query, self.grep)


class _Line(NamedTuple):
    """A line of a chunk or next to it: the row in the chunk, the number in the file, the text."""

    row: int
    number: int
    text: str
    is_best: bool


def name_of(hit: Hit, *, several: bool) -> str:
    """How a hit's file is called: as seen from the current folder if that is in the project,
    with the project if there are `several`, else by its path in the project."""
    return shown(path_of(hit, several=several))


def path_of(hit: Hit, *, several: bool) -> str:
    """The path that `name_of` shows, as the file system has it."""
    path = unescape_path(hit.path)
    if several:
        return f"{hit.project}/{path}"
    try:
        here = os.path.relpath(os.getcwd(), hit.project or ".")
    except FileNotFoundError:  # the current folder was removed
        here = os.pardir
    if here.split(os.sep)[0] == os.pardir or os.path.isabs(path):
        return path
    return os.path.normpath(os.path.relpath(path, here))


def path_line(hit: Hit, *, several: bool, has_nul: bool) -> str | bytes:
    """The line for a hit of which the path alone is shown, or its path as it is with a NUL."""
    if has_nul:
        return os.fsencode(path_of(hit, several=several)) + b"\0"
    return name_of(hit, several=several) + "\n"


def grep_lines(hit: Hit, view: View, path: str) -> Iterator[str]:
    """Yield the best line as `path:line:text`, and those around it as `path-line-text`."""
    for line in _window(hit, view):
        mark = ":" if line.is_best else "-"
        yield f"{path}{mark}{line.number}{mark}{view.cut(printable(line.text))}"


def page(hit: Hit, view: View, path: str) -> Iterator[str]:
    """A heading and the code around the best line, in colour."""
    line = number_in_file(hit, view.row(hit))
    style = click.style if _has_colours() else _plain
    place = style(f"{path}:{line}", fg="magenta", bold=True)
    symbol = style(printable(hit.symbol), bold=True)
    mark = style(f"({CHANGED_SINCE})", fg="yellow") if hit.stale else ""
    yield "  ".join(part for part in (place, symbol, f"{hit.score:.2f}", mark) if part)
    coloured = _highlighted(hit, view)
    for one in _window(hit, view):
        code = coloured.get(one.row) or view.cut(printable(one.text))
        gutter = style(f"{one.number:>5} ", dim=not one.is_best, bold=one.is_best)
        yield f"{gutter}{code}".rstrip()


def _plain(text: str, **style: object) -> str:
    return text


def explained(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Where a score comes from, one reason per line."""
    for kind in ("dense", "sparse"):
        if place := explanation[kind]:
            yield f"{kind} rank {place['rank']} ({place['score']:.3f})"
    chunks = count_text(explanation["chunks"], "chunk")
    yield f"match {explanation['match']:.2f} ({chunks} found, the best 4 count)"
    for signal in explanation["signals"]:
        yield f"{signal['operator']} {signal['amount']:.2f} {signal['reason']}"
    yield f"= {explanation['points']:.2f} points"


def hit_dict(
    hit: Hit, view: View, *, explain: bool, is_path_alone: bool
) -> dict[str, object]:
    """A hit as JSON-ready values, with the line that the text shows unless the path will do."""
    fields = asdict(hit)
    fields["project"] = escape_path(hit.project)
    if is_path_alone:
        return {name: fields[name] for name in ("project", "path", "score", "stale")}
    row = view.row(hit)
    fields["line"] = number_in_file(hit, row)
    fields["line_text"] = view.cut(hit.text.split("\n")[row])
    if not explain:
        del fields["explanation"]
    for name in ("before", "after"):
        if not fields[name]:
            del fields[name]
    return fields


def is_for_person() -> bool:
    """Whether stdout is a terminal, and not one in an editor, which reads lines as of grep."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _has_colours() -> bool:
    """Whether the person at the terminal wants colours, and it has some."""
    is_capable = os.environ.get("TERM", "dumb") not in ("", "dumb")
    return is_capable and not os.environ.get("NO_COLOR")  # https://no-color.org


def _window(hit: Hit, view: View) -> Iterator[_Line]:
    """Yield the best line and the lines that are at most `context` lines away from it."""
    best = view.row(hit)
    before = hit.before.split("\n") if hit.before or hit.start_line > 1 else []
    after = hit.after.split("\n") if hit.after else []
    inside = hit.text.split("\n")
    numbered = [
        *enumerate(before, hit.start_line - len(before)),
        *((number_in_file(hit, row), text) for row, text in enumerate(inside)),
        *enumerate(after, hit.end_line + 1),
    ]
    for row, (number, text) in enumerate(numbered, -len(before)):
        if abs(row - best) <= view.context:
            yield _Line(row, number, text, row == best)


def _highlighted(hit: Hit, view: View) -> dict[int, str]:
    """The lines of the chunk in colour, by their rows in it; {} if no lexer knows the language."""
    if not _has_colours():
        return {}
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.util import ClassNotFound

    text = "\n".join(view.cut(printable(line)) for line in hit.text.split("\n"))
    try:
        lexer = get_lexer_by_name(
            _LEXERS.get(hit.language, hit.language), stripnl=False
        )
    except ClassNotFound:
        try:
            lexer = get_lexer_for_filename(hit.path, stripnl=False)
        except ClassNotFound:
            return {}
    lines = highlight(text, lexer, TerminalFormatter()).split("\n")
    return dict(enumerate(lines))
