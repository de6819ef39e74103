"""Reads in arrays give what milvus-lite's own reads give."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_rows import DIMENSION, PHYSICAL, make_row, make_rows, prepare, serve

from indexer.milvus import internals, posting_file, vector_file
from indexer.milvus.posting_file import PostingFile
from indexer.milvus.postings import Postings
from indexer.milvus.rows import KEY_FIELDS, SHOWN_FIELDS
from indexer.milvus.segments import (
    GROUP_ROWS,
    LEAST_ROWS_APART,
    SegmentColumns,
    files_apart,
    write_segment,
)
from indexer.milvus.store import Store

Answer = Callable[[Any], Any]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """milvus-lite's own database, without a server."""
    internals.import_milvus_lite()
    from milvus_lite.db import MilvusLite

    folder = tmp_path_factory.mktemp("reads")
    store = prepare(serve(folder))
    store.close()
    opened = MilvusLite(str(folder / "milvus.db"))
    yield opened
    opened.close()


def loaded(database: Any) -> Any:
    collection = database.get_collection(PHYSICAL)
    if collection.load_state != "loaded":
        collection.load()
    return collection


def own_answer(collection: Any, read: Answer) -> Any:
    """What milvus-lite itself answers, in whose place ours were put."""
    kind = type(collection)
    ours = {name: getattr(kind, name) for name in ("search", "query", "get")}
    ours["_num_entities"] = kind._num_entities
    try:
        for name, method in ours.items():
            setattr(kind, name, method.__wrapped__)
        return read(collection)
    finally:
        for name, method in ours.items():
            setattr(kind, name, method)


WHERE = [None, "embedded == true", 'path == "b.py"', 'id != ""', 'language like "z%"']


def reads(number: int, where: str | None, most: int) -> dict[str, Answer]:
    query = make_row(number)["vector"].tolist()
    terms = {number + 1: 2.0, 7: 0.25, 3: 1.0}
    ids = [row["id"] for row in [*make_rows(6), make_row(2, "b.py"), make_row(99)]]

    def search(field: str, vector: Any) -> Answer:
        return lambda one: one.search(
            [vector], most, expr=where, anns_field=field, output_fields=SHOWN_FIELDS
        )

    return {
        "dense": search("vector", query),
        "sparse": search("sparse", terms),
        "keys": lambda one: one.query(where, output_fields=KEY_FIELDS),
        "limited": lambda one: len(one.query(where, limit=most)),
        "whole": lambda one: list(one.query(where)),
        "get": lambda one: one.get(ids, output_fields=["text", "vector", "sparse"]),
        "count": lambda one: one.num_entities,
        "by page": lambda one: one.query(where, order_by_pk=True, limit=most),
    }


def same(ours: Any, theirs: Any) -> bool:
    """Whether two answers agree, up to the order of equals and the last bits of a score."""
    if isinstance(theirs, list) and theirs and isinstance(theirs[0], list):
        return all(map(_same_hits, ours, theirs))
    if isinstance(theirs, list):
        return sorted(map(_told, ours)) == sorted(map(_told, theirs))
    return bool(ours == theirs)


def _told(record: dict[str, Any]) -> str:
    return str(sorted(record.items()))


def _same_hits(ours: list[Any], theirs: list[Any]) -> bool:
    scores = [[hit["distance"] for hit in hits] for hits in (ours, theirs)]
    assert len(ours) == len(theirs)
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    # At the end, only some of several equals are found.
    lowest = min(scores[1], default=0)
    certain = [
        {hit["id"]: hit["entity"] for hit in hits if hit["distance"] > lowest + 1e-4}
        for hits in (ours, theirs)
    ]
    return certain[0] == certain[1]


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "upsert", "delete", "flush", "merge"]),
        st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True),
        st.sampled_from(["a.py", "b.py"]),
    ),
    max_size=10,
)


