"""run: make the collection equal to the tree. plan: what a run would do. verify: is it so?

scan     list candidate files, with cheap stat fields, without opening them
diff     tree × manifest → suspects; read and hashed once, they get their change
chunk    worker: bytes → chunks                                 ┐ CPU-bound,
embed    worker: chunks → vectors (the cache comes first)       ┘ in a pool
upsert   parent: new rows to Milvus, then stale rows deleted by primary key
commit   parent: manifest and embedding cache, after Milvus acknowledged
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from indexer import stamp
from indexer.batching import Embedding
from indexer.cache import EmbeddingCache
from indexer.config import Settings, make_state_dir
from indexer.diff import compare
from indexer.faults import reach
from indexer.index import Identity, Index, identify, known_files
from indexer.lock import run_lock
from indexer.manifest import COMPLETE, PARTIAL, Manifest
from indexer.pool import Workers, available_cpus, open_workers
from indexer.reader import Reader, known_to_git, scan_project
from indexer.report import Report
from indexer.scan import open_root
from indexer.types import ChangedFile, EmbeddedFile, Failure
from indexer.writer import Writer

# Under this many bytes a pool costs more than it gives.
SMALL_PLAN_BYTES = 96 * 1024


class Progress(Protocol):
    """Told how a run goes; the one implementation that prints is in `commands`."""

    def step(self, message: str) -> None:
        """A step that takes a while begins."""

    def warn(self, message: str) -> None:
        """Something did not go as it should, and the run goes on."""

    def start(self, files: int, size: int) -> None:
        """So many files, of so many bytes in all, may have to be indexed."""

    def advance(self, size: int, chunks: int = 0) -> None:
        """One more file of this size is done, with so many chunks."""


class Interrupts(Protocol):
    """How a run is stopped in order; the one implementation that does is in `commands`.

    `received` is the number of the signal that came, 0 while none has.
    """

    received: int

    def deferred(self) -> AbstractContextManager[None]:
        """A block in which a signal only sets `received`. Outside it ends the run at once
        by raising `Stopped`: there is nothing to commit."""


class Uninterrupted:
    """Nobody stops this run."""

    received = 0

    def deferred(self) -> AbstractContextManager[None]:
        """Any block."""
        return nullcontext()


def run(
    settings: Settings,
    report: Report,
    progress: Progress,
    interrupts: Interrupts | None = None,
    doubted: Set[str] = frozenset(),
) -> None:
    """Make the collection equal to the tree; `report` says what was done.

    After a signal the run commits what is ready and ends. Files at `doubted` paths are
    written again, whatever manifest and rows say. Raises a `CodxIndexError` for what it
    cannot go on from.
    """
    interrupts = interrupts or Uninterrupted()
    deadline = time.monotonic() + settings.wait
    make_state_dir(settings.state_dir)
    with ExitStack() as stack:
        with report.spans.span("lock"):
            stack.enter_context(run_lock(settings.lock_path, deadline))
        reach("locked")
        manifest = stack.enter_context(Manifest(settings.manifest_path))
        root_fd = stack.enter_context(open_root(settings.project))
        with report.spans.span("model"):
            identity = identify(settings, convert=True, on_step=progress.step)
        index = stack.enter_context(closing(Index(settings, identity)))
        stack.enter_context(index.lease(deadline))
        cache = stack.enter_context(closing(_cache(settings, identity, progress)))

        tree = scan_project(settings, report)
        with report.spans.span("diff"):
            known = known_files(index, manifest, doubted)
            comparison = compare(tree.files, known.files.records, force=settings.force)
        reader = Reader(
            root_fd,
            tree,
            known.files,
            comparison,
            report,
            max_file_size=settings.max_file_size,
            force=settings.force,
            known_to_git=known_to_git(
                settings.project, tree, comparison.suspects, known.files.records
            ),
            failed={} if settings.retry_failed else manifest.failures(),
            on_done=progress.advance,
        )
        writer = Writer(
            index.open, manifest, cache, known.files, report, index.check_lease
        )
        stack.enter_context(interrupts.deferred())
        progress.start(len(comparison.suspects), comparison.suspected_bytes)
        work = _Work(settings, identity, manifest, cache, report, interrupts)
        for file in work.embedded(reader):
            writer.add(file)
            reader.count(file.record)
            report.secrets.masked += file.masked
            report.count_time(file)
            progress.advance(file.size, len(file.chunks))
        if known.state != COMPLETE:
            writer.begin()  # what is missing may be its end alone
        writer.commit()
        manifest.commit(reader.touched)
        stopped = interrupts.received
        if not stopped:
            writer.delete(reader.gone())
        if writer.has_begun:
            writer.finish(complete=not stopped)
            with report.spans.span("close"):
                index.close()
            reach("closed")
            manifest.set(state=PARTIAL if stopped else COMPLETE, mark=index.mark())
            reach("settled")
        _conclude(report, identity, manifest, stopped)
        if reader.is_settled and not stopped and not report.failures:
            with report.spans.span("stamp"):
                stamp.write(settings, index, manifest.get("mark"), tree, report)
            reach("stamped")


def _cache(
    settings: Settings, identity: Identity, progress: Progress
) -> EmbeddingCache:
    backend = identity.backend
    return EmbeddingCache(
        settings.cache_dir,
        identity.vectors,
        backend.model.dimension,
        progress.warn,
        model=backend.model.name,
        precision=backend.precision,
        limit=settings.cache_size,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """The CPU-bound part of a run."""

    settings: Settings
    identity: Identity
    manifest: Manifest
    cache: EmbeddingCache
    report: Report
    interrupts: Interrupts

    def embedded(self, reader: Reader) -> Iterator[EmbeddedFile]:
        """Chunk and embed what the reader finds changed, in as many workers as it is
        worth. Failures go to report and manifest."""
        changes = iter(reader)
        with self.report.spans.span("read"):
            first = _take(changes, SMALL_PLAN_BYTES)
        if not first:
            return
        is_small = sum(len(change.data) for change in first) < SMALL_PLAN_BYTES
        backend = self.identity.backend
        with self._workers(is_small) as workers:
            embedding = Embedding(
                workers,
                self.cache,
                backend.model.dimension,
                counts=self.report.chunks,
                spans=self.report.spans,
                on_failure=self._fail,
                should_stop=lambda: self.interrupts.received,
            )
            yield from embedding.files(chain(first, changes))

    @contextmanager
    def _workers(self, is_small: bool) -> Iterator[Workers]:
        """A small plan is done in this process, unless the last one ended its run: then
        by a worker, whose end costs nothing but the file to blame."""
        died = self.manifest.get("in_process") == "begun"
        kind = "serial" if is_small and not died else self.settings.executor
        jobs = 1 if kind == "serial" else self.settings.jobs or available_cpus()
        if is_small:
            self.manifest.set(in_process="begun")
        with open_workers(
            kind,
            jobs,
            self.identity.backend,
            secrets=self.settings.secrets,
            task_timeout=self.settings.task_timeout,
        ) as workers:
            yield workers
        if is_small or died:
            self.manifest.set(in_process="")

    def _fail(self, path: str, file_hash: str, error: str) -> None:
        self.manifest.fail(path, Failure(file_hash, error))
        self.report.fail(path, error)


def _take(changes: Iterator[ChangedFile], size: int) -> list[ChangedFile]:
    """The first changes, until they have `size` bytes or there are no more."""
    taken: list[ChangedFile] = []
    for change in changes:
        taken.append(change)
        size -= len(change.data)
        if size <= 0:
            break
    return taken


def _conclude(
    report: Report, identity: Identity, manifest: Manifest, stopped: int
) -> None:
    report.fingerprint = identity.fingerprint
    report.chunks.total = manifest.chunk_total()
    report.signal = stopped
    if stopped:
        report.status = "interrupted"
    elif report.failures:
        report.status = "partial"
    elif report.chunks.upserted or report.chunks.deleted:
        report.status = "updated"
    else:
        report.status = "unchanged"
