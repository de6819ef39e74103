"""Segments and deletions are merged, and no row is lost, found twice or found again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, only_slow
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_rows import PHYSICAL, make_row, make_rows, prepare, serve

from indexer.milvus import merging
from indexer.milvus.merging import MOST_DELETIONS, MOST_SMALL
from indexer.milvus.store import Store


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is enough to merge."""
    for name in ("SMALL_ROWS", "MOST_SMALL", "MOST_DELETIONS"):
        monkeypatch.setattr(merging, name, 2)
    monkeypatch.setattr(merging, "MERGED_ROWS", 3)


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Any]:
    """milvus-lite's own collection, without a server."""
    from milvus_lite.db import MilvusLite

    prepare(serve(tmp_path)).close()
    opened = MilvusLite(str(tmp_path / "milvus.db"))
    found = opened.get_collection(PHYSICAL)
    found.load()
    yield found
    opened.close()


def files(folder: Path, kind: str) -> list[Path]:
    found = folder.glob(f"milvus.db/collections/{PHYSICAL}/partitions/*/{kind}/*")
    return sorted(found)


def texts(collection: Any) -> dict[str, str]:
    rows = list(collection.query('id != ""', output_fields=["text"]))
    assert len(rows) == collection.num_entities
    return {row["id"]: row["text"] for row in rows}


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["upsert", "delete", "flush"]),
        st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_the_rows_stay_what_they_are(
    eager: None, collection: Any, tmp_path: Path, acts: list[Any]
) -> None:
    from milvus_lite.engine.collection import Collection

    collection.delete([make_row(number)["id"] for number in range(10)])
    expected: dict[str, str] = {}
    for round_, (act, numbers) in enumerate([*acts, ("flush", [0])]):
        rows = [make_row(number, text=f"in round {round_}") for number in numbers]
        if act == "upsert":
            rows = [{**row, "vector": row["vector"].tolist()} for row in rows]
            collection.insert(rows)
            expected |= {row["id"]: row["text"] for row in rows}
        elif act == "delete":
            collection.delete([row["id"] for row in rows])
            for row in rows:
                expected.pop(row["id"], None)
        else:
            collection.flush()
            collection._wait_for_bg()
            check_shape(collection)
        assert texts(collection) == expected
    # As the next process finds it.
    again = Collection(PHYSICAL, collection.data_dir, collection.schema)
    again.load()
    assert texts(again) == expected
    again._bg_executor.shutdown()


def check_shape(collection: Any) -> None:
    newest = collection._reads.newest()
    parts = merging._live_parts(newest)
    assert all((~live).sum() * 3 <= len(live) for _, live in parts)
    assert sum(live.sum() < 2 for _, live in parts) <= 2
    assert len(collection._manifest.get_delta_files("_default")) <= 3
    for segment, _ in parts:
        assert not segment._file.closed


