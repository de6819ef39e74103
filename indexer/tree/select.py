"""Narrows a comparison to the files that a run is asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import replace

from indexer.config import Settings
from indexer.errors import UsageError
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
    warn: Callable[[str], None] = lambda message: None,
) -> Comparison:
    """The part of a comparison to be done now: selected files whose last change lies within
    the window of time and has settled. The others are counted as deferred.

    Raises `UsageError` for a file that a person named and that is not known.
    """
    only = settings.only
    if only is not None:
        comparison = _narrowed(comparison, only)
        known_paths = {
            path
            for name in (*(file.path for file in tree.files), *known.records)
            for path in _upwards(name)
        }
        unknown = only - known_paths
        if only and len(unknown) == len(only) and not settings.named:
            warn("none of the selected files is in the project or in the index")
        for path in sorted(unknown):
            if os.path.lexists(os.path.join(settings.project, path)):
                name = os.path.basename(path)
                secrets = settings.include_secrets
                reason = skip_reason_by_name(name, include_secrets=secrets)
                report.skip(path, reason or _why_left_out(path, tree) or IGNORED)
            elif path in settings.named:
                raise UsageError(f"{path} is neither in the project nor in the index")
        scanned = len(comparison.suspects) + len(comparison.unchanged)
        report.files.scanned = scanned + sum(report.files.skipped.values())
    now_ns = time.time_ns()
    due = [file for file in comparison.suspects if _is_due(file, settings, now_ns)]
    report.files.deferred = len(comparison.suspects) - len(due)
    return replace(comparison, suspects=due)


def _why_left_out(path: str, tree: Scan) -> str | None:
    """The reason for the folder at or above a path that is left out as a whole, if one is."""
    above = (tree.left_out.get(f"{one}/") for one in _upwards(path))
    return next(filter(None, above), None)


def _narrowed(comparison: Comparison, only: Set[str]) -> Comparison:
    return Comparison(
        [record for record in comparison.unchanged if _is_within(record.path, only)],
        [file for file in comparison.suspects if _is_within(file.path, only)],
        [record for record in comparison.missing if _is_within(record.path, only)],
    )


def _is_within(path: str, only: Set[str]) -> bool:
    """Whether the path is one of these, or lies below one of them."""
    return any(one in only for one in _upwards(path))


def _upwards(path: str) -> Iterator[str]:
    """The path, its folder, the folder above it, and so on up to "", the whole project."""
    while path:
        yield path
        path = path.rpartition("/")[0]
    yield ""


def _is_due(file: SourceFile, settings: Settings, now_ns: int) -> bool:
    """Whether the file's last change lies within the window of time and has settled.

    A change in the future, by a clock that is wrong, is not waited for.
    """
    age = (now_ns - file.mtime_ns) / 1e9
    if settings.settle and 0 <= age < settings.settle:
        return False
    return not settings.changed_within or age <= settings.changed_within
