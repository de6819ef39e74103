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
from collections.abc import Iterable, Iterator, Set
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

from indexer import stamp
from indexer.batching import Embedding
from indexer.budget import Budget
from indexer.cache.cache import EmbeddingCache
from indexer.config import Settings, make_state_dir
from indexer.diff import Comparison, compare, is_unembedded, without_embedding
from indexer.errors import ModelError
from indexer.faults import reach
from indexer.hooks.loop import HookLoop
from indexer.hooks.mentions import Mentions
from indexer.index import Identity, Index, Known, identify, known_files
from indexer.lock import run_lock
from indexer.manifest import COMPLETE, DIRTY, PARTIAL, Manifest
from indexer.pool.cpus import available_cpus
from indexer.reader import (
    Reader,
    Roots,
    known_to_git,
    open_roots,
    scan_project,
    select,
)
from indexer.report import Report
from indexer.scan import Scan
from indexer.types import ANY_BYTES, Audit, ChangedFile, EmbeddedFile, Failure, Step
from indexer.work.workers import Workers, Workshop
from indexer.writer import Writer

# Under this many bytes a pool costs more than it gives.
SMALL_PLAN_BYTES = 96 * 1024
MENTIONS_FAILED = "the mentions command failed"


class Progress(Protocol):
    """Told how a run goes; the one implementation that prints is in `commands`."""

    def step(self, message: str) -> None:
        """A step that takes a while begins."""

    def warn(self, message: str) -> None:
        """Something did not go as it should, and the run goes on."""

    def start(self, files: int, size: int) -> None:
        """So many files, of so many bytes in all, may have to be indexed."""

    def advance(self, step: Step) -> None:
        """So much more is done."""


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
    workshop: Workshop | None = None,
) -> None:
    """Make the collection equal to the tree; `report` says what was done.

    After a signal the run commits what is ready and ends. Files at `doubted` paths are
    written again, whatever manifest and rows say. Raises a `CodxIndexError` for what it
    cannot go on from.
    """
    interrupts = interrupts or Uninterrupted()
    budget = Budget(settings.max_seconds)
    deadline = time.monotonic() + settings.wait
    make_state_dir(settings.state_dir)
    with ExitStack() as stack:
        with report.spans.span("lock"):
            stack.enter_context(run_lock(settings.lock_path, deadline))
        reach("locked")
        manifest = stack.enter_context(Manifest(settings.manifest_path))
        roots = stack.enter_context(open_roots(settings))
        with report.spans.span("model"):
            identity = identify(
                settings, convert=settings.embeds_at_once, on_step=progress.step
            )
        index = stack.enter_context(closing(Index(settings, identity)))
        stack.enter_context(index.lease(deadline))
        cache = stack.enter_context(closing(_cache(settings, identity, progress)))
        hooks = stack.enter_context(closing(HookLoop()))
        work = _Work(
            settings,
            identity,
            manifest,
            cache,
            report,
            progress,
            interrupts,
            budget,
            workshop or Workshop(),
            roots,
            index,
            hooks,
        )

        tree = scan_project(settings, report)
        with report.spans.span("diff"):
            known = known_files(index, manifest, doubted)
            again = manifest.failed_hooks()
            comparison = select(
                compare(
                    tree.files,
                    known.files.records,
                    force=settings.force,
                    again=again,
                    embeds=settings.embeds,
                ),
                settings,
                tree,
                known.files,
                report,
                progress.warn,
            )
        stack.enter_context(interrupts.deferred())
        _tell_plan(report, comparison)
        if settings.sparse_first and settings.embeds:
            loaded = work.load_sparse_first(tree, known, comparison, again)
        else:
            loaded = work.load(tree, known, comparison, again, embeds=settings.embeds)
        writer, extent = loaded.writer, loaded.extent
        if known.state == DIRTY or (extent.is_complete and known.state != COMPLETE):
            writer.begin()  # what is missing may be its end alone
        if loaded.has_begun or writer.has_begun:
            writer.finish(complete=extent.is_complete)
        if settings.wiki.enabled and not extent.is_cut:
            work.update_wiki()
        if index.is_open:
            with report.spans.span("close"):
                index.close()
            reach("closed")
            state = COMPLETE if extent.is_complete else PARTIAL
            manifest.set(state=state, mark=index.mark())
            reach("settled")
        _conclude(report, identity, manifest, interrupts.received, extent)
        if loaded.is_settled and extent.is_whole and not report.failures:
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
class _Extent:
    """A run `is_cut` by a signal or a budget before it did what it was asked for; it
    `is_whole` where that was the whole tree, and all of it was done. The index it leaves
    `is_complete` where nothing is missing that a search finds in the one before."""

    is_cut: bool
    is_whole: bool
    is_complete: bool


