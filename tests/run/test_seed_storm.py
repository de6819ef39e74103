"""Pairs of branches at random, the one being indexed while the other one starts from it.

CODX_INDEX_SEED_ROUNDS   pairs, in place of the test's
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import COMMAND, Project
from seeds import SPARSE, add_worktree, assert_like_fresh, commit, text_of

from indexer.faults import SEED_STEPS

FILES = 30
STEPS = [*SEED_STEPS, "locked", "audited", "dirty", "upserted", "recorded", "settled"]


def shuffle(project: Project, rng: random.Random) -> None:
    """Other files than before: new, gone, changed, moved, and some that change places."""
    source = project.root / "src"
    source.mkdir(exist_ok=True)
    names = sorted(os.listdir(source))
    rng.shuffle(names)
    while len(names) > 3 and rng.random() < 0.8:
        one, two = names.pop(), names.pop()
        match rng.randrange(5):
            case 0:
                (source / one).unlink()
            case 1:
                (source / one).rename(source / f"moved{rng.randrange(10**6)}.py")
            case 2:
                (source / one).write_text(text_of(rng.randrange(10**6), 60))
            case 3:
                (source / one).rename(source / "t")
                (source / two).rename(source / one)
                (source / "t").rename(source / two)
            case _:
                with (source / one).open("a") as file:
                    file.write(f"# {rng.random()}\n")
    for _ in range(rng.randrange(4)):
        name = f"src/new{rng.randrange(10**6)}.py"
        project.write(name, text_of(rng.randrange(10**6), rng.choice([3, 12, 90])))


@contextmanager
def written_meanwhile(project: Project, seed: int) -> Iterator[list[int]]:
    """A block beside which the project is edited and indexed again and again; yields how the runs
    ended."""
    is_over, ended = threading.Event(), []
    rng = random.Random(seed)

    def write() -> None:
        while not is_over.is_set():
            shuffle(project, rng)
            done = subprocess.run(
                [COMMAND, "run", *SPARSE, "--quiet"],
                cwd=project.root,
                env=project.variables(),
                capture_output=True,
            )
            ended.append(done.returncode)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield ended
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    "count", [2, pytest.param(200, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_pairs_of_branches(count: int, project: Project, tmp_path: Path) -> None:
    for number in range(FILES):
        project.write(f"src/m{number}.py", text_of(number))
    commit(project)
    project.run(*SPARSE)
    count = int(os.environ.get("CODX_INDEX_SEED_ROUNDS", count))
    rng = random.Random(count)
    seeded = killed = 0
    with written_meanwhile(project, count) as ended:
        for number in range(count):
            other = add_worktree(project, tmp_path / f"w{number}", "--detach")
            if rng.random() < 0.7:
                shuffle(other, rng)
            if rng.random() < 0.3:
                other.environment["CODX_INDEX_FAULT"] = f"kill {rng.choice(STEPS)}"
                done = other.launch(COMMAND, "run", *SPARSE)
                assert done.returncode in (0, -signal.SIGKILL), done.stderr
                killed += done.returncode != 0
                del other.environment["CODX_INDEX_FAULT"]
            report = other.run(*SPARSE)
            seeded += report["seeded"] is not None
            assert not report["seeds_ignored"], report["seeds_ignored"]
            done = other.command("verify", *SPARSE)
            assert done.returncode == 0, f"{number}: {done.stdout}{done.stderr}"
            if not number % 10:
                assert_like_fresh(other, *SPARSE)
            project.git("worktree", "remove", "--force", str(other.root))
            shutil.rmtree(tmp_path / f"fresh-w{number}", ignore_errors=True)
    # Nobody there was kept waiting or turned away.
    assert set(ended) == {0}
    assert project.run(*SPARSE)["status"] in ("updated", "unchanged")
    assert project.command("verify", *SPARSE).returncode == 0
    print(f"{count} pairs, {seeded} seeded, {killed} killed, {len(ended)} runs beside")
