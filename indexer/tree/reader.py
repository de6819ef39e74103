"""Reads the files that may have changed, once each, and names what happened to them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from types import MappingProxyType

from indexer.report import Report
from indexer.text.mentions import PROCESSING, is_processing
from indexer.tree import git_index
from indexer.tree.diff import Classifier, Comparison, is_racy, is_unembedded, stat_of
from indexer.tree.files import NotIndexable, Roots, Vanished, read_file
from indexer.tree.git import blob_id
from indexer.tree.scan import Scan
from indexer.types import (
    Audit,
    Change,
    ChangedFile,
    Failure,
    FileRecord,
    Outcome,
    SourceFile,
)

STARTERS, STARTER_BYTES = 4, 8 * 1024  # files
TRY_AGAIN = "; not tried again until it changes, or with --retry-failed"


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
        if os.path.isabs(file.path):  # in an external folder
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
    index = git_index.read_index(folder, files)
    same = {
        path
        for path, file in files.items()
        if (entry := index.entries.get(path))
        and entry.object_id == records[file.path].file_hash
        and entry.is_of(file)
        and index.knows(entry)
    }
    for path in same - (git_index.converted(folder, same) if same else same):
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
    `failed` with the very bytes that they have fail again, and are not yielded; those to do
    `again` are yielded though their bytes are as recorded, and where the run `embeds`, those
    that lack vectors. With `heeds_mentions`, a file that
    somebody works on is left out. Iteration ends early once `should_stop`.
    `touched` gathers new records of files whose bytes are as they were. `on_done(size)` is
    told of each file that needs nothing more. Counts and failures go to the report.
    `is_settled` as long as every file was as the scan saw it, and could be believed;
    `left_out` has the paths of those that somebody works on.
    """

    def __init__(
        self,
        roots: Roots,
        tree: Scan,
        known: Audit,
        comparison: Comparison,
        report: Report,
        *,
        max_file_size: int,
        force: bool = False,
        known_to_git: Set[str] = frozenset(),
        failed: Mapping[str, Failure] = MappingProxyType({}),
        again: Set[str] = frozenset(),
        embeds: bool = True,
        heeds_mentions: bool = True,
        should_stop: Callable[[], object] = lambda: False,
        on_done: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._roots = roots
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
        self._again = again
        self._embeds = embeds
        self._heeds_mentions = heeds_mentions
        self._should_stop = should_stop
        self._on_done = on_done
        self._changes: dict[str, Change] = {}
        self._origins: set[str] = set()
        self.touched: list[FileRecord] = []
        self._unread = len(self._suspects)
        self.is_settled = True
        self.left_out: set[str] = set()
        self._count_unchanged(comparison.unchanged)

    def __iter__(self) -> Iterator[ChangedFile]:
        for file in self._suspects:
            if self._should_stop():
                return
            self._unread -= 1
            change = self._read(file)
            if change is None:
                self._on_done(file.size)
            else:
                yield change

    def read_again(self, change: ChangedFile) -> ChangedFile | None:
        """Read a file that was yielded and may have been written since; None where it needs
        nothing more."""
        self._changes.pop(change.path)
        self.is_settled = False
        again = self._read(SourceFile(change.path, 0, 0, 0, 0))
        if again is None:
            self._on_done(len(change.data))
        return again

    @property
    def unfinished(self) -> int:
        """How many files were not read, or yielded and not counted, but for failures."""
        return self._unread + len(self._changes.keys() - self._report.failures.keys())

    def count(self, record: FileRecord) -> Outcome:
        """Count a file that was yielded, now that it is known whether it has chunks."""
        path, counts = record.path, self._report.files
        change = self._changes.pop(path)
        if record.reason:
            self._report.skip(path, record.reason)
            had_rows = self._known.has_rows(path)
            counts.deleted += had_rows
            return Outcome(Change.DELETED if had_rows else None)
        if change is Change.ADDED:
            counts.added += 1
        elif change is Change.MODIFIED:
            counts.modified += 1
        elif change is Change.EMBEDDED:
            counts.embedded += 1
        elif change is Change.RENAMED:
            counts.renamed += 1
            self._origins.add(self.renamed_from[path])
            return Outcome(change, self.renamed_from[path])
        return Outcome(change)

    def gone(self) -> list[FileRecord]:
        """Records of the files that are not in the tree any more, counted as deleted
        unless they live on under another name. Call it after all files were counted.

        What lies under a folder that could not be read is not known to be gone.
        """
        missing = [record for record in self._missing if not self._is_hidden(record)]
        self._report.files.deleted += sum(
            self._known.has_rows(record.path) and record.path not in self._origins
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
        lacks_vectors = self._embeds and is_unembedded(
            self._known.records.get(file.path)
        )
        is_known = file.path in self._known_to_git and not lacks_vectors
        if is_known and not self._force:
            is_steady = not is_racy(file, self._tree.started_ns)
            self._touch(file.path, stat_of(file) if is_steady else None)
            self.is_settled &= is_steady
            return None
        try:
            fd, path = self._roots.locate(file.path)
            content = read_file(fd, replace(file, path=path), self._max_file_size)
        except Vanished:
            self.is_settled = False
            self._leave(file.path)
            return None
        except NotIndexable as error:
            self.is_settled = False
            self._leave(file.path)
            self._report.skip(file.path, error.reason)
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
        if self._heeds_mentions and is_processing(content.data):
            record = self._known.records.get(file.path)
            if record is None or record.file_hash != file_hash:
                self.is_settled = False
                self.left_out.add(file.path)
                self._report.skip(file.path, PROCESSING)
                return None
        change = self._classifier.classify(file.path, file_hash)
        if change is Change.UNCHANGED:
            if self._force or file.path in self._again:
                change = Change.MODIFIED
            elif lacks_vectors:
                change = Change.EMBEDDED
            else:
                self._touch(file.path, stat)
                return None
        self._changes[file.path] = change
        is_indexed = change is Change.EMBEDDED
        return ChangedFile(file.path, content.data, file_hash, stat, is_indexed)

    def _touch(self, path: str, stat: tuple[int, int, int, int] | None) -> None:
        old = self._known.records[path]
        self._count_unchanged([old])
        record = replace(old, stat=stat)
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
                    os.lstat(record.path, dir_fd=self._roots.project)
                except (FileNotFoundError, NotADirectoryError):
                    continue
                except OSError:
                    pass
                return True
        return False

    def _leave(self, path: str) -> None:
        if path in self._known.records:
            self._missing.append(self._known.records[path])

    def _count_unchanged(self, records: Iterable[FileRecord]) -> None:
        for record in records:
            if record.reason:
                skipped = self._report.files.skipped
                skipped[record.reason] = skipped.get(record.reason, 0) + 1
            else:
                self._report.files.unchanged += 1
