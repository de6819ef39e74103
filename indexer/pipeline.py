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
from collections.abc import Set
from contextlib import (
    ExitStack,
    closing,
)

from indexer.config import Settings, make_state_dir
from indexer.faults import reach
from indexer.hooks.loop import HookLoop
from indexer.index import stamp
from indexer.index.collection import Collection
from indexer.index.identity import identify
from indexer.index.known import known_files
from indexer.index.lock import run_lock
from indexer.index.manifest import COMPLETE, DIRTY, PARTIAL, Manifest
from indexer.report import Report
from indexer.run.budget import Budget
from indexer.run.outcome import conclude, tell_plan
from indexer.run.passes import Work, _cache
from indexer.run.progress import Interrupts, Progress, Uninterrupted
from indexer.tree.diff import compare
from indexer.tree.files import open_roots
from indexer.tree.project import scan_project
from indexer.tree.select import select
from indexer.work.workers import Workshop


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
        index = stack.enter_context(closing(Collection(settings, identity)))
        stack.enter_context(index.lease(deadline))
        cache = stack.enter_context(closing(_cache(settings, identity, progress)))
        hooks = stack.enter_context(closing(HookLoop()))
        work = Work(
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
        tell_plan(report, comparison)
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
        conclude(report, identity, manifest, interrupts.received, extent)
        if loaded.is_settled and extent.is_whole and not report.failures:
            with report.spans.span("stamp"):
                stamp.write(settings, index, manifest.get("mark"), tree, report)
            reach("stamped")
