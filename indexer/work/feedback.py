"""What the caller of the scheduler learns while it runs."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from indexer.report import ChunkCounts
from indexer.timeline import Spans
from indexer.types import Step


class Feedback(Struct, frozen=True):
    """`counts` and `spans` grow while files are indexed.

    `on_failure(path, file_hash, error)` is told of each file that cannot be indexed.
    """

    counts: ChunkCounts
    spans: Spans
    on_failure: Callable[[str, str, str], None]
    on_progress: Callable[[Step], None] = lambda step: None
