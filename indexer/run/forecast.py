"""What a run would take: an estimate from the size of the files that it would index."""

from __future__ import annotations

from msgspec import Struct

# As measured on this project's own sources: 3.0 MB are 5,696 chunks, and the embedded database
# then has 2,186 bytes a row, 1,536 of them the vector.
BYTES_A_CHUNK = 530
ROW_BYTES = 650
# Guesses that hold until a run tells: the start of the workers, each with its model, and what one
# CPU does in a second.
START_SECONDS = 4.0
EMBEDDED_CHUNKS, OTHER_CHUNKS = 40, 800


class Forecast(Struct, frozen=True):
    """About so many chunks, seconds, and megabytes (10⁶ bytes) that the database grows by.

    Texts that the cache knows take next to no time, nor do files that are found by words alone, so the
    seconds are the most that it takes.
    """

    chunks: int = 0
    seconds: float = 0.0
    megabytes: float = 0.0


def forecast(source_bytes: int, *, dimension: int, cpus: int, rate: float) -> Forecast:
    """The cost of indexing so many bytes of source.

    `dimension` is that of the vectors, 0 if nothing is embedded. `rate` is how many chunks a
    second the last run embedded, 0 if that is not known.
    """
    if not source_bytes:
        return Forecast()
    chunks = -(-source_bytes // BYTES_A_CHUNK)
    usual = cpus * (EMBEDDED_CHUNKS if dimension else OTHER_CHUNKS)
    seconds = START_SECONDS * bool(dimension) + chunks / (rate or usual)
    return Forecast(
        chunks, round(seconds, 1), round(chunks * (ROW_BYTES + 4 * dimension) / 1e6, 1)
    )
