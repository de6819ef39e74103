"""What rows alone tell about the files they belong to."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.index.audit import audit
from indexer.milvus.rows import RowKey, row_id
from indexer.paths import escape_path
from indexer.types import FileRecord

ODD = os.fsdecode(b"dir/\xff\\ \n\\xff.py")


def rows_of(path: str, count: int = 3, file_hash: str = "h") -> list[RowKey]:
    return [
        RowKey(row_id(path, n), escape_path(path), file_hash, n, count)
        for n in range(count)
    ]


@pytest.mark.parametrize("path", ["a.py", "caf\u00e9", ODD, 'x"] or path not in ["'])
def test_current(path: str) -> None:
    found = audit(reversed(rows_of(path)), {})
    assert found.records == {path: FileRecord(path, None, "h", 3)}
    assert found.stale == {}


def test_no_rows() -> None:
    found = audit([], {"a.py": FileRecord("a.py", None, "h", 3)})
    assert (found.records, found.stale) == ({}, {})


ROWS = rows_of("a.py")
WRONG = {
    "the first is missing": ROWS[1:],
    "the last is missing": ROWS[:-1],
    "one is there twice": [*ROWS, ROWS[1]],
    "one twice instead of another": [ROWS[0], ROWS[1], ROWS[1]],
    "two versions": [*ROWS[:2], replace(ROWS[2], file_hash="i")],
    "a version on top of another": [*ROWS, *rows_of("a.py", 4, "i")[3:]],
    "wrong count": [replace(row, chunk_count=4) for row in ROWS],
    "two counts": [*ROWS[:2], replace(ROWS[2], chunk_count=2)],
    "negative count": [replace(row, chunk_count=-1) for row in ROWS],
    "huge count": [replace(row, chunk_count=2**31 - 1) for row in ROWS],
    "number out of range": [*ROWS[:2], replace(ROWS[2], chunk_no=3)],
    "foreign id": [*ROWS[:2], replace(ROWS[2], id="0" * 64)],
    "id of another path": [*ROWS[:2], replace(ROWS[2], id=row_id("b.py", 2))],
}


@pytest.mark.parametrize("rows", WRONG.values(), ids=WRONG.keys())
def test_not_current(rows: list[RowKey]) -> None:
    known = {"a.py": FileRecord("a.py", (1, 2, 3, 4), "h", 3)}
    found = audit([*rows, *rows_of("b.py")], known)
    assert found.records == {
        "a.py": FileRecord("a.py", None, "", 0),
        "b.py": FileRecord("b.py", None, "h", 3),
    }
    assert found.stale == {"a.py": {row.id for row in rows}}


@pytest.mark.parametrize("path", ["a\\b", "\\xfg", "\\x41", "\\", ""])
def test_a_path_that_we_would_not_write(path: str) -> None:
    row = RowKey("0" * 64, path, "h", 0, 1)
    found = audit([row], {})
    assert list(found.stale.values()) == [{row.id}]
    assert [record.file_hash for record in found.records.values()] == [""]


def test_two_spellings_of_one_path() -> None:
    rows = [*rows_of("a\\b", 1), RowKey("0" * 64, "a\\b", "h", 0, 1)]
    found = audit(rows, {})
    assert found.stale == {"a\\b": {row.id for row in rows}}


def test_stat_fields_are_lent_where_the_hash_agrees() -> None:
    stat = (1, 2, 3, 4)
    known = {
        "a.py": FileRecord("a.py", stat, "h", 99),
        "b.py": FileRecord("b.py", stat, "other", 3),
    }
    found = audit([*rows_of("a.py"), *rows_of("b.py"), *rows_of("c.py")], known)
    assert found.records == {
        "a.py": FileRecord("a.py", stat, "h", 3),
        "b.py": FileRecord("b.py", None, "h", 3),
        "c.py": FileRecord("c.py", None, "h", 3),
    }


def test_files_without_rows_keep_their_reason() -> None:
    logo = FileRecord("logo", (1, 2, 3, 4), "i", 0, "binary")
    known = {"logo": logo, "lost.py": FileRecord("lost.py", None, "h", 3)}
    assert audit([], known).records == {"logo": logo}
    # Unless they do have rows.
    assert audit(rows_of("logo"), known).records == {
        "logo": FileRecord("logo", None, "h", 3)
    }


@given(st.data())
def test_exactly_the_damaged_files_lose_their_hash(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    files = {f"{n}.py": rows_of(f"{n}.py", count) for n, count in enumerate(counts)}
    damaged = data.draw(st.sets(st.sampled_from(sorted(files))))
    for path in damaged:
        rows = files[path]
        where = data.draw(st.integers(0, len(rows) - 1))
        match data.draw(st.sampled_from(["double", "lose", "hash", "count", "id"])):
            case "double":
                rows.append(rows[where])
            case "lose" if len(rows) > 1:
                del rows[where]
            case "hash" if len(rows) > 1:
                rows[where] = replace(rows[where], file_hash="other")
            case "count":
                rows[where] = replace(rows[where], chunk_count=5)
            case _:
                rows[where] = replace(rows[where], id="0" * 64)
    rows = data.draw(st.permutations([row for rows in files.values() for row in rows]))
    found = audit(rows, {})
    assert set(found.records) == set(files)
    assert {path for path, r in found.records.items() if not r.file_hash} == damaged
    assert found.stale == {path: {row.id for row in files[path]} for path in damaged}


@pytest.mark.parametrize("by_words", [0, 3])
@pytest.mark.parametrize("without", [0, 1, 3])
def test_what_is_to_have_no_vector_is_known_where_the_hash_agrees(
    by_words: int, without: int
) -> None:
    """Rows only say that they have no vector."""
    rows = [
        replace(row, embedded=number >= without)
        for number, row in enumerate(rows_of("a.csv"))
    ]
    known = FileRecord("a.csv", (1, 2, 3, 4), "h", 3, by_words=by_words, is_plain=True)
    (found,) = audit(rows, {"a.csv": known}).records.values()
    assert found.is_plain and found.stat
    expected = (0, without) if by_words else (without, 0)
    assert (found.unembedded, found.by_words) == expected
    for lent in ({}, {"a.csv": replace(known, file_hash="other")}):
        (found,) = audit(rows, lent).records.values()
        assert (found.unembedded, found.by_words) == (without, 0)
        assert found.stat is None and not found.is_plain
