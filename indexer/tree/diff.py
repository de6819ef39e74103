"""Compares the files of a tree with the records of an index. Pure: nothing touches a disk.

There are two steps, because a blob id costs a read. `compare` finds by stat fields which files
may have changed, and `Classifier` names the change of each once its bytes are hashed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from msgspec import Struct
from msgspec.structs import replace

from indexer.config import BY_MEANING, Embedding
from indexer.report import PlanCounts
from indexer.text.by_words import is_by_words
from indexer.types import Change, FileRecord, SourceFile

# Timestamps come from the kernel's tick (4-10 ms). File systems that keep whole seconds, or
# only even ones, are recognised by their zeros.
TICK_NS = 20_000_000
COARSE_TICK_NS = 2_000_000_000


class Comparison(Struct, frozen=True):
    """Files beside their records: `suspects` must be read, `missing` are gone from the tree.

    As many as `passed` were not compared, because they are known to be unchanged.
    """

    unchanged: list[FileRecord]
    suspects: list[SourceFile]
    missing: list[FileRecord]
    passed: int = 0

    @property
    def suspected_bytes(self) -> int:
        """How many bytes there are to read."""
        return sum(file.size for file in self.suspects)

    @property
    def counts(self) -> PlanCounts:
        """How much there is to do."""
        return PlanCounts(
            unchanged=len(self.unchanged) + self.passed,
            changed=len(self.suspects),
            bytes=self.suspected_bytes,
            gone=len(self.missing),
        )


def stat_of(file: SourceFile) -> tuple[int, int, int, int]:
    """The fields of a file that are all unchanged only if it was not touched."""
    return (file.size, file.mtime_ns, file.ctime_ns, file.inode)


def compare(
    files: Iterable[SourceFile],
    records: Mapping[str, FileRecord],
    *,
    force: bool = False,
    again: Set[str] = frozenset(),
    embeds: bool = True,
    embedding: Embedding = BY_MEANING,
    passed: int = 0,
) -> Comparison:
    """Compare the scanned files with the records, by stat fields.

    `force` makes every file a suspect, and `again` those at its paths. If the run `embeds`,
    files that lack vectors are suspects too, and so are files that are to be found by words alone from
    now on, or no longer, as `embedding` says. `passed` is as in `Comparison`.
    """
    unchanged: list[FileRecord] = []
    suspects: list[SourceFile] = []
    gone = dict(records)
    for file in files:
        record = gone.pop(file.path, None)
        is_asked = force or file.path in again
        if record is None or is_asked or record.stat != stat_of(file):
            suspects.append(file)
        elif not has_its_vectors(record, embedding, embeds=embeds):
            suspects.append(file)
        else:
            unchanged.append(record)
    return Comparison(unchanged, suspects, list(gone.values()), passed)


def has_its_vectors(record: FileRecord, embedding: Embedding, *, embeds: bool) -> bool:
    """Whether nothing is to be done about the vectors of a file whose bytes are unchanged."""
    if is_by_words(record.path, record.is_plain, embedding):
        return record.by_words == record.chunk_count
    return not record.by_words and not (embeds and record.unembedded)


def counted_anew(record: FileRecord, *, by_words: bool) -> FileRecord:
    """The record if the file is to be found `by_words` alone, or is not: its rows that have no
    vector are meant to have none, or still lack one."""
    without = record.unembedded + record.by_words
    if by_words:
        return replace(record, unembedded=0, by_words=without)
    return replace(record, unembedded=without, by_words=0)


def is_unembedded(record: FileRecord | None) -> bool:
    """Whether an indexed file lacks vectors."""
    return record is not None and record.unembedded > 0


def without_embedding(
    comparison: Comparison, records: Mapping[str, FileRecord], again: Set[str]
) -> Comparison:
    """The comparison without the files that are suspects only because they lack vectors."""
    suspects = [
        file
        for file in comparison.suspects
        if not is_unembedded(record := records.get(file.path))
        or file.path in again
        or (record is not None and record.stat != stat_of(file))
    ]
    return replace(comparison, suspects=suspects)


class Classifier:
    """Names the change of each file that was read, pairing added with missing files by blob id."""

    def __init__(
        self, records: Mapping[str, FileRecord], missing: Iterable[FileRecord]
    ) -> None:
        self._records = records
        self._origins: defaultdict[str, list[str]] = defaultdict(list)
        for record in missing:
            if record.chunk_count:
                self._origins[record.file_hash].append(record.path)
        self.renamed_from: dict[str, str] = {}

    def classify(self, path: str, file_hash: str) -> Change:
        """The change of the file at `path`. A missing file is the origin of at most one rename."""
        if path in self.renamed_from:
            return Change.RENAMED  # asked again, because its bytes have changed since
        record = self._records.get(path)
        if record is not None and record.file_hash == file_hash:
            return Change.UNCHANGED
        if record is not None and (record.chunk_count or not record.reason):
            return Change.MODIFIED
        if origins := self._origins.get(file_hash):
            self.renamed_from[path] = origins.pop()
            return Change.RENAMED
        return Change.ADDED


def is_racy(file: SourceFile, read_ns: int) -> bool:
    """Whether the file was changed so shortly before `read_ns` that a later edit could leave the
    same times: git's "racily clean" rule (Documentation/technical/racy-git).

    The ctime decides, because unlike the mtime nobody can set it.
    """
    whole_seconds = file.ctime_ns % 1_000_000_000 == 0
    tick = COARSE_TICK_NS if whole_seconds else TICK_NS
    return file.ctime_ns >= read_ns - tick
