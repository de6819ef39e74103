"""The run, on one screen.

scan     list candidate files, by their stat fields, without opening them
diff     compare them with what the index is known to hold
chunk    worker: bytes to chunks                                 ┐ CPU-bound,
embed    worker: chunks to vectors, unless the cache has them    ┘ in a pool
upsert   parent: new rows first, then stale rows by primary key
commit   parent: manifest and cache, once Milvus acknowledged
"""

from __future__ import annotations

import json
import time
from collections.abc import Set

from indexer.config import Settings, rules_of
from indexer.faults import reach
from indexer.index import stamp
from indexer.index.known import known_files
from indexer.index.manifest import COMPLETE, DIRTY, PARTIAL
from indexer.index.writer import Writer
from indexer.report import Report
from indexer.run.changes import find_changes
from indexer.run.extent import Extent
from indexer.run.passes import (
    SMALL_PLAN_BYTES,
    load_changes,
    load_sparse_first,
)
from indexer.run.progress import UNINTERRUPTED, Interrupts, Progress
from indexer.run.session import Session, hold_index, open_session
from indexer.run.sight import Sight, see
from indexer.tree.changes import Changes
from indexer.work.workshop import Workshop

TELLING = 500  # embedded chunks whose rate foretells that of the next run


def run(
    settings: Settings,
    report: Report,
    progress: Progress,
    interrupts: Interrupts = UNINTERRUPTED,
    doubted: Set[str] = frozenset(),
    workshop: Workshop | None = None,
    look: stamp.Look | None = None,
) -> None:
    """Make the collection equal to the tree; `report` says what was done.

    After a signal the run commits what is ready and ends. Files at `doubted` paths are
    written again, whatever manifest and rows say. With a `look` at the stamp, only what differs
    from it is scanned, if that is possible. Raises a `CodxIndexError` if it cannot go on.
    """
    with hold_index(settings, report, progress, interrupts, look) as hold:
        sight = see(hold)
        with open_session(hold, workshop) as session:
            bring_up_to_date(session, sight, doubted)
            if session.old_index and report.status in ("updated", "unchanged"):
                session.old_index.leave(session.manifest, progress.warn)


def bring_up_to_date(session: Session, sight: Sight, doubted: Set[str]) -> None:
    """Make the collection equal to the tree as it was seen."""
    settings, report = session.settings, session.report
    with report.spans.span("diff"):
        known = sight.known or known_files(
            session.collection, session.manifest, doubted
        )
        changes = find_changes(settings, sight, known, report)
    with session.interrupts.deferred():  # from here on there is work to keep
        report.tell_plan(changes.comparison.counts)
        writer = Writer(
            session.collection, session.manifest, session.cache, known.files, report
        )
        extent = load(session, writer, changes, known.state)
        # Of an index that was left unfinished, the end alone may be missing.
        is_due = known.state == DIRTY or (
            extent.is_complete and known.state != COMPLETE
        )
        if is_due or writer.has_begun:
            writer.finish(complete=extent.is_complete, sweeps=known.state != COMPLETE)
        if settings.wiki.enabled and not extent.is_cut:
            update_wiki(session)
        settle(session, writer, extent)
        conclude(session, extent)
        if extent.is_settled and extent.is_whole and not report.failures:
            with report.spans.span("stamp"):
                mark = session.manifest.get("mark")
                stamp.write(settings, session.collection, mark, sight.tree, report)
            reach("stamped")


def load(session: Session, writer: Writer, changes: Changes, state: str) -> Extent:
    """Index the changed files, and delete what is gone; `state` is that of the index before."""
    settings, began = session.settings, time.monotonic()
    if changes.comparison.suspected_bytes < SMALL_PLAN_BYTES:
        session.budget.begin_small_work()
    if settings.sparse_first and settings.embeds:
        extent = load_sparse_first(session, writer, changes, state)
    else:
        extent = load_changes(session, writer, changes, state, embeds=settings.embeds)
    if (embedded := session.report.chunks.embedded) >= TELLING:
        session.manifest.set(rate=f"{embedded / (time.monotonic() - began):.1f}")
    return extent


def update_wiki(session: Session) -> None:
    """Bring the wiki up to date with the index."""
    from indexer.wiki.project import ProjectWiki

    with session.report.spans.span("wiki"):
        ProjectWiki(session).update()


def settle(session: Session, writer: Writer, extent: Extent) -> None:
    """Close the collection, and record in the manifest what it looks like then.

    With rows that are still put aside it stays dirty, because the manifest knows nothing of them.
    """
    if extent.is_complete:
        session.manifest.set(rules=json.dumps(rules_of(session.settings)))
    if not session.collection.is_open:
        return
    with session.report.spans.span("close"):
        session.collection.close()
    reach("closed")
    state = COMPLETE if extent.is_complete else PARTIAL
    seconds = session.report.edit_seconds
    session.manifest.set(
        state=state if writer.is_tidy else DIRTY,
        mark=session.collection.mark(),
        **({"edit_seconds": f"{seconds:.3f}"} if seconds else {}),
    )
    reach("settled")


def conclude(session: Session, extent: Extent) -> None:
    """Put the totals of the index, and how the run ended, into the report."""
    report, manifest = session.report, session.manifest
    report.fingerprint = session.identity.fingerprint
    manifest.totals().count(report)
    if report.seeded:
        files = report.files
        report.seeded.files = files.unchanged + files.embedded + files.stripped
    report.conclude(is_cut=extent.is_cut, signal=session.interrupts.received)
