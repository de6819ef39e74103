"""Where scan, manifest, selection and git's index meet: the changes that a run works on."""

from __future__ import annotations

from collections.abc import Callable

from indexer.config import Settings
from indexer.index.known import Known
from indexer.report import Report
from indexer.tree.changes import Changes
from indexer.tree.diff import Comparison, compare
from indexer.tree.scan import Scan
from indexer.tree.select import select


def find_changes(
    settings: Settings,
    tree: Scan,
    known: Known,
    report: Report,
    warn: Callable[[str], None] = lambda message: None,
) -> Changes:
    """Compare the tree with what is known of the index, by stat fields; opens no file.

    Only files that were selected, and are due, are among the changes; the others are
    counted as deferred. Raises `UsageError` for a selected file that nobody knows.
    """
    compared = compare(
        tree.files,
        known.files.records,
        force=settings.force,
        again=known.failed_hooks,
        embeds=settings.embeds,
    )
    comparison = select(compared, settings, tree, known.files, report, warn)
    return changes_among(settings, tree, known, comparison)


def changes_among(
    settings: Settings, tree: Scan, known: Known, comparison: Comparison
) -> Changes:
    """The changes of a comparison that was made or narrowed already."""
    return Changes(
        tree,
        known.files,
        comparison,
        known.failed_hooks,
        {} if settings.retry_failed else known.failures,
    )
