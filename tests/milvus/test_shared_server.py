"""A collection that projects share on a server, for which a milvus-lite stands in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Project, python_text, start
from hosts import fill_host
from milvus_gate import Gate, gate_before
from milvus_server import served
from pymilvus import MilvusClient
from shared_rows import rows_of

from indexer.config import key_of_project

NAME = "team"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with served(tmp_path / "server") as (uri, _), gate_before(uri) as found:
        yield found


@pytest.fixture
def make_member(
    gate: Gate, make_project: Callable[[str], Project]
) -> Callable[[str], Project]:
    """Makes projects, not indexed yet, that share one collection of the server."""

    def make(name: str) -> Project:
        project = make_project(name)
        fill_host(
            project,
            CODX_INDEX_MODE="sparse",
            CODX_INDEX_URI=gate.uri,
            CODX_INDEX_SHARED_COLLECTION=NAME,
        )
        del project.environment["CODX_INDEX_COLLECTION"]
        del project.environment["CODX_INDEX_TAKE_OVER"]
        return project

    return make


def key(project: Project) -> str:
    return key_of_project(str(project.root))


def test_the_calls_of_a_run(gate: Gate, make_member: Callable[[str], Project]) -> None:
    """No more than of a collection that is one project's, whatever others write."""
    one, other = make_member("one"), make_member("other")
    one.run()
    other.run()
    with closing(MilvusClient(gate.uri, dedicated=True)) as client:
        assert client.list_collections() == [NAME]
        found = client.describe_collection(NAME)
        field = next(one for one in found["fields"] if one["name"] == "project")
        assert field["is_partition_key"]
        before = {k: v for k, v in rows_of(client, NAME).items() if is_of(v, other)}
        assert len(before) == 3
    gate.calls.clear()
    assert one.run()["status"] == "unchanged"
    assert gate.calls == {"Connect": 1, "DescribeCollection": 1, "Query": 1}
    one.write("0.py", python_text(0, 1) + "x = 1\n")
    gate.calls.clear()
    assert one.run()["chunks"]["upserted"] == 1
    assert gate.calls.total() <= 20, gate.calls
    assert other.run()["status"] == "unchanged"
    assert one.command("verify").returncode == 0
    assert one.command("clear", "--yes").returncode == 0
    with closing(MilvusClient(gate.uri, dedicated=True)) as client:
        assert rows_of(client, NAME) == before
        board = client.query(NAME, filter='project == "board"', output_fields=["id"])
        assert {row["id"] for row in board} == {
            f"{kind}-{key(other)}" for kind in ("lease", "mark", "owner")
        }


def is_of(row: dict[str, object], project: Project) -> bool:
    return row["project"] == key(project)


@pytest.mark.slow
def test_two_projects_write_at_the_same_time(
    gate: Gate, make_member: Callable[[str], Project]
) -> None:
    """From the creation of the collection on, which both of them try."""
    members = [make_member(name) for name in ("one", "other")]
    for number in range(30):
        for project in members:
            project.write(f"more/{number}.py", python_text(number, 3))
    running = [start(project, "run", "--json") for project in members]
    for process in running:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        assert json.loads(output)["files"]["added"] == 33
    for project in members:
        assert project.run()["status"] == "unchanged"
        assert project.command("verify").returncode == 0
