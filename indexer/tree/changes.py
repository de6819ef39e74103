"""What a run has to look at: the comparison of tree and index, with all that bears on it."""

from __future__ import annotations

from collections.abc import Mapping, Set

from msgspec import Struct, field

from indexer.tree.diff import Comparison
from indexer.tree.scan import Scan
from indexer.types import Audit, Failure


class Changes(Struct, frozen=True):
    """The difference between `tree` and index, as far as it shows without opening a file.

    `known` is what the index holds. Paths in `again` are indexed again though their bytes are
    unchanged, because a hook failed on them. `failures` are those of earlier runs, by path:
    the same bytes fail again.
    """

    tree: Scan
    known: Audit
    comparison: Comparison
    again: Set[str] = frozenset()
    failures: Mapping[str, Failure] = field(default_factory=dict)
