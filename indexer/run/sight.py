"""What a run sees of its tree: the part that may have changed where the stamp tells it, else all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.config import Settings
from indexer.errors import GitError
from indexer.index.collection import Collection
from indexer.index.identity import Identity
from indexer.index.known import Known, from_manifest, is_trusted, recorded_files
from indexer.index.manifest import COMPLETE, Manifest
from indexer.index.stamp import Look
from indexer.report import Report
from indexer.tree import rescan
from indexer.tree.project import scan_project
from indexer.tree.rescan import Part
from indexer.tree.scan import Scan
from indexer.tree.survey import Unsure

if TYPE_CHECKING:
    from indexer.run.session import Hold


class Sight(Struct, frozen=True):
    """What was scanned of a tree.

    Where that is only a part, `known` is what is known of it, and `passed` counts the files of the
    index that are known to be unchanged.
    """

    tree: Scan
    known: Known | None = None
    passed: int = 0


def see(hold: Hold) -> Sight:
    """Scan what differs from the stamp, if a look at it told, or else the whole tree."""
    settings, report = hold.settings, hold.report
    part = _part(settings, hold.look, hold.collection, hold.manifest, report)
    return part or Sight(scan_project(settings, report, hold.progress.scanned))


def see_recorded(
    settings: Settings,
    identity: Identity,
    look: Look | None,
    report: Report,
    on_count: Callable[[int], None],
) -> tuple[Sight, Known]:
    """The same without a lock, for whoever writes nothing, and what is known of the index."""
    if look is not None and look.still_holds(settings):
        with ExitStack() as stack:
            collection = stack.enter_context(closing(Collection(settings, identity)))
            manifest = Manifest(settings.manifest_path, readonly=True)
            stack.enter_context(manifest)
            part = _part(settings, look, collection, manifest, report)
            if part is not None and part.known is not None:
                return part, part.known
    sight = Sight(scan_project(settings, report, on_count))
    return sight, recorded_files(settings, identity)


def _part(
    settings: Settings,
    look: Look | None,
    collection: Collection,
    manifest: Manifest,
    report: Report,
) -> Sight | None:
    """The part of the tree that may have changed; None if the whole tree has to be scanned.

    The manifest is that of the look. Counts of the whole tree go to the report.
    """
    if look is None:
        return None
    if manifest.get("state") != COMPLETE or manifest.failures():
        return None
    if not is_trusted(collection, manifest):
        return None
    with report.spans.span("scan"), suppress(Unsure, GitError, OSError):
        stamp = look.stamp
        part = rescan.rescan(
            settings,
            stamp.survey,
            look.difference,
            stamp.unchanged,
            stamp.skipped,
            manifest.records_of,
        )
        _count(part, report)
        known = from_manifest(manifest, records=part.records)
        return Sight(part.tree, known, known.totals.files - len(part.records))
    return None


def _count(part: Part, report: Report) -> None:
    files, tree = report.files, part.tree
    files.unchanged = part.unchanged
    files.skipped.update(part.skipped)
    files.scanned = part.unchanged + sum(part.skipped.values()) + len(tree.files)