@given(ACTS, st.integers(0, 9), st.sampled_from(WHERE), st.sampled_from([1, 3, 10, 50]))
def test_they_are_those_of_milvus_lite(
    database: Any, acts: list[Any], number: int, where: str | None, most: int
) -> None:
    collection = loaded(database)
    collection.delete([row["id"] for row in all_rows()])
    for round_, (act, numbers, path) in enumerate(acts):
        rows = [make_row(one, path, f"round {round_}") for one in numbers]
        if act == "upsert":
            for row in rows:
                row["embedded"] = row["chunk_no"] % 3 > 0
                row["vector"] = row["vector"].tolist()
            collection.insert(rows)
        elif act == "delete":
            collection.delete([row["id"] for row in rows])
        else:
            collection.flush()
            collection._wait_for_bg()
        if act == "merge":
            merge(collection)
    for name, read in reads(number, where, most).items():
        assert same(read(collection), own_answer(collection, read)), name


def all_rows() -> list[dict[str, Any]]:
    return [make_row(one, path) for one in range(10) for path in ("a.py", "b.py")]


def merge(collection: Any) -> None:
    with collection._maintenance_lock:
        files = collection._manifest.get_data_files("_default")
        if files:
            folder = f"{collection.data_dir}/partitions/_default"
            collection._compaction_mgr._compact_files(
                "_default", folder, files, collection._manifest, collection._delta_index
            )
            collection._refresh_segment_cache()


LEFT = [
    {"partition_names": ["_default"]},
    {"group_by_field": "path"},
    {"radius": 0.1},
    {"metric_type": "L2"},
    {"offset": 1},
]


@pytest.mark.parametrize("options", LEFT, ids=str)
def test_what_is_left_to_milvus_lite(database: Any, options: dict[str, Any]) -> None:
    collection = loaded(database)
    rows = all_rows()
    collection.insert([{**row, "vector": row["vector"].tolist()} for row in rows])
    queries = [rows[3]["vector"].tolist(), rows[4]["vector"].tolist()]

    def read(one: Any) -> Any:
        return one.search(queries, 3, **options)

    answer = read(collection)
    assert all(answer) and same(answer, own_answer(collection, read))
    if options.keys() & {"group_by_field", "metric_type", "offset"}:
        assert answer != collection.search(queries, 3)


@pytest.mark.parametrize("query", [[[1.0, 2.0]], [1.0]])
def test_no_vector_for_a_query(database: Any, query: Any) -> None:
    collection = loaded(database)
    collection.insert([{**make_row(1), "vector": [1.0] * DIMENSION}])
    with pytest.raises(ValueError):
        collection.search(query, 5)


# Postings


VECTORS = st.lists(
    st.dictionaries(
        st.integers(0, 2**32 - 1) | st.integers(0, 12),
        st.floats(0.125, 4, width=16),
        max_size=5,
    ),
    max_size=20,
)


@given(
    VECTORS,
    st.dictionaries(st.integers(0, 12), st.floats(0.25, 2, width=16)),
    st.integers(1, 7),
    st.integers(0, 3),
)
def test_postings_give_inner_products(
    vectors: list[dict[int, float]], query: dict[int, float], part: int, skipped: int
) -> None:
    internals.import_milvus_lite()
    import pyarrow
    from milvus_lite.analyzer.sparse import sparse_to_bytes

    packed = [sparse_to_bytes(vector) for vector in [{1: 1.0}] * skipped + vectors]
    whole = pyarrow.array(packed, pyarrow.binary())[skipped:]
    parts = [whole[start : start + part] for start in range(0, len(vectors), part)]
    postings = Postings.of(pyarrow.chunked_array(parts, pyarrow.binary()))
    assert postings.count == len(vectors)
    wanted = [
        sum(weight * vector.get(term, 0) for term, weight in query.items())
        for vector in vectors
    ]
    assert postings.scores(query).tolist() == pytest.approx(wanted, abs=1e-3)

    pks = [str(number) for number in range(len(vectors))]
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "indexes", "postings")
        posting_file.write(path, postings, pks)
        file = PostingFile.open(path, pks)
        assert file is not None
        with closing(file):
            found = file.scores(query)
        assert found is not None and found.tolist() == postings.scores(query).tolist()


