"""A real Milvus 2.3.5, which tests/milvus/test_server.py stands in for otherwise."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from conftest import (
    Project,
    assert_one_line,
    python_text,
    start,
    wait_for,
)
from flaky_proxy import flaky_way_to
from hosts import (
    NAME,
    assert_equal,
    assert_put_right,
    fill_host,
    store_of,
    write_in_turn,
)
from milvus_gate import gate_before
from milvus_real import RealMilvus, real_milvus

from indexer.milvus.remote import connect

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMilvus]:
    with real_milvus(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def make_host(
    make_project: Callable[[str], Project], milvus: RealMilvus
) -> Iterator[Callable[[str], Project]]:
    """Makes places, as on hosts of their own, that share one collection."""

    def make(name: str) -> Project:
        project = make_project(name)
        fill_host(project, CODX_INDEX_URI=milvus.uri)
        return project

    yield make
    with closing(connect(milvus.uri, "", NAME)) as store:
        store.drop()


@pytest.fixture
def host(make_host: Callable[[str], Project]) -> Project:
    return make_host("here")


def test_killed_between_two_writers(
    milvus: RealMilvus, make_host: Callable[[str], Project]
) -> None:
    here, there = make_host("here"), make_host("there")
    write_in_turn(here, there)
    milvus.kill()
    milvus.start()
    assert_put_right(here)
    assert there.run()["status"] == "updated"
    assert_equal(there)


@pytest.mark.parametrize("step", ["claimed", "upserted", "flushed"])
def test_killed_together_with_a_writer(
    milvus: RealMilvus, make_host: Callable[[str], Project], step: str
) -> None:
    """Its mark was acknowledged before its rows were, and so outlives the server too."""
    here, there = make_host("here"), make_host("there")
    here.run()
    there.write("0.py", "second = 2\n")
    there.environment["CODX_INDEX_FAULT"] = f"hang {step}"
    with closing(store_of(here)) as store:
        before = store.board.mark
        process = start(there, "run")
        wait_for(lambda: _mark(here) != before)
        wait_for(lambda: step == "claimed" or _has_row(here, "second = 2"))
    process.kill()
    process.communicate()
    milvus.kill()
    milvus.start()
    report = here.run()
    assert report["status"] == "updated" or step == "claimed"
    assert_equal(here)


def _mark(project: Project) -> str:
    with closing(store_of(project)) as store:
        return store.board.mark


def _has_row(project: Project, text: str) -> bool:
    with closing(store_of(project)) as store:
        store.open()
        ids = [key.id for key in store.keys()]
        return any(text in row["text"] for row in store.fetch(ids, ("text",)))


def test_killed_in_mid_run(milvus: RealMilvus, host: Project) -> None:
    host.run()
    for number in range(40):
        host.write(f"more/{number}.py", python_text(100 + number, 2))
    running = start(host, "run", "--json")
    time.sleep(1.5)
    milvus.kill()
    milvus.start()
    output, errors = running.communicate(timeout=120)
    assert running.returncode in (0, 1, 69), errors
    if running.returncode == 0:
        assert json.loads(output)["status"] == "updated"
    host.run()
    assert_equal(host)


def test_an_older_copy_of_the_collection(host: Project) -> None:
    """As after a restore from a backup, which makes the collection anew."""
    host.run()
    with closing(store_of(host)) as store:
        store.open()
        found = store.describe(NAME)
        assert found is not None
        rows = store.fetch([key.id for key in store.keys()])
    host.write("0.py", "first = 1\n")
    host.run()
    with closing(store_of(host)) as store:
        properties = store.open()
        store._client.drop_alias(NAME)
        store._client.drop_collection(store.physical)
        fingerprint = properties["codx.fingerprint"]
        store._looked = None
        store.prepare(fingerprint, len(rows[0]["vector"]), properties)
        store._client.upsert(store.physical, [dict(row) for row in rows])
        store.finish()
    assert not host.report("status")["up_to_date"]
    assert host.run()["chunks"]["upserted"] == 1
    assert_equal(host)


def test_the_calls_of_a_command(host: Project) -> None:
    with gate_before(host.environment["CODX_INDEX_URI"]) as gate:
        host.environment["CODX_INDEX_URI"] = gate.uri
        host.run()

        def calls(*command: str) -> int:
            gate.calls.clear()
            assert host.command(*command).returncode == 0
            return gate.calls.total()

        host.write("0.py", python_text(0, 1) + "x = 1\n")
        assert calls("run") <= 20, gate.calls
        assert calls("run") == 3, gate.calls
        assert calls("status") == 3, gate.calls
        (host.root / "0.py").rename(host.root / "renamed.py")
        assert calls("run") <= 22, gate.calls
        assert calls("search", "account") <= 8, gate.calls
        assert calls("verify") <= 12, gate.calls


def test_clones_of_a_list(
    host: Project, make_project: Callable[[str], Project]
) -> None:
    """Another host, with no clone and no state, finds what is indexed."""
    host.git("add", "-A")
    host.git("commit", "-q", "--allow-empty", "-m", "all")
    environment = {"CODX_INDEX_URI": host.environment["CODX_INDEX_URI"]}
    for number, name in enumerate(("first", "other")):
        other = make_project(name)
        other.environment |= environment
        names = other.write("list", f"file://{host.root}\n")
        (found,) = other.report("run-all", "--from", str(names))["projects"]
        chunks = found["report"]["chunks"]
        assert chunks["total"] > 0
        assert (chunks["upserted"] > 0) == (number == 0)
    (clone,) = other.cache_dir.glob("clones/*/")
    assert other.command("clear", "--yes", str(clone)).returncode == 0


def test_resets(host: Project, milvus: RealMilvus) -> None:
    with flaky_way_to(milvus.uri, seed=5) as flaky:
        host.environment["CODX_INDEX_URI"] = flaky.uri
        host.run()
        flaky.resets, flaky.delay = 0.03, 0.02
        codes: list[int] = []
        for number in range(20):
            host.write("0.py", f"value = {number}\n")
            codes.append(host.command("run").returncode)
            if codes[-1]:
                codes.append(host.command("run").returncode)
        flaky.resets = 0.0
        assert set(codes) <= {0, 69} and codes.count(0) == 20, codes
        assert flaky.count > 10
        assert_equal(host)


def test_two_hosts_at_once(make_host: Callable[[str], Project]) -> None:
    """One has the lease, the other waits for it; both end well."""
    here, there = make_host("here"), make_host("there")
    here.run()
    for number in range(3):
        here.write("0.py", f"here = {number}\n")
        there.write("0.py", f"there = {number}\n")
        both = [start(one, "run", "--wait", "120") for one in (here, there)]
        assert [one.wait(timeout=180) for one in both] == [0, 0]
        for one in both:
            one.communicate()
    here.run()
    assert_equal(here)


def test_the_mode_without_vectors(host: Project) -> None:
    line = assert_one_line(host.command("run", "--mode", "sparse"), 2)
    assert "--mode sparse" in line and "v2.3.5" in line and "2.4" in line
    with closing(store_of(host)) as store:
        assert store._client.list_collections() == []
    host.run()
    line = assert_one_line(host.command("search", "x", "--mode", "sparse"), 2)
    assert "--mode sparse" in line


def test_an_unknown_database(host: Project, milvus: RealMilvus) -> None:
    for command in ("run", "status"):
        line = assert_one_line(host.command(command, "--uri", f"{milvus.uri}/none"), 1)
        assert "none" in line and "--uri" in line


def test_another_scheme(host: Project, milvus: RealMilvus) -> None:
    uri = milvus.uri.replace("http:", "https:")
    line = assert_one_line(host.installed.command("status", "--uri", uri), 69)
    assert "TLS" in line


def test_verify_reads_many_rows_a_call(host: Project) -> None:
    for number in range(700):
        host.write(f"more/{number}.py", python_text(100 + number, 3))
    with gate_before(host.environment["CODX_INDEX_URI"]) as gate:
        host.environment["CODX_INDEX_URI"] = gate.uri
        rows = host.run()["chunks"]["total"]
        gate.calls.clear()
        assert_equal(host)
        # Three for the iterator over the keys.
        assert rows > 1_000 and gate.calls["Query"] - 3 <= rows / 1_000, gate.calls
