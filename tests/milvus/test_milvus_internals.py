"""The insides of pymilvus and milvus-lite that we use are as we read them.

When one of these tests fails after an upgrade, read what changed, adapt
`indexer/milvus/internals.py`, and only then raise its `READ_IN`.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh_python import python
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException
from store_rows import PHYSICAL, make_row, make_rows, prepare, serve

from indexer.errors import StateError, StoreError
from indexer.milvus import internals, segments
from indexer.milvus.client import open_client
from indexer.milvus.on_disk import is_locked
from indexer.milvus.segments import SegmentColumns, files_apart
from indexer.milvus.store import FINGERPRINT, Store
from indexer.milvus.vector_file import is_marked

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


@pytest.mark.parametrize("package", internals.READ_IN)
def test_the_versions_are_those_that_were_read(package: str) -> None:
    read_in = internals.READ_IN[package]
    assert version(package) == read_in
    assert f"{package}=={read_in}" in CONSTRAINTS.read_text().splitlines()


# pymilvus


def test_scipy_is_looked_for_once_at_the_first_sparse_vector() -> None:
    from pymilvus.client.utils import SciPyHelper

    assert isinstance(SciPyHelper._checked, bool)
    assert "if cls._checked:\n            return" in inspect.getsource(
        SciPyHelper._init
    )


def test_a_sparse_vector_does_not_import_scipy(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from indexer.milvus.embedded import serve
from store_rows import make_rows, prepare
store = prepare(serve(sys.argv[1] + "/milvus.db", sys.argv[1], "code", patience=0))
store.upsert(make_rows(1))
store.search("sparse", {1: 1.0}, 1)
print("scipy.sparse" in sys.modules)
store.close()
"""
    assert python(code, tmp_path) == "False\n"


def test_a_projects_env_file_is_not_read(tmp_path: Path) -> None:
    """pymilvus looks for one in the working directory if it is started like this."""
    (tmp_path / ".env").write_text("FROM_A_FILE=1\n")
    code = """
import os, sys
os.chdir(sys.argv[1])
from indexer.milvus import internals, segments
internals.silence()
print("FROM_A_FILE" in os.environ)
"""
    assert python(code, tmp_path) == "False\n"


def test_the_loggers_exist_under_these_names() -> None:
    internals.import_milvus_lite()
    for name in ("pymilvus.client", "pymilvus.milvus_client.x", "milvus_lite.db"):
        logger = logging.getLogger(name)
        assert not logger.isEnabledFor(logging.CRITICAL)
    for module in ("pymilvus.decorators", "milvus_lite.adapter.grpc.server"):
        assert module in sys.modules
        assert logging.getLogger(module).getEffectiveLevel() > logging.CRITICAL


def test_an_unreachable_server_by_its_message(tmp_path: Path) -> None:
    with pytest.raises(MilvusException) as caught:
        MilvusClient(f"unix:{tmp_path}/nobody", timeout=0.2, dedicated=True)
    assert internals.is_unavailable(caught.value)
    assert not internals.is_unavailable(MilvusException(message="no such field"))


def test_the_message_of_an_error_without_its_code() -> None:
    error = MilvusException(code=7, message="a\n  b")
    assert internals.one_line(error) == "a b"
    assert internals.one_line(ValueError()) == "ValueError"


# milvus-lite: its memory and its speed


def test_the_bounds_on_memory_are_used(tmp_path: Path) -> None:
    from milvus_lite.engine import collection, compaction

    # Read where they are used, so that our values count.
    assert "MEMTABLE_MEMORY_LIMIT" in inspect.getsource(collection.Collection)
    assert "MAX_SEGMENT_ROWS" in inspect.getsource(compaction.CompactionManager)
    code = """
from indexer.milvus import internals, segments
internals.import_milvus_lite()
import pyarrow
from milvus_lite.engine import collection, compaction
print(collection.MEMTABLE_MEMORY_LIMIT, compaction.MAX_SEGMENT_ROWS)
print(pyarrow.default_memory_pool().backend_name)
"""
    bounds = f"{internals.MEMTABLE_BYTES} {internals.SEGMENT_ROWS}"
    assert python(code, tmp_path) == f"{bounds}\nsystem\n"


# milvus-lite: its server


@contextmanager
def started(folder: Path) -> Iterator[None]:
    internals.import_milvus_lite()
    stop = internals.start_server(str(folder / "milvus.db"), str(folder))
    try:
        yield
    finally:
        stop()


def test_the_server_has_the_parameters_and_results_that_we_use() -> None:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    parameters = inspect.signature(start_server_in_thread).parameters
    assert [*parameters] == ["data_dir", "host", "port", "max_workers"]


