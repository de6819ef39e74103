"""Killed at a random moment or after a step: the next run equals a fresh index."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, open_store
from crash_harness import (
    MANY,
    Death,
    Storm,
    Yard,
    assert_exact,
    assert_repaired,
    has_option,
    kill_run,
    open_yard,
    put_tree,
    random_death,
    recorded_rows,
    rounds,
    seed,
    telling,
)

from indexer.faults import STEPS

SHARES = 10
QUICK_SHARES = 1

# The steps at which runs of a scenario die one after the other, each in the repair of what
# the one before has left.
CHAINS = {
    "first": ["created", "prepared", "audited"],
    "update": [
        *("locked", "dirty", "claimed", "aside", "upserted", "deleted", "recorded"),
        *("cached", "gone", "flushed", "closed", "settled", "stamped"),
    ],
    "model": ["moved", "dropped"],
}


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Yard:
    return open_yard(tmp_path_factory, model_cache)


@pytest.fixture
def tiny(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the other model; made when it is asked for, for that takes seconds."""

    def get() -> str:
        folder: str = request.getfixturevalue("tiny_model")
        return folder

    return get


def prepare(
    scenario: str, yard: Yard, folder: Path, tiny: Callable[[], str]
) -> tuple[Project, str]:
    """A project in which a run has work to do, and the name of its tree."""
    root = folder / "project"
    if scenario == "first":
        return yard.empty(root, "base"), "base"
    project = yard.indexed(root, "base")
    if scenario == "model":
        project.environment["CODX_INDEX_MODEL"] = tiny()
        return project, "base"
    put_tree(project, "edited")
    return project, "edited"


@pytest.mark.parametrize(
    "scenario",
    [
        # An update has every step of a first index; a model's own steps, and more rounds, are
        # left to `make test-slow`.
        pytest.param(name, marks=() if name == "update" else pytest.mark.slow)
        for name in CHAINS
    ],
)
def test_killed_again_and_again(
    scenario: str, yard: Yard, tmp_path: Path, tiny: Callable[[], str]
) -> None:
    project, tree = prepare(scenario, yard, tmp_path, tiny)
    for step in CHAINS[scenario]:
        ended = kill_run(project, Death("step", fault=f"kill {step}"), 0)
        assert ended.returncode == -signal.SIGKILL, f"{step} is not reached"
    assert_repaired(yard, project, tree, verify=True)


def test_each_step_is_reached() -> None:
    assert {step for chain in CHAINS.values() for step in chain} == set(STEPS)


def once_and_more() -> list[object]:
    cases = [(scenario, step, 1) for scenario in CHAINS for step in STEPS]
    cases += [("update", step, which) for step in MANY for which in (2, 3)]
    return [pytest.param(*case, id="-".join(map(str, case))) for case in cases]


@pytest.mark.slow
@pytest.mark.parametrize("scenario, step, which", once_and_more())
def test_killed_after_a_step_twice(
    scenario: str,
    step: str,
    which: int,
    yard: Yard,
    tmp_path: Path,
    tiny: Callable[[], str],
) -> None:
    project, tree = prepare(scenario, yard, tmp_path, tiny)
    for fault in (f"kill {step} {which}", f"kill {step}"):
        ended = kill_run(project, Death("step", fault=fault), 0)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    assert_repaired(yard, project, tree)


def storm(
    seed: int,
    share: int,
    count: int,
    yard: Yard,
    folder: Path,
    tiny: Callable[[], str] | None,
) -> None:
    """So many rounds; each share of a storm makes its own choices."""
    with telling(CODX_INDEX_CRASH_SEED=seed, share=share):
        made = Storm(yard, folder, random.Random(f"{seed} {share}"), tiny)
        for number in range(count):
            made.round(number)
        print(f"{count} rounds, {made.killed} runs killed, {made.summary()}")


@pytest.mark.slow
@pytest.mark.parametrize("share", range(QUICK_SHARES))
def test_a_small_storm(share: int, yard: Yard, tmp_path: Path) -> None:
    storm(seed(1), share, rounds(3, share, QUICK_SHARES), yard, tmp_path, None)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_a_storm(
    share: int, yard: Yard, tmp_path: Path, tiny: Callable[[], str]
) -> None:
    storm(seed(), share, rounds(150, share, SHARES), yard, tmp_path, tiny)


@pytest.mark.slow  # tests/run/test_modes.py has one on fewer files
def test_a_kill_costs_what_was_not_committed(yard: Yard, tmp_path: Path) -> None:
    project = yard.empty(tmp_path / "project", "base")
    project.cache_dir = yard.cold(tmp_path / "cold")
    kill_run(project, Death("step", fault="kill recorded 2"), 0)
    expected = yard.expected("base")
    recorded = recorded_rows(project, expected)
    # On a slow machine, time ends a group, so that it may have a few rows only.
    assert 0 < recorded < len(expected)
    # Without the cache, for it would hide what is embedded again.
    project.cache_dir = yard.cold(tmp_path / "cold again")
    chunks = assert_repaired(yard, project, "base")["chunks"]
    assert chunks["upserted"] == len(expected) - recorded
    assert chunks["embedded"] + chunks["cached"] == chunks["upserted"]


@pytest.mark.slow  # one at one moment is in test_workers.py
@pytest.mark.parametrize("cold", [False, True], ids=["warm", "cold"])
def test_a_worker_is_killed(cold: bool, yard: Yard, tmp_path: Path) -> None:
    project = yard.empty(tmp_path / "project", "base")
    project.environment |= {"CODX_INDEX_EXECUTOR": "process", "CODX_INDEX_JOBS": "2"}
    if cold:
        project.cache_dir = yard.cold(tmp_path / "cold")
    part = random.Random(seed()).random()
    with telling(part=part):
        ended = kill_run(project, Death("worker", part), 2.0)
        assert ended.returncode == 0, ended.stderr
        assert_exact(yard, project, "base")


def spoil_texts(project: Project, rng: random.Random) -> int:
    """Other texts and vectors in rows whose keys are right: only their contents tell."""
    import numpy as np

    with open_store(project) as store:
        ids = sorted(key.id for key in store.keys())
        rows = store.fetch(rng.sample(ids, 40))
        for row in rows:
            row["vector"] = np.asarray(row["vector"], np.float32)
            row["text"] = "spoiled"
        store.upsert(rows)
        store.flush()
    return len(rows)


@pytest.mark.parametrize(
    "attempt", [pytest.param(n, marks=pytest.mark.slow) for n in range(20)]
)
def test_killed_while_verify_repairs(attempt: int, yard: Yard, tmp_path: Path) -> None:
    if not has_option("verify", "--repair"):
        pytest.skip("verify has no --repair")
    rng = random.Random(f"{seed()} {attempt}")
    project = yard.indexed(tmp_path / "project", "base")
    spoil_texts(project, rng)
    assert project.command("verify").returncode == 1
    death = random_death(rng)
    with telling(death=death):
        ended = kill_run(project, death, 3.0, "verify", "--repair")
        assert ended.returncode in (0, 1, -signal.SIGKILL), ended.stderr
        again = project.command("verify", "--repair")
        assert again.returncode == 0, again.stderr
        assert_exact(yard, project, "base", verify=True)
