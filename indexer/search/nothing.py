"""Why a search found nothing: what it did not cover, and what is not in the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from indexer.config import Settings
from indexer.errors import CodxIndexError
from indexer.index.omissions import (
    SHOWN,
    Omissions,
    find_omissions,
    left_out_of_all,
)
from indexer.search.scope import Scope

_MOST_REASONS = 4


def why_nothing(settings: Settings, scope: Scope) -> list[str]:
    """What to know about an index that has no good hit in this scope.

    [] if no folder is known, or if the last run in it did not write this index.
    """
    if not settings.has_state or settings.searched != ():
        return []
    scope = scope.within(settings.only)
    try:
        if scope == Scope():
            return _of_all(left_out_of_all(settings))
        found = find_omissions(settings, scope.folder, scope.holds)
    except (CodxIndexError, OSError):
        return []
    return [] if found is None else _in_scope(found)


def _of_all(counts: Mapping[str, int]) -> list[str]:
    """What is said about an index that was searched as a whole."""
    if not counts:
        return []
    texts = [
        f"{number:,} {_worded(reason)}"
        for reason, number in sorted(counts.items(), key=lambda one: -one[1])
    ]
    return [f"not in the index: {', '.join(texts)}"]


def _in_scope(found: Omissions) -> list[str]:
    notes = []
    if not found.indexed:
        notes.append(
            f"no file of the index is in this scope; {found.others:,} are outside it"
        )
    else:
        are = "file of the index is" if found.indexed == 1 else "files of the index are"
        notes.append(f"{found.indexed:,} {are} in this scope; {found.others:,} outside")
    by_number = sorted(found.reasons.items(), key=lambda one: -len(one[1]))
    texts = [
        f"{len(paths):,} {_worded(reason)} ({_listed(paths)})"
        for reason, paths in by_number[:_MOST_REASONS]
    ]
    if texts:
        notes.append(f"in this scope, but not in the index: {', '.join(texts)}")
    return notes


def _listed(paths: Sequence[str]) -> str:
    shown = sorted(paths)[:SHOWN]
    return ", ".join([*shown, *(["…"] if len(paths) > SHOWN else [])])


def _worded(reason: str) -> str:
    return reason.replace("_", " ")
