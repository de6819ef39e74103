"""`run-all` on a Dask cluster: each project is run for by one of its hosts."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clusters import LocalCluster, kill
from conftest import Project, assert_one_line, python_text, read_rows, start, wait_for
from git_calls import run_git
from milvus_server import served

from indexer.cli.fleet import told_to_hosts
from indexer.cli.project_run import errand_for
from indexer.errors import ClusterUnavailableError, WorkerDiedError
from indexer.report import Report
from indexer.run.fleet import PATIENCE, ended_by, run_on_cluster
from indexer.run.repositories import Repository
from indexer.run.run_all import Outcome, Result, Results
from indexer.settings.declarations import (
    CACHE_DIR,
    EXTERNAL_FOLDERS,
    IGNORE,
    TOKEN,
    URI,
)
from indexer.settings.requests import SCRATCH
from indexer.settings.values import Origin, Value

pytest.importorskip("distributed")


@pytest.fixture
def project(make_project: Callable[[str], Project]) -> Project:
    return make_project("elsewhere")


def repository(folder: Path, name: str, files: int = 2) -> Path:
    root = folder / name
    root.mkdir(parents=True)
    for number in range(files):
        text = python_text(sum(map(ord, name)) * 1000 + number, 3)
        (root / f"{number}.py").write_text(text)
    run_git(root, "init", "-q", "-b", "main")
    run_git(root, "add", "-A")
    run_git(root, "commit", "-qm", "x")
    return root


def listed(project: Project, *lines: object) -> str:
    return str(project.write("list", "\n".join(map(str, lines)) + "\n"))


def fleet(
    project: Project, executor: str, names: str, *options: str, code: int = 0
) -> dict[str, dict[str, Any]]:
    """What became of each project of a list, by the last part of its name."""
    done = project.command(
        "run-all", "--from", names, "--executor", executor, "--json", *options
    )
    assert done.returncode == code, done.stderr
    found = json.loads(done.stdout)["projects"]
    return {one["project"].rpartition("/")[2]: one for one in found}


def test_each_project_is_run_for_by_a_host(
    cluster: LocalCluster, project: Project, tmp_path: Path
) -> None:
    roots = [repository(tmp_path / "theirs", name) for name in ("r1", "r2", "r3")]
    bad = repository(tmp_path / "theirs", "bad")
    (bad / "codx-index.toml").write_text("jbos = 1\n")
    names = listed(project, *roots, bad, tmp_path / "nowhere")
    found = fleet(project, cluster.executor, names, code=2)
    assert [one["result"] for one in found.values()] == [
        *("failed", "failed", "run", "run", "run")
    ]
    assert "jbos: there is no such setting" in found["bad"]["report"]["error"]
    assert (
        "a cluster indexes folders on its own hosts"
        in found["nowhere"]["report"]["error"]
    )
    for root in roots:
        report = found[root.name]["report"]
        assert report["chunks"]["embedded"] == report["chunks"]["total"] > 0
        rows = read_rows(root / ".codx" / "index")
        assert len(rows) == report["chunks"]["total"]
    # Nothing to do, and what failed is left alone by whoever asks.
    found = fleet(project, cluster.executor, names, code=3)
    assert {one["result"] for one in found.values()} == {"run", "backed-off"}
    for root in roots:
        assert found[root.name]["report"]["status"] == "unchanged"
    # Nothing of this machine's own is asked for there.
    assert cluster.ask("tasks") == []


def test_a_host_clones_what_has_an_address(
    cluster: LocalCluster, project: Project, tmp_path: Path
) -> None:
    root = repository(tmp_path / "theirs", "r")
    names = listed(project, f"file://{root}@main")
    options = ("--uri", str(tmp_path / "shared.db"), "--mode", "sparse")
    report = fleet(project, cluster.executor, names, *options)["r"]["report"]
    assert report["project"] == f"file://{root}" and report["files"]["added"] == 2
    assert not (project.cache_dir / "clones").exists()
    # Here there is neither a clone nor a manifest, and the rows say what is indexed.
    done = project.command("run-all", "--from", names, *options)
    assert done.returncode == 0 and "unchanged" in done.stdout


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("https://bob:se-cret@example.org/o/r", ("--uri", "http://h:1")),
        ("https://example.org/o/r", ("--uri", "http://h:1", "--token", "se-cret")),
        ("https://example.org/o/r", ("--uri", "http://u:se-cret@h:1")),
        ("./r", ("--webhook", "https://h/se-cret")),
    ],
)
def test_secrets_go_to_no_scheduler_in_the_clear(
    line: str, options: tuple[str, ...], project: Project
) -> None:
    names = listed(project, line)
    done = project.command(
        *("run-all", "--from", names, "--executor", "dask://example.org:1"), *options
    )
    said = assert_one_line(done, 2)
    assert "unencrypted" in said and "se-cret" not in said


@pytest.mark.slow
def test_a_fleet_over_tls(project: Project, tmp_path: Path, model_cache: Path) -> None:
    """What is secret goes to its hosts, and is told by none of them."""
    root = repository(tmp_path / "theirs", "r")
    folder = tmp_path / "secret"
    with (
        served(tmp_path / "milvus") as (uri, _),
        closing(LocalCluster(folder, model_cache, is_secret=True)) as secret,
    ):
        secret.add_worker()
        project.environment |= {
            **secret.variables,
            "CODX_INDEX_TOKEN": "root:hush-hush",
        }
        done = project.installed.command(
            *("run-all", "--from", listed(project, f"file://{root}@main"), "--json"),
            *("--executor", secret.executor, "--uri", uri),
        )
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["projects"]
        assert found["report"]["chunks"]["embedded"] > 0
        assert "hush-hush" not in done.stdout + done.stderr + secret.log()


@pytest.mark.slow  # for the seconds that it is waited for
def test_no_scheduler(project: Project, tmp_path: Path) -> None:
    root = repository(tmp_path, "r")
    done = project.installed.command(
        *("run-all", "--from", listed(project, root)),
        *("--executor", "dask://127.0.0.1:9"),
    )
    assert "no Dask scheduler answers" in assert_one_line(done, 69)
    assert not (root / ".codx").exists()


def test_what_a_host_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = told_to_hosts(
        {
            URI: Value("shared.db", Origin.OPTION),
            SCRATCH: Value("clones", Origin.OPTION),
            CACHE_DIR: Value("/here", Origin.ENVIRONMENT),
            IGNORE: Value(("*.md",), Origin.ENVIRONMENT),
            EXTERNAL_FOLDERS: Value(("a", "~/b"), Origin.OPTION),
        }
    )
    assert {setting.name: value.value for setting, value in told.items()} == {
        "uri": f"{tmp_path}/shared.db",
        "scratch": f"{tmp_path}/clones",
        "ignore": ("*.md",),
        "external-folders": (f"{tmp_path}/a", "~/b"),
    }
    errand = errand_for(Repository("/r"), {TOKEN: Value("se-cret", Origin.OPTION)})
    assert "se-cret" not in repr(errand)


def outcome_of(code: int) -> Outcome:
    report = Report(error_code=code, error="why" if code else "")
    report.status = "failed" if code else "updated"
    return ended_by(report)


def run_with(
    tmp_path: Path,
    outcomes: dict[str, list[int | Exception]],
    is_over: Callable[[], bool] = lambda: False,
) -> tuple[list[Result], list[tuple[str, float]]]:
    """The results if runs end like this, and which were begun with what patience."""
    begun: list[tuple[str, float]] = []

    def begin(project: Repository, patience: float) -> Future[Outcome]:
        begun.append((project.name, patience))
        future: Future[Outcome] = Future()
        ends = outcomes[project.name].pop(0)
        if isinstance(ends, Exception):
            future.set_exception(ends)
        else:
            future.set_result(outcome_of(ends))
        return future

    results = Results(lambda result: None, str(tmp_path))
    projects = [Repository(name) for name in outcomes]
    run_on_cluster(projects, begin, lambda: 1, results, lambda: 0, is_over)
    return results.found, begun


def test_one_that_is_locked_is_tried_again_after_the_others(tmp_path: Path) -> None:
    found, begun = run_with(tmp_path, {"/a": [75, 0], "/b": [75, 75], "/c": [0]})
    assert begun[-2:] == [("/a", PATIENCE), ("/b", PATIENCE)]
    ends = {one.project: one.outcome.exit_code for one in found if one.outcome}
    assert ends == {"/a": 0, "/b": 75, "/c": 0}


def test_what_costs_its_hosts_costs_no_other(tmp_path: Path) -> None:
    found, _ = run_with(tmp_path, {"/a": [WorkerDiedError("all died")], "/b": [0]})
    assert [one.result for one in found] == ["failed", "run"]
    assert found[0].outcome and found[0].outcome.error == "all died"


def test_a_cluster_that_goes_away_ends_it(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailableError):
        run_with(tmp_path, {"/a": [ClusterUnavailableError("gone")]})


def test_what_the_time_did_not_suffice_for(tmp_path: Path) -> None:
    found, begun = run_with(tmp_path, {"/a": [0], "/b": [0]}, lambda: True)
    assert begun == []
    assert [one.outcome and one.outcome.exit_code for one in found] == [4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "client", "scheduler"])
def test_a_kill_in_mid_fleet(
    victim: str, own_cluster: LocalCluster, project: Project, tmp_path: Path
) -> None:
    """The next command, or another worker, does what is left; nothing is done twice."""
    count = 24
    roots = [repository(tmp_path / "theirs", f"r{n}", 12) for n in range(count)]
    names = listed(project, *(f"file://{root}" for root in roots))
    for _ in range(2):
        own_cluster.add_worker()
    own_cluster.wait_for_workers(2)
    with served(tmp_path / "milvus") as (uri, _):
        options = ("--uri", uri, "--no-backoff")
        command = ("run-all", "--from", names, "--executor", own_cluster.executor)
        process = start(project, *command, *options, "-v")
        seen: list[str] = []
        assert process.stdout
        while len(seen) < 5:
            seen.append(process.stdout.readline())
        if victim == "client":
            process.send_signal(signal.SIGKILL)
        elif victim == "worker":
            kill(own_cluster.workers[0])
        else:
            kill(own_cluster.scheduler)
        rest, errors = process.communicate(timeout=240)
        lines = "".join(seen) + rest
        if victim == "worker":
            assert process.returncode == 0, errors
            assert lines.count(" updated: ") == count
        elif victim == "scheduler":
            assert process.returncode == 69, errors
            assert "is gone" in errors
            own_cluster.start_scheduler()
            own_cluster.wait_for_workers(2)
        began = time.monotonic()
        found = fleet(project, own_cluster.executor, names, *options)
        assert len(found) == count and time.monotonic() - began < 200
        assert {one["result"] for one in found.values()} == {"run"}
        again = fleet(project, own_cluster.executor, names, *options)
        reports = [one["report"] for one in again.values()]
        assert {one["status"] for one in reports} == {"unchanged"}
        # An oracle: what a run here, without manifest or clone, finds to do.
        done = project.command("run-all", "--from", names, *options, "--json")
        reports = [one["report"] for one in json.loads(done.stdout)["projects"]]
        assert {one["status"] for one in reports} == {"unchanged"}
        assert {one["chunks"]["total"] > 0 for one in reports} == {True}


@pytest.mark.slow
def test_what_nobody_waits_for_any_more_ends_in_order(
    own_cluster: LocalCluster, project: Project, tmp_path: Path
) -> None:
    root = repository(tmp_path / "theirs", "large", 150)
    own_cluster.add_worker()
    own_cluster.wait_for_workers(1)
    names = listed(project, root)
    command = ("run-all", "--from", names, "--executor", own_cluster.executor)
    process = start(project, *command)
    wait_for((root / ".codx/index/manifest.sqlite").exists)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    # The lock is free long before all of it would have been done.
    found = fleet(project, own_cluster.executor, names, "--wait", "30s")
    report = found["large"]["report"]
    assert report["exit_code"] == 0 and report["files"]["added"] > 0
