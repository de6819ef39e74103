"""A real Milvus with users, whose rights are granted one by one until a run ends well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, python_text
from milvus_real import RealMilvus, real_milvus
from pymilvus import MilvusClient

pytestmark = pytest.mark.server

OF_THE_SERVER = {
    *("CreateCollection", "DescribeCollection", "ShowCollections", "DropCollection"),
    *("CreateAlias", "DropAlias"),
}
OF_A_COLLECTION = {
    *("CreateIndex", "IndexDetail", "Load", "GetLoadingProgress", "Flush"),
    *("GetFlushState", "Upsert", "Insert", "Delete", "Query", "Search"),
}


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[RealMilvus]:
    with real_milvus(tmp_path / "milvus", has_users=True) as server:
        yield server


def test_each_missing_right_is_named(
    milvus: RealMilvus, make_project: Callable[[str], Project]
) -> None:
    root = MilvusClient(milvus.uri, token="root:Milvus", dedicated=True)
    root.create_user("bob", "secret-of-bob")
    root.create_role("indexer")
    root.grant_role("bob", "indexer")
    host = make_project("here")
    host.write("a.py", python_text(1))
    host.environment |= {
        "CODX_INDEX_URI": milvus.uri,
        "CODX_INDEX_TOKEN": "bob:secret-of-bob",
        "CODX_INDEX_EXECUTOR": "serial",
    }
    granted: set[str] = set()
    while (done := host.command("run")).returncode:
        line = assert_one_line(done, 1)
        lacking = line.partition("the privilege ")[2].split()[0]
        assert lacking in (OF_THE_SERVER | OF_A_COLLECTION) - granted, line
        kind = "Global" if lacking in OF_THE_SERVER else "Collection"
        root.grant_privilege("indexer", kind, lacking, "*")
        granted.add(lacking)
        time.sleep(1)  # until the proxy knows
    assert {"Query", "Upsert", "Load", "Flush", "CreateCollection"} <= granted
    for token in ("bob:wrong", "nobody:x", "", "a-key"):
        host.environment["CODX_INDEX_TOKEN"] = token
        for command in (["run"], ["status"], ["search", "x"]):
            line = assert_one_line(host.command(*command), 1)
            assert "token" in line and "secret" not in line
    root.close()
