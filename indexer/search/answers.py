"""What is asked of a search, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from indexer.config import DENSE, HYBRID, SPARSE
from indexer.errors import UsageError
from indexer.milvus.table import MOST_HITS
from indexer.search.scope import Scope

T = TypeVar("T")


Properties = Mapping[str, str]


CANDIDATES = 100  # chunks that each search contributes, at least


CHUNKS_A_HIT = 3


@dataclass(frozen=True, slots=True)
class Hit:
    """A file that answers the query, by its best chunk: lines, symbol and text are those of
    the chunk. The higher the `score`, the better; it compares hits of one answer only.

    `before` and `after` are the lines around it that were asked for. `explanation` says where
    the score comes from. `project` is the folder of the project.
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
    explanation: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """Hits, best first, and what a person should know about how they were found."""

    hits: list[Hit]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for beside the query itself. Raises `UsageError` for what cannot be."""

    limit: int = 10
    mode: str = HYBRID
    scope: Scope = Scope()
    context: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.context < 0:
            raise UsageError("limit must be at least 1, and context at least 0")
        if self.mode not in (HYBRID, DENSE, SPARSE):
            raise UsageError(f"no mode {self.mode!r}: use hybrid, dense or sparse")

    @property
    def candidates(self) -> int:
        """How many chunks each of the two searches is asked for."""
        return min(max(CANDIDATES, CHUNKS_A_HIT * self.limit), MOST_HITS)
