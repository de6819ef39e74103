"""Which files of a collection are current, judged by its rows alone. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from msgspec.structs import replace

from indexer.milvus.rows import RowKey, aside_id, row_id
from indexer.paths import unescape_path
from indexer.types import Audit, FileRecord


def audit(
    rows: Iterable[RowKey],
    known: Mapping[str, FileRecord],
    doubted: Set[str] = frozenset(),
    project: str = "",
) -> Audit:
    """Rebuild the records from the rows.

    A file is current exactly when its rows are {(file_hash, i, chunk_count) for i in
    0..chunk_count-1}, each once. `known` are the records of a manifest, which may be wrong
    about the collection but knows the tree: they lend their stat fields to files whose hash
    agrees, and files that have no rows for a reason are kept. Files at `doubted` paths do not
    count as current, whatever their rows say. Rows that were put aside are no file's. `project` is
    the key of the project, where it shares the collection with others.
    """
    by_path: defaultdict[str, list[RowKey]] = defaultdict(list)
    for row in rows:
        by_path[row_path(row)].append(row)
    records = {
        path: record
        for path, record in known.items()
        if record.reason and path not in doubted
    }
    found = Audit(records, stale={})
    for path, rows_there in by_path.items():
        is_whole = _is_whole(path, rows_there, project)
        if not is_whole:
            rows_there = _without_aside(path, rows_there, found.aside, project)
            is_whole = _is_whole(path, rows_there, project)
        if is_whole:
            record = _record(path, rows_there, known.get(path))
            if path not in doubted:
                records[path] = record
                continue
            found.doubted[path] = record
        if rows_there:
            records[path] = FileRecord(path, None, "", 0)
            found.stale[path] = {row.id for row in rows_there}
    return found


def _record(path: str, rows: list[RowKey], known: FileRecord | None) -> FileRecord:
    """The record of a file whose rows are those of one whole content."""
    hash_, count = rows[0].file_hash, rows[0].chunk_count
    agrees = known is not None and known.file_hash == hash_
    without = sum(not row.embedded for row in rows)
    found = FileRecord(path, None, hash_, count, unembedded=without)
    if known is None or not agrees:
        return found
    # Whether these rows are to have no vector follows from the content.
    if known.by_words:
        found = replace(found, unembedded=0, by_words=without)
    return replace(found, stat=known.stat, is_plain=known.is_plain)


def _without_aside(
    path: str, rows: list[RowKey], aside: dict[str, set[str]], project: str
) -> list[RowKey]:
    """The rows but for those that were put aside, whose ids are added to `aside`."""
    others = []
    for row in rows:
        if row.id == aside_id(path, row.chunk_no, row.file_hash, project):
            aside.setdefault(row.file_hash, set()).add(row.id)
        else:
            others.append(row)
    return others


def _is_whole(path: str, rows: list[RowKey], project: str) -> bool:
    """Whether the rows are those of one whole content, each once."""
    if not rows:
        return False
    first = rows[0]
    return (
        len(rows) == first.chunk_count
        and {row.chunk_no for row in rows} == set(range(first.chunk_count))
        and all(row.file_hash == first.file_hash for row in rows)
        and all(row.chunk_count == first.chunk_count for row in rows)
        and all(row.id == row_id(path, row.chunk_no, project) for row in rows)
    )


def row_path(row: RowKey) -> str:
    """The path of the row's file, as `os.fsdecode` gives it."""
    try:
        return unescape_path(row.path)
    except ValueError:
        return row.path  # not a row of ours: no file claims it, so it will be deleted