class _Loaded(NamedTuple):
    """What loading the changed files leaves for the end of the run: the last writer, and
    whether one before it `has_begun`; `is_settled` as for `Reader`."""

    writer: Writer
    extent: _Extent
    is_settled: bool
    has_begun: bool = False


@dataclass(frozen=True, slots=True)
class _Work:
    """The CPU-bound part of a run."""

    settings: Settings
    identity: Identity
    manifest: Manifest
    cache: EmbeddingCache
    report: Report
    progress: Progress
    interrupts: Interrupts
    budget: Budget
    workshop: Workshop
    roots: Roots
    index: Index
    hooks: HookLoop

    def load(
        self,
        tree: Scan,
        known: Known,
        comparison: Comparison,
        again: Set[str],
        *,
        embeds: bool,
    ) -> _Loaded:
        """Chunk, embed and write what the comparison suspects, and delete what is gone;
        `again` as for `Reader`."""
        reader = self.reader(tree, known.files, comparison, again, embeds)
        mentions = Mentions(
            self.settings.mentions,
            self.settings.project,
            self.hooks,
            self.report,
            reader.read_again,
            self.is_closing,
        )
        writer = Writer(
            self.index.open,
            self.manifest,
            self.cache,
            known.files,
            self.report,
            self.index.check_lease,
            embeds=embeds,
        )
        self.progress.start(len(comparison.suspects), comparison.suspected_bytes)
        for file in self.embedded(mentions.screen(reader), embeds):
            writer.add(file, reader.count(file.record))
            self.report.secrets.masked += file.masked
            self.report.count_time(file)
        writer.commit()
        self.manifest.commit(reader.touched)
        for path in mentions.failed:
            self.manifest.fail(path, Failure(ANY_BYTES, MENTIONS_FAILED))
        extent = self.extent(reader, known)
        if not extent.is_cut:
            writer.delete(reader.gone(), reader.origins)
        return _Loaded(writer, extent, reader.is_settled)

    def load_sparse_first(
        self, tree: Scan, known: Known, comparison: Comparison, again: Set[str]
    ) -> _Loaded:
        """The same in two passes: all files are searchable by their terms before the first
        is embedded.

        Raises `ModelError` where it turns out that the model runs in another precision here.
        """
        at_once = without_embedding(comparison, known.files.records, again)
        first = self.load(tree, known, at_once, again, embeds=False)
        if first.extent.is_cut:
            return first
        self.progress.step("searchable; the vectors follow")
        with self.report.spans.span("model"):
            identity = identify(self.settings, convert=True, on_step=self.progress.step)
        if identity.fingerprint != self.identity.fingerprint:
            raise ModelError(
                f"{identity.backend.model.name} runs in {identity.backend.precision} here: "
                "run again"
            )
        records = self.manifest.records()
        rest = [f for f in comparison.suspects if is_unembedded(records.get(f.path))]
        loaded = self.load(
            tree,
            Known(Audit(records, known.files.stale), known.state),
            Comparison([], rest, []),
            frozenset(),
            embeds=True,
        )
        return _Loaded(
            loaded.writer,
            _Extent(
                loaded.extent.is_cut,
                first.extent.is_whole and loaded.extent.is_whole,
                first.extent.is_complete and loaded.extent.is_complete,
            ),
            first.is_settled and loaded.is_settled,
            has_begun=first.writer.has_begun,
        )

    def reader(
        self,
        tree: Scan,
        known: Audit,
        comparison: Comparison,
        again: Set[str],
        embeds: bool,
    ) -> Reader:
        """The reader of what the comparison suspects; `again` as for `Reader`."""
        settings = self.settings
        return Reader(
            self.roots,
            tree,
            known,
            comparison,
            self.report,
            max_file_size=settings.max_file_size,
            force=settings.force,
            known_to_git=known_to_git(
                settings.project, tree, comparison.suspects, known.records
            ),
            failed={} if settings.retry_failed else self.manifest.failures(),
            again=again,
            embeds=embeds,
            heeds_mentions=settings.mentions.enabled,
            should_stop=self.is_closing,
            on_done=lambda size: self.progress.advance(Step(known=size, files=1)),
        )

    def extent(self, reader: Reader, known: Known) -> _Extent:
        """How far the run came, now that no file is to come. What it did not do is counted as
        deferred."""
        files = self.report.files
        left = reader.unfinished if self.is_closing() else 0
        files.deferred += left
        is_cut = bool(self.interrupts.received or left)
        is_whole = not is_cut and self.settings.only is None and not files.deferred
        # A part of the tree makes no index complete, nor one incomplete that was not.
        is_complete = is_whole and not reader.left_out
        return _Extent(
            is_cut, is_whole, is_complete or (not is_cut and known.state == COMPLETE)
        )

    def update_wiki(self) -> None:
        """Bring the wiki up to date with the index."""
        from indexer.project_wiki import ProjectWiki

        report = self.report
        with report.spans.span("wiki"):
            ProjectWiki(
                self.settings,
                self.index,
                self.manifest,
                self.roots,
                report,
                self.hooks,
                self.workers,
            ).update()

    def is_closing(self) -> bool:
        """Is no more work to be begun?"""
        return bool(self.interrupts.received) or self.budget.is_closing

    def embedded(
        self, changes: Iterator[ChangedFile | None], embeds: bool
    ) -> Iterator[EmbeddedFile]:
        """Chunk the changed files, and embed them if the pass `embeds`, in as many workers as
        it is worth. Failures go to report and manifest."""
        with self.report.spans.span("read"):
            first, are_all = _take(changes, SMALL_PLAN_BYTES)
        if are_all and not first:
            return
        size = sum(len(change.data) for change in first)
        is_small = are_all and size < SMALL_PLAN_BYTES
        backend = self.identity.backend
        with self.workers(is_small) as workers:
            embedding = Embedding(
                workers,
                self.cache,
                backend.model.dimension,
                counts=self.report.chunks,
                spans=self.report.spans,
                on_failure=self._fail,
                embeds=embeds,
                on_progress=self.progress.advance,
                should_stop=lambda: self.interrupts.received or self.budget.is_spent,
                seconds_left=lambda: self.budget.seconds_left,
            )
            yield from embedding.files(chain(first, changes))

    @contextmanager
    def workers(self, is_small: bool) -> Iterator[Workers]:
        """A small plan is done in this process, unless the last one ended its run: then
        by a worker, whose end costs nothing but the file to blame."""
        died = self.manifest.get("in_process") == "begun"
        kind = "serial" if is_small and not died else self.settings.executor
        jobs = 1 if kind == "serial" else self.settings.jobs or available_cpus()
        if is_small:
            self.manifest.set(in_process="begun")
        with self.workshop.workers(
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


def _take(
    changes: Iterable[ChangedFile | None], size: int
) -> tuple[list[ChangedFile], bool]:
    """The first changes, until they have `size` bytes or there are none for now; and whether
    these are all."""
    taken: list[ChangedFile] = []
    for change in changes:
        if change is None:
            return taken, False
        taken.append(change)
        size -= len(change.data)
        if size <= 0:
            return taken, False
    return taken, True


def _tell_plan(report: Report, comparison: Comparison) -> None:
    report.tell(
        "plan",
        scanned=report.files.scanned,
        unchanged=len(comparison.unchanged),
        changed=len(comparison.suspects),
        bytes=comparison.suspected_bytes,
        gone=len(comparison.missing),
    )


def _conclude(
    report: Report,
    identity: Identity,
    manifest: Manifest,
    stopped: int,
    extent: _Extent,
) -> None:
    report.fingerprint = identity.fingerprint
    report.chunks.total = manifest.chunk_total()
    report.chunks.unembedded = manifest.unembedded_total()
    report.signal = stopped
    if stopped:
        report.status = "interrupted"
    elif extent.is_cut:
        report.status = "budget"
    elif report.failures:
        report.status = "partial"
    elif report.chunks.upserted or report.chunks.deleted:
        report.status = "updated"
    else:
        report.status = "unchanged"
