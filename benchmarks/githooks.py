"""What does a commit pay for git hooks, and is every index right afterwards?

    python benchmarks/githooks.py [--files N] [--commits N] [--trees N] [--mode sparse|hybrid] [--json FILE]

Makes a git repository of N files with several work trees, an index in each, and the git hooks of
codx-index. All work trees then commit at the same time, in blocks in turn: some commits
without hooks while nothing else is at work, and as many with hooks, whose runs go on in
the background meanwhile. The commits are the same: one changed file, and `core.hooksPath` names a folder,
which is empty for those without hooks. At the end, when no run is at work any more, every row of
every index is compared with its file.

Before that, a work tree without an index commits alone, with and without hooks in turn: that is what
the hook costs by itself. Beside it stands what git pays for a hook that does nothing
(`exit 0`), which no hook can cost less than.

git collects no garbage meanwhile; all else is as git does it for everybody.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from common import (
    STATE,
    Indexer,
    Unexpected,
    commit_project,
    git,
    headline,
    median,
    prepared,
    surroundings,
    tracked,
    write_json,
    write_project,
)

from indexer.cli.background import BackgroundRun
from indexer.config import Settings

MODES = ("sparse", "hybrid")
BLOCK = 5  # commits of a work tree without hooks, and then as many with them
PAUSE = 0.3  # seconds for the process of a hook to see that there is no index
LONGEST = 600.0  # seconds for the runs in the background to end
RESAMPLES = 2_000


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository whose hooks lie in `hooks`; the folder `none` is empty."""

    root: Path
    hooks: Path
    none: Path
    variables: dict[str, str]
    numbers: count[int]

    def commit(self, tree: Path, path: str, *, has_hooks: bool) -> float:
        """Change a file and commit it. Returns the seconds of the commit."""
        number = next(self.numbers)
        with (tree / path).open("a", encoding="utf-8") as file:
            file.write(f"\n# commit {number}\n")
        folder = self.hooks if has_hooks else self.none
        command = ("git", "-c", f"core.hooksPath={folder}", "commit", "-qam", "x")
        started = time.perf_counter()
        subprocess.run(
            command,
            cwd=tree,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - started


def main() -> None:
    """Measure, and print what was measured."""
    options = _options()
    with tempfile.TemporaryDirectory(
        dir=options.folder, ignore_cleanup_errors=True
    ) as made:
        folder = Path(made)
        indexer = prepared(folder, options.cache_dir, jobs=0)
        repository, trees = make(folder, indexer, options)
        paths = [one for one in tracked(repository.root) if one.endswith(".py")]
        least = in_turn(
            replace(repository, hooks=idle_hook(folder)), paths, options.commits
        )
        alone = in_turn(repository, paths, options.commits)
        together = at_once(repository, trees, paths, options.commits)
        for tree in trees:
            indexer.verify(tree, f"the end of {tree.name}")
    results = {
        "files": options.files,
        "mode": options.mode,
        "trees": len(trees),
        "least": least,
        "alone": alone,
        "together": together,
        "verified": len(trees),
    }
    print(headline(), *table(results), sep="\n")
    write_json(options.json, {**surroundings(), **results})


def make(
    folder: Path, indexer: Indexer, options: argparse.Namespace
) -> tuple[Repository, list[Path]]:
    """The repository, and its work trees with an index. Its own one has none."""
    root, none = folder / "project", folder / "none"
    none.mkdir()
    write_project(root, options.files, distinct=options.files, group=500)
    (root / "codx-index.toml").write_text(f'mode = "{options.mode}"\n')
    commit_project(root)
    for name in ("core.hooksPath", "maintenance.auto"):
        git(root, "config", "--unset", name)
    done = subprocess.run(
        [*indexer.command(), "hooks", "install", str(root)],
        env=indexer.variables(),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Unexpected(f"hooks install ended with {done.returncode}: {done.stderr}")
    repository = Repository(
        root, root / ".git" / "hooks", none, indexer.variables(), count()
    )
    trees = [folder / f"tree{number}" for number in range(options.trees)]
    for tree in trees:
        off = f"core.hooksPath={none}"
        git(root, "-c", off, "worktree", "add", "-q", "-b", tree.name, str(tree))
        indexer.run(tree, f"the index of {tree.name}")
    return repository, trees


def idle_hook(folder: Path) -> Path:
    """A folder with a hook that does nothing."""
    hook = folder / "idle" / "post-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    return hook.parent


def in_turn(repository: Repository, paths: list[str], commits: int) -> dict[str, Any]:
    """Commits with and without hooks in turn, in a work tree without an index."""
    rng = random.Random(commits)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(commits + 1):
        for has_hooks in (False, True) if number % 2 else (True, False):
            path = rng.choice(paths)
            taken = repository.commit(repository.root, path, has_hooks=has_hooks)
            time.sleep(PAUSE)
            if number:  # the first finds cold files
                times[has_hooks].append(taken)
    if (repository.root / STATE).exists():
        raise Unexpected("a hook has built an index where there was none")
    return compared(times)


def at_once(
    repository: Repository, trees: list[Path], paths: list[str], commits: int
) -> dict[str, Any]:
    """Commits of all work trees at the same time, in blocks without and with hooks in turn."""
    times: dict[bool, list[float]] = {False: [], True: []}
    started = time.perf_counter()
    runs_took = 0.0

    def block(tree: Path, has_hooks: bool) -> list[float]:
        rng = random.Random(f"{tree} {len(times[True])}")
        chosen = rng.sample(paths, BLOCK)
        return [repository.commit(tree, path, has_hooks=has_hooks) for path in chosen]

    with ThreadPoolExecutor(len(trees)) as pool:
        while len(times[True]) < commits * len(trees):
            for has_hooks in (False, True):
                for taken in pool.map(block, trees, [has_hooks] * len(trees)):
                    times[has_hooks] += taken
            began = time.perf_counter()
            for tree in trees:
                wait_for_runs(tree)
            runs_took += time.perf_counter() - began
    return {
        **compared(times),
        "seconds": time.perf_counter() - started,
        "waited for runs": runs_took,
    }


def wait_for_runs(tree: Path) -> None:
    """Wait until no run is at work in a work tree, and none waits. Raises `Unexpected`."""
    run = BackgroundRun(Settings(str(tree), "", ""), {})
    deadline = time.monotonic() + LONGEST
    while is_called(tree) or run.is_at_work:
        if time.monotonic() > deadline:
            raise Unexpected(f"the runs of {tree.name} do not end")
        time.sleep(0.1)
    if run.ending is None or run.ending.exit_code:
        raise Unexpected(f"the run of {tree.name} failed: {run.ending}")


def is_called(tree: Path) -> bool:
    """Whether a hook of the work tree is at work, or waits to start a run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (folder / "cwd").readlink() == tree:
                call = (folder / "cmdline").read_bytes()
                if b"hooks/post-" in call or b"hooks\0run" in call:
                    return True
    return False


def compared(times: dict[bool, list[float]]) -> dict[str, Any]:
    """The times, and how many times as long a commit takes with hooks.

    That is the median of pairs that follow each other, so that it does not matter what else the
    machine does as long as that changes slowly.
    """
    ratios = [having / without for without, having in zip(times[False], times[True])]
    low, high = interval(ratios)
    return {
        "without": times[False],
        "with": times[True],
        "ratio": median(ratios),
        "ratio_from": low,
        "ratio_to": high,
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The interval that holds 95% of the medians of bootstrap samples."""
    rng = random.Random(0)
    samples = (rng.choices(values, k=len(values)) for _ in range(RESAMPLES))
    found = sorted(map(median, samples))
    return found[RESAMPLES // 40], found[-RESAMPLES // 40]


def table(results: dict[str, Any]) -> list[str]:
    """What was measured, for a person."""

    def line(about: str, found: dict[str, Any]) -> str:
        return (
            f"{about}: {median(found['with']) * 1000:.1f} ms a commit with hooks, "
            f"{median(found['without']) * 1000:.1f} ms without (medians of {len(found['with'])}), "
            f"{found['ratio']:.3f} times as long, by pairs "
            f"({found['ratio_from']:.3f} to {found['ratio_to']:.3f})"
        )

    trees = results["trees"]
    return [
        line("a hook that does nothing, in turn", results["least"]),
        line(f"{results['files']:,} files, no index, in turn", results["alone"]),
        line(f"{trees} work trees at once, {results['mode']}", results["together"]),
        f"indexes that equal their work tree at the end: {results['verified']} of {trees}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--commits", type=int, default=50, help="of each work tree")
    parser.add_argument("--trees", type=int, default=5)
    parser.add_argument("--mode", choices=MODES, default="sparse")
    parser.add_argument("--folder", type=Path, help="where the project is made")
    parser.add_argument("--cache-dir", type=Path, help="a cache with the model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
