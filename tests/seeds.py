"""Worktrees of a project, and what an index that started from another one must be like."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from conftest import WORDS, Project, read_rows

Rows = dict[str, tuple[object, ...]]

SPARSE = ("--mode", "sparse")
SETTLED = (
    0.05  # seconds after which git's index is younger than the files of a checkout
)


def text_of(seed: int, lines: int = 12) -> str:
    """A small file of one or two chunks, unlike that of any other seed."""
    rng = random.Random(seed)
    body = "\n".join(
        f"    {rng.choice(WORDS)} = {rng.choice(WORDS)}({rng.randrange(10**6)})"
        for _ in range(lines)
    )
    return f"def {rng.choice(WORDS)}_{seed}():\n{body}\n"


def fill(project: Project, files: int, first: int = 0) -> None:
    """Write so many files, and commit them."""
    for number in range(first, first + files):
        project.write(f"src/m{number}.py", text_of(number))
    commit(project, f"{files} files")


def commit(project: Project, message: str = "more") -> None:
    project.git("add", "--all")
    project.git("commit", "-q", "--allow-empty", "-m", message)


def add_worktree(project: Project, folder: Path, *arguments: str) -> Project:
    """Another work tree of the project, on a branch of its own."""
    options = arguments or ("-b", folder.name)
    project.git("worktree", "add", "-q", str(folder), *options)
    # A user's next command does not come within a tick of the clock.
    time.sleep(SETTLED)
    return Project(folder, project.cache_dir, dict(project.environment))


def fresh_rows(project: Project, *options: str) -> Rows:
    """The rows of an index of the same tree that starts from nothing."""
    state = project.root.parent / f"fresh-{project.root.name}"
    project.run("--seed", "none", "--state-dir", str(state), *options)
    (found,) = state.glob("*/.codx/index")
    return _normalized(read_rows(found))


def rows_of(project: Project) -> Rows:
    """Every row by its id, all fields, the vector as its bytes."""
    return _normalized(read_rows(project.root / ".codx" / "index"))


def _normalized(rows: dict[str, dict[str, Any]]) -> Rows:
    import numpy as np

    return {
        id_: tuple(
            np.asarray(value, np.float32).tobytes() if name == "vector" else value
            for name, value in sorted(row.items())
        )
        for id_, row in rows.items()
    }


def assert_like_fresh(project: Project, *options: str) -> None:
    """The index is a fresh one's, row for row, and there is no more to do."""
    assert rows_of(project) == fresh_rows(project, *options)
    again = project.run(*options)
    assert again["status"] == "unchanged" and again["seeded"] is None
    state = project.root / ".codx" / "index"
    assert not (state / "seed.new").exists()


def ignored(report: dict[str, Any]) -> dict[str, str]:
    """Why indexes were of no use, by the name of their folder or file."""
    return {Path(one["from"]).name: one["reason"] for one in report["seeds_ignored"]}


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server on this machine. Yields its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()
