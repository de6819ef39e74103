"""Scans a whole project: its own folder and the external ones."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from indexer.config import Settings
from indexer.errors import ProjectError
from indexer.report import Report
from indexer.tree.scan import COUNT_EACH, Scan, scan, walk


def _ignore(count: int) -> None:
    pass


def scan_project(
    settings: Settings, report: Report, on_count: Callable[[int], None] = _ignore
) -> Scan:
    """Scan the tree. Counts, and what could not be listed, go to the report.

    `on_count` is told, again and again, how many files of the project were looked at.
    """
    with report.spans.span("scan"):
        tree = _scan(settings, settings.project, on_count)
        for folder in settings.external_folders:
            tree = _with_external(tree, settings, folder)
    if settings.only is None:
        report.files.scanned = len(tree.files) + sum(tree.skipped.values())
        report.files.skipped.update(tree.skipped)
    for path, error in tree.failures:
        report.fail(path, error)
    return tree


def has_more_files(
    settings: Settings, number: int, on_count: Callable[[int], None]
) -> bool:
    """Whether a project that is no work tree has more files than this; looks no further.

    Repositories in it are walked as well, by their `.gitignore` files alone.
    """
    paths = walk(
        settings.project,
        own_paths=settings.own_paths,
        has_defaults=settings.default_excludes,
        ignore=settings.ignore,
        ignore_containing=settings.ignore_containing,
    )
    for count, _ in enumerate(paths, 1):
        if not count % COUNT_EACH:
            on_count(count)
        if count > number:
            return True
    return False


def _scan(
    settings: Settings, folder: str, on_count: Callable[[int], None] = _ignore
) -> Scan:
    return scan(
        folder,
        max_file_size=settings.max_file_size,
        own_paths=settings.own_paths,
        uses_git=settings.uses_git,
        recurse_submodules=settings.recurse_submodules,
        has_defaults=settings.default_excludes,
        include_secrets=settings.include_secrets,
        ignore=settings.ignore,
        ignore_containing=settings.ignore_containing,
        on_count=on_count,
    )


def _with_external(tree: Scan, settings: Settings, folder: str) -> Scan:
    """The tree together with the files of an external folder, whose paths are absolute.

    A folder that cannot be read is a failure, and the index keeps what it has of it.
    """
    try:
        part = _scan(settings, folder)
    except ProjectError as error:
        return replace(tree, failures=[*tree.failures, (folder, str(error))])
    files = [replace(file, path=os.path.join(folder, file.path)) for file in part.files]
    failures = [
        (os.path.normpath(os.path.join(folder, path)), error)
        for path, error in part.failures
    ]
    return replace(
        tree,
        files=[*files, *tree.files],
        skipped=dict(Counter(tree.skipped) + Counter(part.skipped)),
        failures=[*tree.failures, *failures],
        left_out={
            **tree.left_out,
            **{os.path.join(folder, path): why for path, why in part.left_out.items()},
        },
    )
