"""The write protocol, on one screen.

For each group of files: (1) upsert all new rows, (2) delete their stale rows by id,
(3) commit manifest and cache. Rows of files that are gone are deleted last, and one flush ends
it. After a store error nothing more is written and nothing is flushed: the next run finds the
manifest dirty, reads the rows and repairs the index.

A content whose rows are about to be overwritten, and that will be written at another path, is
put aside before (see `aside.py`), so that a reader always finds it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Set
from typing import TYPE_CHECKING

from indexer.cache.embeddings import EmbeddingCache
from indexer.errors import StoreError
from indexer.faults import reach
from indexer.index.aside import Aside, Replaced
from indexer.index.collection import Collection
from indexer.index.manifest import DIRTY, Manifest
from indexer.milvus.rows import Row, file_rows, row_id
from indexer.paths import escape_path
from indexer.report import Report
from indexer.types import (
    Audit,
    Change,
    EmbeddedFile,
    FileRecord,
    Outcome,
)

if TYPE_CHECKING:
    from indexer.milvus.store import Store

# A kill costs at most one group. It is small enough to lose little, and large enough for the
# manifest's fsync not to matter.
GROUP_ROWS = 512
GROUP_SECONDS = 2.0


class Writer:
    """Writes embedded files and deletions to a collection; `known` is what it holds before.

    Nothing is opened before the first write. The lease is checked before each one.
    """

    def __init__(
        self,
        collection: Collection,
        manifest: Manifest,
        cache: EmbeddingCache,
        known: Audit,
        report: Report,
    ) -> None:
        self._collection = collection
        self._manifest = manifest
        self._cache = cache
        self._known = known
        self._project = collection.settings.project_key
        self._aside = Aside(known, self._project)
        self._report = report
        self._embeds = collection.settings.embeds_at_once
        self._store: Store | None = None
        self._is_claimed = False
        # A spoiled row can bear the id of another file's: what was written is not stale.
        self._is_repair = bool(known.stale)
        self._written: set[str] = set()
        self._group: list[tuple[EmbeddedFile, Outcome]] = []
        self._rows = 0
        self._since = time.monotonic()

    @property
    def has_begun(self) -> bool:
        """Whether anything was, or may have been, written."""
        return self._store is not None

    @property
    def is_tidy(self) -> bool:
        """Whether no copy is left of rows that were put aside."""
        return not self._aside.count

    def begin_pass(self, known: Audit, moving: Set[str], *, embeds: bool) -> None:
        """Go on with what the index holds now; `embeds` says whether rows get vectors.

        Contents with the blob ids `moving` will be written at other paths than they have.
        """
        self._known = known
        self._aside.expect(moving, known, self._manifest.holders(moving))
        self._embeds = embeds
        self._is_claimed = False

    def begin(self) -> Store:
        """Open the store and leave our mark, here and there, before the first write."""
        if self._store is None or not self._is_claimed:
            self._collection.check_lease()
            self._manifest.set(state=DIRTY)
            reach("dirty")
            with self._report.spans.span("open"):
                store = self._collection.open()
                store.claim(uuid.uuid4().hex, embeds=self._embeds)
            reach("claimed")
            self._store, self._is_claimed = store, True
        return self._store

    def add(self, file: EmbeddedFile, outcome: Outcome) -> None:
        """Take a file, which is written together with its group."""
        self._group.append((file, outcome))
        self._rows += len(file.chunks)
        if self._rows >= GROUP_ROWS or time.monotonic() - self._since > GROUP_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Write the group that has gathered, then tell about it."""
        gathered, self._group, self._rows = self._group, [], 0
        group = [file for file, _ in gathered]
        rows = [row for file in group for row in file_rows(file, self._project)]
        stale = [
            stale_id
            for file in group
            for stale_id in self._stale_ids(file.record.path, len(file.chunks))
        ]
        self._write(rows, stale, self._aside.replace(group, rows))
        with self._report.spans.span("commit", files=len(group)):
            self._manifest.commit([file.record for file in group])
            reach("recorded")
            self._cache.commit()
            reach("cached")
        for file, outcome in gathered:
            self._tell(file, outcome)
        self._since = time.monotonic()

    def _tell(self, file: EmbeddedFile, outcome: Outcome) -> None:
        path = escape_path(file.record.path)
        if outcome.change is Change.DELETED:
            self._report.tell("file-deleted", path=path)
        elif outcome.change is not None:
            about: dict[str, object] = {
                "path": path,
                "change": outcome.change.value,
                "file_hash": file.record.file_hash,
                "chunks": len(file.chunks),
            }
            if outcome.origin:
                about["from"] = escape_path(outcome.origin)
            self._report.tell("file-loaded", **about)

    def delete(
        self, records: Iterable[FileRecord], renamed: Set[str] = frozenset()
    ) -> None:
        """Delete the rows and records of files that are gone, and all rows that were put aside;
        then tell about those files that do not live on under another name."""
        gone = list(records)
        told = [
            record.path
            for record in gone
            if self._known.has_rows(record.path) and record.path not in renamed
        ]
        self._write(
            [],
            [stale_id for r in gone for stale_id in self._stale_ids(r.path, 0)],
            Replaced(finished=self._aside.take_all()),
        )
        self._manifest.commit(deleted=[record.path for record in gone])
        reach("gone")
        for path in told:
            self._report.tell("file-deleted", path=escape_path(path))

    def finish(self, *, complete: bool, sweeps: bool = True) -> None:
        """Flush what was written and, if the index is complete, move the alias to it.

        `sweeps` says that the last run may have left collections behind, see `Store.finish`.
        Raises `StoreError` if the collection does not hold as many rows as it should: it is
        better to fail than to exit 0 over an index that is not right.
        """
        store = self.begin()
        with self._report.spans.span("finish"):
            self._finish(store, complete, sweeps)

    def _finish(self, store: Store, complete: bool, sweeps: bool) -> None:
        self._collection.check_lease()
        if complete:
            store.finish(sweeps=sweeps)
        else:
            store.flush()
        unrepaired = sum(len(ids) for ids in self._known.stale.values())
        expected = self._manifest.totals().chunks + unrepaired + self._aside.count
        if (found := store.count()) != expected:
            raise StoreError(
                f"the collection holds {found} rows where {expected} were written: "
                "run again to repair it"
            )

    def _write(self, rows: list[Row], stale: list[str], replaced: Replaced) -> None:
        if self._is_repair:
            self._written.update(row["id"] for row in rows)
            stale = [stale_id for stale_id in stale if stale_id not in self._written]
        if not rows and not stale and not replaced.finished:
            return
        store = self.begin()
        with self._report.spans.span("upsert", rows=len(rows), deleted=len(stale)):
            self._collection.check_lease()
            if replaced.copies:
                store.copy(replaced.copies)
                reach("aside")
            store.upsert(rows)
            reach("upserted")
            store.delete([*stale, *replaced.finished])
            reach("deleted")
        self._report.chunks.upserted += len(rows)
        self._report.chunks.deleted += len(stale)

    def _stale_ids(self, path: str, new_count: int) -> list[str]:
        """Ids of the rows that the path had and no longer has with `new_count` chunks."""
        kept = {row_id(path, number, self._project) for number in range(new_count)}
        stale = self._known.stale.pop(path, set()) - kept
        if old := self._known.records.get(path):
            stale |= {
                row_id(path, number, self._project)
                for number in range(new_count, old.chunk_count)
            }
        return sorted(stale)
