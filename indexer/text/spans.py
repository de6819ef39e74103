"""Spans of a text that are to be masked, and the text in which they are searched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate

MASK = "*" * 8

Span = tuple[int, int]
"""Character offsets [start, end)."""

LINE_SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""Every character at which `str.splitlines` ends a line."""


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Yield the spans in order, with overlapping ones joined."""
    start = end = -1
    for span in sorted(spans):
        if span[0] > end:
            if end > 0:
                yield start, end
            start, end = span
        end = max(end, span[1])
    if end > 0:
        yield start, end


def replaced(text: str, spans: Iterable[Span]) -> str:
    """The text with MASK in place of each span. The spans must be in order and disjoint."""
    parts = []
    before = 0
    for start, end in spans:
        parts += [text[before:start], MASK]
        before = end
    return "".join([*parts, text[before:]])


class SearchedText(str):
    """A text that computes what the searches derive from it at most once."""

    @cached_property
    def lowered(self) -> str:
        """The text in lower case with every character at its old position.

        Equal to the text under `re.IGNORECASE`.
        """
        text = str(self)
        if not text.isascii():
            # `str.lower` makes the first of these longer, and only `re` takes all three
            # for ASCII letters.
            for letter, same in (("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s")):
                text = text.replace(letter, same)
        return text.lower()

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self.splitlines(keepends=True)))]

    def line_around(self, position: int) -> Span:
        """The line that holds a position, including its line end, as `str.splitlines` cuts it."""
        number = bisect_right(self._starts, position) - 1
        last = len(self._starts) - 1
        return self._starts[number], self._starts[min(number + 1, last)]
