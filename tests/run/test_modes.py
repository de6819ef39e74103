"""`run --mode sparse` and `--sparse-first`: found by words at once, by meaning later."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from comparisons import comparable
from conftest import COMMAND, Project, is_lock_free, project_in, python_text, wait_for

from indexer.config import DEFAULT_MODEL, Settings
from indexer.search.answers import Wanted
from indexer.search.searcher import Searcher, search

SPARSE = ("--mode", "sparse")
SERIAL = ("--executor", "serial")  # starts faster than a pool
FILES = 12


def settings_of(project: Project) -> Settings:
    return Settings(str(project.root), str(project.cache_dir), DEFAULT_MODEL)


def fill(project: Project, files: int = FILES) -> Project:
    for number in range(files):
        project.write(f"pkg/mod{number}.py", python_text(number, 3))
    project.write("net/retry.py", "def fetch_again(times):\n    return times\n")
    return project


def embedded(project: Project) -> set[bool]:
    return {row["embedded"] for row in project.rows().values()}


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> dict[str, dict[str, Any]]:
    """The rows of an ordinary run."""
    made = fill(project_in(tmp_path_factory.mktemp("ordinary"), model_cache))
    made.run()
    return comparable(made.rows())


def test_by_words_first_by_meaning_later(
    project: Project, expected: dict[str, dict[str, Any]]
) -> None:
    fill(project)
    report = project.run(*SPARSE)
    total = report["chunks"]["total"]
    assert report["status"] == "updated" and report["files"]["added"] == FILES + 1
    assert report["chunks"]["embedded"] == 0
    assert report["chunks"]["unembedded"] == total == len(expected)
    assert embedded(project) == {False}
    answer = project.report("search", "fetch_again")
    assert answer["hits"][0]["path"] == "net/retry.py"
    assert "nothing is embedded yet" in answer["notes"][0]

    assert project.run(*SPARSE)["status"] == "unchanged"
    status = project.report("status", *SPARSE)
    assert status["up_to_date"] and status["chunks"]["unembedded"] == total
    shown = project.command("status").stdout
    assert f"{total:,} chunks, 0 of them embedded" in shown
    assert f"behind: {FILES + 1} to embed" in shown
    assert project.command("status", "--check").returncode == 1
    assert project.command("verify", *SPARSE, *SERIAL).returncode == 0
    assert project.command("verify", *SERIAL).returncode == 1

    report = project.run()
    assert report["files"]["embedded"] == FILES + 1
    assert report["files"]["added"] == report["files"]["modified"] == 0
    assert report["chunks"]["embedded"] + report["chunks"]["cached"] == total
    assert report["chunks"]["unembedded"] == 0
    assert comparable(project.rows()) == expected
    assert project.run()["status"] == "unchanged"
    assert project.run(*SPARSE)["status"] == "unchanged"
    assert project.command("verify", *SERIAL).returncode == 0
    assert project.report("search", "fetch_again")["notes"] == []


def test_changes_between_the_two(project: Project) -> None:
    fill(project, 4)
    project.run(*SPARSE)
    project.write("pkg/mod0.py", python_text(100))
    (project.root / "pkg/mod1.py").unlink()
    (project.root / "pkg/mod2.py").rename(project.root / "pkg/moved.py")
    report = project.run()
    files = report["files"]
    assert (files["modified"], files["deleted"], files["renamed"]) == (1, 1, 1)
    assert files["embedded"] == 2
    assert embedded(project) == {True}
    project.write("pkg/mod3.py", python_text(101))
    report = project.run(*SPARSE)
    assert report["files"]["modified"] == 1 and report["chunks"]["embedded"] == 0
    assert embedded(project) == {True, False}
    assert "found by words alone" in project.report("search", "total")["notes"][-1]
    found = search([Searcher(settings_of(project))], "total", Wanted(mode="dense")).hits
    assert "pkg/mod3.py" not in {hit.path for hit in found}
    assert found


def test_what_the_cache_knows_has_its_vector_without_a_model(project: Project) -> None:
    fill(project, 3)
    project.run()
    project.command("clear", "--yes")
    report = project.run(*SPARSE)
    assert report["chunks"]["embedded"] == report["chunks"]["unembedded"] == 0
    assert report["chunks"]["cached"] == report["chunks"]["total"]
    assert embedded(project) == {True}


def test_sparse_first(project: Project, expected: dict[str, dict[str, Any]]) -> None:
    fill(project)
    report = project.run("--sparse-first")
    assert report["files"]["added"] == report["files"]["embedded"] == FILES + 1
    assert report["chunks"]["upserted"] == 2 * len(expected)
    assert report["chunks"]["unembedded"] == 0
    assert comparable(project.rows()) == expected
    assert project.run("--sparse-first")["status"] == "unchanged"
    project.write("pkg/mod0.py", python_text(100))
    report = project.run("--sparse-first")
    assert report["files"]["modified"] == report["files"]["embedded"] == 1


def test_without_a_converted_model(tmp_path: Path) -> None:
    """Neither a run nor a search by words converts the model, or loads it."""
    project = fill(project_in(tmp_path, tmp_path / "empty"), 2)
    project.run(*SPARSE)
    assert project.report("search", "fetch_again", *SPARSE)["hits"]
    assert project.report("search", "fetch_again")["hits"]
    assert not list((project.cache_dir / "models").glob("*/*.bin"))


def test_sparse_first_is_searchable_before_it_is_embedded(
    project: Project, expected: dict[str, dict[str, Any]]
) -> None:
    fill(project)
    hanging = project.variables() | {"CODX_INDEX_FAULT": "hang embedding"}
    process = subprocess.Popen(
        [COMMAND, "run", "--quiet", "--sparse-first"],
        cwd=project.root,
        env=hanging,
        start_new_session=True,
    )
    try:
        wait_for(lambda: is_found(project), 60)
        answer = project.report("search", "fetch_again")
        assert answer["hits"][0]["path"] == "net/retry.py"
        assert "a run is updating" in answer["notes"][-1]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: is_lock_free(project))
    report = project.run()
    assert report["files"]["embedded"] == FILES + 1
    assert comparable(project.rows()) == expected


def is_found(project: Project) -> bool:
    done = project.command("search", "fetch_again", *SPARSE)
    return "net/retry.py" in done.stdout


@pytest.mark.parametrize(
    "after",
    [
        "upserted 2",  # the first rows with a vector
        *(pytest.param(0.3 + n / 10, marks=pytest.mark.slow) for n in range(30)),
    ],
)
def test_a_kill_of_sparse_first(
    after: float | str, project: Project, expected: dict[str, dict[str, Any]]
) -> None:
    """After a step, or after so many seconds."""
    fill(project)
    fault = {"CODX_INDEX_FAULT": f"kill {after}"} if isinstance(after, str) else {}
    process = subprocess.Popen(
        [COMMAND, "run", "--quiet", "--sparse-first"],
        cwd=project.root,
        env=project.variables() | fault,
        start_new_session=True,
    )
    if isinstance(after, float):
        time.sleep(after)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    ended = process.wait()
    assert ended == -signal.SIGKILL or isinstance(after, float)
    wait_for(lambda: is_lock_free(project))
    project.run()
    assert comparable(project.rows()) == expected
    assert project.command("verify", *SERIAL).returncode == 0


@pytest.mark.slow
def test_an_older_index_answers_until_all_is_embedded(
    project: Project, tiny_model: str
) -> None:
    """Another model's index takes over only with its vectors."""
    fill(project)
    project.run()
    report = project.run(
        "--sparse-first", "--model", tiny_model, "--max-seconds", "0.01", code=4
    )
    assert report["status"] == "budget"
    answer = project.report("search", "fetch_again")
    assert answer["hits"][0]["path"] == "net/retry.py"
    assert not any("files have changed" in note for note in answer["notes"])


def test_mentions_are_told_of_once(project: Project) -> None:
    project.write("a.py", "x = 1  # " + "@" + "codx: rename this\n")
    report = project.run("--sparse-first")
    assert len(report["mentions"]["pending"]) == 1


def test_a_setting_of_the_project(project: Project) -> None:
    fill(project, 2)
    project.write("codx-index.toml", 'mode = "sparse"\n')
    assert project.run("--sparse-first")["chunks"]["unembedded"] > 0
    assert project.report("status")["up_to_date"]
    done = project.command("run", "--mode", "dense")
    assert done.returncode == 2 and "--mode" in done.stderr
