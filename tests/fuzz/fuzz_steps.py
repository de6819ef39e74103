"""The fuzz of whole trees: something happens, a run follows, and the rows must equal the oracle's.

CODX_INDEX_FUZZ_SEED    the seed, in place of those of the tests; a failure names the one it had
CODX_INDEX_FUZZ_STEPS   how many steps, in place of the test's
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from conftest import TIMEOUT, Project, start
from fuzz_acts import NAMES, Acts
from fuzz_checks import PLAIN, Checks, differences
from fuzz_git import GitActs
from fuzz_oracle import Options
from fuzz_rows import faults, read_rows, shown_path

from indexer.faults import STEPS


class Fuzz(Checks):
    """One tree, and its runs. Only one that `is_thorough` kills runs, embeds, and waits for the
    clock."""

    def __init__(
        self, folder: Path, cache_dir: Path, seed: int, *, is_thorough: bool
    ) -> None:
        self.rng = random.Random(seed)
        self.folder = folder
        self.is_thorough = is_thorough
        top = folder / "project"
        root = top / "part" if seed % 3 == 2 else top
        root.mkdir(parents=True)
        variables = {"CODX_INDEX_EXECUTOR": "serial", "CODX_INDEX_MODE": "sparse"}
        self.acts = Acts(Project(root, cache_dir, variables), top, self.rng)
        super().__init__(self.acts.project, GitActs(self.acts, folder, self.rng))
        self.log: list[str] = []
        self.done: Counter[str] = Counter()  # how often each act could be done
        object_format = "sha256" if seed % 4 == 3 else "sha1"
        self.git.git("init", "-q", "-b", "main", f"--object-format={object_format}")
        for name in NAMES:
            self.acts.write(name, self.acts.text())
        self.git.commit()
        for branch in "pqr":
            self.git.git("branch", branch)
            self.acts.edit()
            self.git.commit()

    # A step

    def step(self) -> None:
        """Let something happen, run, and compare."""
        for _ in range(self.rng.choice([1, 1, 1, 2, 3])):
            acts = self.rng.choices(
                [self.acts.file_acts(), self.git.all(), self._project_acts()],
                [10, 10, 1],
            )[0]
            self._do(self.rng.choice(acts))
        # git removes a folder that has become empty.
        self.project.root.mkdir(parents=True, exist_ok=True)
        if self.is_thorough and self.rng.random() < 0.04:
            self._settle()
        if self.rng.random() < 0.2:
            self._check_status()
        how = self.rng.choices(*zip(*self._ways(), strict=True))[0]
        self.log[-1] += f" | {how.__name__.strip('_')}"
        how()
        if self.rng.random() < 0.3:
            self._plain()
            self._again()
        if self.rng.random() < 0.1:
            self._plain()
            self._verify()
        self.counts["steps"] += 1

    def _settle(self) -> None:
        """Let git's index get older than its files, so that git can vouch for them."""
        self.log[-1] += " | settle"
        time.sleep(1.1)
        with suppress(subprocess.CalledProcessError):
            self.git.git("status")
        time.sleep(1.1)
        self._plain()
        self._plain()

    def _do(self, act: Callable[[], object]) -> None:
        self.log.append(act.__name__)
        # What cannot be done is not done: a file in the way, nothing to commit.
        with suppress(OSError, subprocess.CalledProcessError, shutil.Error):
            act()
            self.done[act.__name__] += 1

    def _ways(self) -> list[tuple[Callable[[], object], int]]:
        return [
            (self._plain, 50),
            (self._selected, 10),
            (self._in_no_time, 6),
            (self._with_options, 14),
            (self._deferred, 4),
            (self._forced, 3),
            (self._killed_at_a_step, 3 * self.is_thorough),
            (self._killed_at_a_moment, 2 * self.is_thorough),
            (self._embedded, 5 * self.is_thorough),
        ]

    # What happens to the project as a whole

    def _project_acts(self) -> list[Callable[[], object]]:
        return [self._move, self._copy, self._state_of_another_time]

    def _move(self) -> None:
        """The project gets another path, and every file in it stays what it is."""
        top, rows = self.acts.top, self._known_rows()
        if self.git.trees == [top]:
            moved = self.folder / self.rng.choice(["project", "project moved"])
            top.rename(moved)
            self.acts.top = moved
            self.git.trees = [moved]
            self.project.root = moved / self.git.below
            self.rows = {self.project.root: rows}

    def _copy(self) -> None:
        """A copy takes the place of the project, with all times as they were."""
        top, old = self.acts.top, self.folder / "original"
        top.rename(old)
        shutil.copytree(old, top, symlinks=True, copy_function=copy_any)
        shutil.rmtree(old)

    def _state_of_another_time(self) -> None:
        """The state folder is put aside, or the one that was comes back."""
        state, aside = self.project.root / ".codx", self.folder / "state-aside"
        self.rows[self.project.root] = None
        if aside.exists():
            shutil.rmtree(state, ignore_errors=True)
            aside.rename(state)
        else:
            state.rename(aside)

    # Ways to run

    def _plain(self) -> None:
        self._run(PLAIN)

    def _forced(self) -> None:
        self._run(PLAIN, "--force")

    def _with_options(self) -> None:
        arguments, options = self.rng.choice(
            [
                (
                    ["--ignore", "b.py", "--ignore", "deep/"],
                    Options(ignore=("b.py", "deep/")),
                ),
                (["--max-file-size", "1000"], Options(size=1000)),
                (["--no-recurse-submodules"], Options(recurses=False)),
                (["--no-git"], Options(uses_git=False)),
                (["--no-default-excludes"], Options(has_defaults=False)),
                (["--include-secrets"], Options(has_secrets=True)),
                (["--ignore-containing", "/src"], Options(containing=("/src",))),
                (["--embed", "all"], PLAIN),
                (["--by-words", "*.py", "--by-words", "!*.log"], PLAIN),
            ]
        )
        if self._run(options, *arguments) and self.rng.random() < 0.5:
            self._again(options, *arguments)

    def _embedded(self) -> None:
        if self._expected() is None:
            return self._plain()
        self._run(PLAIN, "--mode", "hybrid", *self.rng.choice([["--sparse-first"], []]))
        rows = self.rows[self.project.root] or {}
        wrong = [
            path
            for path in rows
            if {row["embedded"] for row in rows[path]} != {not path.endswith(".log")}
        ]
        assert not wrong, f"embedded, or not: {wrong}"

    def _in_no_time(self) -> None:
        seconds = self.rng.choice(["0.02", "0.05", "0.2"])
        report = self._report("--max-seconds", seconds)
        if report["exit_code"] == 4:
            self.counts["budget"] += 1
            self.rows[self.project.root] = None
            self._plain()
        else:
            self._compare(report, PLAIN)

    def _selected(self) -> None:
        """A run of some files, which leaves all others as they are."""
        root, before = self.project.root, self._known_rows()
        expected = self._expected()
        if (
            before is None
            or expected is None
            or self._has_other_format(before, expected)
        ):
            return self._plain()
        gone = {path for path in before if "\\" not in path} - expected.keys()
        some = sorted(expected.keys() | gone)
        names = self.rng.sample(some, min(len(some), self.rng.choice([1, 2, 5])))
        arguments = [part for name in names for part in ("--file", name)]
        report = self._report(*arguments) if names else None
        if report is None:
            return self._plain()
        assert report["exit_code"] == 0, report
        self.rows[root] = rows = read_rows(root)
        # What was a file may be a folder now.
        below = tuple(f"{name}/" for name in names)
        shown = {shown_path(name) for name in names}

        def is_chosen(path: str) -> bool:
            return path in shown or path.startswith(below)

        wanted = {
            path: hash_
            for path, hash_ in expected.items()
            if is_chosen(shown_path(path))
        }
        found = faults(
            {path: rows[path] for path in rows if is_chosen(path)}, wanted, root
        )
        assert not found, f"selected: {found}"
        rest = {path: rows[path] for path in rows if not is_chosen(path)}
        kept = {path: before[path] for path in before if not is_chosen(path)}
        assert rest == kept, f"other files changed: {differences(kept, rest)}"

    def _deferred(self) -> None:
        """What changed a moment ago stays as it was, or is as it is: nothing in between."""
        root, before = self.project.root, self._known_rows()
        expected = self._expected()
        if before is None or expected is None:
            return self._plain()
        report = self._report("--settle", "1h")
        assert report["exit_code"] == 0, report
        self.rows[root] = rows = read_rows(root)
        found = faults(rows, expected, root)
        other = {path for path in found if rows.get(path) != before.get(path)}
        assert (
            not other
        ), f"neither old nor new: { {path: found[path] for path in other} }"
        if not report["files"]["deferred"]:
            assert not found, found
        self._plain()

    def _killed_at_a_step(self) -> None:
        which = self.rng.choice([1, 1, 2])
        fault = f"kill {self.rng.choice(STEPS)} {which}"
        self.log[-1] += f" ({fault})"
        variables = {**self.project.environment, "CODX_INDEX_FAULT": fault}
        killed = Project(self.project.root, self.project.cache_dir, variables)
        done = killed.installed.command("run", "--here", "--quiet")
        self.counts["killed"] += done.returncode == -signal.SIGKILL
        self._after_a_kill()

    def _killed_at_a_moment(self) -> None:
        process = start(self.project, "run", "--here", "--quiet")
        with suppress(subprocess.TimeoutExpired):
            process.wait(self.rng.random() * 2)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=TIMEOUT)
        self.counts["killed"] += process.returncode == -signal.SIGKILL
        self._after_a_kill()

    def _after_a_kill(self) -> None:
        self.rows[self.project.root] = None
        self._do(self.rng.choice([self.acts.edit, self.acts.swap, self.git.checkout]))
        self.project.root.mkdir(parents=True, exist_ok=True)
        self._plain()


def copy_any(source: str, target: str) -> None:
    """Copy a file as `cp -a` does: a pipe is made anew."""
    if stat.S_ISFIFO(os.lstat(source).st_mode):
        os.mkfifo(target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def fuzz(
    folder: Path, cache_dir: Path, seed: int, steps: int, *, is_thorough: bool
) -> Counter[str]:
    """As many steps; how often things happened. A failure says how to bring it about again."""
    seed = int(os.environ.get("CODX_INDEX_FUZZ_SEED", seed))
    steps = int(os.environ.get("CODX_INDEX_FUZZ_STEPS", steps))
    life = Fuzz(folder, cache_dir, seed, is_thorough=is_thorough)
    try:
        life.log.append("begin")
        life._plain()
        for _ in range(steps):
            life.step()
    except BaseException as error:
        done = life.counts["steps"]
        error.add_note(f"CODX_INDEX_FUZZ_SEED={seed} CODX_INDEX_FUZZ_STEPS={done + 1}")
        error.add_note(f"what happened: {'; '.join(life.log)}")
        raise
    print(f"seed {seed}: {dict(life.counts)}; {dict(life.done)}")
    return life.counts
