"""One pass over the changed files: read, chunk, embed and write each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from msgspec.structs import replace

from indexer.errors import ModelError
from indexer.hooks.mentions import Mentions
from indexer.index.identity import identify
from indexer.index.known import Known, from_manifest
from indexer.index.manifest import COMPLETE
from indexer.index.writer import Writer
from indexer.run.changes import changes_among
from indexer.run.extent import Extent
from indexer.run.session import Session
from indexer.tree.changes import Changes
from indexer.tree.diff import Comparison, is_unembedded, without_embedding
from indexer.tree.moves import Ahead, read_ahead
from indexer.tree.reader import Reader
from indexer.types import ANY_BYTES, Audit, ChangedFile, EmbeddedFile, Failure, Step

SMALL_PLAN_BYTES = 96 * 1024  # a plan below this size is not worth a pool
MENTIONS_FAILED = "the mentions command failed"


def load_changes(
    session: Session, writer: Writer, changes: Changes, state: str, *, embeds: bool
) -> Extent:
    """Index the changed files, with vectors if the pass `embeds`, and delete what is gone.

    `state` is that of the index before the run.
    """
    ahead = _read_ahead(session, changes)
    writer.begin_pass(changes.known, ahead.moving, embeds=embeds)
    report, manifest, progress = session.report, session.manifest, session.progress
    reader = Reader(
        changes,
        session.roots,
        session.settings,
        report,
        read_ahead=ahead.unchanged,
        embeds=embeds,
        should_stop=lambda: session.is_closing,
        on_done=lambda size: progress.advance(Step(known=size, files=1)),
    )
    mentions = Mentions(
        session.settings.mentions, session.settings.project, session.hooks, report
    )
    screened = mentions.screen(reader, reader.read_again, lambda: session.is_closing)
    comparison = changes.comparison
    progress.start(len(comparison.suspects), comparison.suspected_bytes)
    for file in embedded_files(session, screened, embeds):
        writer.add(file, reader.count(file.record))
        report.secrets.masked += file.masked
        report.count_time(file)
    writer.commit()
    manifest.commit(reader.touched)
    for path in mentions.failed:
        manifest.fail(path, Failure(ANY_BYTES, MENTIONS_FAILED))
    extent = _extent(session, reader, state)
    if not extent.is_cut:
        writer.delete(reader.gone(), reader.origins)
    return extent


def load_sparse_first(
    session: Session, writer: Writer, changes: Changes, state: str
) -> Extent:
    """Index the changed files in two passes: every file is searchable by its words before
    the first is embedded.

    Raises `ModelError` if it turns out that the model runs in another precision here.
    """
    if session.manifest.get("adds_vectors"):  # of a run that was killed
        session.manifest.set(adds_vectors="")
    at_once = without_embedding(
        changes.comparison, changes.known.records, changes.again
    )
    by_words = replace(changes, comparison=at_once)
    extent = load_changes(session, writer, by_words, state, embeds=False)
    if extent.is_cut:
        return extent
    session.progress.step("searchable; the vectors follow")
    _convert_model(session)
    rest = _without_vectors(session, changes)
    session.manifest.set(adds_vectors="yes")
    later = load_changes(session, writer, rest, state, embeds=True)
    session.manifest.set(adds_vectors="")
    # Every file is found by its words, as in the index before, which may have lacked vectors too.
    return extent.then(later, is_enough=state == COMPLETE)


def _convert_model(session: Session) -> None:
    with session.report.spans.span("model"):
        identity = identify(
            session.settings, convert=True, on_step=session.progress.step
        )
    if identity.fingerprint != session.identity.fingerprint:
        backend = identity.backend
        raise ModelError(
            f"{backend.model.name} turned out to run in {backend.precision} here: run again"
        )


def _without_vectors(session: Session, changes: Changes) -> Changes:
    """The files that lack vectors now that a pass has gone over them."""
    now = from_manifest(session.manifest)
    known = Known(Audit(now.files.records, changes.known.stale), failures=now.failures)
    suspects = [
        file
        for file in changes.comparison.suspects
        if is_unembedded(known.files.records.get(file.path))
    ]
    comparison = Comparison([], suspects, [])
    return changes_among(session.settings, changes.tree, known, comparison)


def _read_ahead(session: Session, changes: Changes) -> Ahead:
    settings = session.settings
    with session.report.spans.span("read"):
        return read_ahead(
            changes, session.roots, settings.max_file_size, lambda: session.is_closing
        )


def _extent(session: Session, reader: Reader, state: str) -> Extent:
    """How far the pass came, now that it is over. Files that it left are counted as deferred."""
    files = session.report.files
    left = reader.unfinished if session.is_closing else 0
    files.deferred += left
    is_cut = bool(session.interrupts.received or left)
    is_whole = not is_cut and session.settings.only is None and not files.deferred
    # A part of the tree does not make an index complete, nor does it make a complete one
    # incomplete.
    is_complete = (is_whole and not reader.left_out) or (
        not is_cut and state == COMPLETE
    )
    return Extent(is_cut, is_whole, is_complete, reader.is_settled)


def embedded_files(
    session: Session, changes: Iterator[ChangedFile | None], embeds: bool
) -> Iterator[EmbeddedFile]:
    """Chunk the changed files, and embed them if the pass `embeds`, with as many workers as
    they are worth. Failures go to report and manifest."""
    report = session.report
    with report.spans.span("read"):
        first, are_all = _take(changes, SMALL_PLAN_BYTES)
    if are_all and not first:
        return
    # Only where there is work.
    from indexer.work.feedback import Feedback
    from indexer.work.scheduler import Limits, Scheduler

    size = sum(len(change.data) for change in first)
    is_small = are_all and size < SMALL_PLAN_BYTES
    with _keeping(session), session.workers(is_small, embeds=embeds) as workers:
        feedback = Feedback(
            report.chunks, report.spans, session.fail, session.progress.advance
        )
        limits = Limits(lambda: session.is_over, lambda: session.budget.seconds_left)
        scheduler = Scheduler(
            workers,
            session.cache,
            feedback,
            limits,
            embeds=embeds,
            embedding=session.settings.embedding,
            lend=session.old_index.vectors_of if session.old_index else None,
        )
        yield from scheduler.files(chain(first, changes))


@contextmanager
def _keeping(session: Session) -> Iterator[None]:
    """A block after which vectors are kept for the next run even if the model fails in it."""
    try:
        yield
    except ModelError:
        session.cache.commit()
        raise


def _take(
    changes: Iterable[ChangedFile | None], size: int
) -> tuple[list[ChangedFile], bool]:
    """The first changes, up to `size` bytes or until none is ready, and whether these are all."""
    taken: list[ChangedFile] = []
    for change in changes:
        if change is None:
            return taken, False
        taken.append(change)
        size -= len(change.data)
        if size <= 0:
            return taken, False
    return taken, True
