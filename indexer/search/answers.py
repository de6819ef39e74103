"""What is asked of a search, and the answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from indexer.config import DENSE, HYBRID, SPARSE
from indexer.errors import UsageError
from indexer.milvus.table import MOST_HITS
from indexer.search.scope import Scope

if TYPE_CHECKING:
    from indexer.search.line_pattern import LinePattern

CANDIDATES = 100  # chunks that each of the two searches contributes, at least
CHUNKS_PER_HIT = 3

CHANGED_SINCE = "has changed since it was indexed"
NO_GOOD_MATCH = "no good match; nearest:"


class Wanted(Struct, frozen=True):
    """What is asked for besides the query itself. Raises `UsageError` for impossible values.

    `limit` is the most files to return, `mode` one of "hybrid", "dense" and "sparse", and
    `context` the number of lines to add around each hit. Only chunks with a line that matches
    `grep` count, and only files that differ from the commit that git calls `changed` (None: all).
    """

    limit: int = 10
    mode: str = HYBRID
    scope: Scope = Scope()
    context: int = 0
    grep: LinePattern | None = None
    changed: str | None = None

    def __post_init__(self) -> None:
        if self.limit < 1 or self.context < 0:
            raise UsageError("limit must be at least 1, and context at least 0")
        if self.mode not in (HYBRID, DENSE, SPARSE):
            raise UsageError(f"unknown mode {self.mode!r}: use hybrid, dense or sparse")

    @property
    def candidates(self) -> int:
        """The number of chunks to ask of each of the two searches."""
        return min(max(CANDIDATES, CHUNKS_PER_HIT * self.limit), MOST_HITS)


class Hit(Struct, frozen=True):
    """A file that answers the query, with the lines, symbol and text of its best chunk.

    `path` is as in rows; lines are 1-based and inclusive. The first hit has the `score` of the
    whole answer, 0 to 1, and the others have their share of it. `before` and `after`
    are the requested lines around the chunk. `explanation` says where the rank comes
    from. `project` is the folder of the project, or if that is not known, the one that
    the index was built from. A hit is `stale` if its file has changed since it was indexed, or is
    gone; None if no folder is known, so that nobody can tell.
    """

    path: str
    start_line: int
    end_line: int
    score: float
    symbol: str
    language: str
    text: str
    project: str = ""
    before: str = ""
    after: str = ""
    explanation: Mapping[str, object] = field(default_factory=dict)
    stale: bool | None = None


class Answer(Struct, frozen=True):
    """Hits, best first, and notes on how they were found.

    `missing` says why each index that was not searched was left out. Unless the answer `is_good`, the
    hits are only what is nearest, and the first note says so.
    """

    hits: list[Hit]
    notes: list[str]
    missing: list[str] = field(default_factory=list)
    is_good: bool = True
