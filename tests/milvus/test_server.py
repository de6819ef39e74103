"""An index on a server: what its writers leave there, and what becomes of calls that fail.

The server is a milvus-lite behind an address; tests/server does the same to a real Milvus.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from conftest import Project, assert_one_line, only_slow, python_text
from flaky_proxy import flaky_way_to
from hosts import (
    NAME,
    assert_equal,
    assert_put_right,
    fill_host,
    store_of,
    write_in_turn,
)
from milvus_gate import Gate, gate_before
from milvus_server import free_port, served

from indexer.errors import StoreUnavailableError
from indexer.index.manifest import Manifest
from indexer.milvus import client
from indexer.milvus.remote import connect
from indexer.milvus.schema import collection_schema
from indexer.milvus.store import WRITER, Store


@pytest.fixture
def make_host(make_project: Callable[[str], Project]) -> Callable[[str], Project]:
    """Makes places, as on hosts of their own, that share one collection of a server."""

    def make(name: str) -> Project:
        project = make_project(name)
        fill_host(project, CODX_INDEX_MODE="sparse")
        return project

    return make


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with served(tmp_path / "server") as (uri, _), gate_before(uri) as found:
        yield found


@pytest.fixture
def host(gate: Gate, make_host: Callable[[str], Project]) -> Project:
    """A project, not indexed yet, on the server behind the gate."""
    made = make_host("here")
    made.environment["CODX_INDEX_URI"] = gate.uri
    return made


# A mark and a lease that outlive the server


def test_a_server_killed_between_two_writers(
    tmp_path: Path, make_host: Callable[[str], Project]
) -> None:
    here, there = make_host("here"), make_host("there")
    port = free_port()
    for project in (here, there):
        project.environment["CODX_INDEX_URI"] = f"http://127.0.0.1:{port}"
    with served(tmp_path / "server", port):
        write_in_turn(here, there)
    with served(tmp_path / "server", port):
        assert_put_right(here)


def test_the_lease_and_the_mark_are_rows(host: Project) -> None:
    host.run()
    with closing(store_of(host)) as store:
        properties = store.open()
        found = store._client.describe_collection(f"{NAME}__lease")
        rows = store._client.query(
            f"{NAME}__lease", filter='id != ""', output_fields=["text"]
        )
        assert {row["id"]: bool(row["text"]) for row in rows} == {
            "lease": False,
            "mark": True,
        }
        assert WRITER not in properties and not found["properties"]
        assert set(store._client.list_collections()) == {
            store.physical,
            f"{NAME}__lease",
        }


def test_an_index_of_an_earlier_version_is_taken_over(host: Project) -> None:
    host.run()
    with closing(store_of(host)) as store:
        store.open()
        store._client.drop_collection(f"{NAME}__lease")
        store._client.create_collection(
            f"{NAME}__lease",
            schema=collection_schema(2, sparse=False),
            properties={"codx.lease": ""},
        )
        store._client.alter_collection_properties(store.physical, {WRITER: "old"})
        before = {key.id for key in store.keys()}
        path = host.root / ".codx/index/manifest.sqlite"
        with Manifest(str(path)) as manifest:
            manifest.set(mark="old")
    assert not host.report("status")["up_to_date"]
    report = host.run()
    assert (report["chunks"]["upserted"], report["chunks"]["embedded"]) == (0, 0)
    with closing(store_of(host)) as store:
        store.open()
        assert {key.id for key in store.keys()} == before
    assert_equal(host)
    assert host.run()["status"] == "unchanged"
    assert host.report("status")["up_to_date"]


def lose_the_alias(store: Store) -> None:
    store._client.drop_alias(NAME)


def lose_the_board(store: Store) -> None:
    store._client.drop_collection(f"{NAME}__lease")


def lose_the_mark(store: Store) -> None:
    store._client.delete(f"{NAME}__lease", ids=["mark"])


def turn_the_alias_back(store: Store) -> None:
    old = f"{NAME}__00000000"
    store._client.create_collection(
        old,
        schema=collection_schema(4, sparse=True),
        properties={"codx.fingerprint": "0" * 64},
    )
    store._client.alter_alias(old, NAME)


@pytest.mark.parametrize(
    "lose",
    [lose_the_mark, *only_slow(turn_the_alias_back, lose_the_alias, lose_the_board)],
)
def test_what_a_crash_can_undo(host: Project, lose: Callable[[Store], None]) -> None:
    host.run()
    host.write("0.py", "one = 1\n")
    host.run()
    with closing(store_of(host)) as store:
        store.open()
        store.delete([key.id for key in store.keys()][:1])
        lose(store)
    assert not host.report("status")["up_to_date"]
    report = host.run()
    assert report["chunks"]["upserted"] > 0
    assert_equal(host)
    assert host.run()["status"] == "unchanged"


# How many calls it takes


def test_the_calls_of_a_run(host: Project, gate: Gate) -> None:
    host.run()
    gate.calls.clear()
    host.run()
    assert gate.calls == {"Connect": 1, "DescribeCollection": 1, "Query": 1}
    host.write("0.py", python_text(0, 1) + "x = 1\n")
    gate.calls.clear()
    host.run()
    assert gate.calls == {
        "Connect": 1,
        "GetVersion": 1,  # because of --mode sparse
        "Query": 3,  # the lease is free; it is ours; the number of rows
        "Upsert": 4,  # take the lease, leave the mark, the row, give the lease back
        "DescribeCollection": 2,  # behind the alias, before and after
        "GetLoadState": 1,
        "Flush": 1,
        "GetFlushState": 2,  # a real Milvus is asked more often, while it flushes
    }
    assert gate.calls.total() == 15
    gate.calls.clear()
    host.report("status")
    assert gate.calls.total() == 3


def test_verify_reads_many_rows_a_call(
    host: Project, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        host.write(f"more/{number}.py", python_text(100 + number, 1))
    rows = host.run()["chunks"]["total"]
    gate.calls.clear()
    assert host.command("verify").returncode == 0
    assert rows > 60 and gate.calls["Query"] < 10


# What is refused

# In the order in which a first run needs them.
RIGHTS = (
    "DescribeCollection Query CreateCollection CreateIndex LoadCollection Upsert "
    "CreateAlias Flush ShowCollections"
).split()


def test_each_missing_right_is_named(host: Project, gate: Gate) -> None:
    for method in RIGHTS:
        gate.deny(method)
        line = assert_one_line(host.command("run"), 1)
        assert f"lacks the privilege {method} at {gate.uri}" in line
        assert "CODX_INDEX_TOKEN" in line and "RpcError" not in line
    gate.deny()
    host.run()
    assert_equal(host)


@pytest.mark.parametrize(
    "method", ["Delete", *only_slow("AlterAlias", "DropCollection")]
)
def test_a_missing_right_of_later_runs(host: Project, gate: Gate, method: str) -> None:
    host.run()
    (host.root / "0.py").unlink()
    gate.deny(method)
    # Other secrets are another fingerprint, so another collection.
    other = [] if method == "Delete" else ["--secrets", "off"]
    done = host.command("run", *other)
    assert f"the privilege {method} " in assert_one_line(done, 1)


@pytest.mark.parametrize(
    "command, needs, not_needed",
    [
        (["search", "ledger account"], ["DescribeCollection", "Search"], ["Query"]),
        (["status"], ["DescribeCollection", "Query"], ["Search"]),
        (["verify"], ["DescribeCollection", "Query"], ["Search"]),
    ],
    ids=["search", "status", "verify"],
)
def test_a_missing_right_of_a_reader(
    host: Project,
    gate: Gate,
    command: list[str],
    needs: list[str],
    not_needed: list[str],
) -> None:
    host.run()
    for method in needs:
        gate.deny(method)
        line = assert_one_line(host.command(*command), 1)
        assert f"the privilege {method} " in line
    gate.deny(*not_needed)
    done = host.command(*command)
    assert done.returncode == 0 or done.stderr.endswith("codx-index: no hits\n")


@pytest.mark.parametrize("token", ["root:hush-hush", *only_slow("")])
def test_a_wrong_token(host: Project, gate: Gate, token: str) -> None:
    gate.refuse = lambda method: (grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
    host.environment["CODX_INDEX_TOKEN"] = token
    for command in (["run"], ["status"], ["search", "x"], ["clear", "-y"]):
        line = assert_one_line(host.command(*command), 1)
        assert ("refuses the token" if token else "requires a token") in line
        assert "CODX_INDEX_TOKEN" in line and "hush" not in line


def test_an_unknown_database(host: Project) -> None:
    for command in ("run", "status"):
        uri = host.environment["CODX_INDEX_URI"] + "/nowhere"
        line = assert_one_line(host.command(command, "--uri", uri), 1)
        assert "nowhere" in line and "--uri" in line


# Calls that are made again


def test_calls_that_were_cut_off(
    host: Project, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that are carried out, but whose answers are lost, or which never arrive."""
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.01)
    rng = random.Random(3)
    gate.lose = lambda method: rng.random() < 0.25
    gate.refuse = lambda method: (
        (grpc.StatusCode.UNAVAILABLE, "connection reset by peer")
        if rng.random() < 0.1
        else None
    )
    host.run()
    host.write("0.py", "one = 1\n")
    host.run()
    (host.root / "0.py").unlink()
    host.run()
    gate.lose, gate.refuse = (lambda method: False), (lambda method: None)
    assert_equal(host)


