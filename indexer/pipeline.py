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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from typing import Protocol

from indexer import stamp
from indexer.audit import Audit
from indexer.batching import Embedding
from indexer.cache import EmbeddingCache
from indexer.config import Settings, make_state_dir
from indexer.diff import Comparison, compare
from indexer.index import Identity, Index, identify, known_files
from indexer.lock import run_lock
from indexer.manifest import COMPLETE, PARTIAL, Manifest
from indexer.pool import available_cpus, open_executor
from indexer.reader import Reader, known_to_git, scan_project
from indexer.report import Report
from indexer.scan import Scan, open_root
from indexer.types import ChangedFile, EmbeddedFile
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


def run(
    settings: Settings,
    report: Report,
    progress: Progress,
    should_stop: Callable[[], int] = lambda: 0,
) -> None:
    """Make the collection equal to the tree; `report` says what was done.

    `should_stop` gives the number of a signal once one has come: the run then commits
    what is ready and ends. Raises a `CodxIndexError` for what it cannot go on from.
    """
    make_state_dir(settings.state_dir)
    with ExitStack() as stack:
        stack.enter_context(run_lock(settings.lock_path))
        manifest = stack.enter_context(Manifest(settings.manifest_path))
        root_fd = stack.enter_context(open_root(settings.project))
        identity = identify(settings, convert=True, on_step=progress.step)
        index = stack.enter_context(closing(Index(settings, identity)))
        cache = stack.enter_context(closing(_cache(settings, identity, progress)))

        tree = scan_project(settings, report)
        known = known_files(index, manifest)
        comparison = _compare(tree, known.files, settings, report)
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
            on_done=progress.advance,
        )
        writer = Writer(index.open, manifest, cache, known.files, report)
        if known.state != COMPLETE:
            writer.begin()
        progress.start(len(comparison.suspects), comparison.suspected_bytes)
        for file in _embed(reader, cache, settings, identity, report, should_stop):
            writer.add(file)
            reader.count(file.record)
            progress.advance(file.size, len(file.chunks))
        writer.commit()
        manifest.commit(reader.touched)
        stopped = should_stop()
        if not stopped:
            writer.delete(reader.gone())
        if writer.has_begun:
            writer.finish(complete=not stopped)
            index.close()
            manifest.set(state=PARTIAL if stopped else COMPLETE, mark=index.mark())
        _conclude(report, identity, manifest, stopped)
        if reader.is_settled and not stopped and not report.failures:
            stamp.write(settings, index, manifest.get("mark"), tree, report)


def _compare(
    tree: Scan, known: Audit, settings: Settings, report: Report
) -> Comparison:
    started = time.perf_counter()
    comparison = compare(tree.files, known.records, force=settings.force)
    report.seconds.diff = time.perf_counter() - started
    return comparison


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


def _embed(
    reader: Reader,
    cache: EmbeddingCache,
    settings: Settings,
    identity: Identity,
    report: Report,
    should_stop: Callable[[], int],
) -> Iterator[EmbeddedFile]:
    """Chunk and embed what the reader finds changed, in as many workers as it is worth."""
    changes = iter(reader)
    first = _take(changes, SMALL_PLAN_BYTES)
    if not first:
        return
    is_small = sum(len(change.data) for change in first) < SMALL_PLAN_BYTES
    kind = "serial" if is_small else settings.executor
    jobs = 1 if kind == "serial" else settings.jobs or available_cpus()
    with open_executor(kind, jobs, identity.backend) as executor:
        embedding = Embedding(
            executor,
            jobs,
            cache,
            identity.backend.model.dimension,
            counts=report.chunks,
            seconds=report.seconds,
            on_failure=report.fail,
            should_stop=should_stop,
        )
        yield from embedding.files(chain(first, changes))
        if should_stop():
            executor.shutdown(wait=False, cancel_futures=True)


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
