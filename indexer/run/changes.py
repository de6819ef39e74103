"""Where scan, manifest, selection and git's index meet: the changes that a run works on."""

from __future__ import annotations

from collections.abc import Mapping

from indexer.config import Settings
from indexer.index.known import Known
from indexer.report import Report
from indexer.run.sight import Sight
from indexer.tree.changes import Changes
from indexer.tree.diff import Comparison, compare
from indexer.tree.scan import Scan
from indexer.tree.select import select
from indexer.types import FileRecord

_DIGITS = {"sha1": 40, "sha256": 64}  # of a blob id, by the object format


def find_changes(
    settings: Settings, sight: Sight, known: Known, report: Report
) -> Changes:
    """Compare the tree with what is known of the index, by stat fields; opens no file.

    Only files that were selected, and are due, are among the changes; the others are
    counted as deferred.
    """
    tree, records = sight.tree, known.files.records
    compared = compare(
        tree.files,
        records,
        force=settings.force,
        again=known.failed_hooks | _of_other_format(records, tree.object_format),
        embeds=settings.embeds,
        embedding=settings.embedding,
        passed=sight.passed,
    )
    comparison = select(compared, settings, tree, known.files, report)
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


def _of_other_format(records: Mapping[str, FileRecord], object_format: str) -> set[str]:
    """Paths whose blob ids are of another kind than those of the tree now.

    That is so where git began or ceased to list a repository of the other format.
    """
    other = set(_DIGITS.values()) - {_DIGITS[object_format]}
    return {path for path, one in records.items() if len(one.file_hash) in other}
