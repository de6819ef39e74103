"""A text with the spans in it that are to be masked."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import accumulate

MASK = "*" * 8


Span = tuple[int, int]


SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def merged(spans: Iterable[Span]) -> Iterator[Span]:
    """The spans in order, with overlapping ones joined."""
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
    """The text with MASK in place of each span; the spans are in order and do not overlap."""
    parts = []
    before = 0
    for start, end in spans:
        parts += [text[before:start], MASK]
        before = end
    return "".join([*parts, text[before:]])


class Text(str):
    """A text with what is derived from it, at most once."""

    @cached_property
    def lowered(self) -> str:
        """In lower case, at the same positions, as `re.IGNORECASE` compares."""
        text = str(self)
        if not text.isascii():
            # Longer in lower case, and equal to a letter of ASCII only for `re`.
            for letter, same in (("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s")):
                text = text.replace(letter, same)
        return text.lower()

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self.splitlines(keepends=True)))]

    def line_around(self, position: int) -> Span:
        """The line of a position with its end, by all that `str.splitlines` knows."""
        number = bisect_right(self._starts, position) - 1
        last = len(self._starts) - 1
        return self._starts[number], self._starts[min(number + 1, last)]
