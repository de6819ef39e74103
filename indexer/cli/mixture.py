"""How much of the source that was looked at lately needs work."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST = 256  # samples that are kept; beyond that, neighbours are added up
LEAST = 8  # samples that can be told from others
_ERRORS = 2  # standard errors that may lie between two samples of the same mixture
_TREND = 0.05  # of the larger one: so much may the mixture change by and by


class Mixture:
    """Tokens to embed for each byte of source, which differ from file to file.

    What the cache knows has none, and it can be anything: single files, all files of one
    kind, or the first half, where a run goes on that was killed. So all that was seen counts
    as long as its later half is like its earlier one. Where it is not, the later half counts.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []  # bytes, tokens
        self._most = 1  # files in a sample
        self._files = 0

    def add(self, size: float, tokens: float) -> None:
        """Add a file."""
        if self._files % self._most:
            before = self._samples[-1]
            self._samples[-1] = before[0] + size, before[1] + tokens
        else:
            self._samples.append((size, tokens))
        self._files += 1
        if len(self._samples) > MOST and self._files % (2 * self._most) == 0:
            pairs = zip(self._samples[::2], self._samples[1::2], strict=True)
            self._samples = [(a + c, b + d) for (a, b), (c, d) in pairs]
            self._most *= 2

    @property
    def recent(self) -> float:
        """Tokens a byte of the source that was seen lately; 0 if there was none."""
        samples = self._samples
        while len(samples) >= 2 * LEAST:
            half = len(samples) // 2
            if _is_alike(samples[:half], samples[half:]):
                break
            samples = samples[half:]
        return _density(samples)


def _density(samples: Sequence[tuple[float, float]]) -> float:
    size = sum(size for size, _ in samples)
    return sum(tokens for _, tokens in samples) / size if size else 0.0


def _is_alike(
    earlier: Sequence[tuple[float, float]], later: Sequence[tuple[float, float]]
) -> bool:
    one, other = _density(earlier), _density(later)
    error = math.hypot(_error(earlier, one, other), _error(later, other, one))
    return abs(one - other) <= _ERRORS * error + _TREND * max(one, other)


def _error(
    samples: Sequence[tuple[float, float]], density: float, other: float
) -> float:
    """The standard error of a density, as of a ratio of two sums.

    A few samples that happen to be all alike are not sure to be what all are.
    """
    size = sum(size for size, _ in samples)
    squares = sum((tokens - density * size) ** 2 for size, tokens in samples)
    least = max(density, other) / len(samples)
    return math.hypot(math.sqrt(squares) / size if size else 0.0, least)
