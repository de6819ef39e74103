"""What a run would do, for `status` and `run --dry-run`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from indexer.config import KEEP_SECRETS, SKIP_SECRETS, Reading, Settings
from indexer.index import stamp
from indexer.index.collection import agreed
from indexer.index.gate import admit
from indexer.index.identity import Identity, identify
from indexer.pool.cpus import available_cpus
from indexer.report import Report
from indexer.run.changes import find_changes
from indexer.run.forecast import Forecast, forecast
from indexer.run.sight import see_recorded
from indexer.text.source import read_source
from indexer.tree.defaults import default_excludes
from indexer.tree.files import open_roots
from indexer.tree.reader import Reader
from indexer.types import Change, FileRecord, Outcome


class Plan(Struct):
    """The difference between tree and index: sorted paths, by what a run would do to them.

    `doubt` says why the manifest cannot be believed, "" if it can. In doubt a run would first
    read the rows of the collection, and might find more to do than is listed here.
    `wiki_pages` counts the pages of files that would be written or removed, at least.
    """

    identity: Identity
    doubt: str = ""
    added: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unembedded: list[str] = field(default_factory=list)
    stripped: list[str] = field(default_factory=list)
    indexed_files: int = 0
    forecast: Forecast = Forecast()
    wiki_pages: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    default_excludes: tuple[str, ...] = ()

    @property
    def lists(self) -> tuple[list[Any], ...]:
        """The lists of files, by what would happen to them."""
        return (
            self.added,
            self.modified,
            self.renamed,
            self.deleted,
            self.unembedded,
            self.stripped,
        )

    @property
    def is_empty(self) -> bool:
        """Whether a run would have nothing to do."""
        return not any(self.lists) and not self.doubt


def _ignore(count: int) -> None:
    pass


def plan(
    settings: Settings, report: Report, on_count: Callable[[int], None] = _ignore
) -> Plan:
    """Compare tree and index. Opens only files whose stat fields differ, and writes nothing.

    Counts, and files that cannot be read, go to the report. `on_count` is told how many files
    were found so far.
    """
    admit(settings)
    settings = agreed(settings)
    identity = identify(settings)
    report.fingerprint = identity.fingerprint
    look = stamp.look(settings, report, locks=False)
    if look is not None and look.is_unchanged:
        look.count(report)
        result = Plan(identity, indexed_files=look.stamp.unchanged)
        result.left_out = look.stamp.survey.left_out
    else:
        result = _difference(settings, identity, look, report, on_count)
    result.default_excludes = default_excludes() if settings.default_excludes else ()
    if settings.wiki.enabled:
        result.wiki_pages = _wiki_pages(settings, result)
    return result


def _difference(
    settings: Settings,
    identity: Identity,
    look: stamp.Look | None,
    report: Report,
    on_count: Callable[[int], None],
) -> Plan:
    sight, known = see_recorded(settings, identity, look, report, on_count)
    changes = find_changes(settings, sight, known, report)
    totals = known.totals
    result = Plan(identity, known.doubt, left_out=sight.tree.left_out)
    result.indexed_files = totals.indexed
    totals.count(report)
    with open_roots(settings) as roots:
        reader = Reader(changes, roots, settings, report, embeds=settings.embeds)
        # A file is indexed whether secrets in it are masked or not, so only `skip-file`
        # requires looking for them.
        skips = settings.secrets == SKIP_SECRETS
        size = 0
        reading = Reading(SKIP_SECRETS if skips else KEEP_SECRETS, settings.languages)
        for change in reader:
            source = read_source(change.path, change.data, reading)
            record = FileRecord(change.path, None, change.file_hash, 0, source.reason)
            _list(change.path, reader.count(record), result)
            size += 0 if source.reason else len(source.text)
    result.deleted += [
        record.path
        for record in reader.gone()
        if record.chunk_count and record.path not in reader.origins
    ]
    for paths in result.lists:
        paths.sort()
    result.forecast = forecast(
        size,
        dimension=identity.backend.model.dimension if settings.embeds else 0,
        cpus=settings.jobs or available_cpus(),
        rate=known.rate if settings.embeds else 0,
    )
    return result


def _wiki_pages(settings: Settings, result: Plan) -> int:
    """The pages of files that a run would write or remove.

    Where there is no wiki yet, each file gets one. Pages of folders, and those that name a
    changed file, may follow.
    """
    changed = len(result.added) + len(result.modified) + len(result.renamed)
    if os.path.exists(settings.wiki_state_path):
        return changed + len(result.renamed) + len(result.deleted)
    return result.indexed_files + len(result.added) - len(result.deleted)


def _list(path: str, outcome: Outcome, result: Plan) -> None:
    change = outcome.change
    if change is Change.ADDED:
        result.added.append(path)
    elif change is Change.MODIFIED:
        result.modified.append(path)
    elif change is Change.RENAMED:
        result.renamed.append((outcome.origin, path))
    elif change is Change.EMBEDDED:
        result.unembedded.append(path)
    elif change is Change.STRIPPED:
        result.stripped.append(path)
    elif change is Change.DELETED:
        result.deleted.append(path)
