"""What the caller of the scheduler learns while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from indexer.report import ChunkCounts
from indexer.timeline import Spans
from indexer.types import Step


@dataclass(frozen=True, slots=True)
class Feedback:
    """`counts` and `spans` grow while files are indexed.

    `on_failure(path, file_hash, error)` is told of each file that cannot be indexed.
    """

    counts: ChunkCounts
    spans: Spans
    on_failure: Callable[[str, str, str], None]
    on_progress: Callable[[Step], None] = lambda step: None
