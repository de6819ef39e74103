"""What a run holds open from its start to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.address import is_cluster
from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Source, key_of_text
from indexer.config import AUTO, NO_SEED, Settings
from indexer.errors import CodxIndexError, StateError
from indexer.faults import reach
from indexer.index.collection import Collection, agreed
from indexer.index.gate import admit
from indexer.index.identity import Identity, identify
from indexer.index.lock import run_lock
from indexer.index.manifest import Manifest
from indexer.index.stamp import Look
from indexer.index.state_folder import make_state_dir, remove_seed_draft
from indexer.loop import LoopThread
from indexer.pool.cpus import available_cpus
from indexer.report import Report
from indexer.run.budget import Budget
from indexer.run.progress import Interrupts, Progress
from indexer.tree.files import Roots, open_roots
from indexer.tree.work_trees import has_linked
from indexer.types import Failure
from indexer.work import worker
from indexer.work.workers import Workers
from indexer.work.workshop import Workshop

if TYPE_CHECKING:
    from indexer.index.moving import OldIndex


class Hold(Struct, frozen=True):
    """A run under its lock, before it computes anything: what it was asked for, what it may write
    to, and what a `look` at the stamp told, unless another run was at work since."""

    settings: Settings
    report: Report
    progress: Progress
    interrupts: Interrupts
    budget: Budget
    manifest: Manifest
    roots: Roots
    collection: Collection
    look: Look | None


class Session(Struct, frozen=True):
    """A run at work: what it was asked for, and what must be closed after it."""

    settings: Settings
    report: Report
    progress: Progress
    interrupts: Interrupts
    budget: Budget
    workshop: Workshop
    identity: Identity
    manifest: Manifest
    roots: Roots
    collection: Collection
    cache: EmbeddingCache
    hooks: LoopThread
    old_index: OldIndex | None

    @property
    def is_closing(self) -> bool:
        """Whether no more work may be begun."""
        return bool(self.interrupts.received) or self.budget.is_closing

    @property
    def is_over(self) -> bool:
        """Whether work that has begun is not waited for either."""
        return bool(self.interrupts.received) or self.budget.is_spent

    def fail(self, path: str, file_hash: str, error: str) -> None:
        """Record, for this run and later ones, that these bytes could not be indexed."""
        self.manifest.fail(path, Failure(file_hash, error))
        self.report.fail(path, error)

    @contextmanager
    def workers(self, is_small: bool, *, embeds: bool = False) -> Iterator[Workers]:
        """Workers for a plan, in this process if it `is_small`; they need not embed unless it `embeds`.

        If the last small plan ended its process, a pool does this one: there, the file to
        blame costs only a worker.
        """
        is_small = is_small and not self.workshop.is_apart
        has_died = self.manifest.get("in_process") == "begun"
        kind = "serial" if is_small and not has_died else self.settings.executor
        jobs = self.settings.jobs
        if not is_cluster(kind):
            jobs = 1 if kind == "serial" else jobs or available_cpus()
        if is_small:
            self.manifest.set(in_process="begun")
        with (
            worker.beside_compiling(self.collection.expect_writes),
            self.workshop.workers(
                kind,
                jobs,
                self.identity.backend,
                reading=self.settings.reading,
                task_timeout=self.settings.task_timeout,
                on_step=self.progress.step,
                on_warning=self.progress.warn,
            ) as workers,
            ExitStack() as stack,
        ):
            if embeds and self.settings.endpoint is not None:
                workers = stack.enter_context(self._embedding_remotely(workers))
            yield workers
        if is_small or has_died:
            self.manifest.set(in_process="")

    @contextmanager
    def _embedding_remotely(self, workers: Workers) -> Iterator[Workers]:
        """The same workers, but an endpoint embeds."""
        # Only where there is an endpoint.
        from indexer.index.probes import check_probes
        from indexer.work.remote import RemoteEmbedders

        settings, identity = self.settings, self.identity
        assert settings.endpoint is not None
        check_probes(settings.endpoint, identity, self.collection, self.cache)
        embedders = RemoteEmbedders(
            settings.endpoint,
            identity.probes,
            settings.model_concurrency,
            settings.task_timeout,
        )
        try:
            with embedders:
                self._say_where_texts_go()
                yield replace(
                    workers,
                    embedders=embedders,
                    embed_jobs=settings.model_concurrency,
                    embed_task=embedders.TASK_TEXTS,
                    least_task=embedders.LEAST_TASK_TEXTS,
                )
        finally:
            left = embedders.leftovers.items()
            self.cache.put({key_of_text(text): vector for text, vector in left})

    def _say_where_texts_go(self) -> None:
        """Say it once an index that source leaves this machine, and again if it goes elsewhere."""
        endpoint = self.settings.endpoint
        assert endpoint is not None
        if endpoint.is_loopback or self.manifest.get("endpoint") == endpoint.origin:
            return
        self.progress.warn(
            f"the text of the project's files is sent to {endpoint.origin}"
            f"{'' if endpoint.is_encrypted else ', unencrypted'}, which embeds it; credentials in "
            "it are masked"
        )
        self.manifest.set(endpoint=endpoint.origin)


@contextmanager
def hold_index(
    settings: Settings,
    report: Report,
    progress: Progress,
    interrupts: Interrupts,
    look: Look | None = None,
) -> Iterator[Hold]:
    """Take the lock, and the lease of a server, and open what needs no model.

    Whatever can refuse this run does so here or in the scan, before anything costly begins. Raises
    `LockedError` if another run has lock or lease still after `settings.wait` seconds.
    """
    budget = Budget(settings.max_seconds, settings.least_seconds)
    deadline = time.monotonic() + settings.wait
    admit(settings)
    make_state_dir(settings)
    with ExitStack() as stack:
        with report.spans.span("lock"):
            stack.enter_context(run_lock(settings.lock_path, deadline))
        stack.enter_context(_staying(settings.state_dir))
        reach("locked")
        if look is not None and not look.still_holds(settings):
            look = None
        remove_seed_draft(settings)
        if _may_start_from_another(settings):
            # Only where there is no index.
            from indexer.index.seeding import start_from_another

            with report.spans.span("seed"):
                report.seeded, report.seeds_ignored = start_from_another(
                    settings, identify(settings), progress.warn
                )
        # What nobody touched since a run closed it is not looked through again.
        manifest = Manifest(settings.manifest_path, is_sound=look is not None)
        stack.enter_context(manifest)
        roots = stack.enter_context(open_roots(settings))
        settings = agreed(settings)
        with report.spans.span("model"):
            identity = identify(settings)
        collection = stack.enter_context(closing(Collection(settings, identity)))
        if settings.embeds and collection.is_to_be_made_first:
            identity = identify(settings, convert=True, on_step=progress.step)
            collection.identity = identity
        stack.enter_context(collection.lease(deadline))
        collection.check_claim()
        yield Hold(
            settings,
            report,
            progress,
            interrupts,
            budget,
            manifest,
            roots,
            collection,
            look,
        )


@contextmanager
def open_session(hold: Hold, workshop: Workshop | None = None) -> Iterator[Session]:
    """Open what a run computes with; a model that is needed at once is converted before."""
    settings, collection = hold.settings, hold.collection
    with ExitStack() as stack:
        # A collection cannot be made without the dimension, which an endpoint has to be asked for.
        is_unknown = not collection.identity.backend.model.dimension
        if settings.embeds_at_once or is_unknown:
            with hold.report.spans.span("model"):
                step = hold.progress.step
                collection.identity = identify(settings, convert=True, on_step=step)
        identity = collection.identity
        model, precision = identity.backend.model, identity.backend.precision
        source = Source(identity.vectors, model.dimension, model.name, precision)
        cache = EmbeddingCache(
            settings.cache_dir,
            source,
            hold.progress.warn,
            limit=settings.cache_size,
        )
        stack.enter_context(closing(cache))
        old_index = _old_index(hold, identity)
        if old_index is not None:
            stack.enter_context(closing(old_index))
        yield Session(
            settings,
            hold.report,
            hold.progress,
            hold.interrupts,
            hold.budget,
            workshop or Workshop(),
            identity,
            hold.manifest,
            hold.roots,
            collection,
            cache,
            stack.enter_context(closing(LoopThread())),
            old_index,
        )


def _may_start_from_another(settings: Settings) -> bool:
    """Whether there is no index yet, and perhaps another one to start from."""
    if settings.uri or settings.has_state or os.path.lexists(settings.database):
        return False
    if settings.seed != AUTO:
        return settings.seed != NO_SEED
    return settings.uses_git and not settings.origin and has_linked(settings.project)


def _old_index(hold: Hold, identity: Identity) -> OldIndex | None:
    """The index at the place where the project was, until a run has moved all of it."""
    manifest = hold.manifest
    place = manifest.get("place")
    if place not in ("", hold.collection.place):
        manifest.set(moved_from=place)
    place = manifest.get("moved_from")
    if place == hold.collection.place:
        manifest.set(moved_from="")  # and back
    if place in ("", hold.collection.place):
        return None
    from indexer.index.moving import OldIndex

    return OldIndex(hold.settings, place, identity.vectors)


@contextmanager
def _staying(state_dir: str) -> Iterator[None]:
    """A block whose errors say so if the state folder is no longer where it was.

    Whatever fails then names a file that is missing or closed, which is no help.
    """
    before = os.stat(state_dir)
    try:
        yield
    except (CodxIndexError, OSError) as error:
        try:
            is_there = os.path.samestat(before, os.stat(state_dir))
        except OSError:
            is_there = False
        if is_there:
            raise
        raise StateError(
            f"{state_dir} was moved or removed during the run: run again where the project is "
            "now"
        ) from error
