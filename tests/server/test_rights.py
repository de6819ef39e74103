"""A real Milvus with users, whose rights are granted one by one until a run ends well."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, python_text
from milvus_real import RealMilvus, real_milvus
from pymilvus import MilvusClient

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "teams.md").read_text(
    encoding="utf-8"
)

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
    root.create_user("eve", "secret-of-eve")
    root.create_role("reader")
    root.grant_role("eve", "reader")
    reader = make_project("desk")
    reader.environment["CODX_INDEX_TOKEN"] = "eve:secret-of-eve"
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


def test_the_page_for_teams(
    milvus: RealMilvus, make_project: Callable[[str], Project]
) -> None:
    """Its administrator, its commands and its table, with this server's address."""
    rights = re.findall(r"^\| (?:reads|writes) \|(.*?)\|(.*?)\|$", PAGE, re.M)
    named = [set(re.findall(r"`(\w+)`", cell)) for row in rights for cell in row]
    assert named == [set(), OF_A_READER, OF_THE_SERVER, OF_A_COLLECTION]
    there = PAGE.replace("http://milvus.example.org:19530", milvus.uri)
    python, administrator = re.findall(r"^```python\n(.*?)^```", there, re.M | re.S)
    writer, reader = make_project("of-ci"), make_project("of-ann")
    writer.write("src/billing/retry.py", python_text(1))
    writer.environment["CODX_INDEX_TOKEN"] = "root:Milvus"
    lines = re.findall(r"^    codx-index (.*--uri.*)$", there, re.M)
    run, *reads = [shlex.split(line, comments=True) for line in lines]
    assert writer.run(*run[1:])["status"] == "updated"
    exec(administrator, {})
    time.sleep(1)
    reader.environment["CODX_INDEX_TOKEN"] = "ann:a-password-of-ann"
    assert [read[0] for read in reads] == [
        "search",
        "search",
        "search",
        "status",
        "mcp",
    ]
    for read in reads:
        done = reader.command(*read)
        assert done.returncode == 0, done.stderr
    done = reader.launch(sys.executable, "-P", "-c", python)
    assert "src/billing/retry.py" in done.stdout, done.stderr
