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


OF_A_READER = {"Query", "Search"}  # every user may describe a collection


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMilvus]:
    folder = tmp_path_factory.mktemp("milvus")
    with real_milvus(folder, has_users=True) as server:
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


def test_a_reader_needs_no_right_to_write(
    milvus: RealMilvus, make_project: Callable[[str], Project]
) -> None:
    """Without a checkout, with rights that are granted one by one.

    They are granted on every collection, because another model's has another name.
    """
    root = MilvusClient(milvus.uri, token="root:Milvus", dedicated=True)
    writer = make_project("shop")
    writer.write("retry.py", "def retry():\n    return 'a failed payment'\n")
    place = ["--uri", milvus.uri, "--collection", "shop"]
    writer.environment |= {
        "CODX_INDEX_TOKEN": "root:Milvus",
        "CODX_INDEX_EXECUTOR": "serial",
    }
    writer.run(*place)
    root.create_user("ann", "secret-of-ann")
    root.create_role("reader")
    root.grant_role("ann", "reader")
    reader = make_project("desk")
    reader.environment["CODX_INDEX_TOKEN"] = "ann:secret-of-ann"
    granted: set[str] = set()
    ask = ["search", "a failed payment", *place, "-C", "2"]
    while (done := reader.command(*ask)).returncode:
        line = assert_one_line(done, 1)
        lacking = line.partition("the privilege ")[2].split()[0]
        assert lacking not in granted, line
        root.grant_privilege("reader", "Collection", lacking, "*")
        granted.add(lacking)
        time.sleep(1)
    assert "retry.py" in done.stdout
    assert granted == OF_A_READER
    line = assert_one_line(reader.command("run", *place), 1)
    assert "lacks the privilege" in line
    root.close()
