"""How hits are shown: highlighted for a person, as `grep` writes them for a program."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.log import printable, shown_row
from indexer.cli.texts import count_text
from indexer.search.ranking import definition_line
from indexer.text.terms import idf, terms

if TYPE_CHECKING:
    from indexer.search.answers import Hit

MAX_WIDTH = 400  # characters of a line that a person is shown


def best_line(hit: Hit, query: str) -> int:
    """The line (1-based) of the chunk that a person should look at: where the definition begins
    that the query names, else the one with most of its rare terms, and of these the first.
    """
    defined = definition_line(query, hit.text)
    if defined is not None:
        return hit.start_line + defined
    wanted = {term: idf(term) for term in terms(query)}
    lines = hit.text.split("\n")
    scores = [sum(wanted.get(term, 0) for term in set(terms(line))) for line in lines]
    best = max(range(len(lines)), key=lambda number: (scores[number], -number))
    return hit.start_line + best


def grep_lines(hit: Hit, query: str, context: int, prefix: str = "") -> Iterator[str]:
    """`path:line:text`, and `path-line-text` for the lines around it."""
    line = best_line(hit, query)
    path = prefix + shown_row(hit.path)
    for number, text in _window(hit, line, context):
        mark = ":" if number == line else "-"
        yield f"{path}{mark}{number}{mark}{printable(text)}"


def page(hit: Hit, query: str, context: int, prefix: str = "") -> Iterator[str]:
    """A head line and the code around the best line, in colours."""
    line = best_line(hit, query)
    place = click.style(
        f"{prefix}{shown_row(hit.path)}:{line}", fg="magenta", bold=True
    )
    symbol = click.style(printable(hit.symbol), bold=True)
    yield "  ".join(part for part in (place, symbol, f"{hit.score:.2f}") if part)
    colours = _highlighted(hit)
    for number, text in _window(hit, line, context):
        shown = colours.get(number) or printable(text)[:MAX_WIDTH]
        gutter = click.style(f"{number:>5} ", dim=number != line, bold=number == line)
        yield f"{gutter}{shown}".rstrip()


def explained(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Where a score comes from, a line each."""
    for kind in ("dense", "sparse"):
        if place := explanation[kind]:
            yield f"{kind} rank {place['rank']} ({place['score']:.3f})"
    chunks = count_text(explanation["chunks"], "chunk")
    yield f"match {explanation['match']:.2f} ({chunks} found, the best 3 count)"
    for signal in explanation["signals"]:
        yield f"{signal['operator']} {signal['amount']:.2f} {signal['reason']}"


def is_for_person() -> bool:
    """Does somebody look at stdout, at a terminal that knows colours?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _window(hit: Hit, line: int, context: int) -> list[tuple[int, str]]:
    """The lines with their numbers, out of the chunk and what is around it."""
    before = hit.before.split("\n") if hit.before or hit.start_line > 1 else []
    first = hit.start_line - len(before)
    after = hit.after.split("\n") if hit.after else []
    lines = enumerate([*before, *hit.text.split("\n"), *after], first)
    return [(number, text) for number, text in lines if abs(number - line) <= context]


def _highlighted(hit: Hit) -> dict[int, str]:
    """The lines of the chunk in colours, by number; {} where no lexer knows the language."""
    if os.environ.get("NO_COLOR"):
        return {}
    from pygments import highlight
    from pygments.formatters import TerminalFormatter
    from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
    from pygments.util import ClassNotFound

    text = "\n".join(printable(line)[:MAX_WIDTH] for line in hit.text.split("\n"))
    try:
        lexer = get_lexer_by_name(hit.language, stripnl=False)
    except ClassNotFound:
        try:
            lexer = get_lexer_for_filename(hit.path, stripnl=False)
        except ClassNotFound:
            return {}
    lines = highlight(text, lexer, TerminalFormatter()).split("\n")
    return dict(enumerate(lines, hit.start_line))
