"""Narrows a comparison to the files that a run is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Set

from msgspec.structs import replace

from indexer.config import Settings
from indexer.paths import is_within, upwards
from indexer.report import Report
from indexer.tree.diff import Comparison
from indexer.tree.names import IGNORED, skip_reason_by_name
from indexer.tree.scan import Scan
from indexer.types import Audit, SourceFile


def select(
    comparison: Comparison,
    settings: Settings,
    tree: Scan,
    known: Audit,
    report: Report,
) -> Comparison:
    """The part of a comparison to be done now: selected files whose last change lies within
    the window of time and has settled. The others are counted as deferred.

    A selected file that nobody knows is a failure, unless its name alone says that it would be
    left out.
    """
    only = settings.only
    if only is not None:
        comparison = _narrowed(comparison, only)
        known_paths = {
            path
            for name in (*(file.path for file in tree.files), *known.records)
            for path in upwards(name)
        }
        for path in sorted(only - known_paths):
            name = os.path.basename(path)
            secrets = settings.include_secrets
            reason = skip_reason_by_name(name, include_secrets=secrets)
            reason = reason or _why_left_out(path, tree)
            if reason or os.path.lexists(os.path.join(settings.project, path)):
                report.skip(path, reason or IGNORED)
            else:
                report.fail(path, "it is neither in the project nor in the index")
        scanned = len(comparison.suspects) + len(comparison.unchanged)
        report.files.scanned = scanned + sum(report.files.skipped.values())
    now_ns = time.time_ns()
    due = [file for file in comparison.suspects if _is_due(file, settings, now_ns)]
    report.files.deferred = len(comparison.suspects) - len(due)
    return replace(comparison, suspects=due)


def _why_left_out(path: str, tree: Scan) -> str | None:
    """The reason for the folder at or above a path that is left out as a whole, if one is."""
    above = (tree.left_out.get(f"{one}/") for one in upwards(path))
    return next(filter(None, above), None)


def _narrowed(comparison: Comparison, only: Set[str]) -> Comparison:
    return Comparison(
        [record for record in comparison.unchanged if is_within(record.path, only)],
        [file for file in comparison.suspects if is_within(file.path, only)],
        [record for record in comparison.missing if is_within(record.path, only)],
    )


def _is_due(file: SourceFile, settings: Settings, now_ns: int) -> bool:
    """Whether the file's last change lies within the window of time and has settled.

    A change in the future, by a clock that is wrong, is not waited for.
    """
    age = (now_ns - file.mtime_ns) / 1e9
    if settings.settle and 0 <= age < settings.settle:
        return False
    return not settings.changed_within or age <= settings.changed_within
