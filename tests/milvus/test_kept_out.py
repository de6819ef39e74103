"""The store without the libraries that it imports and does not use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fresh_python import python

from indexer.milvus import internals

USED = """
import json
from indexer.environment import claim_process
if sys.argv[2:] == ["ours"]:
    claim_process()
from indexer.milvus.embedded import serve
from store_rows import make_rows, prepare
store = prepare(serve(sys.argv[1] + "/milvus.db", sys.argv[1], "code", patience=0))
rows = make_rows(40)
store.upsert(rows[:30])
store.flush()
store.upsert(rows)
store.delete([row["id"] for row in rows[:5]])
found = {
    "dense": [hit["id"] for hit in store.search("vector", rows[9]["vector"], 3)],
    "sparse": [hit["id"] for hit in store.search("sparse", {1: 1.0}, 3)],
    "filtered": [
        hit["id"]
        for hit in store.search("vector", rows[9]["vector"], 40, f"path == '{rows[9]['path']}'")
    ],
}
found["version"] = store._version()
store.close()
"""
LIBRARIES = ["pandas", "requests", "faiss", "scipy"]
IMPORTED = f"""
found["imported"] = [name for name in {LIBRARIES} if name in sys.modules]
print(json.dumps(found))
"""


def found(folder: Path, *arguments: str) -> dict[str, Any]:
    folder.mkdir()
    answer: dict[str, Any] = json.loads(python(USED + IMPORTED, folder, *arguments))
    return answer


def test_all_that_the_store_does_goes_without_them(tmp_path: Path) -> None:
    ours = found(tmp_path / "ours", "ours")
    assert ours.pop("imported") == []
    others = found(tmp_path / "others")
    assert "pandas" in others.pop("imported")
    assert ours == others
    assert len(ours["dense"]) == 3 and ours["filtered"]
    assert ours["version"] == f"milvus_lite-{internals.READ_IN['milvus-lite']}"


@pytest.mark.parametrize("whose", [[], ["ours"]], ids=["another", "ours"])
def test_they_can_be_imported_afterwards(tmp_path: Path, whose: list[str]) -> None:
    code = """
import faiss, pandas, requests
import pandas.api.types
from pymilvus.client import global_topology
assert pandas.api.types.is_scalar(1) and pandas.DataFrame({"a": [1]}).size == 1
assert faiss.IndexFlatL2(2).d == 2
assert global_topology.requests.exceptions.RequestException is requests.RequestException
"""
    python(USED + code, tmp_path, *whose)


def test_where_we_are_a_library_pyarrow_knows_pandas(tmp_path: Path) -> None:
    code = """
import pyarrow
assert list(pyarrow.table({"a": [1]}).to_pandas().a) == [1]
"""
    python(USED + code, tmp_path)


def test_an_address_of_a_global_cluster_imports_requests_late() -> None:
    code = """
from indexer.environment import claim_process
claim_process()
from indexer.milvus import internals
internals.silence()
from pymilvus.client import global_topology
assert "requests" not in sys.modules
error = global_topology.requests.exceptions.RequestException
assert issubclass(error, OSError) and "requests" in sys.modules
"""
    python(code)


def test_the_engine_does_not_look_for_its_version_until_somebody_asks() -> None:
    code = """
from indexer.environment import claim_process
claim_process()
from indexer.milvus import internals
internals.import_engine()
assert "importlib.metadata" not in sys.modules
from milvus_lite._version import get_version
assert get_version() == internals.READ_IN["milvus-lite"]
"""
    python(code)


def test_arrow_makes_its_functions_when_one_is_called(tmp_path: Path) -> None:
    code = """
from indexer.environment import claim_process
claim_process()
from indexer.milvus.embedded import serve
from store_rows import make_rows, prepare
store = prepare(
    serve(sys.argv[1] + "/milvus.db", sys.argv[1], "code", patience=0, is_alone=True)
)
rows = make_rows(40)
store.upsert(rows[:30])
store.flush()
store.upsert(rows[28:])
store.delete([row["id"] for row in rows[:3]])
store.flush()  # too few rows are dead for a merge, which would call a function
assert [hit["id"] for hit in store.search("sparse", {35: 1.0}, 3)] == [rows[34]["id"]]
assert "pyarrow.compute" not in sys.modules
wanted = "chunk_no >= 10 and path in ['a.py', 'b.py'] and not (symbol like 'B%')"
assert len(store.search("sparse", {7: 1.0}, 40, wanted)) == 30
assert "pyarrow.compute" in sys.modules
store.close()
"""
    python(code, tmp_path)


def test_rows_are_picked_alike_with_and_without_these_functions() -> None:
    code = """
import random
from indexer.environment import claim_process
from indexer.milvus.internals import import_engine
from indexer.milvus.segments import picked
claim_process()
import_engine()
import pyarrow
batches = [pyarrow.RecordBatch.from_pylist([{"n": n, "s": str(n)} for n in part])
           for part in (range(7), range(7, 8), range(8, 50))]
table = pyarrow.Table.from_batches(batches)
cases = [[], [0], [49], [3, 4, 5], [5, 4, 3], [6, 7, 8], [2, 2, 3], [*range(50)]]
cases += [random.Random(n).choices(range(50), k=n) for n in range(1, 40)]
sliced = [picked(table, rows).to_pylist() for rows in cases[1:]]
assert "pyarrow.compute" not in sys.modules
import pyarrow.compute
taken = [picked(table, rows).to_pylist() for rows in cases]
assert taken == [[], *sliced] == [[{"n": n, "s": str(n)} for n in rows] for rows in cases]
"""
    python(code)
