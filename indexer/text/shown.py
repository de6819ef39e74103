"""The text of a file as it is shown: with a placeholder for each run of data."""

from __future__ import annotations

import re

from msgspec import Struct, field

from indexer.text.data import find_data

PLACEHOLDER = "[…]"
"""Has no words, so that nobody finds it and a model makes little of it. It does not say how long
the data is, so that it stays the same when the data changes."""

_PARSED_AS = "0"  # what every grammar takes where data can stand, in quotes or not

_CLOSING = re.compile(r"[^\w\[(<{]{0,40}", re.ASCII)

LONGEST_GAP = 20  # lines of a run that a chunk may go across


class ShownText(Struct, frozen=True):
    """A text with as many lines as the file.

    A run of data has its placeholder on its first line; the other lines that it fills are blank.
    `ends` has the last row of each run, by the row where it begins; rows are numbered from 0.
    `parsed` is the same text with something in place of the runs that fits a grammar.
    """

    lines: list[str]
    parsed: str
    ends: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> ShownText:
        """The text as it is shown."""
        spans = find_data(text)
        if not spans:
            return cls(text.split("\n"), text)
        shown: list[str] = []
        parsed: list[str] = []
        ends: dict[int, int] = {}
        before = row = 0
        for start, end in spans:
            row += text.count("\n", before, start)
            height = text.count("\n", start, end)
            blank = "\n" * height
            shown += [text[before:start], PLACEHOLDER]
            parsed += [text[before:start], _PARSED_AS, blank]
            before = end
            if height:
                rest_end = _end_of_line(text, end)
                rest = text[end:rest_end]
                is_closed = bool(_CLOSING.fullmatch(rest))
                if is_closed:
                    # Brackets and quotes that close the run go with its placeholder.
                    shown.append(rest.strip())
                    parsed.append(rest)
                    before = rest_end
                shown.append(blank)
                ends[row] = row + height - (not is_closed)
            row += height
        rest = text[before:]
        return cls("".join([*shown, rest]).split("\n"), "".join([*parsed, rest]), ends)

    def last_row(self, row: int) -> int:
        """The last row of what stands on a row."""
        return self.ends.get(row, row)

    def is_long(self, row: int) -> bool:
        """Whether a run of data begins on a row that fills very many lines."""
        return self.last_row(row) - row > LONGEST_GAP


def _end_of_line(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