# Segments and the files of their vectors


def segment(folder: Path, count: int) -> tuple[str, list[dict[str, Any]]]:
    internals.import_milvus_lite()
    import pyarrow
    from milvus_lite.analyzer.sparse import sparse_to_bytes

    rows = make_rows(count)
    table = pyarrow.Table.from_pylist(
        [{**row, "sparse": sparse_to_bytes(row["sparse"])} for row in rows],
        pyarrow.schema(
            [
                *((name, pyarrow.string()) for name in ("id", "path", "text")),
                ("chunk_no", pyarrow.int32()),
                ("embedded", pyarrow.bool_()),
                ("vector", pyarrow.list_(pyarrow.float32(), DIMENSION)),
                ("sparse", pyarrow.binary()),
            ]
        ),
    ).append_column("_seq", pyarrow.array(range(count), pyarrow.uint64()))
    (folder / "data").mkdir(parents=True)
    path = str(folder / "data" / "data_0_9.parquet")
    write_segment(table, path)
    return path, rows


def test_rows_of_several_groups(tmp_path: Path) -> None:
    path, rows = segment(tmp_path, count := 2 * GROUP_ROWS + 5)
    found = SegmentColumns.load(path, "_default", "id", "vector")
    wanted = [count - 1, 0, GROUP_ROWS, GROUP_ROWS - 1, 3, count - 1]
    for keep in (False, True, True):
        records = found.records(wanted, ["chunk_no", "id"], keep=keep)
        assert [record["chunk_no"] for record in records] == wanted
        assert [record["id"] for record in records] == [rows[n]["id"] for n in wanted]
    vectors, lengths = found.vectors_of("vector")
    assert vectors.tolist() == [row["vector"].tolist() for row in rows]
    assert lengths == pytest.approx(1)
    found.close()


