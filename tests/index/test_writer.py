"""The write protocol, watched, on a real milvus-lite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from writer_bench import DIMENSION, Bench, make_file

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Source
from indexer.errors import StoreError
from indexer.index import writer as writing
from indexer.index.audit import audit
from indexer.index.manifest import COMPLETE, DIRTY
from indexer.index.writer import Writer
from indexer.milvus.rows import aside_id, row_id
from indexer.milvus.store import WRITER
from indexer.types import Audit, Change, EmbeddedFile, Outcome


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with closing(Bench(tmp_path)) as made:
        yield made


def expected(**files: int) -> set[tuple[str, int, int]]:
    return {(path, n, count) for path, count in files.items() for n in range(count)}


def write(bench: Bench, *files: EmbeddedFile) -> Writer:
    """A whole run."""
    writer = bench.writer()
    for file in files:
        writer.add(file, Outcome(Change.ADDED))
    writer.commit()
    writer.finish(complete=True)
    bench.manifest.set(state=COMPLETE)
    return writer


def test_nothing_is_opened_when_nothing_is_written(bench: Bench) -> None:
    writer = bench.writer()
    writer.commit()
    writer.delete([])
    writer.add(make_file("empty.py", 0), Outcome(Change.ADDED))
    writer.commit()
    assert not writer.has_begun
    assert bench.store is None
    assert bench.calls() == ["commit", "commit", "commit"]
    assert bench.manifest.get("state") == ""
    assert "empty.py" in bench.manifest.records()


def test_the_order_of_the_protocol(bench: Bench) -> None:
    write(bench, make_file("a", 3), make_file("b", 2), make_file("gone", 2))
    writer = bench.writer()
    writer.add(make_file("a", 1, "i"), Outcome(Change.ADDED))
    writer.add(make_file("c", 2), Outcome(Change.ADDED))
    writer.commit()
    writer.add(make_file("b", 1, "i"), Outcome(Change.ADDED))
    writer.commit()
    writer.delete([bench.manifest.records()["gone"]])
    assert bench.manifest.get("state") == DIRTY
    writer.finish(complete=True)
    assert bench.calls() == [
        *("set", "claim"),
        *("upsert", "delete", "commit"),
        *("upsert", "delete", "commit"),
        *("delete", "commit"),
        *("flush", "finish"),
    ]
    assert bench.log[0] == ("set", {"state": DIRTY})
    assert [row["path"] for row in bench.log[2][1]] == ["a", "c", "c"]
    assert bench.log[3] == ("delete", sorted([row_id("a", 1), row_id("a", 2)]))
    assert bench.log[4] == ("commit", ["a", "c"])
    assert bench.log[8] == ("delete", sorted(row_id("gone", n) for n in range(2)))
    assert bench.rows() == expected(a=1, b=1, c=2)
    assert bench.manifest.totals().chunks == 4
    chunks = bench.report.chunks
    assert (chunks.upserted, chunks.deleted) == (4, 5)
    assert audit(bench.open_store().keys(), {}).records == bench.manifest.records()


def test_a_content_that_moves_is_put_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files change places, and each is a group of its own."""
    monkeypatch.setattr(writing, "GROUP_ROWS", 1)
    write(bench, make_file("a", 2, "one"), make_file("b", 1, "two"))
    writer = bench.writer()
    writer.begin_pass(Audit(bench.manifest.records(), {}), {"one", "two"}, embeds=True)
    writer.add(make_file("a", 1, "two"), Outcome(Change.MODIFIED))
    writer.add(make_file("b", 2, "one"), Outcome(Change.MODIFIED))
    assert writer.is_tidy
    copies = [aside_id("a", number, "one") for number in range(2)]
    written = [
        (name, given) for name, given in bench.log if name in ("upsert", "delete")
    ]
    assert [name for name, _ in written] == [
        *("upsert", "upsert", "delete"),
        *("upsert", "delete"),
    ]
    assert [row["id"] for row in written[0][1]] == copies
    assert written[2] == ("delete", [row_id("a", 1)])
    assert sorted(written[4][1]) == sorted(copies)
    writer.finish(complete=True)
    assert bench.rows() == expected(a=1, b=2)
    chunks = bench.report.chunks
    assert (chunks.upserted, chunks.deleted) == (3, 1)


