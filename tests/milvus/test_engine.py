"""The embedded database called in this process, beside the same one called through pymilvus."""

from __future__ import annotations

import fcntl
import importlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh_python import python
from store_rows import (
    DIMENSION,
    PHYSICAL,
    PRINT,
    make_row,
    make_rows,
    prepare,
    serve,
)

from indexer.errors import ForeignCollectionError, LockedError, StateError, StoreError
from indexer.milvus import embedded
from indexer.milvus.engine import EngineClient, is_kept_open, kept_open
from indexer.milvus.on_disk import signature
from indexer.milvus.owner import Claim
from indexer.milvus.rows import FIELDS, Row
from indexer.milvus.schema import PROJECT_LENGTH, condition
from indexer.milvus.shared import SharedStore
from indexer.milvus.store import MakeStore, Store

OTHER_PRINT = "b2" * 32


class Pair:
    """The same database twice, and the same calls of both, whose answers must be equal."""

    def __init__(self, folder: Path, make: MakeStore = Store) -> None:
        self._folder = folder
        self._make = make
        self._turns = [False, True]
        self.open()

    def open(self) -> None:
        self.stores = []
        for name, is_alone in zip("ab", self._turns, strict=True):
            folder = self._folder / name
            folder.mkdir(exist_ok=True)
            self.stores.append(serve(folder, is_alone=is_alone, make=self._make))
        clients = [isinstance(one._client, EngineClient) for one in self.stores]
        assert clients == self._turns

    def close(self) -> None:
        for store in self.stores:
            store._guard.is_broken = False
            store.close()

    def swap(self) -> None:
        """Close both, and open each as the other one was."""
        self.close()
        self._turns.reverse()
        self.open()

    def ask(self, question: Callable[[Store], Any]) -> Any:
        first, second = map(question, self.stores)
        assert first == second
        return first


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with closing(Pair(tmp_path)) as pair:
        yield pair


