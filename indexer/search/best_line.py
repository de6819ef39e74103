"""The line of a hit that a person should look at, and what of it is worth showing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.search.question import definition_line, name_place
from indexer.text.terms import idf, place_of_rarest, terms

if TYPE_CHECKING:
    from indexer.search.answers import Hit

CUT = "…"  # stands where a line was cut


def best_line(hit: Hit, query: str) -> int:
    """The line (1-based) of the file that a person should look at."""
    return number_in_file(hit, best_row(hit, query))


def number_in_file(hit: Hit, row: int) -> int:
    """The number in the file of a line of the chunk.

    All lines of a cell stand on one line of the file where a notebook is not pretty-printed.
    """
    return min(hit.start_line + row, hit.end_line)


def best_row(hit: Hit, query: str) -> int:
    """The line of the chunk, counted from 0, that a person should look at.

    This is the line where the definition that the query names begins. If there is none, it is
    the first of those with the most rare terms of the query.
    """
    defined = definition_line(query, hit.text)
    if defined is not None:
        return defined
    wanted = {term: idf(term) for term in terms(query)}
    lines = hit.text.split("\n")
    scores = [sum(wanted.get(term, 0) for term in set(terms(line))) for line in lines]
    return max(range(len(lines)), key=lambda number: (scores[number], -number))


def shortened(line: str, query: str, columns: int) -> str:
    """The line, cut to so many characters (0: any number) around what the query names in it.

    That is its definition, or else the rarest of the query's terms. Where it has none, its
    beginning is shown.
    """
    if not columns or len(line) <= columns:
        return line
    place = name_place(query, line)
    if place is None:
        place = place_of_rarest(terms(query), line) or 0
    room = max(columns - 2 * len(CUT), 1)
    # A third of what is shown stands before the match.
    start = max(0, min(place - room // 3, len(line) - room))
    shown = line[start : start + room]
    before = CUT if start else ""
    after = CUT if start + room < len(line) else ""
    return f"{before}{shown}{after}"
