"""Many projects in one collection of a real Milvus."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from conftest import Project, assert_one_line, python_text, start, wait_for
from milvus_real import RealMilvus, real_milvus
from pymilvus import MilvusClient
from shared_rows import Rows, of_project, rows_of

from indexer.config import key_of_project
from indexer.errors import StoreUnavailableError
from indexer.milvus.client import open_client

pytestmark = pytest.mark.server

NAME = "team"


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMilvus]:
    with real_milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(autouse=True)
def emptied(milvus: RealMilvus) -> Iterator[None]:
    """Each test begins with a server without collections."""
    yield
    with closing(MilvusClient(milvus.uri, dedicated=True)) as client:
        for name in client.list_collections():
            client.drop_collection(name)


@pytest.fixture
def client(milvus: RealMilvus) -> Iterator[MilvusClient]:
    with closing(MilvusClient(milvus.uri, dedicated=True)) as client:
        yield client


@pytest.fixture
def make_member(
    make_project: Callable[[str], Project], milvus: RealMilvus
) -> Callable[[str], Project]:
    """Makes projects, not indexed yet, that share one collection."""

    def make(name: str) -> Project:
        project = make_project(name)
        project.environment |= {
            "CODX_INDEX_URI": milvus.uri,
            "CODX_INDEX_SHARED_COLLECTION": NAME,
            "CODX_INDEX_EXECUTOR": "serial",
        }
        project.git("init", "-q", "-b", "main")
        project.write("same.py", python_text(0, 2))
        project.write("own.py", python_text(sum(name.encode()), 2))
        project.git("add", "-A")
        project.git("commit", "-qm", "two files")
        return project

    return make


def key(project: Project) -> str:
    return key_of_project(str(project.root))


def others(rows: Rows, project: Project) -> Rows:
    return {id_: row for id_, row in rows.items() if row["project"] != key(project)}


def test_each_project_has_its_own_rows(
    client: MilvusClient, make_member: Callable[[str], Project]
) -> None:
    members = [make_member(name) for name in "abc"]
    for project in members:
        assert project.run()["files"]["added"] == 2
    # One collection, and no more for leases and marks.
    assert client.list_collections() == [NAME]
    found = client.describe_collection(NAME)
    field = next(one for one in found["fields"] if one["name"] == "project")
    # Upserts of 2.3.5 go into other partitions than the ones that are searched (milvus#30607).
    assert not field.get("is_partition_key") and not found["aliases"]
    for project in members:
        assert project.run()["status"] == "unchanged"
    before = rows_of(client, NAME)
    one = members[1]
    one.write("own.py", "def pelican(): return 1\n")
    (one.root / "same.py").unlink()
    report = one.run()
    assert (report["files"]["modified"], report["files"]["deleted"]) == (1, 1)
    after = rows_of(client, NAME)
    assert others(after, one) == others(before, one)
    assert [r["path"] for r in of_project(after, key(one)).values()] == ["own.py"]
    for project in members:
        assert project.run()["status"] == "unchanged"
        assert project.command("verify").returncode == 0
        assert project.report("status")["up_to_date"]
    hits = members[0].report("search", "pelican", "--all-projects")["hits"]
    assert (hits[0]["project"], hits[0]["path"]) == (str(one.root), "own.py")
    assert {hit["project"] for hit in hits} == {str(p.root) for p in members}
    hits = members[0].report("search", "pelican", "--project", "c")["hits"]
    assert {hit["project"] for hit in hits} == {str(members[2].root)}
    assert one.command("clear", "--yes").returncode == 0
    assert rows_of(client, NAME) == others(before, one)
    assert "no project" in assert_one_line(one.command("search", "pelican"), 1)
    board = client.query(
        NAME, filter='project == "board"', output_fields=["id"], limit=100
    )
    assert {row["id"].partition("-")[2] for row in board} == {
        key(members[0]),
        key(members[2]),
    }


def test_two_projects_write_at_the_same_time(
    client: MilvusClient, make_member: Callable[[str], Project]
) -> None:
    """From the creation of the collection on, which both of them try."""
    members = [make_member(name) for name in "ab"]
    for number in range(12):
        for project in members:
            name = f"{number}.py"
            project.write(name, python_text(number + sum(name.encode()), 4))
    running = [start(project, "run", "--json") for project in members]
    for process in running:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert json.loads(output)["files"]["added"] == 14
    for project in members:
        assert project.run()["status"] == "unchanged"
        assert project.command("verify").returncode == 0


def test_a_server_that_is_killed_between_two_projects(
    milvus: RealMilvus, make_member: Callable[[str], Project]
) -> None:
    members = [make_member(name) for name in "ab"]
    for project in members:
        project.run()
    members[0].write("own.py", "first = 1\n")
    members[0].run()
    milvus.kill()
    milvus.start()
    wait_for(lambda: answers(milvus), 200)
    for project in members:
        assert project.run()["status"] in ("unchanged", "updated")
        assert project.command("verify").returncode == 0


def answers(milvus: RealMilvus) -> bool:
    """Whether the server is ready, which can take a while on a busy machine."""
    try:
        with closing(open_client(milvus.uri, timeout=10)) as client:
            return bool(client.list_collections())
    except StoreUnavailableError:
        return False


def test_another_model_is_refused(
    client: MilvusClient, make_member: Callable[[str], Project]
) -> None:
    one, other = make_member("a"), make_member("b")
    one.run()
    before = rows_of(client, NAME)
    line = assert_one_line(other.command("run", "--secrets", "off"), 1)
    assert "secrets mask where this run has off" in line
    assert rows_of(client, NAME) == before and client.list_collections() == [NAME]