def test_a_call_is_not_made_again_without_a_lease(gate: Gate) -> None:
    store = connect(gate.uri, "", NAME)
    store.stay_within(lambda: time.monotonic() - 1)
    gate.calls.clear()
    gate.refuse = lambda method: (grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
    with pytest.raises(StoreUnavailableError):
        store.describe(NAME)
    assert gate.calls["DescribeCollection"] == 1
    store.close()


@pytest.mark.slow  # the tests around it have a lost call, and a time without a server
def test_resets(tmp_path: Path, make_host: Callable[[str], Project]) -> None:
    rounds = 20
    host = make_host("here")
    with (
        served(tmp_path / "server") as (uri, _),
        flaky_way_to(uri, seed=20) as flaky,
    ):
        host.environment["CODX_INDEX_URI"] = flaky.uri
        host.run()
        flaky.resets, flaky.delay = 0.03, 0.002
        ended: list[int] = []
        for number in range(rounds):
            host.write("0.py", f"value = {number}\n")
            ended.append(host.installed.command("run").returncode)
            if ended[-1]:
                ended.append(host.installed.command("run").returncode)
        flaky.resets = 0.0
        assert set(ended) <= {0, 69} and ended[-1] == 0
        assert ended.count(0) == rounds
        assert flaky.count > 0
        assert_equal(host)


def test_a_server_that_comes_back(
    tmp_path: Path, make_host: Callable[[str], Project]
) -> None:
    """The proxy is down for a while in the middle of a run."""
    host = make_host("here")
    with served(tmp_path / "server") as (uri, _), flaky_way_to(uri, seed=1) as flaky:
        host.environment["CODX_INDEX_URI"] = flaky.uri
        host.run()
        host.write("0.py", "one = 1\n")
        flaky.resets = 1.0
        done = json.loads(host.command("run", "--json").stdout)
        assert done["exit_code"] == 69 and done["status"] == "unavailable"
        flaky.resets = 0.0
        threading.Timer(0.2, lambda: setattr(flaky, "resets", 1.0)).start()
        back = threading.Timer(1.2, lambda: setattr(flaky, "resets", 0.0))
        back.start()
        code = host.command("run").returncode
        assert code in (0, 69)
        back.join()
        assert host.command("run").returncode == 0
        assert_equal(host)


def test_sparse_vectors_are_needed_for_their_mode(
    host: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "_version", lambda store: "v2.3.5")
    line = assert_one_line(host.command("run"), 2)
    assert "--mode sparse" in line and "2.4" in line and "v2.3.5" in line
    with closing(store_of(host)) as store:
        assert store._client.list_collections() == []
    del host.environment["CODX_INDEX_MODE"]
    host.run()
    line = assert_one_line(host.command("search", "x", "--mode", "sparse"), 2)
    assert "--mode sparse" in line and "2.4" in line
    found: Any = host.report("search", "first")
    assert "hits" in found


def test_only_a_run_after_a_killed_one_looks_for_what_it_left(
    host: Project, gate: Gate
) -> None:
    """Because the list of collections is that of all projects on the server."""
    host.run()
    host.environment["CODX_INDEX_FAULT"] = "kill moved"
    host.environment["CODX_INDEX_SECRETS"] = "off"  # another fingerprint
    assert host.installed.command("run").returncode < 0
    del host.environment["CODX_INDEX_FAULT"]
    with closing(store_of(host)) as store:
        names = store._client.list_collections
        assert len([one for one in names() if one.startswith(f"{NAME}__")]) == 3
        host.run()
        assert len([one for one in names() if one.startswith(f"{NAME}__")]) == 2


@pytest.mark.parametrize("parallel", [*only_slow("1"), "3"])
def test_the_calls_of_many_projects(
    parallel: str, gate: Gate, make_project: Callable[[str], Project]
) -> None:
    """One connection for all; a project with nothing to do costs two calls, and no list."""
    above = make_project("above")
    above.environment |= {"CODX_INDEX_URI": gate.uri, "CODX_INDEX_MODE": "sparse"}
    for number in range(6):
        above.write(f"{number}/codx-index.toml", "")
        above.write(f"{number}/a.py", f"def f{number}(): pass\n")
        above.git("init", "-q", str(number))
        above.git("-C", str(number), "add", "-A")
        above.git("-C", str(number), "commit", "-qm", "all")
    run_all = ("run-all", ".", "--parallel", parallel, "--json")
    done = above.command(*run_all)
    assert done.returncode == 0, done.stderr
    gate.calls.clear()
    done = above.command(*run_all)
    assert json.loads(done.stdout)["status"] == "unchanged"
    assert gate.calls.pop("Connect") <= int(parallel)
    assert gate.calls == {"DescribeCollection": 6, "Query": 6}
