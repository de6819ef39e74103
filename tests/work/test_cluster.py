"""Runs whose tasks go to a Dask cluster: its scheduler and its workers are processes of their own."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clusters import LocalCluster, kill
from conftest import Project, assert_one_line, python_text, start, wait_for
from msgspec.structs import replace

from indexer.config import AS_USUAL, DEFAULT_MODEL
from indexer.errors import ClusterUnavailableError, ModelError
from indexer.run import passes
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model
from indexer.work import cluster as client
from indexer.work import worker
from indexer.work.recipe import Recipe, recipe_of

pytest.importorskip("distributed")
SECRET = "ghp_" + "a1B2c3D4e5" * 3 + "F6g7h8"


@pytest.fixture
def backend(model_cache: Path) -> Backend:
    cache = str(model_cache)
    return choose_backend(resolve_model(DEFAULT_MODEL, cache), cache, convert=True)


@pytest.fixture(autouse=True)
def _no_plan_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SMALL_PLAN_BYTES", 0)


def fill(project: Project, files: int = 4, functions: int = 3) -> None:
    for number in range(files):
        project.write(f"m{number}.py", python_text(number, functions))
    project.write("secret.py", f'TOKEN = "{SECRET}"\n')
    project.write("data.csv", "a,b\n" + "1,2\n" * 20)
    project.write("latin.txt", "déjà vu\n".encode("latin-1"))
    cells = [{"cell_type": "code", "source": ["x = 1\n", "print(x)"], "outputs": []}]
    project.write("n.ipynb", json.dumps({"cells": cells, "nbformat": 4}))
    project.write("binary.dat", bytes(range(256)))


def same(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows with values that can be compared bit by bit."""
    return {key: {k: repr(v) for k, v in row.items()} for key, row in rows.items()}


def local_rows(
    make_project: Callable[[str], Project], fill: Callable[[Project], None]
) -> dict[str, dict[str, Any]]:
    local = make_project("local")
    fill(local)
    local.run("--executor", "process", "--jobs", "1", "--cache-size", "0")
    return same(local.rows())


def test_the_rows_are_those_of_a_local_run(
    cluster: LocalCluster, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    project = make_project("remote")
    fill(project)
    trace = tmp_path / "trace.json"
    done = project.command(
        *("run", "-v", "--executor", cluster.executor, "--trace", str(trace)),
        *("--cache-size", "0"),
    )
    assert done.returncode == 0, done.stderr
    assert f"connected to {cluster.executor}, whose dashboard is http" in done.stderr
    assert f"of {cluster.executor} joins with 1" in done.stderr
    rows = same(project.rows())
    assert rows == local_rows(make_project, fill)
    assert SECRET not in str(rows) and "secret.py" in str(rows)
    events = json.loads(trace.read_text())["traceEvents"]
    names = {one["args"].get("name") for one in events if one["ph"] == "M"}
    assert f"worker 1 on {os.uname().nodename}" in names
    embedding = [one for one in events if one["name"] == "embed"]
    ended = max(one["ts"] + one["dur"] for one in events if one["ph"] == "X")
    assert embedding and all(0 < one["ts"] < ended for one in embedding)
    assert wait_for(lambda: not cluster.ask("tasks"))


def test_what_is_sent_has_no_secrets(
    cluster: LocalCluster, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    real = client.Cluster._perform

    def perform(self: client.Cluster, kind: str, arguments: bytes) -> Any:
        sent.append(arguments)
        return real(self, kind, arguments)

    monkeypatch.setattr(client.Cluster, "_perform", perform)
    recipe = recipe_of(backend, 0)
    with opened(cluster.executor, recipe) as workers:
        files = [("a.py", f'TOKEN = "{SECRET}"\n'.encode())]
        chunked = workers.chunkers.submit(worker.chunk_files, files).result()
    assert chunked.files[0].masked == 1
    assert SECRET.encode() not in sent[0] and b"a.py" in sent[0]
    assert backend.cache_dir.encode() not in sent[0]


def opened(executor: str, recipe: Recipe, jobs: int = 0) -> Any:
    told: list[str] = []
    return client.open_cluster(
        executor, jobs, recipe, AS_USUAL, told.append, told.append
    )


def test_jobs_are_those_of_the_cluster_that_a_run_takes(
    cluster: LocalCluster, backend: Backend
) -> None:
    recipe = recipe_of(backend, 0)
    with opened(cluster.executor, recipe) as workers:
        assert wait_for(lambda: workers.jobs == 2)
        large = workers.embed_task
    with opened(cluster.executor, recipe, jobs=1) as workers:
        time.sleep(1)  # both have answered by then
        assert workers.jobs == 1 and workers.embed_task <= large


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("versions", (("openvino", "1.0"),), "openvino is 20"),
        ("digest", "ab" * 32, "no model with the digest abababababab"),
        ("computed", "bf17", "bf17 here"),
    ],
)
def test_who_would_compute_something_else_is_refused(
    name: str, value: Any, words: str, cluster: LocalCluster, backend: Backend
) -> None:
    recipe = replace(recipe_of(backend, 0), **{name: value})
    with pytest.raises(ModelError, match=words) as refused:
        with opened(cluster.executor, recipe):
            pass
    assert os.uname().nodename in str(refused.value)