def shown(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows by their ids, with values that can be compared."""
    return sorted(
        ({**row, "vector": [*map(float, row.get("vector", ()))]} for row in rows),
        key=lambda row: row["id"],
    )


def everything(store: Store) -> dict[str, Any]:
    """All that a store says of its collection and its rows."""
    properties = store.open()
    keys = sorted(key.id for key in store.keys())
    return {
        "properties": properties,
        "physical": store.physical,
        "incarnation": store.incarnation,
        "fields": store.fields,
        "dimension": store.describe("code"),
        "count": store.count(),
        "embedded": store.count(embedded=True),
        "has vectors": store.has_vectors(),
        "keys": keys,
        "rows": shown(store.fetch([*keys, "no such id"])),
        "version": store._version(),
    }


def said(store: Store) -> dict[str, Any]:
    """Without what pymilvus alone says of a collection, which nothing reads."""
    found = everything(store)
    described = found.pop("dimension")
    found["described"] = {
        "name": described["collection_name"],
        "properties": described["properties"],
        "fields": [
            (field["name"], field["params"].get("dim")) for field in described["fields"]
        ],
    }
    return found


def test_the_same_calls_have_the_same_answers(pair: Pair) -> None:
    random_ = random.Random(7)
    numbers = np.random.default_rng(7)
    pair.ask(lambda store: prepare(store).fields)
    ids: list[str] = []
    for turn in range(12):
        path = f"lib/file_{turn}.py"
        rows = [
            make_row(n, path=path, text=f"value {turn} of {n}\n" * n, of=6)
            for n in range(6)
        ]
        for row in rows:
            row["embedded"] = random_.random() < 0.7
            row["language"] = random_.choice(["python", "go", ""])
            row["sparse"] = {
                random_.randrange(40): random_.random()
                for _ in range(random_.randrange(6))
            }
        ids += [row["id"] for row in rows]
        pair.ask(partial(Store.upsert, rows=rows))
        gone = random_.sample(ids, 3)
        pair.ask(partial(Store.delete, ids=gone))
        if turn % 3 == 0:
            pair.ask(Store.flush)
        if turn % 4 == 3:
            pair.ask(partial(Store.claim, writer=f"run {turn}"))
            pair.swap()
        assert pair.ask(said)["count"] > 0
        vector = numbers.standard_normal(DIMENSION).astype(np.float32)
        terms = {random_.randrange(40): random_.random() for _ in range(4)}
        for where in ["", condition("python"), condition(start="lib/file_1")]:
            queries: list[tuple[str, Any]] = [("vector", vector), ("sparse", terms)]
            for field, query in queries:
                pair.ask(
                    partial(
                        Store.search, field=field, query=query, limit=9, where=where
                    )
                )
            pair.ask(partial(rows_where, where=where))
            pair.ask(partial(rows_where, where=where, most=500))


def rows_where(store: Store, where: str, most: int = 0) -> list[dict[str, Any]]:
    return shown([*store.rows(where, ["id", "text"], most)])


def test_copies_and_another_index(pair: Pair) -> None:
    pair.ask(lambda store: prepare(store).upsert(make_rows(5)))
    rows = make_rows(5)
    moved = {row["id"]: f"{number}" * 64 for number, row in enumerate(rows)}
    pair.ask(lambda store: store.copy(moved))
    assert pair.ask(said)["count"] == 10
    pair.ask(lambda store: prepare(store, OTHER_PRINT).upsert(make_rows(3)))
    assert pair.ask(lambda store: store.behind_alias).endswith(PRINT[:8])
    pair.ask(Store.finish)
    assert pair.ask(lambda store: store.behind_alias).endswith(OTHER_PRINT[:8])
    assert pair.ask(said)["count"] == 3
    assert pair.ask(lambda store: store._client.list_collections()) == [
        f"code__{OTHER_PRINT[:8]}"
    ]
    assert pair.ask(Store.drop) is True
    assert pair.ask(Store.drop) is False
    assert pair.ask(Store.exists) is False


def test_a_collection_that_projects_share(tmp_path: Path) -> None:
    claim = Claim("/src/one")
    ours, theirs = "a" * PROJECT_LENGTH, "b" * PROJECT_LENGTH
    make = partial(SharedStore, read={ours: "one"}, ledger=None)
    with closing(Pair(tmp_path, partial(make, project=ours, label="one"))) as pair:
        properties = {"codx.model": "m"}
        pair.ask(lambda store: store.prepare(PRINT, DIMENSION, properties, claim))
        pair.ask(lambda store: store.claim("me"))
        rows = [{**row, "project": ours} for row in make_rows(5)]
        other = [{**make_row(n, path="b.py"), "project": theirs} for n in range(3)]
        pair.ask(lambda store: store.upsert([*rows, *other]))
        pair.ask(lambda store: store.finish())
        pair.swap()
        found = pair.ask(said)
        assert (found["count"], len(found["keys"])) == (5, 5)
        assert pair.ask(lambda store: store.names([ours])) == {ours: "one"}
        assert (
            len(
                pair.ask(partial(Store.search, field="sparse", query={7: 1.0}, limit=9))
            )
            == 5
        )
        with pytest.raises(ForeignCollectionError, match="belongs to /src/one"):
            pair.ask(lambda store: store.check(Claim("/src/other")))
        assert pair.ask(lambda store: store.drop(claim)) is True
        assert pair.ask(lambda store: store.names([ours])) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda store: store.upsert([{**make_row(1), "text": "x" * 70_000}]),
        lambda store: store.upsert([{**make_row(1), "vector": np.ones(3, np.float32)}]),
        lambda store: [*store.rows("no such condition ==", ["id"])],
        lambda store: store.search("vector", np.ones(3, np.float32), 5),
    ],
    ids=["long text", "short vector", "condition", "other dimension"],
)
def test_what_is_refused(pair: Pair, wrong: Callable[[Store], Any]) -> None:
    pair.ask(lambda store: prepare(store).upsert(make_rows(2)))

    def refused(store: Store) -> tuple[bool, int]:
        with pytest.raises(StoreError) as caught:
            wrong(store)
        line = str(caught.value)
        assert line.startswith("Milvus at ") and "\n" not in line
        assert line.endswith("and the next run rebuilds it)")
        return store._guard.is_broken, store.count()

    assert pair.ask(refused) == (True, 2)


def test_the_others_wait_until_it_is_closed(tmp_path: Path) -> None:
    alone = serve(tmp_path, is_alone=True)
    prepare(alone).upsert(make_rows(4))
    with pytest.raises(LockedError):
        serve(tmp_path, patience=0)
    timer = threading.Timer(0.5, alone.close)
    timer.start()
    where = str(tmp_path / "milvus.db"), str(tmp_path), "code"
    with closing(embedded.read(*where)) as reader:
        reader.open()
        assert reader.count() == 4
    timer.join()


def test_it_asks_the_process_that_serves_the_database(tmp_path: Path) -> None:
    with closing(serve(tmp_path)) as serving:
        prepare(serving).upsert(make_rows(4))
        where = str(tmp_path / "milvus.db"), str(tmp_path), "code"
        with closing(embedded.read(*where, is_alone=True)) as reader:
            assert not isinstance(reader._client, EngineClient)
            reader.open()
            assert reader.count() == 4


def test_it_can_be_kept_open_for_the_next_one_here(tmp_path: Path) -> None:
    where = str(tmp_path / "milvus.db"), str(tmp_path), "code"
    with kept_open():
        with closing(serve(tmp_path, is_alone=True)) as writer:
            prepare(writer).upsert(make_rows(4))
        with pytest.raises(LockedError):
            serve(tmp_path, patience=0)
        with open(tmp_path / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a run that waits for us takes no turn
            with closing(embedded.read(*where, is_alone=True)) as reader:
                assert reader._client is writer._client
                reader.open()
                assert reader.count() == 4
    with closing(serve(tmp_path, patience=0)) as other:
        other.open()
        assert other.count() == 4


def test_what_is_kept_open_looks_on_disk_as_if_it_were_closed(tmp_path: Path) -> None:
    database = str(tmp_path / "milvus.db")
    with kept_open():
        for count in range(
            2, 30
        ):  # whose rows are dead afterwards, so segments are merged
            with closing(serve(tmp_path, is_alone=True)) as store:
                prepare(store).upsert(make_rows(count))
                store.finish()
            marks = {signature(database, PHYSICAL) for _ in range(20)}
            assert len(marks) == 1 and "" not in marks
    assert marks == {signature(database, PHYSICAL)}


def test_a_database_that_is_given_up_or_copied_is_not_kept_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = str(tmp_path / "milvus.db"), str(tmp_path), "code"
    with kept_open():
        broken = serve(tmp_path, is_alone=True)
        prepare(broken).upsert(make_rows(4))
        with pytest.raises(StoreError):
            broken.upsert([{**make_row(10), "text": "x" * 70_000}])
        broken.close()
        assert not is_kept_open(where[0])
        monkeypatch.setattr(embedded, "can_be_written", lambda *_: False)
        with closing(embedded.read(*where, is_alone=True)) as copy:
            copy.open()
            assert copy.count() == 4
        assert not is_kept_open(where[0])
        serve(tmp_path, patience=0).close()


def test_after_a_failure_nothing_is_flushed_and_the_next_one_can_open_it(
    tmp_path: Path,
) -> None:
    with closing(serve(tmp_path, is_alone=True)) as store:
        prepare(store).upsert(make_rows(4))
    broken = serve(tmp_path, is_alone=True)
    prepare(broken).upsert([make_row(9)])
    segments = {*tmp_path.rglob("*.parquet")}
    with pytest.raises(StoreError):
        broken.upsert([{**make_row(10), "text": "x" * 70_000}])
    broken.close()
    assert {*tmp_path.rglob("*.parquet")} == segments
    with closing(serve(tmp_path, patience=0)) as next_one:
        next_one.open()
        assert {*next_one.fetch([make_row(9)["id"]], FIELDS)[0]} == {*FIELDS}
        assert next_one.count() == 5  # from the log, as after a kill


def test_threads_take_turns(tmp_path: Path) -> None:
    with closing(serve(tmp_path, is_alone=True)) as store:
        prepare(store)
        found: list[int] = []

        def work(number: int) -> None:
            for n in range(5):
                store.upsert([make_row(n, path=f"{number}.py")])
                found.append(store.count())

        threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.count() == 20
        assert len(found) == 20


USED = """
import sys
from pathlib import Path
from indexer.environment import claim_process
from indexer.milvus.embedded import serve
claim_process()
where = sys.argv[1] + "/milvus.db", sys.argv[1], "code"
store = serve(*where, patience=0, is_alone=True)
store.open()
print(store.count(), len(store.search("sparse", {7: 1.0}, 3)))
store.close()
print([name for name in ("pymilvus", "grpc", "google.protobuf", "pandas") if name in sys.modules])
"""


def test_neither_pymilvus_nor_grpc_is_imported(tmp_path: Path) -> None:
    with closing(serve(tmp_path)) as store:
        prepare(store).upsert(make_rows(4))
    assert python(USED, tmp_path) == "4 3\n[]\n"


@pytest.mark.parametrize("is_alone", [False, True])
def test_a_library_that_cannot_be_imported_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_alone: bool
) -> None:
    module = "milvus_lite.db" if is_alone else "milvus_lite.adapter.grpc"
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delattr(importlib.import_module("milvus_lite"), "db", raising=False)
    with pytest.raises(StateError, match="^the embedded Milvus cannot be used here"):
        serve(tmp_path, is_alone=is_alone)
