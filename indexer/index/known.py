"""What the index is known to hold, by its manifest where that can be trusted, else by its rows."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from indexer.faults import reach
from indexer.index.audit import audit
from indexer.index.collection import Collection
from indexer.index.manifest import COMPLETE, DIRTY, PARTIAL, Manifest
from indexer.types import Audit


@dataclass(frozen=True, slots=True)
class Known:
    """The files of the index as far as we know them; `state` as in the manifest."""

    files: Audit
    state: str


def known_files(
    index: Collection, manifest: Manifest, doubted: Set[str] = frozenset()
) -> Known:
    """What the manifest says where it may be believed, else what the rows say.

    After reading the rows, the manifest is replaced by what they said, still dirty. The
    files at `doubted` paths are not current, whatever their rows say.
    """
    if not doubted and is_trusted(index, manifest):
        return Known(Audit(manifest.records(), {}), manifest.get("state"))
    fingerprint_agrees = manifest.get("fingerprint") == index.identity.fingerprint
    lent = manifest.records() if fingerprint_agrees else {}
    if not fingerprint_agrees:
        manifest.forget_failures()
    # A first run opens the database, which takes a second, while its workers are busy.
    rows = () if index.is_absent else index.open().keys()
    files = audit(rows, lent, doubted)
    manifest.reset(
        files.records.values(),
        state=DIRTY,
        place=index.place,
        fingerprint=index.identity.fingerprint,
        mark="",
    )
    reach("audited")
    return Known(files, DIRTY)


def is_trusted(index: Collection, manifest: Manifest) -> bool:
    """Is the manifest about this index, and nobody has written since it was closed?"""
    return (
        not index.was_taken_over
        and manifest.get("state") in (COMPLETE, PARTIAL)
        and manifest.get("place") == index.place
        and manifest.get("fingerprint") == index.identity.fingerprint
        and (mark := manifest.get("mark")) != ""
        and mark == index.mark()
    )
