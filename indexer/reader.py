"""Reads the files that may have changed, once each, and names what happened to them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from itertools import islice
from types import MappingProxyType

from indexer import git
from indexer.audit import Audit
from indexer.config import STATE_FOLDER, Settings
from indexer.diff import Change, Classifier, Comparison, is_racy, stat_of
from indexer.errors import StateError
from indexer.git import blob_id
from indexer.report import Report
from indexer.scan import NotIndexable, Scan, Vanished, read_file, scan
from indexer.types import ChangedFile, Failure, FileRecord, SourceFile

STARTERS, STARTER_BYTES = 4, 8 * 1024  # files
TRY_AGAIN = "; not tried again until it changes, or with --retry-failed"


def scan_project(settings: Settings, report: Report) -> Scan:
    """Scan the tree; counts, and what could not be listed, go to the report.

    Raises `StateError` where git has the state folder: whoever made that commit could have
    us believe an index of theirs.
    """
    with report.spans.span("scan"):
        tree = scan(
            settings.project,
            max_file_size=settings.max_file_size,
            state_dir=settings.state_dir,
            recurse_submodules=settings.recurse_submodules,
            include_secrets=settings.include_secrets,
        )
    state = os.fsencode(os.path.join(STATE_FOLDER, ""))
    if tree.listing and any(path.startswith(state) for path in tree.listing.files):
        raise StateError(
            f"git tracks files in {STATE_FOLDER}, which only codx-index may write: "
            f"git rm -r --cached {STATE_FOLDER}, and remove the folder"
        )
    report.files.scanned = len(tree.files) + sum(tree.skipped.values())
    report.files.skipped.update(tree.skipped)
    for path, error in tree.failures:
        report.fail(path, error)
    return tree


def known_to_git(
    project: str,
    tree: Scan,
    suspects: Iterable[SourceFile],
    records: Mapping[str, FileRecord],
) -> set[str]:
    """Paths of the suspects whose bytes, as git's index knows, are those of their records.

    No suspect is opened. Git's object is the file itself unless a conversion lies between
    them; with the size of the record, only one that keeps the size is left to rule out.
    """
    if tree.listing is None:
        return set()
    by_repository: defaultdict[bytes, dict[bytes, SourceFile]] = defaultdict(dict)
    prefixes = sorted(tree.listing.repositories, key=len)
    for file in suspects:
        record = records.get(file.path)
        if record is None or record.stat is None or record.stat[0] != file.size:
            continue
        path = os.fsencode(file.path)
        prefix = [prefix for prefix in prefixes if path.startswith(prefix)][-1]
        by_repository[prefix][path.removeprefix(prefix)] = file
    known: set[str] = set()
    for prefix, files in by_repository.items():
        folder = os.path.join(os.fsencode(project), prefix)
        with suppress(FileNotFoundError):  # a repository in which nothing was added yet
            known.update(_same(folder, files, records))
    return known


def _same(
    folder: bytes, files: dict[bytes, SourceFile], records: Mapping[str, FileRecord]
) -> Iterator[str]:
    index = git.read_index(folder, files)
    same = {
        path
        for path, file in files.items()
        if (entry := index.entries.get(path))
        and entry.object_id == records[file.path].file_hash
        and entry.is_of(file)
        and index.knows(entry)
    }
    for path in same - (git.converted(folder, same) if same else same):
        yield files[path].path


def _in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Largest first, so that no worker ends alone with a large one; before them a few small
    ones, so that the first is embedded soon."""
    by_size = sorted(files, key=lambda file: -file.size)
    small = (file for file in by_size if file.size <= STARTER_BYTES)
    starters = list(islice(small, STARTERS))
    first = {file.path for file in starters}
    return starters + [file for file in by_size if file.path not in first]


