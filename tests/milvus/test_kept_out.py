"""The store without the libraries that it imports and does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

USED = """
import json, sys
sys.path.insert(0, sys.argv[2])
from indexer.environment import claim_process
if sys.argv[3:] == ["ours"]:
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


def python(code: str, *arguments: str) -> str:
    tests = os.path.dirname(os.path.dirname(__file__))
    folder, *others = arguments
    done = subprocess.run(
        [sys.executable, "-c", code, folder, tests, *others],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def found(folder: Path, *arguments: str) -> dict[str, Any]:
    folder.mkdir()
    answer: dict[str, Any] = json.loads(
        python(USED + IMPORTED, str(folder), *arguments)
    )
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
    python(USED + code, str(tmp_path), *whose)


def test_where_we_are_a_library_pyarrow_knows_pandas(tmp_path: Path) -> None:
    code = """
import pyarrow
assert list(pyarrow.table({"a": [1]}).to_pandas().a) == [1]
"""
    python(USED + code, str(tmp_path))


def test_an_address_of_a_global_cluster_imports_requests_late() -> None:
    code = """
import sys
from indexer.environment import claim_process
claim_process()
from indexer.milvus import internals
internals.silence()
from pymilvus.client import global_topology
assert "requests" not in sys.modules
error = global_topology.requests.exceptions.RequestException
assert issubclass(error, OSError) and "requests" in sys.modules
"""
    python(code, "")
