"""All projects below a folder: which, in what order, with whose workers, and the failures."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line, only_slow, python_text, read_rows

from indexer.run.backoff import DELAYS, Backoff

Run = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def run_all(tmp_path: Path, make_project: Callable[[str], Project]) -> Run:
    """Runs `run-all … --json`; its object, and what it said on stderr."""
    project = make_project("elsewhere")

    def run(*arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
        done = project.command("run-all", str(tmp_path / "roots"), *arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout), done.stderr

    return run


def project_at(tmp_path: Path, name: str, settings: str = "", files: int = 2) -> Path:
    root = tmp_path / "roots" / name
    root.mkdir(parents=True)
    (root / "codx-index.toml").write_text(settings)
    for number in range(files):
        text = python_text(hash(name) % 1000 + number, 3)
        (root / f"{number}.py").write_text(text)
    return root


def results(report: dict[str, Any]) -> dict[str, str]:
    return {
        os.path.basename(one["project"]): one["result"] for one in report["projects"]
    }


@pytest.mark.parametrize("parallel", [*only_slow("1"), "3"])
def test_every_watched_project(tmp_path: Path, run_all: Run, parallel: str) -> None:
    roots = [project_at(tmp_path, name) for name in ("a", "b", "sub/c")]
    project_at(tmp_path, "off", "watching = false\n")
    theirs = tmp_path / "roots" / "theirs"
    (theirs / ".codx").mkdir(parents=True)
    (theirs / ".codx" / "project.json").write_text('{"watching": true}')
    (theirs / "x.py").write_text("x = 1\n")
    report, errors = run_all("--parallel", parallel)
    assert report["status"] == "updated" and errors == ""
    assert results(report) == {
        "a": "run",
        "b": "run",
        "c": "run",
        "off": "not-watching",
        "theirs": "run",
    }
    for one in report["projects"]:
        if one["result"] == "run":
            assert one["report"]["exit_code"] == 0
            rows = read_rows(Path(one["project"]) / ".codx" / "index")
            assert len(rows) == one["report"]["chunks"]["total"] > 0
    assert run_all("--parallel", parallel)[0]["status"] == "unchanged"
    (roots[1] / "0.py").write_text("y = 2\n")
    report, _ = run_all("--parallel", parallel)
    changed = {
        os.path.basename(one["project"]): one["report"]["files"]["modified"]
        for one in report["projects"]
        if one["report"]
    }
    assert changed == {"a": 0, "b": 1, "c": 0, "theirs": 0}


@pytest.mark.slow
def test_the_pool_is_started_once(tmp_path: Path, run_all: Run) -> None:
    for name in ("a", "b"):
        project_at(tmp_path, name, files=110)
    report, _ = run_all("--jobs", "2")
    # A worker that was started tells so, once.
    started = [one["report"]["seconds"]["start"] for one in report["projects"]]
    assert [seconds > 0 for seconds in started] == [True, False]
    loaded = [one["report"]["seconds"]["load"] for one in report["projects"]]
    assert loaded[0] > 0 and loaded[1] == 0


def test_one_that_fails_stops_no_other_and_is_left_alone(
    tmp_path: Path, run_all: Run
) -> None:
    project_at(tmp_path, "a", "jbos = 1\n")
    project_at(tmp_path, "b")
    bad = project_at(tmp_path, "c", 'uri = "http://127.0.0.1:9"\n')
    report, errors = run_all(code=2)
    assert results(report) == {"a": "failed", "b": "run", "c": "failed"}
    first = report["projects"][0]["report"]
    assert "jbos: there is no such setting" in first["error"]
    assert "jbos" in errors and "--trust" in errors
    # Now it is left alone, and said to be.
    report, errors = run_all(code=3)
    assert results(report) == {"a": "backed-off", "b": "run", "c": "backed-off"}
    assert report["projects"][0]["until"] and errors.count("left alone until") == 2
    assert "jbos: there is no such setting" in errors and "--no-backoff" in errors
    (bad / "codx-index.toml").write_text("")
    # Who changes its settings wants it to be tried, and so does who says so.
    report, _ = run_all(code=3)
    assert results(report) == {"a": "backed-off", "b": "run", "c": "run"}
    report, _ = run_all("--no-backoff", code=2)
    assert results(report) == {"a": "failed", "b": "run", "c": "run"}
    # The options of the command line count for all, more than their files.
    (bad / "codx-index.toml").write_text('uri = "http://127.0.0.1:9"\n')
    report, _ = run_all("--no-backoff", "--no-trust", code=2)
    assert results(report) == {"a": "failed", "b": "run", "c": "run"}


def test_the_wait_grows(tmp_path: Path) -> None:
    backoff = Backoff(str(tmp_path / "cache"))
    assert backoff.wait("/p") == (0, "")
    for delay in (*DELAYS, DELAYS[-1]):
        backoff.failed("/p", "why")
        until, reason = backoff.wait("/p")
        assert until - time.time() == pytest.approx(delay, abs=2) and reason == "why"
    assert backoff.wait("/p", changed=time.time() + 1) == (0, "")
    assert DELAYS == (60, 600, 1800, 7200)
    assert backoff.wait("/q") == (0, "")
    backoff.succeeded("/p")
    assert backoff.wait("/p") == (0, "")
    # Damage, and a folder that cannot be, do not matter.
    backoff.failed("/p")
    for path in (tmp_path / "cache" / "backoff").iterdir():
        path.write_text("{")
    assert backoff.wait("/p") == (0, "")
    backoff = Backoff("/dev/null")
    backoff.failed("/p")
    assert backoff.wait("/p") == (0, "")


def test_as_a_person_sees_it(tmp_path: Path, project: Project) -> None:
    root = project_at(tmp_path, "a")
    project_at(tmp_path, "off", "watching = false\n")
    done = project.command("run-all", str(tmp_path / "roots"))
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{root}: updated: 2 added; ")
    assert second == f"{tmp_path}/roots/off: not watched"
    done = project.command("run-all", str(tmp_path / "roots"), "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (tmp_path / "empty").mkdir()
    done = project.command("run-all", str(tmp_path / "empty"))
    assert "no project below" in assert_one_line(done, 2)
    assert_one_line(project.command("run-all", "/no/such"), 2)
    done = project.command("run-all", str(tmp_path / "roots"), "--metrics", "m.prom")
    assert "--metrics is a file for one project" in assert_one_line(done, 2)


@pytest.mark.slow
def test_a_budget_is_that_of_all(tmp_path: Path, run_all: Run) -> None:
    for name in ("a", "b", "c"):
        project_at(tmp_path, name, files=40)
    report, _ = run_all("--max-seconds", "2", code=4)
    assert report["status"] == "budget"
    last = report["projects"][-1]["report"]
    assert (last["status"], last["files"]["added"]) == ("budget", 0)
    # On a slow machine, time ends even before the tree is listed.
    assert last["files"]["deferred"] in (0, 40)
    report, _ = run_all()
    assert {one["report"]["exit_code"] for one in report["projects"]} == {0}