def damaged(kind: str, content: bytes) -> bytes:
    if kind == "cut short":
        return content[:-DIMENSION]
    if kind == "empty":
        return b""
    if kind == "longer":
        return content + b"\0"
    changed = bytearray(content)
    changed[{"a bit": len(content) // 2, "the checksum": -1, "the head": 9}[kind]] ^= 4
    return bytes(changed)


DAMAGE = ["cut short", "empty", "longer", "a bit", "the checksum", "the head"]


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_of_vectors_is_not_used(tmp_path: Path, kind: str) -> None:
    path, rows = segment(tmp_path, LEAST_ROWS_APART)
    file = Path(vector_file.path_of(path, "vector"))
    ids = [row["id"] for row in rows]
    assert vector_file.read(str(file), ids) is not None
    assert vector_file.read(str(file), ids[1:]) is None
    assert vector_file.read(str(file), [*ids[1:], ids[0]]) is None
    file.write_bytes(damaged(kind, file.read_bytes()))
    assert vector_file.read(str(file), ids) is None
    found = SegmentColumns.load(path, "_default", "id", "vector")
    assert found.vectors_of("vector")[0].tolist() == [
        row["vector"].tolist() for row in rows
    ]
    found.close()


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_of_postings_is_not_used(tmp_path: Path, kind: str) -> None:
    path, rows = segment(tmp_path, LEAST_ROWS_APART)
    query = {term: 1.0 for row in rows for term in row["sparse"]}
    found = SegmentColumns.load(path, "_default", "id", "vector")
    wanted = found.inner_products("sparse", query).tolist()
    assert len(wanted) == len(rows) and all(wanted)
    found.close()

    file = Path(posting_file.path_of(path, "sparse"))
    ids = [row["id"] for row in rows]
    assert PostingFile.open(str(file), ids[1:]) is None
    assert PostingFile.open(str(file), [*ids[1:], ids[0]]) is None
    file.write_bytes(damaged(kind, file.read_bytes()))
    damaged_file = PostingFile.open(str(file), ids)
    if damaged_file is not None:  # the directory is sound
        assert kind == "a bit" and damaged_file.scores(query) is None
        damaged_file.close()
    found = SegmentColumns.load(path, "_default", "id", "vector")
    assert found.inner_products("sparse", query).tolist() == wanted
    found.close()


def test_every_flipped_bit_in_a_file_of_postings_is_seen(tmp_path: Path) -> None:
    path, rows = segment(tmp_path, LEAST_ROWS_APART)
    file = Path(posting_file.path_of(path, "sparse"))
    ids = [row["id"] for row in rows]
    query = {term: 1.0 for row in rows for term in row["sparse"]}
    content = file.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        found = PostingFile.open(str(file), ids)
        assert found is None or found.scores(query) is None, place
        if found:
            found.close()


def test_a_search_reads_postings_of_a_file_that_is_gone(tmp_path: Path) -> None:
    """A merge may have removed it since."""
    path, rows = segment(tmp_path, LEAST_ROWS_APART)
    query = {term: 1.0 for term in rows[0]["sparse"]}
    found = SegmentColumns.load(path, "_default", "id", "vector")
    wanted = found.inner_products("sparse", query).tolist()
    for gone in (path, *files_apart(path)):
        os.unlink(gone)
    assert found.inner_products("sparse", query).tolist() == wanted
    found.close()


def test_a_file_of_vectors_that_cannot_be_written_is_done_without(
    tmp_path: Path,
) -> None:
    (tmp_path / "indexes").write_text("in the way")
    path, _ = segment(tmp_path, LEAST_ROWS_APART)
    found = SegmentColumns.load(path, "_default", "id", "vector")
    assert len(found.vectors_of("vector")[0]) == LEAST_ROWS_APART
    found.close()


def test_milvus_lite_alone_reads_what_we_write(tmp_path: Path) -> None:
    from fresh_python import python

    store: Store = prepare(serve(tmp_path))
    rows = make_rows(LEAST_ROWS_APART)
    store.upsert(rows)
    store.finish()
    store.close()
    code = """
import sys
from milvus_lite.db import MilvusLite
db = MilvusLite(sys.argv[1] + "/milvus.db")
collection = db.get_collection(sys.argv[2])
collection.load()
vector = [float(one) for one in sys.argv[3].split(",")]
print(collection.num_entities, collection.search([vector], 1)[0][0]["distance"])
"""
    vector = ",".join(map(str, rows[2]["vector"].tolist()))
    count, score = python(code, tmp_path, PHYSICAL, vector).split()
    assert count == str(LEAST_ROWS_APART) and math.isclose(
        float(score), 1, abs_tol=1e-5
    )


def test_cosines_of_vectors_of_any_length(database: Any) -> None:
    collection = loaded(database)
    collection.delete([row["id"] for row in all_rows()])
    rows = [make_row(n) for n in range(4)]
    for row, length in zip(rows, (0.0, 0.5, 1.0, 20.0), strict=True):
        row["vector"] = (row["vector"] * np.float32(length)).tolist()
    collection.insert(rows)
    query = [*make_row(8)["vector"] * 3]

    def read(one: Any) -> Any:
        return one.search([query], 9, expr='id != ""')

    assert same(read(collection), own_answer(collection, read))


def test_segments_and_memory_are_ranked_together(tmp_path: Path) -> None:
    with closing(prepare(serve(tmp_path))) as store:
        for number in range(5):  # a segment each, and one in memory
            rows = [make_row(n, path=f"{number}.py", of=4) for n in range(4)]
            store.upsert(rows)
            if number < 4:
                store.flush()
        for _ in range(2):  # the second time, all is in memory
            found = store.search("sparse", {7: 1.0, 3: 2.0}, 30)
            assert len(found) == 20
            best = [(hit["path"], hit["chunk_no"], hit["score"]) for hit in found[:5]]
            assert best == [(f"{number}.py", 2, 2.5) for number in range(5)]
