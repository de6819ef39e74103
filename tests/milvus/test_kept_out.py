"""The store without the libraries that it imports and does not use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fresh_python import python

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
