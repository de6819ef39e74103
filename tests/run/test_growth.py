"""What a large embedded database is said to cost, and when."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest
from conftest import Project
from jsonschema import Draft202012Validator

from indexer.cli.summary import growth_text
from indexer.report import FEW, Report
from indexer.run import growth

WORDS = ("--mode", "sparse")


@pytest.mark.parametrize(
    ("rows", "row_bytes", "base", "megabytes"),
    [
        # docs/benchmarks/growth.md: searches of generated modules, and of real libraries with an endpoint
        (219_928, 2_186, growth.MEGABYTES_WITH_MODEL, 1_015),
        (221_315, 3_680, growth.MEGABYTES_WITHOUT, 800),
    ],
)
def test_the_memory_is_what_was_measured(
    rows: int, row_bytes: int, base: float, megabytes: int
) -> None:
    found = growth.grown(rows, rows * row_bytes, rows * 384 * 4, 0.6, base)
    assert (found.rows, found.row_bytes) == (rows, row_bytes)
    assert found.search_megabytes == pytest.approx(megabytes, rel=0.05)


def test_growth() -> None:
    found = growth.grown(200_000, 200_000 * 2_186, 200_000 * 1_536, 0.6, 330)
    assert (found.search_megabytes, found.next_rows) == (937, 100_000)
    assert found.next_search_megabytes == pytest.approx(304, rel=0.01)
    assert (found.edit_seconds, found.next_edit_seconds) == (0.6, 0.3)
    larger = growth.grown(200_000, 10**9, 200_000 * 4_096, 0.6, 330)
    assert larger.search_megabytes > found.search_megabytes
    text = growth_text(found)
    assert "200,000 chunks" in text and "0.6 s of an edit" in text and "--uri" in text
    unknown = growth.grown(100_000, 10**8, 10**7, 0, 330)
    assert unknown.edit_seconds is unknown.next_edit_seconds is None
    assert " of an edit" not in growth_text(unknown)


def test_only_small_runs_tell_of_an_edit() -> None:
    report = Report()
    with report.spans.span("upsert"):
        pass
    assert report.edit_seconds == 0
    report.chunks.upserted = FEW
    assert report.edit_seconds > 0
    report.chunks.deleted = 1
    assert report.edit_seconds == 0


def test_said_once_by_a_run_that_writes_and_by_status(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("indexer.cli.refresh", "indexer.cli.status", "indexer.run.growth"):
        monkeypatch.setattr(f"{name}.KNEE", 3)
    for name in "ab":
        project.write(f"{name}.py", f"def {name}(): pass\n")
    assert project.run(*WORDS)["growth"] is None  # there are few
    project.write("c.py", "def c(): pass\n")
    done = project.command("run", *WORDS)
    said = "3 chunks in the embedded database: a search takes about"
    assert (done.returncode, done.stderr.count(said)) == (0, 1)
    assert done.stderr.count("\n") == 1 and "s of an edit" in done.stderr
    done = project.command("run", *WORDS)
    assert (done.returncode, done.stderr) == (0, "")  # nothing grew
    assert project.command("status", *WORDS).stdout.count(said) == 1
    project.write("d.py", "def d(): pass\n")
    assert project.command("run", "-q", *WORDS).stderr == ""
    for report in (project.run(*WORDS), project.report("status", *WORDS)):
        found = report["growth"]
        assert found["rows"] == 4 and found["row_bytes"] > 0
        assert found["edit_seconds"] > 0 and found["next_edit_seconds"] > 0
        schema = json.loads(files("indexer").joinpath("schema.json").read_text("utf-8"))
        schema["$ref"] = "#/$defs/report"
        Draft202012Validator(schema).validate(report)