def test_the_server_listens_on_the_socket_until_it_is_stopped(tmp_path: Path) -> None:
    path = Path(internals.socket_path(str(tmp_path)))
    lock = internals.lock_file(str(tmp_path / "milvus.db"))
    for _ in range(2):
        with started(tmp_path):
            assert path.is_socket()
            assert is_locked(lock) or not os.path.exists("/proc/locks")
            client = open_client(f"unix:{path}", timeout=5)
            assert client.list_collections() == []
            client.close()
        assert not path.exists()
        assert os.path.exists(lock) and not is_locked(lock)


def test_another_process_that_has_it_open_is_told_apart(tmp_path: Path) -> None:
    database = str(tmp_path / "milvus.db")
    start: list[Callable[[str], Any]] = [
        partial(internals.start_server, folder=str(tmp_path)),
        internals.open_engine,
    ]
    with started(tmp_path):
        for one in start:
            with pytest.raises(BlockingIOError):
                one(database)
    (tmp_path / "file").touch()
    for one in start:
        with pytest.raises(StateError):
            one(str(tmp_path / "file"))


def test_the_socket_of_another_server_is_left_alone(tmp_path: Path) -> None:
    path = Path(internals.socket_path(str(tmp_path)))
    with started(tmp_path):
        path.unlink()
        path.touch()
    assert path.exists()


def query(client: MilvusClient) -> list[str]:
    found = client.query(PHYSICAL, filter='id != ""', output_fields=["text"])
    return [row["text"] for row in found]


def search(client: MilvusClient, field: str, value: object) -> list[str]:
    (hits,) = client.search(
        PHYSICAL, data=[value], anns_field=field, limit=1, output_fields=["text"]
    )
    return [hit["entity"]["text"] for hit in hits]


READS: dict[str, Callable[[MilvusClient], list[str]]] = {
    "query": query,
    "dense": lambda client: search(client, "vector", make_row(0)["vector"]),
    "sparse": lambda client: search(client, "sparse", {7: 1.0}),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("workers", [1, 10])
@pytest.mark.parametrize("is_ours", [True, False])
def test_a_flush_that_begins_within_a_read(
    is_ours: bool,
    workers: int,
    read: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With our one worker the flush waits, and with more, our reads look at the memory first.

    milvus-lite's own take the list of segments before and look at the memory after, so they
    miss what was acknowledged long before, and find what that replaced. Once they do not,
    milvus-lite has mended this, and docs/design/milvus.md may say so.
    """
    internals.import_milvus_lite()
    from milvus_lite.adapter.grpc import server
    from milvus_lite.engine.collection import Collection
    from milvus_lite.storage.memtable import MemTable

    start = server.start_server_in_thread
    begun, flushed = threading.Event(), threading.Event()
    first: tuple[Any, str] = (Collection, "_read_snapshot")
    if is_ours:
        first = (MemTable, "to_arrow_table")
    else:
        for name in ("search", "query"):
            monkeypatch.setattr(Collection, name, getattr(Collection, name).__wrapped__)
    look = getattr(*first)

    def start_with_workers(*given: Any, max_workers: int, **named: Any) -> Any:
        assert max_workers == 1
        return start(*given, max_workers=workers, **named)

    def look_and_wait(looked_at: Any) -> Any:
        found = look(looked_at)
        begun.set()
        flushed.wait(0.3 if workers == 1 else 60)
        return found

    def flush(store: Store) -> None:
        begun.wait(60)
        store.flush()
        flushed.set()

    monkeypatch.setattr(server, "start_server_in_thread", start_with_workers)
    # A merge looks at the segments as well, with the lock that a flush needs.
    monkeypatch.setattr(Collection, "_bg_compact_and_index", lambda collection: None)
    with closing(prepare(serve(tmp_path))) as store:
        store.upsert([make_row(0, text="old")])
        store.finish()
        store.upsert([make_row(0, text="new")])
        other = open_client(f"unix:{internals.socket_path(str(tmp_path))}")
        monkeypatch.setattr(*first, look_and_wait)
        with closing(other), ThreadPoolExecutor(1) as pool:
            done = pool.submit(flush, store)
            found = READS[read](other)
            done.result()
    assert found == ["new" if workers == 1 or is_ours else "old"]


# milvus-lite: its files


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A closed database with three rows in a segment, whose vectors lie apart as well."""
    monkeypatch.setattr(segments, "LEAST_ROWS_APART", 1)
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(3))
    store.finish()
    store.close()
    return str(tmp_path / "milvus.db")


def test_the_files_lie_where_we_look(database: str) -> None:
    from milvus_lite import db
    from milvus_lite.engine.collection import Collection
    from milvus_lite.storage import manifest

    folder = Path(internals.collection_folder(database, PHYSICAL))
    assert json.loads(Path(internals.aliases_file(database)).read_text()) == {
        "code": PHYSICAL
    }
    schema = json.loads((folder / internals.SCHEMA).read_text())
    assert FINGERPRINT in schema["properties"]
    listed = json.loads((folder / internals.MANIFEST).read_text())
    assert "data_0" in json.dumps(listed["partitions"])
    assert (db.SCHEMA_FILENAME, db.LOCK_FILENAME) == ("schema.json", "LOCK")
    names = manifest.MANIFEST_PREV_FILENAME, manifest.MANIFEST_TMP_FILENAME
    assert all(name.startswith(internals.MANIFEST) for name in names)
    assert f'"{internals.INDEXES}"' in inspect.getsource(Collection._index_dir)
    (segment,) = folder.rglob("data_*.parquet")
    indexes = sorted(str(path) for path in folder.rglob("*.idx"))
    assert indexes == sorted(files_apart(str(segment)))
    assert all(map(is_marked, indexes))


def rows_found(folder: Path) -> int:
    store: Store = serve(folder)
    try:
        store.open()
        return len(store.search("vector", make_rows(1)[0]["vector"], 9))
    finally:
        store.close()


@pytest.mark.parametrize("kind", ["torn", "zeros", "a folder", "no folder around"])
def test_a_copy_of_the_vectors_is_removed_unread(
    database: str, tmp_path: Path, kind: str
) -> None:
    """As an older version wrote it, and as a kill or a disk may leave it."""
    folder = Path(internals.collection_folder(database, PHYSICAL))
    (segment,) = folder.rglob("data_*.parquet")
    shutil.rmtree(around := segment.parents[1] / internals.INDEXES)
    around.mkdir()
    index = around / f"{segment.stem}.vector.flat.idx"
    if kind == "a folder":
        index.mkdir()
    elif kind == "no folder around":
        around.rmdir()
        around.write_bytes(b"noise")
    else:
        np.save(index, np.zeros((3, 8), np.float32))
        index.with_suffix(".idx.npy").rename(index)
        os.truncate(index, 20 if kind == "torn" else index.stat().st_size)
    assert rows_found(tmp_path) == 3
    assert not index.exists() and not around.is_file()


def test_a_flipped_bit_in_a_page_is_told(database: str, tmp_path: Path) -> None:
    folder = Path(internals.collection_folder(database, PHYSICAL))
    (segment,) = folder.rglob("data_*.parquet")
    content = bytearray(segment.read_bytes())
    vector = make_rows(1)[0]["vector"].tobytes()
    content[content.index(vector[:4]) + 1] ^= 1
    segment.write_bytes(content)
    assert rows_found(tmp_path) == 3  # by the vectors' own file
    store = serve(tmp_path)
    store.open()
    with pytest.raises(StoreError, match="clear"):
        list(store.keys())
    store._guard.is_broken = False
    store.close()
    shutil.rmtree(segment.parents[1] / internals.INDEXES)
    with pytest.raises(StoreError, match="clear"):
        rows_found(tmp_path)


def test_a_run_that_writes_reads_two_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(3))
    store.close()
    asked: list[list[str]] = []
    read = SegmentColumns.read

    def noted(segment: SegmentColumns, names: Iterable[str]) -> Any:
        asked.append(list(names))
        return read(segment, names)

    monkeypatch.setattr(SegmentColumns, "read", noted)
    store = prepare(serve(tmp_path))
    rows = make_rows(5)
    store.upsert(rows[1:])
    store.delete([rows[0]["id"]])
    store.flush()
    assert store.count() == 4
    assert {*map(str, asked)} == {"['id', '_seq']"}
    assert len(store.search("vector", rows[2]["vector"], 9)) == 4
    store.close()
    assert ["vector"] in asked and not [names for names in asked if "text" in names]


