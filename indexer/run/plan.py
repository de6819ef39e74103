"""What a run would do, without doing it: `status` and `run --dry-run`."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass, field

from indexer.config import KEEP_SECRETS, SKIP_SECRETS, Settings
from indexer.index.collection import Collection
from indexer.index.identity import Identity, identify
from indexer.index.known import is_trusted
from indexer.index.manifest import Manifest
from indexer.report import Report
from indexer.text.source import read_source
from indexer.tree.diff import compare
from indexer.tree.files import open_roots
from indexer.tree.project import scan_project
from indexer.tree.reader import Reader, known_to_git
from indexer.tree.select import select
from indexer.types import Audit, Change, Failure, FileRecord, Outcome


@dataclass(slots=True)
class Plan:
    """The difference between tree and index, by path, in order.

    `doubt` says why the manifest may not be believed, "" where it may: a run would first
    read the rows of the collection, and might find more to do than is listed here.
    """

    identity: Identity
    doubt: str = ""
    added: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    unembedded: list[str] = field(default_factory=list)
    indexed_files: int = 0

    @property
    def is_empty(self) -> bool:
        """Would a run have nothing to do?"""
        lists = (self.added, self.modified, self.renamed, self.deleted, self.unembedded)
        return not any(lists) and not self.doubt


def plan(settings: Settings, report: Report) -> Plan:
    """Compare tree and index; opens only files whose stat fields differ, writes nothing.

    Counts, and files that cannot be read, go to the report.
    """
    identity = identify(settings)
    report.fingerprint = identity.fingerprint
    tree = scan_project(settings, report)
    found = _known(settings, identity)
    known = found.records
    comparison = compare(
        tree.files,
        known,
        force=settings.force,
        again=found.failed_hooks,
        embeds=settings.embeds,
    )
    comparison = select(comparison, settings, tree, Audit(known, {}), report)
    result = Plan(identity, found.doubt)
    result.indexed_files = sum(record.chunk_count > 0 for record in known.values())
    report.chunks.total = sum(record.chunk_count for record in known.values())
    report.chunks.unembedded = sum(record.unembedded for record in known.values())
    with open_roots(settings) as roots:
        reader = Reader(
            roots,
            tree,
            Audit(known, {}),
            comparison,
            report,
            max_file_size=settings.max_file_size,
            force=settings.force,
            known_to_git=known_to_git(
                settings.project, tree, comparison.suspects, known
            ),
            failed={} if settings.retry_failed else found.failed,
            again=found.failed_hooks,
            embeds=settings.embeds,
            heeds_mentions=settings.mentions.enabled,
        )
        # Masked or not, a file is indexed: only leaving it out takes a look for secrets.
        skips = settings.secrets == SKIP_SECRETS
        for change in reader:
            _, reason, _ = read_source(
                change.path, change.data, SKIP_SECRETS if skips else KEEP_SECRETS
            )
            record = FileRecord(change.path, None, change.file_hash, 0, reason)
            _list(change.path, reader.count(record), result)
    result.deleted += [
        record.path
        for record in reader.gone()
        if record.chunk_count and record.path not in reader.origins
    ]
    for paths in (
        result.added,
        result.modified,
        result.renamed,
        result.deleted,
        result.unembedded,
    ):
        paths.sort()
    return result


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
    elif change is Change.DELETED:
        result.deleted.append(path)


@dataclass(frozen=True, slots=True)
class _Known:
    """Why the manifest is in doubt, its records of this identity, and its failures."""

    doubt: str
    records: dict[str, FileRecord] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    failed_hooks: Set[str] = frozenset()


def _known(settings: Settings, identity: Identity) -> _Known:
    if not os.path.exists(settings.manifest_path):
        return _Known("there is no index yet")
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if not manifest.get("format"):
            return _Known("what is known of the index cannot be read")
        index = Collection(settings, identity)
        try:
            trusted = is_trusted(index, manifest)
        finally:
            index.close()
        if manifest.get("place") != index.place:
            return _Known("there is no index there yet, or another project wrote it")
        if manifest.get("fingerprint") != identity.fingerprint:
            return _Known("the index was built with other settings")
        doubt = "" if trusted else "the index was left unfinished, or written since"
        return _Known(
            doubt, manifest.records(), manifest.failures(), manifest.failed_hooks()
        )
