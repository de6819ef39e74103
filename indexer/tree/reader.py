"""Reads the files that may have changed, once each, and names what happened to them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import MappingProxyType

from msgspec.structs import replace

from indexer.config import Settings
from indexer.report import Report
from indexer.text.by_words import is_by_words
from indexer.text.mentions import PROCESSING, is_processing
from indexer.tree.changes import Changes
from indexer.tree.diff import (
    Classifier,
    counted_anew,
    has_its_vectors,
    is_racy,
    stat_of,
)
from indexer.tree.files import Content, NotIndexable, Roots, Vanished, read_file
from indexer.tree.git import blob_id
from indexer.types import (
    Change,
    ChangedFile,
    FileRecord,
    Outcome,
    SourceFile,
    Stat,
)

STARTERS, STARTER_BYTES = (
    4,
    8 * 1024,
)  # files that are read first, and their largest size
TRY_AGAIN = "; it is tried again once it changes, or with --retry-failed"


def _in_order(files: Iterable[SourceFile]) -> list[SourceFile]:
    """The files, largest first so that no worker ends alone with a large one. A few small ones
    come before them, so that the first chunk is embedded soon."""
    by_size = sorted(files, key=lambda file: -file.size)
    small = (file for file in by_size if file.size <= STARTER_BYTES)
    starters = list(islice(small, STARTERS))
    first = {file.path for file in starters}
    return starters + [file for file in by_size if file.path not in first]


def is_steady(content: Content) -> bool:
    """Whether a later change of the file would show in the stat fields of these bytes."""
    return content.stable and not is_racy(content.stat, content.read_ns)


class Reader:
    """Iterates over the files that changed, in the order of `_in_order`, each read once.

    A file with the very bytes that failed before fails again and is not yielded. Where the
    pass `embeds`, files that lack vectors are yielded although their bytes are unchanged; so are
    files with vectors that are to be found by words alone.
    A file whose mention someone is working on is left out, unless mentions are disabled.
    Iteration ends early once `should_stop()`. `on_done(size)` is called for each file that
    needs nothing more. Counts and failures go to the report.

    Files that were `read_ahead` and found unchanged, with the stat fields that they had, are
    not read again.

    `touched` gathers new records of files whose bytes are unchanged. `is_settled` holds as
    long as every file was as the scan saw it and its stat fields can be trusted. `left_out`
    has the paths of files that someone is working on.
    """

    def __init__(
        self,
        changes: Changes,
        roots: Roots,
        settings: Settings,
        report: Report,
        *,
        read_ahead: Mapping[str, Stat] = MappingProxyType({}),
        embeds: bool = True,
        should_stop: Callable[[], object] = lambda: False,
        on_done: Callable[[int], None] = lambda size: None,
    ) -> None:
        comparison = changes.comparison
        self._changes = changes
        self._known = changes.known
        self._roots = roots
        self._settings = settings
        self._report = report
        self._read_ahead = read_ahead
        self._embeds = embeds
        self._should_stop = should_stop
        self._on_done = on_done
        self._missing = list(comparison.missing)
        self._suspects = _in_order(comparison.suspects)
        self._classifier = Classifier(changes.known.records, comparison.missing)
        self._uncounted: dict[str, Change] = {}
        self._unread = len(self._suspects)
        self.touched: list[FileRecord] = []
        self.is_settled = True
        self.left_out: set[str] = set()
        self.origins: set[str] = set()
        """Old paths of the files that were counted as renamed."""
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
        """Read once more a file that was yielded and may have been written since. None if it needs
        nothing more."""
        self._uncounted.pop(change.path)
        self.is_settled = False
        again = self._read(SourceFile(change.path, 0, 0, 0, 0))
        if again is None:
            self._on_done(len(change.data))
        return again

    @property
    def unfinished(self) -> int:
        """How many files were not read, or were yielded but neither counted nor failed."""
        return self._unread + len(self._uncounted.keys() - self._report.failures.keys())

    def count(self, record: FileRecord) -> Outcome:
        """Count a file that was yielded, once it is known whether it has chunks."""
        path, counts = record.path, self._report.files
        change = self._uncounted.pop(path)
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
        elif change is Change.STRIPPED:
            counts.stripped += 1
        elif change is Change.RENAMED:
            counts.renamed += 1
            origin = self._classifier.renamed_from[path]
            self.origins.add(origin)
            return Outcome(change, origin)
        return Outcome(change)

    def gone(self) -> list[FileRecord]:
        """Records of the files that are no longer in the tree, which are counted as deleted
        unless they live on under another name. Call it after all files were counted.

        A file in a folder that could not be read is not known to be gone.
        """
        missing = [record for record in self._missing if not self._is_hidden(record)]
        self._report.files.deleted += sum(
            self._known.has_rows(record.path) and record.path not in self.origins
            for record in missing
        )
        return missing

    def _read(self, file: SourceFile) -> ChangedFile | None:
        """The file if it is to be indexed, None where it needs nothing more."""
        path = file.path
        is_forced, record = self._settings.force, self._known.records.get(path)
        stat = self._read_ahead.get(path)
        if stat and record and not is_forced and self._is_done(record):
            self._report.files.read += 1
            self._touch(record, replace(record, stat=stat))
            self.is_settled &= stat == stat_of(file)
            return None
        content = self._content_of(file)
        if content is None:
            return None
        file_hash = blob_id(content.data, self._changes.tree.object_format)
        # Bytes that were still changing, or changed a moment ago, are indexed as they
        # are. Their record has no stat fields, so that the next run reads them again.
        stat = stat_of(content.stat) if is_steady(content) else None
        self.is_settled &= stat == stat_of(file)
        failure = self._changes.failures.get(path)
        if failure and failure.file_hash == file_hash and not is_forced:
            self._report.fail(path, failure.error + TRY_AGAIN)
            return None
        is_new = record is None or record.file_hash != file_hash
        if is_new and self._settings.mentions.enabled and is_processing(content.data):
            self.is_settled = False
            self.left_out.add(path)
            self._report.skip(path, PROCESSING)
            return None
        change = self._classifier.classify(path, file_hash)
        if change is Change.UNCHANGED:
            if is_forced or path in self._changes.again:
                change = Change.MODIFIED
            else:
                assert record is not None
                now = self._decided(record, content.data)
                if now.by_words < now.chunk_count and self._is_by_words(now):
                    change = Change.STRIPPED
                elif now.unembedded and self._embeds:
                    change = Change.EMBEDDED
                else:
                    self._touch(record, replace(now, stat=stat))
                    return None
        self._uncounted[path] = change
        is_indexed = change in (Change.EMBEDDED, Change.STRIPPED)
        return ChangedFile(path, content.data, file_hash, stat, is_indexed=is_indexed)

    def _is_done(self, record: FileRecord) -> bool:
        """Whether a file with unchanged bytes needs nothing more. Without stat fields it is not
        known whether it is plain."""
        return record.stat is not None and has_its_vectors(
            record, self._settings.embedding, embeds=self._embeds
        )

    def _decided(self, record: FileRecord, data: bytes) -> FileRecord:
        """The record of a file with these bytes, now that it is known whether it is plain."""
        if record.stat is None:
            from indexer.text.meaning import kind_of_plain

            record = replace(record, is_plain=bool(kind_of_plain(record.path, data)))
        return counted_anew(record, by_words=self._is_by_words(record))

    def _is_by_words(self, record: FileRecord) -> bool:
        return is_by_words(record.path, record.is_plain, self._settings.embedding)

    def _content_of(self, file: SourceFile) -> Content | None:
        """The bytes of a file, None where there are none to index any more."""
        try:
            fd, path = self._roots.locate(file.path)
            limit = self._settings.max_file_size
            content = read_file(fd, replace(file, path=path), limit)
        except Vanished:
            self._leave(file.path)
        except NotIndexable as error:
            self._leave(file.path)
            self._report.skip(file.path, error.reason)
        except OSError as error:
            self._report.fail(file.path, error.strerror or str(error))
        else:
            self._report.files.read += 1
            return content
        return None

    def _touch(self, old: FileRecord, record: FileRecord) -> None:
        self._count_unchanged([old])
        if record != old:
            self.touched.append(record)

    def _is_hidden(self, record: FileRecord) -> bool:
        """Whether the file may still be there, in a folder that could not be read."""
        for path, error in self._changes.tree.failures:
            if f"{record.path}/".startswith(f"{path}/"):
                return True
            # git does not say which repository below the project that folder is in.
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
        """Treat a file that is no longer indexable as one that is gone."""
        self.is_settled = False
        if path in self._known.records:
            self._missing.append(self._known.records[path])

    def _count_unchanged(self, records: Iterable[FileRecord]) -> None:
        for record in records:
            if record.reason:
                skipped = self._report.files.skipped
                skipped[record.reason] = skipped.get(record.reason, 0) + 1
            else:
                self._report.files.unchanged += 1