def test_a_flush_while_a_merge_is_written(
    eager: None, collection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What becomes dead meanwhile stays dead, though it was copied as a live row."""
    rows = [{**row, "vector": row["vector"].tolist()} for row in make_rows(6)]
    for start in (0, 2, 4):
        collection.insert(rows[start : start + 2])
        collection.flush()
        collection._wait_for_bg()
    write = merging.Merge.write

    def written_late(merge: merging.Merge) -> list[str]:
        found = write(merge)
        monkeypatch.setattr(merging.Merge, "write", write)
        collection.delete([rows[1]["id"]])
        collection.insert([{**rows[2], "text": "newer"}])
        collection.flush()
        return found

    monkeypatch.setattr(merging.Merge, "write", written_late)
    collection.delete([row["id"] for row in rows[4:]] + [rows[0]["id"]])
    collection.flush()
    collection._wait_for_bg()
    collection._wait_for_bg()
    assert merging.Merge.write is write
    assert texts(collection) == {
        rows[2]["id"]: "newer",
        rows[3]["id"]: rows[3]["text"],
    }


@pytest.mark.parametrize("runs", [100, *only_slow(1_000)])
def test_many_runs_that_each_delete_a_row(runs: int, tmp_path: Path) -> None:
    store = prepare(serve(tmp_path))
    rows = make_rows(runs + 100)
    store.upsert(rows)
    store.finish()
    for row in rows[:runs]:
        store.delete([row["id"]])
        store.finish()
    assert store.count() == 100
    assert {key.id for key in store.keys()} == {row["id"] for row in rows[runs:]}
    store.close()
    assert len(files(tmp_path, "delta")) <= MOST_DELETIONS + 1
    assert len(files(tmp_path, "data")) <= MOST_SMALL + 1


def test_an_edit_does_not_rewrite_what_is_larger(tmp_path: Path) -> None:
    """A row is written again when the number of rows with it has doubled."""
    with closing(prepare(serve(tmp_path))) as store:
        rows = make_rows(900)
        store.upsert(rows[:800])
        store.finish()
        (large,) = files(tmp_path, "data")
        written: set[Path] = set()
        for row in rows[800:]:
            store.upsert([row])
            store.finish()
            written |= {*files(tmp_path, "data")}
            assert large in written
        assert store.count() == 900
    found = files(tmp_path, "data")
    assert large in found and len(found) <= MOST_SMALL + 1
    assert sum(map(rows_of, written)) < 800 + 100 * 8


def rows_of(file: Path) -> int:
    """How many rows the file had, by its name, which has the sequence numbers of the first and the last."""
    _, first, last = file.stem.split("_")
    return int(last) - int(first) + 1


def test_a_reader_merges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(merging.Merge, "is_due", False)
        store = prepare(serve(tmp_path))
        store.upsert(rows := make_rows(30))
        store.flush()
        for row in rows[:15]:
            store.delete([row["id"]])
            store.flush()
        store.close()
    before = files(tmp_path, "*")
    assert len(before) > MOST_DELETIONS
    reader: Store = serve(tmp_path)
    reader.open()
    assert len(reader.search("vector", rows[20]["vector"], 50)) == 15
    reader.close()
    assert files(tmp_path, "*") == before


WRITE = """
import sys
from pathlib import Path
from store_rows import make_row, make_rows, prepare, serve
store = prepare(serve(Path(sys.argv[1])))
rows = make_rows(40)
store.upsert(rows)
store.flush()
for row in rows[:20]:
    store.delete([row["id"]])
    store.flush()
store.upsert([make_row(39, text="last")])
store.flush()
store.close()
print("done")
"""


@pytest.mark.parametrize("step", ["merging", "merged"])
@pytest.mark.parametrize("action", ["kill", "full"])
@pytest.mark.parametrize("which", [1, *only_slow(2)])
def test_a_merge_that_does_not_end(
    action: str, step: str, which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, or on a full disk: the next process has the rows that were acknowledged."""
    monkeypatch.setenv("CODX_INDEX_FAULT", f"{action} {step} {which}")
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r}){WRITE}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout == ("" if action == "kill" else "done\n")
    monkeypatch.delenv("CODX_INDEX_FAULT")
    store = prepare(serve(tmp_path))
    kept = {key.chunk_no for key in store.keys()}
    # Killed, it may lack the last deletions.
    assert kept >= {*range(20, 40)} and kept == {*range(40 - len(kept), 40)}
    rows = store.fetch([make_row(number)["id"] for number in sorted(kept)])
    vectors = {row["chunk_no"]: row["vector"] for row in rows}
    for number in kept - {39}:
        assert np.allclose(vectors[number], make_row(number)["vector"])
    store.upsert([make_row(50)])
    store.flush()
    assert store.count() == len(kept) + 1
    store.close()
    listed = (
        tmp_path / "milvus.db" / "collections" / PHYSICAL / "manifest.json"
    ).read_text()
    for file in files(tmp_path, "data") + files(tmp_path, "delta"):
        assert file.name in listed


def test_runs_that_each_delete_a_file(project: Project) -> None:
    for number in range(24):
        project.write(f"{number}.py", f"def f{number}():\n    return {number}\n")
    project.run("--mode", "sparse")
    for number in range(14):
        (project.root / f"{number}.py").unlink()
        project.run("--mode", "sparse")
    assert len(project.rows()) == 10
    assert project.command("verify", "--mode", "sparse").returncode == 0
    database = project.root / ".codx/index"
    assert len([*database.glob("milvus.db/**/delta/*")]) <= MOST_DELETIONS + 1
    assert project.run("--mode", "sparse")["status"] == "unchanged"
