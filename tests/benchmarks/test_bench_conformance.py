"""Whatever happens to a tree, our index equals it; the benchmark that says so of others works."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bench_harness import BENCHMARKS, finished, launch
from comparisons import comparable
from conftest import Project

if TYPE_CHECKING:
    from conformance_events import Event

# Of each group some that take no process of their own; `make test-slow` has all.
QUICK = (
    *("same size edit", "becomes binary", "put back", "swap", "rename folder"),
    *("file becomes folder", "becomes symlink", "negated", "switch"),
    *("merge with conflict", "clean and smudge filter", "utf16"),
)
SEQUENCES = 20  # a seed


@pytest.fixture(autouse=True)
def benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


class Ourselves:
    """Our command in the test's process, as a program of the benchmark."""

    state: tuple[str, ...] = (".codx",)
    is_only_for_tracked = False

    def __init__(self, cache_dir: Path) -> None:
        self.cache_dir = cache_dir

    def project(self, root: Path) -> Project:
        return Project(root, self.cache_dir, {"CODX_INDEX_MODE": "sparse"})

    def first(self, root: Path) -> None:
        self.update(root)

    def update(self, root: Path) -> None:
        self.project(root).run("--executor", "serial")

    def leave_out(self, root: Path, folder: str) -> None:
        with (root / ".codxignore").open("a") as file:
            file.write(f"/{folder}/\n")

    def start(self, root: Path) -> subprocess.Popen[bytes]:
        raise NotImplementedError

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        raise NotImplementedError

    def restrict(self, is_restricted: bool) -> None:
        raise NotImplementedError


class Life:
    """A project to which events happen, one after the other."""

    def __init__(self, folder: Path, cache_dir: Path, seed: int) -> None:
        from conformance_tree import World

        self.log: list[str] = []
        self.tool = Ourselves(cache_dir)
        self.rng = random.Random(seed)
        self.world = World(folder / "project", self.tool, self.rng)
        self.world.make()
        self.world.first()

    @property
    def project(self) -> Project:
        return self.tool.project(self.world.root)

    def faults(self) -> list[str]:
        """In what the rows differ from the tree."""
        from conformance_programs import gathered
        from conformance_tree import faults

        from indexer.paths import unescape_path

        rows = self.project.rows().values()
        found = gathered((unescape_path(row["path"]), row["text"]) for row in rows)
        return faults(*self.world.expected(), found)

    def check_status(self) -> None:
        """`status --check` knows whether something is to be done."""
        done = self.project.command("status", "--check")
        assert done.returncode == bool(self.faults()), (self.log, done.stdout)

    def run_and_check(self) -> None:
        self.tool.update(self.world.root)
        assert not self.faults(), self.log

    def sequence(self, events: list[Event]) -> None:
        """Some events. What cannot happen to this tree does not."""
        for operation in ("rebase", "merge"):
            with suppress(subprocess.CalledProcessError):
                self.world.git(operation, "--abort")
        for _ in range(4 - len(self.world.files())):
            self.world.write(f"{self.world.name()}/more.py")
        for event in self.rng.choices(events, k=self.rng.randint(2, 5)):
            self.log.append(event.name)
            with suppress(OSError, LookupError, ValueError, subprocess.SubprocessError):
                event.act(self.world)
        self.log.append("run")

    def compare_with_a_fresh_index(self) -> None:
        """The rows are those of an index that begins now."""
        project, state = self.project, self.world.root / ".codx"
        kept, found = self.world.beside("kept"), comparable(project.rows())
        state.rename(kept)
        try:
            self.tool.first(self.world.root)
            assert found == comparable(project.rows()), self.log
        finally:
            shutil.rmtree(state)
            kept.rename(state)


def test_an_index_equals_its_tree_after_each_event(
    cache_dir: Path, tmp_path: Path
) -> None:
    from conformance_events import EVENTS

    life = Life(tmp_path, cache_dir, 1)
    for name in QUICK:
        life.log.append(name)
        EVENTS[name].act(life.world)
        life.check_status()
        life.run_and_check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_random_sequences_of_events(seed: int, cache_dir: Path, tmp_path: Path) -> None:
    """A thousand, with those of all seeds."""
    from conformance_events import EVENTS

    events = [event for event in EVENTS.values() if not event.has_processes]
    life = Life(tmp_path, cache_dir, seed)
    for number in range(1, SEQUENCES + 1):
        life.sequence(events)
        life.run_and_check()
        if number % 10 == 0:
            life.compare_with_a_fresh_index()
            assert life.project.command("verify").returncode == 0, life.log


def test_what_an_index_lacks_and_still_has_is_told() -> None:
    from conformance_tree import faults

    one, two, three = (frozenset({f"probe{letter * 8}"}) for letter in "bcd")
    must, may = {"a.py": one | two}, {"link.py": one}
    assert faults(must, may, {"a.py": one | two}) == []
    assert faults(must, may, {"a.py": one | two, "link.py": one}) == []
    assert faults(must, may, {"a.py": one, "link.py": two, "b.py": three}) == [
        "lacks probecccccccc of a.py",
        "still has probedddddddd in b.py",
        "lacks probebbbbbbbb of link.py",
        "still has probecccccccc in link.py",
    ]


def test_names_are_checked_before_anything_is_done() -> None:
    done = launch("conformance.py", "--events", "edit,no such event")
    assert done.returncode == 2
    assert "there is no 'no such event'" in done.stderr


@pytest.mark.slow
def test_all_events_in_processes(model_cache: Path, tmp_path: Path) -> None:
    from conformance_events import EVENTS

    found = tmp_path / "found.json"
    done = finished(
        *("conformance.py", "--only", "codx-index"),
        *("--cache-dir", model_cache, "--json", found),
    )
    ours: dict[str, Any] = json.loads(found.read_text())["programs"]["codx-index"]
    assert ours["right"] == ours["claimed"] == len(EVENTS) >= 40, done.stdout
    asked = [one["is_truthful"] for one in ours["outcomes"].values()]
    assert None in asked and False not in asked, done.stdout


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_left_out(
    tmp_path: Path,
) -> None:
    done = finished(
        *("conformance.py", "--only", "semble", "--events", "edit"),
        *("--environments", tmp_path),
        # pip finds no package, neither on this machine nor anywhere else.
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS="",
        PIP_CONFIG_FILE="/dev/null",
    )
    assert "semble is left out: it cannot be installed: " in done.stdout