def test_each_run_leaves_another_mark(bench: Bench) -> None:
    marks = []
    for number in range(2):
        write(bench, make_file("a", 1, str(number)))
        marks.append(bench.open_store().open()[WRITER])
    assert marks[0] != marks[1]


def test_a_group_is_written_when_it_is_large(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GROUP_ROWS", 4)
    monkeypatch.setattr(writing, "GROUP_SECONDS", 1e9)
    writer = bench.writer()
    for path in "abc":
        writer.add(make_file(path, 2), Outcome(Change.ADDED))
    assert [entry for entry in bench.log if entry[0] == "commit"] == [
        ("commit", ["a", "b"])
    ]
    monkeypatch.setattr(writing, "GROUP_SECONDS", -1)
    writer.add(make_file("d", 1), Outcome(Change.ADDED))
    assert bench.log[-1] == ("commit", ["c", "d"])


def test_vectors_reach_the_cache_with_their_group(bench: Bench) -> None:
    key, vector = b"k" * 32, np.ones(DIMENSION, np.float32)
    bench.cache.put({key: vector})
    writer = bench.writer()
    writer.add(make_file("a", 1), Outcome(Change.ADDED))
    writer.commit()
    other = EmbeddingCache(str(bench.folder), Source("i" * 64, DIMENSION))
    with closing(other):
        assert other.get([key])[key].tobytes() == vector.tobytes()


def test_rows_that_an_audit_found_wrong_are_replaced(bench: Bench) -> None:
    write(bench, make_file("a", 3), make_file("b", 2))
    store = bench.open_store()
    store.delete([row_id("a", 0)])
    foreign = store.fetch([row_id("a", 1)])[0] | {"id": "0" * 64}
    foreign["vector"] = np.array(foreign["vector"], np.float32)
    store.upsert([foreign])
    known = audit(store.keys(), bench.manifest.records())
    assert set(known.stale) == {"a"}
    bench.manifest.reset(known.records.values(), state=DIRTY)
    writer = bench.writer(known)
    writer.add(make_file("a", 2), Outcome(Change.ADDED))
    writer.commit()
    assert bench.log[3] == ("delete", sorted(["0" * 64, row_id("a", 2)]))
    writer.finish(complete=True)
    assert bench.rows() == expected(a=2, b=2)


def test_wrong_rows_of_a_file_that_could_not_be_read_are_counted(bench: Bench) -> None:
    write(bench, make_file("a", 3), make_file("b", 2))
    store = bench.open_store()
    store.delete([row_id("a", 0)])
    known = audit(store.keys(), {})
    bench.manifest.reset(known.records.values(), state=DIRTY)
    writer = bench.writer(known)
    writer.begin()
    writer.finish(complete=True)  # two rows of a, known to be stale, and those of b
    assert store.count() == 4


def test_a_count_that_differs_is_an_error(bench: Bench) -> None:
    writer = bench.writer()
    writer.add(make_file("a", 3), Outcome(Change.ADDED))
    writer.commit()
    bench.open_store().delete([row_id("a", 1)])
    with pytest.raises(StoreError, match="holds 2 rows where 3 were written"):
        writer.finish(complete=True)
    assert bench.manifest.get("state") == DIRTY


def test_an_unfinished_index_stays_behind_the_alias(bench: Bench) -> None:
    write(bench, make_file("a", 1))
    store = bench.open_store()
    store.prepare("d4" * 32, DIMENSION, {})
    bench.manifest.reset([], state=DIRTY)
    writer = bench.writer()
    writer.add(make_file("a", 1), Outcome(Change.ADDED))
    writer.commit()
    writer.finish(complete=False)
    assert bench.calls()[-1] == "flush"
    store.open()
    assert store.physical.endswith("c3c3c3c3")


@pytest.mark.parametrize("step", ["upsert", "delete"])
def test_after_an_error_nothing_more_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write(bench, make_file("a", 3), make_file("b", 1))
    before = bench.manifest.records()

    def fail(*_: Any) -> None:
        raise StoreError("refused")

    monkeypatch.setattr(bench.open_store(), step, fail)
    writer = bench.writer()
    writer.add(make_file("a", 2, "i"), Outcome(Change.ADDED))
    with pytest.raises(StoreError, match="refused"):
        writer.commit()
    assert bench.manifest.records() == before
    assert bench.manifest.get("state") == DIRTY
    assert "commit" not in bench.calls()