class Reader:
    """Iterates over the changed files of a comparison, see `_in_order`.

    Those that are `known_to_git` are not opened: their bytes are as recorded. Those that
    `failed` with the very bytes that they have fail again, and are not yielded.
    `touched` gathers new records of files whose bytes are as they were. `on_done(size)` is
    told of each file that needs nothing more. Counts and failures go to the report.
    `is_settled` as long as every file was as the scan saw it, and could be believed.
    """

    def __init__(
        self,
        root_fd: int,
        tree: Scan,
        known: Audit,
        comparison: Comparison,
        report: Report,
        *,
        max_file_size: int,
        force: bool = False,
        known_to_git: Set[str] = frozenset(),
        failed: Mapping[str, Failure] = MappingProxyType({}),
        on_done: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._root_fd = root_fd
        self._tree = tree
        self._known = known
        self._missing = list(comparison.missing)
        self._suspects = _in_order(comparison.suspects)
        self._classifier = Classifier(known.records, comparison.missing)
        self._report = report
        self._max_file_size = max_file_size
        self._force = force
        self._known_to_git = known_to_git
        self._failed = failed
        self._on_done = on_done
        self._changes: dict[str, Change] = {}
        self._origins: set[str] = set()
        self.touched: list[FileRecord] = []
        self.is_settled = True
        self._count_unchanged(comparison.unchanged)

    def __iter__(self) -> Iterator[ChangedFile]:
        for file in self._suspects:
            change = self._read(file)
            if change is None:
                self._on_done(file.size)
            else:
                yield change

    def count(self, record: FileRecord) -> Change | None:
        """Count a file that was yielded, now that it is known whether it has chunks;
        returns its change, None where it was skipped."""
        change = self._changes.pop(record.path)
        counts = self._report.files
        if record.reason:
            self._skip(record.reason)
            counts.deleted += self._has_rows(record.path)
            return None
        if change is Change.ADDED:
            counts.added += 1
        elif change is Change.MODIFIED:
            counts.modified += 1
        elif change is Change.RENAMED:
            counts.renamed += 1
            self._origins.add(self.renamed_from[record.path])
        return change

    def gone(self) -> list[FileRecord]:
        """Records of the files that are not in the tree any more, counted as deleted
        unless they live on under another name. Call it after all files were counted.

        What lies under a folder that could not be read is not known to be gone.
        """
        missing = [record for record in self._missing if not self._is_hidden(record)]
        self._report.files.deleted += sum(
            self._has_rows(record.path) and record.path not in self._origins
            for record in missing
        )
        return missing

    @property
    def renamed_from(self) -> Mapping[str, str]:
        """The old path of each renamed file, by its new one."""
        return self._classifier.renamed_from

    @property
    def origins(self) -> set[str]:
        """Old paths of the files that were counted as renamed."""
        return self._origins

    def _read(self, file: SourceFile) -> ChangedFile | None:
        if file.path in self._known_to_git and not self._force:
            is_steady = not is_racy(file, self._tree.started_ns)
            self._touch(file.path, stat_of(file) if is_steady else None)
            self.is_settled &= is_steady
            return None
        try:
            content = read_file(self._root_fd, file, self._max_file_size)
        except Vanished:
            self.is_settled = False
            self._leave(file.path)
            return None
        except NotIndexable as error:
            self.is_settled = False
            self._leave(file.path)
            self._skip(error.reason)
            return None
        except OSError as error:
            self._report.fail(file.path, error.strerror or str(error))
            return None
        self._report.files.read += 1
        file_hash = blob_id(content.data, self._tree.object_format)
        # Bytes that were still changing, or changed a moment ago, are indexed as they
        # are; without stat fields the next run reads them again.
        steady = content.stable and not is_racy(content.stat, content.read_ns)
        stat = stat_of(content.stat) if steady else None
        self.is_settled &= stat == stat_of(file)
        failure = self._failed.get(file.path)
        if failure and failure.file_hash == file_hash and not self._force:
            self._report.fail(file.path, failure.error + TRY_AGAIN)
            return None
        change = self._classifier.classify(file.path, file_hash)
        if change is Change.UNCHANGED:
            if not self._force:
                self._touch(file.path, stat)
                return None
            change = Change.MODIFIED
        self._changes[file.path] = change
        return ChangedFile(file.path, content.data, file_hash, stat)

    def _touch(self, path: str, stat: tuple[int, int, int, int] | None) -> None:
        old = self._known.records[path]
        self._count_unchanged([old])
        record = FileRecord(path, stat, old.file_hash, old.chunk_count, old.reason)
        if record != old:
            self.touched.append(record)

    def _is_hidden(self, record: FileRecord) -> bool:
        """May the file still be there, in a folder that could not be read?"""
        for path, error in self._tree.failures:
            if f"{record.path}/".startswith(f"{path}/"):
                return True
            # git does not say in which repository below the project that folder is.
            if error.startswith("could not open directory"):
                try:
                    os.lstat(record.path, dir_fd=self._root_fd)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError:
                    pass
                return True
        return False

    def _leave(self, path: str) -> None:
        if path in self._known.records:
            self._missing.append(self._known.records[path])

    def _has_rows(self, path: str) -> bool:
        record = self._known.records.get(path)
        return bool(record and record.chunk_count) or path in self._known.stale

    def _skip(self, reason: str) -> None:
        skipped = self._report.files.skipped
        skipped[reason] = skipped.get(reason, 0) + 1

    def _count_unchanged(self, records: Iterable[FileRecord]) -> None:
        for record in records:
            if record.reason:
                self._skip(record.reason)
            else:
                self._report.files.unchanged += 1
