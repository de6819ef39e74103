"""Whether the index is as new as the tree, as far as a reader can afford to check."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set

from msgspec import Struct, field

from indexer.config import Settings
from indexer.deadline import ends_by
from indexer.errors import GitError, StateError
from indexer.index import stamp
from indexer.index.collection import mark_on_disk, place_of
from indexer.index.drift import has_drifted
from indexer.index.gate import admit
from indexer.index.manifest import Manifest
from indexer.milvus.on_disk import is_locked

PATIENCE = 5.0  # seconds for git; after that the recorded files are looked at

AT_WORK = "a run is updating this index: files that it has not reached yet are found as they were"
BEHIND = (
    "files have changed since the last run: codx-index run brings the index up to date"
)
DOUBTFUL = BEHIND.replace("have", "may have", 1)
ALTERED = (
    "the index has changed since the last run: codx-index run brings it up to date"
)
UNTOLD = "no run here wrote this index, so nothing tells whether it is up to date with the files"
PARTLY = "{:,} of {:,} chunks are not embedded yet and are found by words alone"


class Freshness(Struct, frozen=True):
    """What an update before the answer achieved, by the folder of the project.

    `current` are the projects whose indexes were brought up to date, and `notes` say why the others
    were not. `chunks` says how many chunks of an index lack a vector, and how many it has, as far
    as the update told.
    """

    current: Set[str] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)
    chunks: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def lacks_index(settings: Settings) -> bool:
    """Whether no run ever worked on a project that has its own database."""
    is_own = bool(settings.project) and not settings.uri and settings.searched == ()
    return is_own and not settings.has_state


UNTOUCHED = Freshness()
"""What is known where nothing was brought up to date."""


def is_at_work(settings: Settings) -> bool:
    """Whether a run is at work on the index, as far as the kernel tells."""
    return is_locked(settings.lock_path)


def remark(settings: Settings, fresh: Freshness = UNTOUCHED) -> str:
    """What a person who searches should know about the index's age, "" if nothing.

    If the stamp still holds, this is as cheap as `git status`. It is also "" if no folder
    is known, or if the last run in it did not write this index.
    """
    if not settings.project:
        return UNTOLD
    try:
        with ends_by(time.monotonic() + PATIENCE):
            admit(settings)
    except (StateError, GitError):
        return ""  # the search itself is refused, and says why
    if settings.searched != ():
        return UNTOLD
    note = fresh.notes.get(settings.project, "")
    if not settings.has_state:
        return note or (UNTOLD if settings.uri else "")
    if settings.project in fresh.current:
        if chunks := fresh.chunks.get(settings.project):
            return "; ".join(filter(None, [note, _partly(*chunks)]))
        with Manifest(settings.manifest_path, readonly=True) as manifest:
            return "; ".join(filter(None, [note, _partly(*_chunks(manifest))]))
    if is_at_work(settings):
        return note or AT_WORK
    with ends_by(time.monotonic() + PATIENCE):
        agrees = stamp.is_as_stamped(settings)
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if manifest.get("place") != place_of(settings):
            return UNTOLD
        with ends_by(time.monotonic() + PATIENCE):
            drifted = False if agrees else has_drifted(settings, manifest)
        is_altered = not agrees and _is_altered(settings, manifest)
        partly = _partly(*_chunks(manifest))
    remarks = {True: [BEHIND], False: [], None: [DOUBTFUL]}[drifted]
    if is_altered:
        remarks.append(ALTERED)
    return "; ".join(filter(None, [*remarks, note, partly]))


def _chunks(manifest: Manifest) -> tuple[int, int]:
    """How many chunks still lack a vector, and how many there are."""
    totals = manifest.totals()
    return totals.unembedded, totals.chunks


def _partly(unembedded: int, chunks: int) -> str:
    """What to say about chunks that still lack a vector."""
    return PARTLY.format(unembedded, chunks) if 0 < unembedded < chunks else ""


def _is_altered(settings: Settings, manifest: Manifest) -> bool:
    """Whether the embedded database was written to, or damaged, since the manifest was."""
    mark = manifest.get("mark")
    if not settings.database or not mark:
        return False  # on a server, runs check the mark, because they hold the lease
    return mark_on_disk(settings, manifest.get("fingerprint")) != mark
