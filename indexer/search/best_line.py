"""The line of a hit that a person should look at, and the part of it that is worth showing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.search.question import definition_line, name_place
from indexer.text.terms import idf, place_of_rarest, terms

if TYPE_CHECKING:
    from indexer.search.answers import Hit
    from indexer.search.line_pattern import LinePattern

CUT = "…"  # marks where a line was cut


def number_in_file(hit: Hit, row: int) -> int:
    """The number in the file of a line of the chunk.

    If a notebook is not pretty-printed, all lines of a cell are on one line of the file.
    """
    return min(hit.start_line + row, hit.end_line)


def best_row(hit: Hit, query: str, grep: LinePattern | None = None) -> int:
    """The line of the chunk, counted from 0, that a person should look at.

    With `grep` it is the first line that matches it. Otherwise it is the line where the definition that the query names begins. If there is none, it is
    the first of the lines with the most rare terms of the query.
    """
    matching = grep.row(hit.text) if grep else None
    if matching is not None:
        return matching
    defined = definition_line(query, hit.text)
    if defined is not None:
        return defined
    wanted = {term: idf(term) for term in terms(query)}
    lines = hit.text.split("\n")
    scores = [sum(wanted.get(term, 0) for term in set(terms(line))) for line in lines]
    return max(range(len(lines)), key=lambda number: (scores[number], -number))


def shortened(
    line: str, query: str, columns: int, grep: LinePattern | None = None
) -> str:
    """The line, cut to this many characters (0: any number) around what is looked for in it.

    That is the first match of `grep`, or else what the query defines, or the rarest of its terms. If the
    line has none of these, its beginning is shown.
    """
    if not columns or len(line) <= columns:
        return line
    place = grep.place(line) if grep else None
    if place is None:
        place = name_place(query, line)
    if place is None:
        place = place_of_rarest(terms(query), line) or 0
    room = max(columns - 2 * len(CUT), 1)
    # A third of what is shown is before the match.
    start = max(0, min(place - room // 3, len(line) - room))
    shown = line[start : start + room]
    before = CUT if start else ""
    after = CUT if start + room < len(line) else ""
    return f"{before}{shown}{after}"
