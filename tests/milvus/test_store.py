"""A real milvus-lite, on its private socket and behind an address."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import store_rows
from milvus_server import free_port, served
from pymilvus import DataType, MilvusClient
from store_rows import DIMENSION, PHYSICAL, PRINT, make_row, make_rows, prepare, serve

from indexer.errors import (
    ForeignCollectionError,
    LockedError,
    NoIndexError,
    StateError,
    StoreError,
    StoreUnavailableError,
)
from indexer.milvus import embedded, remote
from indexer.milvus import rows as rowing
from indexer.milvus import schema
from indexer.milvus import store as storing
from indexer.milvus import table
from indexer.milvus.on_disk import signature
from indexer.milvus.remote import connect
from indexer.milvus.rows import FIELDS, SHOWN_FIELDS, Row, RowKey, row_id
from indexer.milvus.schema import physical_name
from indexer.milvus.store import FINGERPRINT, HAS_VECTORS, WRITER, Store


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens stores in tmp_path, and closes what is still open at the end."""
    opened: list[Store] = []

    def open_(name: str = "code") -> Store:
        opened.append(serve(tmp_path, name))
        return opened[-1]

    yield open_
    for store in opened:
        store._guard.is_broken = False
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return prepare(open_store())


OTHER_PRINT = "b2" * 32


def read(folder: Path, name: str = "code") -> Store:
    return embedded.read(str(folder / "milvus.db"), str(folder), name)


def flush(store: Store) -> None:
    store._client.flush(store.physical)


# The collection


def test_schema(store: Store) -> None:
    found = store._client.describe_collection("code")
    assert found["collection_name"] == PHYSICAL
    assert found["consistency_level_name"] == "Strong"
    assert found["properties"] == {FINGERPRINT: PRINT, "codx.model": "m"}
    assert not found["enable_dynamic_field"] and not found["auto_id"]
    fields = {field["name"]: field for field in found["fields"]}
    assert list(fields) == FIELDS
    assert [name for name, field in fields.items() if field.get("is_primary")] == ["id"]
    lengths = {
        name: field["params"]["max_length"]
        for name, field in fields.items()
        if field["type"] == DataType.VARCHAR
    }
    assert lengths == {
        "id": 64,
        "path": 4096,
        "file_hash": 64,
        "language": 64,
        "symbol": 4096,
        "text": 65535,
    }
    assert fields["vector"]["type"] == DataType.FLOAT_VECTOR
    assert fields["vector"]["params"]["dim"] == DIMENSION
    index = store._client.describe_index("code", "vector")
    assert (index["index_type"], index["metric_type"]) == ("FLAT", "COSINE")


def test_names() -> None:
    assert row_id("d/\udcff.py", 12) == hashlib.sha256(b"d/\xff.py\x0012").hexdigest()
    assert physical_name("code", PRINT) == "code__a1a1a1a1"


