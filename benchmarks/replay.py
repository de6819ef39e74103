"""What does following a real history cost, and is anything embedded without need?

Clones a repository and indexes the oldest of its last N first-parent commits. Then it checks
out one following commit after the other and runs the installed command on each.

    python benchmarks/replay.py REPO --commits N [--json FILE] [--plot FILE.png]
        [--verify-every K]

The *minimum* of a commit is the number of texts, as the model sees them, that no earlier
commit of the replay had. This script counts it without the cache: it chunks each new blob of
the tree and looks its texts up among those seen before. At the end it indexes the last commit
from scratch, once with an empty cache and once with the cache that the replay has filled. The
rows of the replayed index and of the fresh one must be equal in every field, vectors bit by
bit. Exits with 1 when a commit embedded more or less than its minimum, or when rows differ.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from common import (
    STATE,
    Indexer,
    Run,
    Unexpected,
    check_plot,
    clone,
    emptied,
    git,
    headline,
    median,
    p95,
    prepared,
    surroundings,
    tracked,
    write_json,
)

from indexer.cache.entry import Key, key_of
from indexer.config import DEFAULT_MAX_FILE_SIZE, DEFAULT_MODEL, EMBEDDED_COLLECTION
from indexer.milvus.embedded import serve
from indexer.tree.scan import scan
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model
from indexer.work import worker

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repo", type=Path)
    parser.add_argument("--commits", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path, help="where the converted model is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--verify-every", type=int, default=0, help="commits; 0: last")
    options = parser.parse_args()
    check_plot(options.plot)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        indexer = prepared(folder, options.cache_dir, options.jobs)
        root = folder / "project"
        clone(options.repo, root)
        print(headline())
        steps = replay(root, indexer, options.commits, options.verify_every)
        full = index_afresh(root, folder / "fresh", indexer)
        difference = first_difference(root / STATE, folder / "fresh" / STATE)
    problems = [
        f"{step.commit[:10]}: embedded {step.run.count('chunks.embedded')} texts, "
        f"where {step.minimum} were new"
        for step in steps
        if step.run.count("chunks.embedded") != step.minimum
    ]
    if difference:
        problems.append(f"the rows differ from those of a fresh index: {difference}")
    name = options.repo.resolve().name
    print(summary(name, steps, full))
    write_json(options.json, results(name, steps, full, problems))
    if options.plot:
        plot(name, steps, full, options.plot)
    if problems:
        sys.exit("\n".join(problems))
    print("the rows equal those of a fresh index")


# ---- The replay ----


@dataclass(frozen=True, slots=True)
class Step:
    """One commit: how many files it changed, what the run did, and its minimum."""

    commit: str
    changed: int
    run: Run
    minimum: int


def replay(root: Path, indexer: Indexer, limit: int, verify_every: int) -> list[Step]:
    """Check out and index the last commits, oldest first, printing a line for each."""
    newest_first = git(root, "rev-list", "--first-parent", f"-n{limit}", "HEAD").split()
    commits = newest_first[::-1]
    census = Census(indexer)
    steps: list[Step] = []
    print(
        f"{'commit':12}{'changed':>9}{'read':>8}{'embedded':>10}{'minimum':>9}"
        f"{'cached':>9}{'wall s':>9}{'CPU s':>8}"
    )
    for number, commit in enumerate(commits):
        git(root, "checkout", "--quiet", "--force", commit)
        run = indexer.run(root, commit)
        changed = changed_files(root, commits[number - 1] if number else "", commit)
        step = Step(commit, changed, run, census.new_texts(root))
        steps.append(step)
        print(
            f"{commit[:10]:12}{changed:9,}{run.count('files.read'):8,}"
            f"{run.count('chunks.embedded'):10,}{step.minimum:9,}{run.count('chunks.cached'):9,}"
            f"{run.usage.wall:9.2f}{run.usage.cpu:8.2f}",
            flush=True,
        )
        is_last = commit == commits[-1]
        if is_last or (verify_every and number % verify_every == 0):
            indexer.verify(root, commit)
    return steps


def changed_files(root: Path, before: str, after: str) -> int:
    """How many files differ between two commits; without a `before`, all files."""
    if not before:
        return len(tracked(root))
    names = git(root, "diff", "--name-only", "--no-renames", "-z", before, after)
    return names.count("\0")


class Census:
    """Counts the texts that no tree had before, by chunking alone.

    A file's chunks depend on its bytes and its name, so a blob is chunked once under each of
    its names.
    """

    def __init__(self, indexer: Indexer) -> None:
        cache = str(indexer.cache)
        worker.initialize(
            choose_backend(resolve_model(DEFAULT_MODEL, cache), cache, convert=False)
        )
        self._blobs: set[tuple[str, str]] = set()
        self._texts: set[Key] = set()

    def new_texts(self, root: Path) -> int:
        """How many texts of the checked-out tree no tree had before."""
        before = len(self._texts)
        entries = tracked(root)
        tree = scan(
            str(root),
            max_file_size=DEFAULT_MAX_FILE_SIZE,
            own_paths=[str(root / STATE)],
        )
        for file in tree.files:
            blob = (entries[file.path][1], PurePosixPath(file.path).name)
            if blob not in self._blobs:
                self._blobs.add(blob)
                self._texts.update(texts_of(root, file.path))
        return len(self._texts) - before


def texts_of(root: Path, path: str) -> Iterator[Key]:
    """The keys of a file's texts."""
    (file,) = worker.chunk_files([(path, (root / path).read_bytes())]).files
    if file.error:
        raise Unexpected(f"{path}: {file.error}")
    return map(key_of, file.chunks)