def test_a_segment_is_read_after_a_merge_has_removed_its_file(tmp_path: Path) -> None:
    store = prepare(serve(tmp_path))
    store.upsert(rows := make_rows(3))
    store.flush()
    for file in Path(tmp_path).rglob("data_*.parquet"):
        file.rename(file.with_suffix(".gone"))
    assert len(store.search("vector", rows[0]["vector"], 9)) == 3
    for file in Path(tmp_path).rglob("data_*.gone"):
        file.rename(file.with_suffix(".parquet"))
    store.close()
    assert not [
        name
        for number in os.listdir("/proc/self/fd")
        if os.path.exists(name := f"/proc/self/fd/{number}")
        and os.readlink(name).startswith(str(tmp_path))
    ]


def test_only_a_collection_without_a_schema_is_removed(database: str) -> None:
    torn = Path(internals.collection_folder(database, "torn"))
    (torn / "partitions").mkdir(parents=True)
    internals.remove_torn_collection(database, "torn")
    internals.remove_torn_collection(database, PHYSICAL)
    assert not torn.exists()
    assert os.path.exists(internals.collection_folder(database, PHYSICAL))


def test_a_folder_in_the_place_of_a_collection_is_refused(
    tmp_path: Path,
) -> None:
    """Which is why the folder of a torn one is removed."""
    with started(tmp_path):
        client = open_client(f"unix:{internals.socket_path(str(tmp_path))}")
        os.makedirs(internals.collection_folder(str(tmp_path / "milvus.db"), "torn"))
        with pytest.raises(MilvusException):
            client.create_collection("torn", dimension=4)
        client.close()