def test_open(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    with pytest.raises(NoIndexError, match="no collection 'code'"):
        store.open()
    prepare(store).claim("me")
    marks = {WRITER: "me", HAS_VECTORS: "yes"}
    assert store.open() == {FINGERPRINT: PRINT, "codx.model": "m", **marks}
    assert store.physical == PHYSICAL
    store.claim("you")
    assert store.open()[WRITER] == "you"
    with pytest.raises(NoIndexError, match="no database"):
        read(tmp_path / "elsewhere")


def test_prepare_again_keeps_the_rows(store: Store) -> None:
    store.upsert(make_rows(3))
    assert prepare(store).count() == 3


def test_rows_round_trip(store: Store) -> None:
    rows = make_rows(5)
    rows[3]["text"] = 'é "\\ \U0001f600\n\x00' + "x" * 60_000
    store.upsert(rows)
    ids = [row["id"] for row in rows]
    found = {row["id"]: row for row in store.fetch([*ids, "absent"])}
    assert set(found) == set(ids)
    for row in rows:
        there = found[row["id"]]
        assert np.array(there.pop("vector"), np.float32).tobytes() == (
            row.pop("vector").tobytes()
        )
        assert there == row
    assert store.count() == 5
    assert set(store.keys()) == {
        RowKey(row["id"], "a.py", "h" * 40, row["chunk_no"], 5) for row in rows
    }


def test_upsert_replaces(store: Store) -> None:
    store.upsert(make_rows(2))
    store.upsert([make_row(0, text="y")])
    assert store.count() == 2
    assert store.fetch([row_id("a.py", 0)])[0]["text"] == "y"


def test_delete(store: Store) -> None:
    store.upsert(make_rows(3))
    store.delete([row_id("a.py", 1), row_id("a.py", 7)])
    store.delete(["never there"])
    store.delete([])
    assert {key.chunk_no for key in store.keys()} == {0, 2}


def test_search(store: Store) -> None:
    rows = make_rows(20)
    store.upsert(rows)
    found = store.search("vector", rows[7]["vector"], 3)
    assert [row["id"] for row in found][0] == rows[7]["id"]
    assert found[0]["score"] == pytest.approx(1)
    cosines = sorted((float(rows[7]["vector"] @ r["vector"]) for r in rows))[:-4:-1]
    assert [row["score"] for row in found] == pytest.approx(cosines, abs=1e-5)
    assert set(found[0]) == {*SHOWN_FIELDS, "embedded", "id", "score"}


def test_large_calls_are_split(store: Store) -> None:
    rows = make_rows(2_001)
    sizes = []
    client_upsert = store._client.upsert

    def upsert(name: str, batch: list[Row], **options: Any) -> Any:
        sizes.append(len(batch))
        return client_upsert(name, batch, **options)

    store._client.upsert = upsert
    store.upsert(rows)
    assert sizes == [1000, 1000, 1]
    assert len(store.fetch([row["id"] for row in rows])) == 2_001
    store.delete([row["id"] for row in rows])
    assert store.count() == 0


def test_batches_by_size() -> None:
    big = "é" * 500_000  # a megabyte
    rows = [make_row(n, text=big if n % 2 else "x") for n in range(40)]
    batches = list(rowing.batches(iter(rows)))
    assert [row for batch in batches for row in batch] == rows
    sizes = [sum(len(r["text"].encode()) for r in batch) for batch in batches]
    assert len(batches) == 2 and max(sizes) <= rowing.UPSERT_BYTES
    alone = [make_row(n, text="x" * (rowing.UPSERT_BYTES + 1)) for n in range(2)]
    assert list(rowing.batches(alone)) == [[alone[0]], [alone[1]]]
    assert list(rowing.batches([])) == []


# The alias, and collections of others


def plain(store: Store, name: str, **properties: str) -> None:
    store._client.create_collection(
        name,
        schema=schema.collection_schema(DIMENSION, sparse=True),
        properties=properties,
    )


def test_another_fingerprint_takes_over_when_finished(store: Store) -> None:
    store.upsert(make_rows(3))
    store.finish()
    names = ["code__x", "code_a1a1a1a1", "codes__a1a1a1a1", "code__12345678"]
    for name in names:
        plain(store, name)
    names.append("code__x__a1a1a1a1")  # of a project whose alias is code__x
    plain(store, names[-1], **{FINGERPRINT: PRINT})
    prepare(store, OTHER_PRINT)
    assert store.open()[FINGERPRINT] == PRINT  # readers still see the old one
    prepare(store, OTHER_PRINT)
    store.upsert(make_rows(2))
    store.finish()
    assert store.open()[FINGERPRINT] == OTHER_PRINT
    assert store.count() == 2
    assert set(store._client.list_collections()) == {*names, "code__b2b2b2b2"}


def test_drop_leaves_others_alone(store: Store) -> None:
    plain(store, "code__12345678")
    prepare(store, OTHER_PRINT)
    assert store.drop()
    assert store._client.list_collections() == ["code__12345678"]
    assert not store.drop()


def test_foreign_collection_of_our_alias(open_store: Callable[..., Store]) -> None:
    store = open_store()
    for properties in ({}, {FINGERPRINT: PRINT}):
        plain(store, "code", **properties)
        for use in (store.open, store.drop, lambda: prepare(store)):
            with pytest.raises(ForeignCollectionError, match="--collection"):
                use()
        assert store._client.list_collections() == ["code"]
        store._client.drop_collection("code")


@pytest.mark.parametrize("properties", [{}, {FINGERPRINT: PRINT[:8] + "0" * 56}])
def test_foreign_collection_behind_the_alias(
    open_store: Callable[..., Store], properties: dict[str, str]
) -> None:
    store = open_store()
    plain(store, PHYSICAL, **properties)
    with pytest.raises(ForeignCollectionError, match="--collection"):
        prepare(store)


@pytest.mark.parametrize("state", ["no schema", "no index", "no alias"])
def test_killed_while_it_created_the_collection(
    open_store: Callable[..., Store], tmp_path: Path, state: str
) -> None:
    store = open_store()
    if state == "no schema":
        (tmp_path / "milvus.db" / "collections" / PHYSICAL).mkdir(parents=True)
    elif state == "no index":
        plain(store, PHYSICAL, **{FINGERPRINT: PRINT})
    else:
        prepare(store)
        store._client.drop_alias("code")
    prepare(store).upsert(make_rows(2))
    store.finish()
    assert set(store._client.list_indexes(PHYSICAL)) == {"vector", "sparse"}
    assert len(store.search("vector", make_row(0)["vector"], 5)) == 2


# One process serves, others read


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLDER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
os.umask(0o077)
from store_rows import *
store = prepare(serve(Path(sys.argv[2])))
store.upsert(make_rows(4))
print("ready", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the database open, with four rows in it."""
    with python(HOLDER, Path(store_rows.__file__).parent, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_a_second_process_reads_through_the_socket(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(LockedError, match="in use by another process"):
        serve(tmp_path, patience=0)
    for _ in range(2):
        store = read(tmp_path)
        assert store.open()[FINGERPRINT] == PRINT
        assert store.count() == 4
        assert len(store.search("vector", make_row(0)["vector"], 9)) == 4
        store.close()
    assert holder.poll() is None


def test_nothing_listens_on_a_port(holder: subprocess.Popen[str]) -> None:
    process = psutil.Process(holder.pid)
    found = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert found == []


def test_others_have_no_access(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert (tmp_path / "s:0").is_socket()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in [*tmp_path.rglob("*")]:
        assert path.lstat().st_mode & 0o077 == 0, path


def test_the_socket_of_a_killed_process_is_no_obstacle(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "s:0").is_socket()
    for open_ in (read, serve, read):
        store = open_(tmp_path)
        store.open()
        assert store.count() == 4
        store.close()
        assert not (tmp_path / "s:0").exists()


def test_waits_for_a_reader_to_close(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert holder.stdin is not None
    holder.stdin.close()  # it begins to close the database
    store = serve(tmp_path, patience=20)
    store.open()
    assert store.count() == 4
    store.close()


def test_reopening_in_one_process(tmp_path: Path) -> None:
    for number in range(3):
        store = prepare(serve(tmp_path))
        assert store.count() == number
        store.upsert([make_row(number)])
        flush(store)
        store.close()


def test_a_folder_with_a_very_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("é" * 50)
    folder.mkdir(parents=True)
    store = prepare(serve(folder))
    store.upsert(make_rows(2))
    assert (folder / "s:0").is_socket()
    with python(HOLDER, Path(store_rows.__file__).parent, folder) as other:
        assert other.wait() != 0  # locked out
    reader = read(folder)
    reader.open()
    assert reader.count() == 2
    reader.close()
    store.close()
    handles = [os.path.realpath(f"/proc/self/fd/{n}") for n in range(1000)]
    assert str(folder) not in handles


def test_a_database_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "milvus.db").write_text("")
    with pytest.raises(StateError, match="cannot open"):
        serve(tmp_path)


# What the database looks like from outside


def sign(folder: Path, physical: str = PHYSICAL) -> str:
    return signature(str(folder / "milvus.db"), physical)


def test_signature_is_not_changed_by_readers(tmp_path: Path) -> None:
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(5))
    store.finish()
    store.close()
    before = sign(tmp_path)
    assert before
    for _ in range(3):
        store = read(tmp_path)
        store.open()
        assert len(store.search("vector", make_row(0)["vector"], 5)) == 5
        assert len(list(store.keys())) == store.count() == 5
        store.close()
        assert sign(tmp_path) == before
    shutil.copytree(tmp_path / "milvus.db", tmp_path / "copy" / "milvus.db")
    assert sign(tmp_path / "copy") == before


def upsert(store: Store) -> None:
    store.upsert([make_row(0, text="other")])


def delete(store: Store) -> None:
    store.delete([row_id("a.py", 0)])


def claim(store: Store) -> None:
    store.claim("another run")


def move_alias(store: Store) -> None:
    plain(store, "elsewhere")
    store._client.alter_alias("elsewhere", "code")


@pytest.mark.parametrize("flushed", [True, False])
@pytest.mark.parametrize("change", [upsert, delete, claim, move_alias])
def test_signature_is_changed_by_writers(
    tmp_path: Path, change: Callable[[Store], None], flushed: bool
) -> None:
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(5))
    store.finish()
    store.close()
    before = sign(tmp_path)
    store = serve(tmp_path)
    store.open()
    change(store)
    if flushed:
        flush(store)
    store.close()
    assert before != sign(tmp_path) != ""


def test_signature_is_changed_by_damage(tmp_path: Path) -> None:
    assert sign(tmp_path) == ""
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(5))
    store.finish()
    store.close()
    before = sign(tmp_path)
    assert sign(tmp_path, "another") == ""
    collection = tmp_path / "milvus.db" / "collections" / PHYSICAL
    data = list(collection.rglob("*.parquet"))
    assert data
    for folder in collection.rglob("indexes"):
        shutil.rmtree(folder)  # they follow from the data
    assert sign(tmp_path) == before
    for path in [
        *data,
        collection / "manifest.json",
        tmp_path / "milvus.db/aliases.json",
    ]:
        content = path.read_bytes()
        path.unlink()
        assert sign(tmp_path) != before
        path.write_bytes(content[:-1])
        assert sign(tmp_path) != before
        path.write_bytes(content)
        assert sign(tmp_path) == before


# A server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "server") as (uri, _):
        yield uri


def test_server_round_trip(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "READ_ROWS", 100)
    store = connect(server, "", "code")
    assert not store.embedded
    prepare(store)
    index = store._client.describe_index("code", "vector")
    assert (index["index_type"], index["metric_type"]) == ("HNSW", "COSINE")
    rows = make_rows(350)
    store.upsert(rows)
    store.delete([rows[0]["id"], "absent"])
    store.claim("me")
    store.finish()
    assert store.count() == 349
    keys = list(store.keys())
    assert len(keys) == 349
    assert {key.id for key in keys} == {row["id"] for row in rows[1:]}
    store.close()

    reader = connect(server, "", "code")
    assert WRITER not in reader.open() and reader.board.mark == "me"
    assert reader.search("vector", rows[7]["vector"], 3)[0]["id"] == rows[7]["id"]
    assert len(reader.fetch([row["id"] for row in rows])) == 349
    prepare(reader, OTHER_PRINT)
    reader.finish()
    assert reader.open()[FINGERPRINT] == OTHER_PRINT
    assert reader.drop()
    reader.close()


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
def test_nobody_answers(
    scheme: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(remote, "CONNECT_PAUSE", 0.05)
    uri = f"{scheme}://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        connect(uri, "sekret", "code")
    assert time.monotonic() - started > 0.3  # it was tried more than once
    assert uri in str(caught.value)
    assert "sekret" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


SILENT = """
import sys
from indexer.errors import StoreError
from indexer.milvus.embedded import serve
try:
    serve(sys.argv[1] + "/milvus.db", sys.argv[1], "code", patience=0).count()
except StoreError:
    print("refused")
"""


def test_the_first_error_of_a_process_is_silent_too(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENT, str(tmp_path)], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_the_server_goes_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "PATIENCE", 0.5)
    with served(tmp_path) as (uri, process):
        store = connect(uri, "sekret", "code")
        prepare(store)
        process.kill()
        process.wait()
        for use in (store.count, lambda: list(store.keys()), store.finish):
            with pytest.raises(StoreUnavailableError, match=uri) as caught:
                use()
            assert "sekret" not in str(caught.value)
        assert store._guard.is_broken
        store._client.close()


# After an error


class Recorder:
    """Stands for the client of a store that is broken: nothing may be called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.called.append(name)


def test_a_broken_store_is_not_closed_in_order(tmp_path: Path) -> None:
    store = prepare(serve(tmp_path))
    wrong = {**make_row(0), "vector": np.zeros(DIMENSION + 1, np.float32)}
    with pytest.raises(StoreError, match="milvus.db"):
        store.upsert([wrong])
    client, release = store._client, store._release
    recorder = Recorder()
    store._client = recorder
    store._release = recorder.release
    store.close()
    assert recorder.called == []
    client.close()
    release()


def test_an_acknowledgement_of_fewer_rows_is_an_error(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store._client, "upsert", lambda *_, **__: {"upsert_count": 1})
    with pytest.raises(StoreError, match="1 of 2 rows"):
        store.upsert(make_rows(2))
    assert store._guard.is_broken


def test_a_plain_client_reads_what_we_write(tmp_path: Path) -> None:
    """The data belongs to its user: pymilvus alone opens it."""
    store = prepare(serve(tmp_path))
    store.upsert(make_rows(3))
    store.finish()
    client = MilvusClient(f"unix:{tmp_path}/s:0", dedicated=True)
    assert len(client.query("code", filter="chunk_no >= 1")) == 2
    client.close()
    store.close()


# Sparse vectors


def test_a_server_without_sparse_vectors(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    monkeypatch.setattr(store._client, "get_server_version", lambda **_: "v2.3.5")
    prepare(store)
    assert not store.has_sparse
    assert store._client.list_indexes(PHYSICAL) == ["vector"]
    store.upsert(make_rows(2))
    (row,) = store.fetch([make_row(0)["id"]])
    assert "sparse" not in row and row["embedded"]


@pytest.mark.parametrize(
    "version, knows",
    [
        ("v2.3.5", False),
        ("2.4.0", True),
        ("v2.6.1-dev", True),
        ("milvus_lite-3.2.2", True),
    ],
)
def test_who_knows_sparse_vectors(version: str, knows: bool) -> None:
    assert schema.knows_sparse(version) is knows


def test_conditions_are_made_of_plain_names_alone() -> None:
    assert schema.condition() == ""
    assert schema.condition("go") == 'language == "go"'
    assert schema.condition("go", "a/b") == (
        'language == "go" and path >= "a/b" and path < "a/c"'
    )
    assert schema.condition('go" or id != "', 'a" or id != "') == ""


def test_only_embedded_rows_are_nearest(store: Store) -> None:
    rows = make_rows(4)
    rows[2]["embedded"] = False
    store.upsert(rows)
    found = store.search("vector", rows[2]["vector"], 5)
    assert {row["chunk_no"] for row in found} == {0, 1, 3}
    assert store.has_vectors() and store.count(embedded=True) == 3
    store.upsert([{**row, "embedded": False} for row in rows])
    assert not store.has_vectors()
