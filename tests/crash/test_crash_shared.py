"""Killed in a shared collection: the next run repairs its own rows, and touches no others."""

from __future__ import annotations

import random
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Project, python_text, start, wait_for
from crash_harness import rounds, seed
from shared_rows import Rows, all_rows, of_project

from indexer.config import key_of_project
from indexer.faults import STEPS

NAME = "team"
# There is no alias to move, and no other physical collection to drop; and so few rows are
# written in one call, before which nothing has to be put aside.
NOT_REACHED = {"moved", "dropped", "aside"}
FIRST = {"created"}  # reached by the first run of all


@pytest.fixture
def make_member(
    make_project: Callable[[str], Project], tmp_path: Path
) -> Callable[[str], Project]:
    """Makes projects, not indexed yet, that share one collection of a database."""

    def make(name: str) -> Project:
        project = make_project(name)
        project.environment |= {
            "CODX_INDEX_URI": str(tmp_path / "shared.db"),
            "CODX_INDEX_SHARED_COLLECTION": NAME,
            "CODX_INDEX_MODE": "sparse",
            "CODX_INDEX_EXECUTOR": "serial",
        }
        project.git("init", "-q", "-b", "main")
        fill(project, 0)
        project.git("add", "-A")
        project.git("commit", "-qm", "files")
        return project

    return make


def fill(project: Project, number: int) -> None:
    """Change some files, remove one, add one, and let two change places."""
    places = "places/one.py", "places/two.py"
    for place, size in zip(places, (40, 1) if number % 2 else (1, 40), strict=True):
        project.write(place, python_text(4242 + size, size))
    for file in range(6):
        project.write(f"{file}.py", python_text(file if file > 2 else number, 2))
    project.write(f"new/{number}.py", python_text(1000 + number, 2))
    (project.root / f"new/{number - 1}.py").unlink(missing_ok=True)


def key(project: Project) -> str:
    return key_of_project(str(project.root))


def others(rows: Rows, project: Project) -> Rows:
    return {id_: row for id_, row in rows.items() if row["project"] != key(project)}


def contents(rows: Rows) -> set[tuple[str, int, str]]:
    return {(row["path"], row["chunk_no"], row["text"]) for row in rows.values()}


def assert_repaired(
    victim: Project, bystander: Project, before: Rows, tmp_path: Path
) -> None:
    """The next run of the victim gives it the rows of a fresh index, and the bystander has its
    own still, which it is told by at most one look at them."""
    database = tmp_path / "shared.db"
    assert victim.run()["exit_code"] == 0
    assert victim.command("verify").returncode == 0
    assert victim.run()["status"] == "unchanged"
    rows = all_rows(database, NAME)
    assert others(rows, victim) == others(before, victim)
    fresh = ["--uri", str(tmp_path / "fresh.db"), "--shared-collection", NAME]
    fresh += ["--state-dir", str(tmp_path / "state")]
    victim.run(*fresh, "--force")
    expected = all_rows(tmp_path / "fresh.db", NAME)
    assert of_project(rows, key(victim)) == expected
    report = bystander.run()
    assert (report["status"], report["chunks"]["upserted"]) == ("unchanged", 0)
    assert bystander.command("verify").returncode == 0


def kill_at(project: Project, step: str) -> int:
    project.environment["CODX_INDEX_FAULT"] = f"kill {step}"
    with start(project, "run") as process:
        process.communicate(timeout=120)
    del project.environment["CODX_INDEX_FAULT"]
    code: int = process.returncode
    return code


@pytest.mark.parametrize(
    "steps",
    [
        ["upserted"],
        pytest.param(
            [one for one in STEPS if one not in NOT_REACHED | FIRST],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["once", "again and again"],
)
def test_killed_after_a_step(
    steps: list[str], make_member: Callable[[str], Project], tmp_path: Path
) -> None:
    victim, bystander = make_member("victim"), make_member("bystander")
    for project in (victim, bystander):
        project.run()
    before = all_rows(tmp_path / "shared.db", NAME)
    for number, step in enumerate(steps, 1):
        fill(victim, number)
        if step == "audited":
            (tmp_path / "shared.db/.codx-index/marks-team.json").unlink()
        assert kill_at(victim, step) == -signal.SIGKILL, f"{step} is not reached"
        if number % 3 == 1:
            assert_repaired(victim, bystander, before, tmp_path)
    assert_repaired(victim, bystander, before, tmp_path)


@pytest.mark.slow
def test_killed_while_the_collection_is_made(
    make_member: Callable[[str], Project], tmp_path: Path
) -> None:
    victim, bystander = make_member("victim"), make_member("bystander")
    for step in ("created", "prepared", "claimed"):
        assert kill_at(victim, step) == -signal.SIGKILL
    bystander.run()
    before = all_rows(tmp_path / "shared.db", NAME)
    assert_repaired(victim, bystander, before, tmp_path)


@pytest.mark.slow
def test_a_storm_of_kills(
    make_member: Callable[[str], Project], tmp_path: Path
) -> None:
    victim, bystander = make_member("victim"), make_member("bystander")
    for project in (victim, bystander):
        project.run()
    before = all_rows(tmp_path / "shared.db", NAME)
    rng = random.Random(seed(31))
    for number in range(1, rounds(150, 0, 10) + 1):
        fill(victim, number)
        with start(victim, "run") as process:
            wait_for(lambda: is_begun(victim) or process.poll() is not None)
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.8))
            process.kill()
            process.communicate()
        if number % 3 == 0:
            assert_repaired(victim, bystander, before, tmp_path)


def is_begun(project: Project) -> bool:
    return (project.root / ".codx/index/lock").exists()
