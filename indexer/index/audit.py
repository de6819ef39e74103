"""Which files of a collection are current, judged by its rows alone. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set

from indexer.milvus.rows import RowKey, row_id
from indexer.paths import unescape_path
from indexer.types import Audit, FileRecord


def audit(
    rows: Iterable[RowKey],
    known: Mapping[str, FileRecord],
    doubted: Set[str] = frozenset(),
) -> Audit:
    """Rebuild the records from the rows.

    A file is current exactly when its rows are {(file_hash, i, chunk_count) for i in
    0..chunk_count-1}, each once. `known` are the records of a manifest, which may be wrong
    about the collection but knows the tree: they lend their stat fields to files whose hash
    agrees, and files that have no rows for a reason are kept. Files at `doubted` paths do not
    count as current, whatever their rows say.
    """
    by_path: defaultdict[str, list[RowKey]] = defaultdict(list)
    for row in rows:
        by_path[row_path(row)].append(row)
    records = {
        path: record
        for path, record in known.items()
        if record.reason and path not in doubted
    }
    stale: dict[str, set[str]] = {}
    for path, found in by_path.items():
        if path not in doubted and _is_current(path, found):
            hash_, count = found[0].file_hash, found[0].chunk_count
            record = known.get(path)
            agrees = record is not None and record.file_hash == hash_
            records[path] = FileRecord(
                path,
                record.stat if record and agrees else None,
                hash_,
                count,
                unembedded=sum(not row.embedded for row in found),
            )
        else:
            records[path] = FileRecord(path, None, "", 0)
            stale[path] = {row.id for row in found}
    return Audit(records, stale)


def _is_current(path: str, rows: list[RowKey]) -> bool:
    first = rows[0]
    return (
        len(rows) == first.chunk_count
        and {row.chunk_no for row in rows} == set(range(first.chunk_count))
        and all(row.file_hash == first.file_hash for row in rows)
        and all(row.chunk_count == first.chunk_count for row in rows)
        and all(row.id == row_id(path, row.chunk_no) for row in rows)
    )


def row_path(row: RowKey) -> str:
    """The path of the row's file, as `os.fsdecode` gives it."""
    try:
        return unescape_path(row.path)
    except ValueError:
        return row.path  # not a row of ours: no file claims it, so it will be deleted
