"""Which files that a search could mean are not in the index, and why."""

from __future__ import annotations

import json
import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from indexer.config import Settings, with_rules
from indexer.errors import GitError, ProjectError
from indexer.index.collection import place_of
from indexer.index.manifest import Manifest
from indexer.paths import escape_path
from indexer.report import Report
from indexer.text.kinds import kind_of
from indexer.tree.names import EMPTY, IGNORED, SYMLINK, TOO_LARGE, skip_reason_by_path
from indexer.tree.project import scan_project
from indexer.types import FileRecord

SECONDS = 0.5  # for a walk
MOST_SCANNED = 20_000  # files; listing more takes longer than an answer may
SHOWN = 3  # paths of a reason
NEW = "not indexed yet"
_UNKNOWN = "ignored or not indexed yet"

Holds = Callable[[str, str], bool]
"""Whether a file with this path, as in rows, and language is meant."""


class Omissions(Struct, frozen=True):
    """Of the files that are meant, `indexed` are in the index, as are so many `others`.

    `reasons` has the paths of those that are not, by the reason.
    """

    indexed: int
    others: int
    reasons: Mapping[str, list[str]]


def left_out_of_all(settings: Settings) -> dict[str, int]:
    """How many files the last run looked at and left out, by the reason."""
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if manifest.get("place") != place_of(settings):
            return {}
        reasons = (record.reason for record in manifest.records().values())
        return dict(Counter(filter(None, reasons)))


def find_omissions(settings: Settings, start: str, holds: Holds) -> Omissions | None:
    """Which of the files below `start`, a folder of the project, are meant but not indexed.

    None where the last run here did not write the index. A large tree is not looked through.
    """
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        rules = manifest.get("rules")
        if manifest.get("place") != place_of(settings) or not rules:
            return None
        records = manifest.records()
    settings = with_rules(settings, json.loads(rules))
    chunked = [path for path, one in records.items() if one.chunk_count]
    indexed = sum(_is_meant(path, settings, holds) for path in chunked)
    reason_of = _reasons(settings, records)
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for path, info in _walk(settings, start):
        record = records.get(path)
        if (record and record.chunk_count) or not _is_meant(path, settings, holds):
            continue
        reasons[record.reason if record else reason_of(path, info)].append(
            escape_path(path)
        )
    return Omissions(indexed, len(chunked) - indexed, reasons)


def _is_meant(path: str, settings: Settings, holds: Holds) -> bool:
    language = kind_of(path, "", settings.languages) or ""
    return holds(escape_path(path), language)


def _walk(settings: Settings, start: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below a folder, as far as one comes in a moment, by path in the project."""
    top, own = os.path.join(settings.project, ""), {*settings.own_paths}
    pending, deadline = [os.path.join(top, start)], time.monotonic() + SECONDS
    while pending and time.monotonic() < deadline:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != ".git" and entry.path not in own:
                            pending.append(entry.path)
                    else:
                        info = entry.stat(follow_symlinks=False)
                        yield entry.path.removeprefix(top), info
        except OSError:
            continue  # it is a file, or gone


def _reasons(
    settings: Settings, records: Mapping[str, FileRecord]
) -> Callable[[str, os.stat_result], str]:
    """What says why a file is not in the index, of which the last run had no record."""
    new: set[str] | None = None
    folders: dict[str, str] = {}
    if len(records) <= MOST_SCANNED:
        try:
            tree = scan_project(settings, Report())
            new, folders = {file.path for file in tree.files}, tree.left_out
        except (OSError, GitError, ProjectError):
            pass

    def reason_of(path: str, info: os.stat_result) -> str:
        if new is not None and path in new:
            return NEW
        for folder, reason in folders.items():
            if path.startswith(folder):
                return reason
        if by_path := skip_reason_by_path(
            path, include_secrets=settings.include_secrets
        ):
            return by_path
        if stat.S_ISLNK(info.st_mode):
            return SYMLINK
        if info.st_size > settings.max_file_size:
            return TOO_LARGE
        if not info.st_size:
            return EMPTY
        return IGNORED if new is not None else _UNKNOWN

    return reason_of
