"""What the index is known to hold: by its manifest if that can be trusted, else by its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from contextlib import closing

from msgspec import Struct, field

from indexer.config import Settings
from indexer.faults import reach
from indexer.index.audit import audit
from indexer.index.collection import Collection
from indexer.index.identity import Identity
from indexer.index.manifest import COMPLETE, DIRTY, PARTIAL, Manifest, Totals
from indexer.types import Audit, Failure, FileRecord


class Known(Struct, frozen=True):
    """The files of the index as far as they are known; the default is that nothing is.

    `state` is that of the manifest. `failures` are those of earlier runs, by path, and
    `failed_hooks` the paths of files that were indexed although a hook on them failed.
    `doubt` says why the manifest cannot be believed, "" if it can. `rate` is how many chunks a
    second the last large run embedded, 0 if there was none. `totals` are those of all files, also
    where `files` are only some of them.
    """

    files: Audit = field(default_factory=lambda: Audit({}, {}))
    state: str = DIRTY
    failures: Mapping[str, Failure] = field(default_factory=dict)
    failed_hooks: Set[str] = frozenset()
    doubt: str = ""
    rate: float = 0.0
    totals: Totals = Totals()


def known_files(
    collection: Collection, manifest: Manifest, doubted: Set[str] = frozenset()
) -> Known:
    """What the manifest says if it can be believed, else what the rows say.

    After the rows were read, the manifest is replaced by what they say, and stays dirty.
    Files at `doubted` paths do not count as current, whatever their rows say.
    """
    if not doubted and is_trusted(collection, manifest):
        return from_manifest(manifest)
    fingerprint_agrees = manifest.get("fingerprint") == collection.identity.fingerprint
    lent = manifest.records() if fingerprint_agrees else {}
    if not fingerprint_agrees:
        manifest.forget_failures()
    # A first run opens the database, which takes a second, while its workers are busy.
    rows = () if collection.is_absent else collection.open().keys()
    files = audit(rows, lent, doubted, collection.settings.project_key)
    manifest.reset(
        files.records.values(),
        state=DIRTY,
        place=collection.place,
        fingerprint=collection.identity.fingerprint,
        mark="",
    )
    reach("audited")
    return Known(files, DIRTY, manifest.failures(), manifest.failed_hooks())


def recorded_files(settings: Settings, identity: Identity) -> Known:
    """What the manifest says, without reading a row and without writing anything.

    Raises `AccessError` or `StoreUnavailableError` where a server would not let a run in.
    """
    with closing(Collection(settings, identity)) as collection:
        if not settings.database:
            collection.mark()
        return _recorded_files(settings, collection)


def _recorded_files(settings: Settings, collection: Collection) -> Known:
    if not os.path.exists(settings.manifest_path):
        return Known(doubt="there is no index yet")
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if not manifest.get("format"):
            return Known(doubt="the manifest of the index cannot be read")
        trusted = is_trusted(collection, manifest)
        if manifest.get("place") != collection.place:
            return Known(
                doubt="there is no index in that place yet, or another project wrote it"
            )
        if manifest.get("fingerprint") != collection.identity.fingerprint:
            return Known(doubt="the index was built with other settings")
        doubt = (
            ""
            if trusted
            else "the index was left unfinished, or has been written since"
        )
        return from_manifest(manifest, doubt)


def from_manifest(
    manifest: Manifest,
    doubt: str = "",
    records: Mapping[str, FileRecord] | None = None,
) -> Known:
    """What the manifest says now: of all files, or only of those with the `records`."""
    return Known(
        Audit(manifest.records() if records is None else {**records}, {}),
        manifest.get("state"),
        manifest.failures(),
        manifest.failed_hooks(),
        doubt,
        float(manifest.get("rate") or 0),
        manifest.totals(),
    )


def is_trusted(collection: Collection, manifest: Manifest) -> bool:
    """Whether the manifest is about this index, and nobody has written to it since."""
    return (
        not collection.was_taken_over
        and manifest.get("state") in (COMPLETE, PARTIAL)
        and manifest.get("place") == collection.place
        and manifest.get("fingerprint") == collection.identity.fingerprint
        and (mark := manifest.get("mark")) != ""
        and mark == collection.mark()
    )
