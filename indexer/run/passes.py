"""One pass over the changed files: read, chunk, embed, write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from indexer.cache.cache import EmbeddingCache
from indexer.config import Settings
from indexer.errors import ModelError
from indexer.hooks.loop import HookLoop
from indexer.hooks.mentions import Mentions
from indexer.index.collection import Collection
from indexer.index.identity import Identity, identify
from indexer.index.known import Known
from indexer.index.manifest import COMPLETE, Manifest
from indexer.index.writer import Writer
from indexer.pool.cpus import available_cpus
from indexer.report import Report
from indexer.run.budget import Budget
from indexer.run.outcome import Extent, Loaded
from indexer.run.progress import Interrupts, Progress
from indexer.tree.diff import Comparison, is_unembedded, without_embedding
from indexer.tree.files import Roots
from indexer.tree.reader import Reader, known_to_git
from indexer.tree.scan import Scan
from indexer.types import ANY_BYTES, Audit, ChangedFile, EmbeddedFile, Failure, Step
from indexer.work.scheduler import Scheduler
from indexer.work.workers import Workers, Workshop

# Under this many bytes a pool costs more than it gives.
SMALL_PLAN_BYTES = 96 * 1024


MENTIONS_FAILED = "the mentions command failed"


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
class Work:
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
    index: Collection
    hooks: HookLoop

    def load(
        self,
        tree: Scan,
        known: Known,
        comparison: Comparison,
        again: Set[str],
        *,
        embeds: bool,
    ) -> Loaded:
        """Chunk, embed and write what the comparison suspects, and delete what is gone;
        `again` as for `Reader`."""
        reader = self.reader(tree, known.files, comparison, again, embeds)
        mentions = Mentions(
            self.settings.mentions, self.settings.project, self.hooks, self.report
        )
        screened = mentions.screen(reader, reader.read_again, self.is_closing)
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
        for file in self.embedded(screened, embeds):
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
        return Loaded(writer, extent, reader.is_settled)

    def load_sparse_first(
        self, tree: Scan, known: Known, comparison: Comparison, again: Set[str]
    ) -> Loaded:
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
        return Loaded(
            loaded.writer,
            Extent(
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

    def extent(self, reader: Reader, known: Known) -> Extent:
        """How far the run came, now that no file is to come. What it did not do is counted as
        deferred."""
        files = self.report.files
        left = reader.unfinished if self.is_closing() else 0
        files.deferred += left
        is_cut = bool(self.interrupts.received or left)
        is_whole = not is_cut and self.settings.only is None and not files.deferred
        # A part of the tree makes no index complete, nor one incomplete that was not.
        is_complete = is_whole and not reader.left_out
        return Extent(
            is_cut, is_whole, is_complete or (not is_cut and known.state == COMPLETE)
        )

    def update_wiki(self) -> None:
        """Bring the wiki up to date with the index."""
        from indexer.wiki.project import ProjectWiki

        with self.report.spans.span("wiki"):
            ProjectWiki(self).update()

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
            embedding = Scheduler(
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
