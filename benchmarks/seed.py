"""What does the first index of a worktree cost, if its neighbour has one?

    python benchmarks/seed.py [--files N | --repository PATH] [--changed N] [--json FILE]

Makes a git repository of N files, or clones one, and indexes it with an empty cache of embeddings: that is
what a fresh index costs. Then it makes worktrees and a clone, each with an empty cache as well, and indexes
them: one as the first is, one in which some files differ, one that begins with nothing but has the first
one's embeddings, and a clone that starts from an exported file. All are verified afterwards.

CPU is user and system time of the whole process tree.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from common import (
    Ended,
    Indexer,
    Unexpected,
    clone,
    commit_project,
    emptied,
    git,
    headline,
    measure,
    prepared,
    surroundings,
    tracked,
    write_json,
    write_project,
)

FRESH = "fresh"
CACHED = "nothing but the embeddings"
Row = dict[str, Any]


def main() -> None:
    """Measure, and print what was measured."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        indexer = prepared(folder, options.cache_dir, options.jobs)
        root = folder / "main"
        if options.repository:
            clone(options.repository.absolute(), root)
        else:
            write_project(root, options.files, distinct=options.files, group=500)
            commit_project(root)
        rows = measured(indexer, root, folder, options.changed)
    files = rows[0]["files"]
    print(headline(), *table(rows, files), sep="\n")
    write_json(options.json, {**surroundings(), "files": files, "indexes": rows})


def measured(indexer: Indexer, root: Path, folder: Path, changed: int) -> list[Row]:
    """Index the repository, and then its worktrees and a clone of it."""
    rows = [_row(FRESH, indexer.call("run", root, FRESH, "--seed", "none"))]

    def index(name: str, place: Path, used: Indexer, *seed: str) -> None:
        rows.append(_row(name, used.call("run", place, name, *seed)))
        indexer.verify(place, name)

    def cold() -> Indexer:
        return emptied(indexer, folder / "cold")

    same, other, cached = (folder / name for name in ("same", "other", "cached"))
    git(root, "worktree", "add", "-q", "--detach", str(same))
    index("a worktree", same, cold())
    git(root, "worktree", "add", "-q", "--detach", str(other))
    edit(other, changed)
    index(f"a worktree in which {changed:,} files differ", other, cold())
    git(root, "worktree", "add", "-q", "--detach", str(cached))
    index(CACHED, cached, indexer, "--seed", "none")
    exported = folder / "main.seed"
    command = (*indexer.command(), "export", exported, root)
    rows.append(_exported(indexer, *map(str, command)))
    cloned = folder / "clone"
    clone(root, cloned)
    index("a clone, from that file", cloned, cold(), "--seed", str(exported))
    return rows


def edit(root: Path, number: int) -> None:
    """Append a line to so many tracked files."""
    names = [name for name in sorted(tracked(root)) if name.endswith(".py")]
    if len(names) < number:
        names = [name for name in sorted(tracked(root)) if (root / name).is_file()]
    for count, name in enumerate(names[:number]):
        with (root / name).open("a", encoding="utf-8") as file:
            file.write(f"\n# line {count} of this worktree\n")


def _row(name: str, ended: Ended) -> Row:
    report = json.loads(ended.output)
    seeded = report["seeded"]
    return {
        "name": name,
        "cpu": ended.usage.cpu,
        "wall": ended.usage.wall,
        "files": report["files"]["scanned"],
        "read": report["files"]["read"],
        "embedded": report["chunks"]["embedded"],
        "upserted": report["chunks"]["upserted"],
        "chunks": report["chunks"]["total"],
        "seeded": seeded["files"] if seeded else None,
    }


def _exported(indexer: Indexer, *command: str) -> Row:
    ended = measure(*command, variables=indexer.variables())
    if ended.code:
        raise Unexpected(f"codx-index export ended with {ended.code}: {ended.errors}")
    usage = ended.usage
    return {"name": "codx-index export", "cpu": usage.cpu, "wall": usage.wall}


def table(rows: list[Row], files: int) -> list[str]:
    """What was measured, for a person, in Markdown."""
    fresh = rows[0]["cpu"]
    heads = "index of | CPU s | of a fresh one | s | read | embedded | upserted"
    lines = [
        f"{files:,} files, {rows[0]['chunks']:,} chunks:",
        f"| {heads} |",
        "|---|" + "---:|" * heads.count("|"),
    ]
    for row in rows:
        counts = [
            f"{row[name]:,}" if name in row else ""
            for name in ("read", "embedded", "upserted")
        ]
        share = f"{row['cpu'] / fresh:.4f}"
        cells = [row["name"], f"{row['cpu']:.2f}", share, f"{row['wall']:.1f}", *counts]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--repository", type=Path, help="a git repository to clone")
    parser.add_argument("--changed", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the project is made")
    parser.add_argument("--cache-dir", type=Path, help="a cache with the model")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