def test_nobody_answers(
    make_project: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.3)
    project = make_project("alone")
    project.write("a.py", "x = 1\n")
    done = project.command("run", "--executor", "dask://127.0.0.1:1")
    assert "no Dask scheduler answers at dask://127.0.0.1:1" in assert_one_line(
        done, 69
    )
    done = project.command("run", "--executor", "dask:missing.json")
    assert "missing.json" in assert_one_line(done, 69)


def test_what_is_no_address(make_project: Callable[[str], Project]) -> None:
    project = make_project("typo")
    for wrong in ("dask://host", "http://host:1", "dask:", "pool"):
        line = assert_one_line(project.command("run", "--executor", wrong), 2)
        assert "dask://HOST:PORT" in line
        assert_one_line(project.command("worker", wrong), 2)


def test_a_cluster_in_a_projects_file_needs_trust(
    make_project: Callable[[str], Project],
) -> None:
    project = make_project("stranger")
    project.write("codx-index.toml", 'executor = "dask://127.0.0.1:1"\n')
    line = assert_one_line(project.command("run"), 2)
    assert "--trust" in line and "sends data elsewhere" in line


def test_the_extra_is_missing(
    make_project: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "distributed" else real(name, *rest),
    )
    project = make_project("bare")
    project.write("a.py", "x = 1\n")
    for command in (("run", "--executor"), ("worker",)):
        line = assert_one_line(project.command(*command, "dask://127.0.0.1:1"), 2)
        assert "pip install 'codx-index[dask]'" in line


