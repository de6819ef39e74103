"""How long from an edit to the answer that has it, and how often is an answer stale?

    python benchmarks/freshness.py [--files N] [--edits N] [--mode sparse|hybrid] [--json FILE]

Makes a git repository of N files and indexes it. Then it appends a line with a new word to a file
of it, searches for the word with `search --refresh` in a new process, and so on. Counted are the
answers without the word, and hits that show a line which is not in their file any more without
saying so. Nothing stays between two searches, but where vectors are wanted (hybrid), a run in the
background that adds them, which the next search interrupts.

What bounds it is measured beside it: the start of the command, a search without --refresh, and
`git status`, which any look at so many files takes.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from common import (
    Indexer,
    Unexpected,
    commit_project,
    git,
    headline,
    measure,
    median,
    p95,
    prepared,
    surroundings,
    tracked,
    write_json,
    write_project,
)

MODES = ("sparse", "hybrid")
BESIDE = 5  # measurements of each thing that bounds it


def main() -> None:
    """Measure, and print what was measured."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        indexer = prepared(folder, options.cache_dir, jobs=0)
        root = folder / "project"
        write_project(root, options.files, distinct=options.files, group=500)
        # Not what is measured, and hours of it at 50,000 files.
        (root / "codx-index.toml").write_text(f'mode = "{options.mode}"\n')
        commit_project(root)
        indexer.call("run", root, "the first index")
        found = edits(indexer, root, options.edits)
        beside = bounds(indexer, root)
        indexer.call("run", root, "the last run", "--wait", "10m")
        indexer.verify(root, "the end")
    results = {"files": options.files, "mode": options.mode, **found, **beside}
    print(headline(), *table(results), sep="\n")
    write_json(options.json, {**surroundings(), **results})


def edits(indexer: Indexer, root: Path, number: int) -> dict[str, Any]:
    """Edit and search that often. Returns the seconds of each search, and what was wrong."""
    rng = random.Random(number)
    paths = sorted(path for path in tracked(root) if path.endswith(".py"))
    walls: list[float] = []
    missed = stale = 0
    for count in range(number + 1):
        word = f"edited{count:04d}{rng.randrange(10**6):06d}"
        path = root / rng.choice(paths)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"\n# {word}\n")
        started = time.perf_counter()
        ended = search(indexer, root, word, "--refresh")
        if count:  # the first one finds cold files
            walls.append(time.perf_counter() - started)
        hits = json.loads(ended)["hits"]
        missed += not any(word in hit["text"] for hit in hits)
        stale += sum(not is_there(root, hit) and not hit["stale"] for hit in hits)
    return {"seconds": walls, "missed": missed, "unmarked stale hits": stale}


def is_there(root: Path, hit: dict[str, Any]) -> bool:
    """Whether a hit's lines are those of its file."""
    lines = (root / hit["path"]).read_text(encoding="utf-8").split("\n")
    shown: str = hit["text"]
    return "\n".join(lines[hit["start_line"] - 1 : hit["end_line"]]) == shown


def search(indexer: Indexer, root: Path, query: str, *options: str) -> str:
    """What a search by words prints. Raises `Unexpected`."""
    arguments = (*options, "--mode", "sparse", "--json", query, str(root))
    command = (*indexer.command(), "search", *arguments)
    ended = measure(*command, variables=indexer.variables())
    if ended.code not in (0, 1) or '"hits"' not in ended.output:
        raise Unexpected(f"search ended with {ended.code}: {ended.errors.strip()}")
    return ended.output


def bounds(indexer: Indexer, root: Path) -> dict[str, float]:
    """The median seconds of what a search with --refresh cannot do without."""

    def start() -> None:
        measure(*indexer.command(), "--version", variables=indexer.variables())

    def find() -> None:
        search(indexer, root, "parse the arguments")

    def status() -> None:
        git(root, "status", "--porcelain")

    found = {}
    for name, call in (("start", start), ("search", find), ("git status", status)):
        times = []
        for _ in range(BESIDE):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        found[name] = median(times)
    return found


def table(results: dict[str, Any]) -> list[str]:
    """What was measured, for a person."""
    walls = results["seconds"]
    spread = ", ".join(
        f"{name} {value:.2f} s"
        for name, value in (
            ("p50", median(walls)),
            ("p95", p95(walls)),
            ("most", max(walls)),
        )
    )
    beside = ", ".join(
        f"{name} {results[name]:.2f} s" for name in ("start", "search", "git status")
    )
    return [
        f"edit to found at {results['files']:,} files, {results['mode']}: {spread} of {len(walls)}",
        f"beside it: {beside}",
        f"edits that were not found: {results['missed']}; "
        f"stale hits without a mark: {results['unmarked stale hits']}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=50_000)
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--mode", choices=MODES, default="sparse")
    parser.add_argument("--folder", type=Path, help="where the project is made")
    parser.add_argument("--cache-dir", type=Path, help="a cache with the model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