# ---- A fresh index ----


def index_afresh(root: Path, fresh: Path, indexer: Indexer) -> dict[str, Run]:
    """Index the last commit from scratch, with the cache of the replay and with an empty one.

    The index made with the empty cache stays.
    """
    clone(root, fresh)
    warm = indexer.run(fresh, "full index, warm cache")
    if warm.count("chunks.embedded"):
        raise Unexpected(
            f"full index, warm cache: {warm.count('chunks.embedded')} embedded"
        )
    shutil.rmtree(fresh / STATE)
    without = emptied(indexer, fresh.with_name("empty-cache"))
    return {
        "full index, empty cache": without.run(fresh, "full index, empty cache"),
        "full index, warm cache": warm,
    }


def first_difference(one: Path, other: Path) -> str:
    """Where the rows of two state folders first differ, "" when they are equal."""
    ours, theirs = read_rows(one), read_rows(other)
    for row_id in sorted(ours.keys() | theirs.keys()):
        mine, its = ours.get(row_id), theirs.get(row_id)
        if mine is None or its is None:
            row = mine or its or {}
            return f"{row['path']}, chunk {row['chunk_no']}, is only in one"
        for field in mine:
            if mine[field] != its[field]:
                return f"{mine['path']}, chunk {mine['chunk_no']}, has another {field}"
    return ""


def read_rows(state: Path) -> dict[str, Row]:
    """Every row by id, its vector as bytes. Raises `Unexpected` for a duplicate row."""
    store = serve(
        str(state / "milvus.db"), str(state), EMBEDDED_COLLECTION, patience=60
    )
    try:
        store.open()
        ids = [key.id for key in store.keys()]
        if len(ids) != len(set(ids)):
            raise Unexpected(f"{state}: it holds a row twice")
        rows = {}
        for start in range(0, len(ids), 1_000):
            for row in store.fetch(ids[start : start + 1_000]):
                vector = np.asarray(row["vector"], np.float32).tobytes()
                rows[row["id"]] = {**row, "vector": vector}
        return rows
    finally:
        store.close()


# ---- Results ----


def summary(name: str, steps: list[Step], full: dict[str, Run]) -> str:
    embedded = sum(step.run.count("chunks.embedded") for step in steps)
    minimum = sum(step.minimum for step in steps)
    first, rest = steps[0], steps[1:]
    lines = [
        "",
        f"{name}: {len(steps)} commits, {steps[-1].run.count('chunks.total'):,} rows at the end; "
        f"embedded {embedded:,} texts, minimum {minimum:,}; "
        f"without the first index {embedded - first.run.count('chunks.embedded'):,}, "
        f"minimum {minimum - first.minimum:,}",
        f"{'':26}{'wall s':>9}{'CPU s':>9}{'embedded':>10}",
    ]
    if rest:
        walls = [step.run.usage.wall for step in rest]
        cpus = [step.run.usage.cpu for step in rest]
        counts = [step.run.count("chunks.embedded") for step in rest]
        for row, of in (("a commit, median", median), ("a commit, p95", p95)):
            lines.append(f"{row:26}{of(walls):9.2f}{of(cpus):9.2f}{of(counts):10,.0f}")
    for row, run in {"first index": first.run, **full}.items():
        lines.append(
            f"{row:26}{run.usage.wall:9.2f}{run.usage.cpu:9.2f}{run.count('chunks.embedded'):10,}"
        )
    return "\n".join(lines)


def results(
    name: str, steps: list[Step], full: dict[str, Run], problems: list[str]
) -> dict[str, Any]:
    return {
        **surroundings(),
        "repository": name,
        "embedded": sum(step.run.count("chunks.embedded") for step in steps),
        "minimum": sum(step.minimum for step in steps),
        "problems": problems,
        "full": {row: run.as_dict() for row, run in full.items()},
        "commits": [
            {
                "commit": step.commit,
                "changed": step.changed,
                "minimum": step.minimum,
                **step.run.as_dict(),
            }
            for step in steps
        ],
    }


def plot(name: str, steps: list[Step], full: dict[str, Run], path: Path) -> None:
    """Plot the time by commit, and the texts embedded so far beside the minimum."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
    numbers = range(len(steps))
    left.plot(numbers, [step.run.usage.wall for step in steps], ".", label="a commit")
    for (row, run), style in zip(full.items(), ("--", ":"), strict=True):
        left.axhline(run.usage.wall, color="black", ls=style, label=row)
    left.set(yscale="log", xlabel="commit", ylabel="seconds")
    left.set_title(f"{name}: wall time of each run")
    left.legend(fontsize="small")

    rest = steps[1:]
    embedded = list(accumulate(step.run.count("chunks.embedded") for step in rest))
    right.plot(numbers[1:], embedded, lw=3, label="embedded")
    minimum = list(accumulate(step.minimum for step in rest))
    right.plot(numbers[1:], minimum, "k--", lw=1, label="minimum")
    total = full["full index, empty cache"].count("chunks.embedded")
    right.axhline(total, color="gray", ls=":", label="a full index")
    right.set(xlabel="commit", ylabel="texts, after the first index")
    right.set_title(f"{name}: texts embedded")
    right.legend(fontsize="small")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
