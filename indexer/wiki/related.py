"""Which files are about the same thing, by the cosine of their mean vectors.

A mean vector is kept as integers small enough that float32 holds every sum of their products
exactly. Therefore a score does not depend on the order in which a library adds, and lists that are
updated equal lists that are made afresh.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_RELATED = 5

# The length of a mean vector. Rounding adds at most half the square root of the dimension, so the
# product of two vectors of up to 30,000 dimensions stays below 2**24.
_LENGTH = 4_000
_BLOCK = 4_000_000  # scores that are computed at once: 16 MB

Score = int
"""A cosine times `_LENGTH` squared."""

_Found = list[tuple[int, Score]]  # columns with their scores

Related = tuple[tuple[str, Score], ...]
"""Paths with their scores, sorted by falling score, then by path."""


class Place(Struct, frozen=True):
    """A file's mean vector as returned by `packed_mean`, and its related files; None if the
    vector is new."""

    vector: bytes
    related: Related | None


def packed_mean(vectors: NDArray[np.float32]) -> bytes:
    """The direction of the mean of vectors of shape (chunks, dimension), as little-endian int16 of
    shape (dimension,). All zeros if the mean has no direction; then nothing is related.
    """
    import numpy as np

    # Summed in double precision and in the order of the rows, so equal vectors give equal bytes.
    mean = np.asarray(vectors, np.float64).sum(axis=0)
    length = float(np.sqrt(np.square(mean).sum()))
    if not np.isfinite(length) or length == 0:
        return bytes(2 * mean.size)
    packed: bytes = np.rint(mean / length * _LENGTH).astype("<i2").tobytes()
    return packed


def cosine(score: Score) -> float:
    """The cosine that a score stands for."""
    return score / _LENGTH**2


def update_related(places: Mapping[str, Place]) -> dict[str, Related]:
    """The related files of every file whose related files changed.

    The result is exact. Yet a file whose `related` is known is compared with new files only, unless
    one of its related files is new or gone.
    """
    paths = sorted(places)
    new = {path for path in paths if places[path].related is None}
    stale = {path for path in paths if _is_stale(places[path], places, new)}
    if not new and not stale:
        return {}
    matrix = _matrix([places[path].vector for path in paths])
    number = {path: index for index, path in enumerate(paths)}
    rows = [number[path] for path in paths if path in stale]
    found = {paths[row]: _named(top, paths) for row, top in _best(matrix, rows)}
    rest = [number[path] for path in paths if path not in stale]
    columns = [number[path] for path in paths if path in new]
    known = {row: places[paths[row]].related or () for row in rest}
    for row, others in _better(matrix, rest, columns, known):
        found[paths[row]] = _ranked([*known[row], *_named(others, paths)])
    return {
        path: related
        for path, related in found.items()
        if related != places[path].related
    }


def _is_stale(place: Place, places: Collection[str], new: Collection[str]) -> bool:
    if place.related is None:
        return True
    return any(path in new or path not in places for path, _ in place.related)


def _matrix(vectors: Sequence[bytes]) -> NDArray[np.float32]:
    import numpy as np

    size = max(map(len, vectors), default=0)
    joined = b"".join(
        vector if len(vector) == size else bytes(size) for vector in vectors
    )
    whole = np.frombuffer(joined, "<i2").reshape(len(vectors), size // 2)
    return whole.astype(np.float32)


def _best(
    matrix: NDArray[np.float32], rows: Sequence[int]
) -> Iterator[tuple[int, _Found]]:
    """For each of the rows, the columns with the highest scores."""
    import numpy as np

    count = len(matrix)
    step = max(1, _BLOCK // max(1, count))
    for start in range(0, len(rows), step):
        block = np.asarray(rows[start : start + step])
        scores = matrix[block] @ matrix.T
        scores[np.arange(len(block)), block] = 0  # a file is not related to itself
        if count > MAX_RELATED:
            place = count - MAX_RELATED
            least = np.partition(scores, place, axis=1)[:, place]
        else:
            least = np.zeros(len(block), np.float32)
        for row, others in _at_least(scores, np.maximum(least, 1)):
            # Columns are in the order of their paths.
            top = sorted(others, key=lambda one: (-one[1], one[0]))[:MAX_RELATED]
            yield int(block[row]), top


def _better(
    matrix: NDArray[np.float32],
    rows: Sequence[int],
    columns: Sequence[int],
    known: Mapping[int, Related],
) -> Iterator[tuple[int, _Found]]:
    """For each of the rows, the columns that may belong to its related files."""
    import numpy as np

    if not columns:
        return
    step = max(1, _BLOCK // len(columns))
    new = matrix[np.asarray(columns)].T
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        least = [
            known[row][-1][1] if len(known[row]) == MAX_RELATED else 1 for row in block
        ]
        scores = matrix[np.asarray(block)] @ new
        for row, others in _at_least(scores, np.asarray(least, np.float32)):
            if others:
                yield block[row], [(columns[other], score) for other, score in others]


def _at_least(
    scores: NDArray[np.float32], least: NDArray[np.float32]
) -> Iterator[tuple[int, _Found]]:
    """For each row the columns with at least the score `least[row]`."""
    import numpy as np

    found: list[_Found] = [[] for _ in range(len(scores))]
    rows, columns = np.nonzero(scores >= least[:, None])
    values = scores[rows, columns].astype(np.int64)
    for row, column, value in zip(
        rows.tolist(), columns.tolist(), values.tolist(), strict=True
    ):
        found[row].append((column, value))
    yield from enumerate(found)


def _named(found: _Found, paths: Sequence[str]) -> Related:
    return tuple((paths[column], score) for column, score in found)


def _ranked(found: list[tuple[str, Score]]) -> Related:
    return tuple(sorted(found, key=lambda one: (-one[1], one[0]))[:MAX_RELATED])
