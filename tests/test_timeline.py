"""Where the time of a run goes: `--trace`, `--profile`, and the seconds of the report."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line, python_text

from indexer.report import RUN, STAGES
from indexer.timeline import process_age

POOL = ("--executor", "process", "-j", "2")
Event = dict[str, Any]


@pytest.fixture
def large(project: Project) -> Project:
    """More than is done in the parent, with a text that is not in the cache."""
    for number in range(8):
        project.write(f"{number}.py", python_text(number))
    project.write("new.py", python_text(9000, 40))
    project.write("filler.md", "plain words in a line\n" * 5000)
    return project


def events_of(path: Path) -> tuple[list[Event], dict[int, str]]:
    """The spans of a trace, and the names of its processes."""
    events = json.loads(path.read_text())["traceEvents"]
    names = {
        event["pid"]: event["args"]["name"]
        for event in events
        if event["ph"] == "M" and event["name"] == "process_name"
    }
    return [event for event in events if event["ph"] == "X"], names


def test_a_trace_shows_every_stage_and_worker(large: Project, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    report = large.run(*POOL, "--wiki", "--trace", str(path))
    events, names = events_of(path)
    assert {event["name"] for event in events} == {RUN, *STAGES} - {"seed"}
    (run,) = (event for event in events if event["name"] == RUN)
    assert names[run["pid"]] == "codx-index"
    for event in events:
        assert event["ts"] >= 0 and event["dur"] >= 0
        assert event["ts"] + event["dur"] <= run["ts"] + run["dur"]
        of_workers = event["name"] in ("load", "chunk", "embed")
        assert (event["cat"] == "worker") >= of_workers
        assert names[event["pid"]].startswith("worker") == (event["cat"] == "worker")

    def total(name: str, key: str) -> int:
        return sum(e["args"][key] for e in events if e["name"] == name)

    assert total("chunk", "files") == report["files"]["added"] == 10
    assert total("embed", "chunks") == report["chunks"]["embedded"] > 0
    assert total("embed", "tokens") == report["chunks"]["tokens"] > 0
    assert total("embed", "padding") == report["chunks"]["padding"] >= 0
    assert total("upsert", "rows") == report["chunks"]["upserted"]
    for stage in STAGES:
        spent = sum(e["dur"] for e in events if e["name"] == stage) / 1e6
        assert math.isclose(spent, report["seconds"][stage], abs_tol=0.002)

    # A worker does one thing at a time.
    for pid in names.keys() - {run["pid"]}:
        spans = sorted((e["ts"], e["dur"]) for e in events if e["pid"] == pid)
        for (start, length), (following, _) in zip(spans, spans[1:], strict=False):
            assert start + length <= following + 2  # µs, rounded


def test_a_run_that_fails_leaves_a_trace(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    uri = "http://127.0.0.1:9"
    failed = project.command("run", "--uri", uri, "--trace", str(path))
    assert failed.returncode == 69
    events, _ = events_of(path)
    assert Counter(event["name"] for event in events)[RUN] == 1


def test_a_trace_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "trace.json")
    failed = project.command("run", "--trace", path)
    assert f"the trace cannot be written to {path}" in assert_one_line(failed, 2)
    assert not (project.root / ".codx").exists()


@pytest.mark.slow  # a trace has the same times
def test_a_profile_names_the_slowest_files(large: Project) -> None:
    report = large.run(*POOL, "--profile")
    slowest = report["profile"]["slowest"]
    assert sorted(file["path"] for file in slowest) == sorted(
        ["new.py", "filler.md", *(f"{number}.py" for number in range(8))]
    )
    assert sum(file["chunks"] for file in slowest) == report["chunks"]["total"]
    spent = [file["chunk"] + file["embed"] for file in slowest]
    assert spent == sorted(spent, reverse=True)
    assert sum(f["chunk"] for f in slowest) <= report["seconds"]["chunk"] + 0.01
    embed = sum(f["embed"] for f in slowest)
    assert 0 < embed <= report["seconds"]["embed"] * 1.01 + 0.01
    assert "profile" not in large.run()


def test_a_profile_for_people(large: Project) -> None:
    done = large.command("run", "--executor", "serial", "--wiki", "--profile")
    assert (done.returncode, done.stderr) == (0, "")
    summary, head, *rows = done.stdout.splitlines()
    assert summary.startswith("updated: 10 added")
    assert head.split() == ["stage", "seconds", "of", "run", "times"]
    second = next(n for n, row in enumerate(rows) if "slowest files" in row)
    assert {row.split()[0] for row in rows[:second]} == {*STAGES} - {"seed"}
    assert len(rows[second + 1 :]) == 10


def test_the_age_of_a_process() -> None:
    assert 0 < process_age() < 24 * 3600