def test_no_worker_is_there(
    own_cluster: LocalCluster, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WORKER_SECONDS", 0.5)
    with pytest.raises(ClusterUnavailableError, match="codx-index worker dask://127"):
        with opened(own_cluster.executor, recipe_of(backend, 0)):
            pass


# What is done to a run by those around it

ROUNDS = int(os.environ.get("CODX_INDEX_CLUSTER_ROUNDS", "20"))


def larger(project: Project) -> None:
    """Too much for a small plan, most of which nobody has to embed."""
    fill(project, files=12, functions=6)
    project.write("large.csv", "".join(f"{n},{n * n},row {n}\n" for n in range(8000)))


def begin(project: Project, cluster: LocalCluster, *arguments: str) -> Any:
    """Start a run of everything, none of whose vectors are cached."""
    options = ("--executor", cluster.executor, "--cache-size", "0", "--json", "-y")
    return start(project, "run", "--force", *options, *arguments)


def finished(process: Any, *codes: int) -> dict[str, Any]:
    """The report of a run that ends with one of these codes."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode in codes, (output, errors)
    report: dict[str, Any] = json.loads(output)
    return report


@pytest.fixture
def two(own_cluster: LocalCluster) -> LocalCluster:
    """A cluster of two workers, for one test that does them harm."""
    own_cluster.add_worker()
    own_cluster.add_worker()
    own_cluster.wait_for_workers(2)
    return own_cluster


@pytest.fixture
def remote(make_project: Callable[[str], Project]) -> Project:
    project = make_project("remote")
    larger(project)
    return project


@pytest.fixture
def expected(make_project: Callable[[str], Project]) -> dict[str, dict[str, Any]]:
    """The rows of a run without a cluster."""
    return local_rows(make_project, larger)


@pytest.mark.slow
def test_workers_that_are_killed_cost_a_retry(
    two: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    rng = random.Random(1)
    for _ in range(ROUNDS):
        process = begin(remote, two)
        time.sleep(rng.uniform(1, 8))
        kill(two.workers.pop(0))
        two.add_worker()
        finished(process, 0)
        assert same(remote.rows()) == expected


@pytest.mark.slow
def test_a_scheduler_that_is_killed_ends_the_run(
    two: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    rng, ended = random.Random(2), 0
    for _ in range(ROUNDS):
        process = begin(remote, two)
        time.sleep(rng.uniform(2, 6))
        kill(two.scheduler)
        report = finished(process, 0, 69)
        if report["status"] == "unavailable":
            ended += 1
            assert two.executor in report["error"]
        two.start_scheduler()
        two.wait_for_workers(2)
        finished(begin(remote, two), 0)
        assert same(remote.rows()) == expected
    assert ended


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_nothing_behind(
    two: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    rng = random.Random(3)
    for _ in range(ROUNDS):
        process = begin(remote, two)
        time.sleep(rng.uniform(1, 6))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert wait_for(lambda: two.ask("tasks") == [])
        finished(begin(remote, two), 0)
        assert same(remote.rows()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_order(
    number: int, two: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    process = begin(remote, two)
    wait_for(lambda: two.ask("tasks"))
    process.send_signal(number)
    assert finished(process, 128 + number)["status"] == "interrupted"
    assert wait_for(lambda: two.ask("tasks") == [])
    finished(begin(remote, two), 0)
    assert same(remote.rows()) == expected


@pytest.mark.slow
def test_a_worker_that_stands_still_is_waited_for(
    two: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    process = begin(remote, two)
    wait_for(lambda: two.ask("tasks"))
    stopped = two.workers[0]
    os.killpg(stopped.pid, signal.SIGSTOP)
    waking = threading.Timer(12, os.killpg, (stopped.pid, signal.SIGCONT))
    waking.start()
    finished(process, 0)
    waking.join()
    assert same(remote.rows()) == expected


@pytest.mark.slow
def test_workers_may_join_and_leave(
    own_cluster: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    own_cluster.add_worker()
    process = begin(remote, own_cluster, "-v")
    wait_for(lambda: own_cluster.ask("tasks"))
    own_cluster.add_worker()
    wait_for(lambda: len(own_cluster.ask("ncores")) == 2)
    own_cluster.workers[0].send_signal(signal.SIGTERM)
    assert own_cluster.workers[0].wait(60) == 128 + signal.SIGTERM
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert errors.count("joins with 1") == 2 and "has left" in errors
    assert same(remote.rows()) == expected


@pytest.mark.slow
def test_a_model_known_by_its_folder(
    own_cluster: LocalCluster, remote: Project, tiny_model: str
) -> None:
    """A worker has to be told of it, because a recipe names no path of this machine."""
    remote.environment["CODX_INDEX_MODEL"] = tiny_model
    own_cluster.add_worker()
    output, errors = begin(remote, own_cluster).communicate(timeout=300)
    assert "no model with the digest" in errors and tiny_model not in own_cluster.log()
    kill(own_cluster.workers.pop())
    own_cluster.add_worker(CODX_INDEX_MODEL=tiny_model)
    report = finished(begin(remote, own_cluster), 0)
    assert report["chunks"]["embedded"]
    rows = same(remote.rows())
    remote.command("clear", "--yes")
    remote.run("--executor", "serial", "--cache-size", "0")
    assert same(remote.rows()) == rows


# Addresses


@pytest.mark.slow
def test_a_cluster_that_talks_tls(
    tmp_path: Path, model_cache: Path, remote: Project, expected: dict[str, Any]
) -> None:
    folder = tmp_path / "cluster"
    with closing(LocalCluster(folder, model_cache, is_secret=True)) as secret:
        secret.add_worker()
        assert secret.executor.startswith("tls://")
        stranger = begin(remote, secret)
        output, errors = stranger.communicate(timeout=300)
        assert stranger.returncode in (2, 69), (output, errors)
        assert secret.executor in errors and errors.count("\n") == 1
        remote.environment |= secret.variables
        report = finished(begin(remote, secret), 0)
        assert report["chunks"]["embedded"] and same(remote.rows()) == expected


@pytest.mark.slow
def test_the_scheduler_s_file_names_it(
    own_cluster: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    """To workers and to runs."""
    named = f"dask:{own_cluster.file}"
    own_cluster.add_worker(addr=named)
    report = finished(begin(remote, own_cluster, "--executor", named), 0)
    assert report["chunks"]["embedded"] and same(remote.rows()) == expected


@pytest.mark.slow
@pytest.mark.parametrize("action", ["kill", "hang"])
def test_a_file_that_costs_workers_fails_alone(
    action: str, own_cluster: LocalCluster, remote: Project, expected: dict[str, Any]
) -> None:
    own_cluster.add_worker(CODX_INDEX_FAULT=f"{action} chunking m3.py")
    report = finished(begin(remote, own_cluster, "--task-timeout", "5"), 3)
    assert [one["path"] for one in report["failures"]] == ["m3.py"]
    rows = {key: row for key, row in expected.items() if "m3.py" not in row["path"]}
    assert same(remote.rows()) == rows
