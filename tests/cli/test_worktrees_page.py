"""Each command of docs/how-to/worktrees.md, as a person would type it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from conftest import Project
from seeds import commit, serving, text_of

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "worktrees.md"
ADDRESS = "https://ci.example.org/artifacts"


def blocks() -> list[list[str]]:
    """The commands of each indented block of the page."""
    found = re.findall(r"(?:^    .+\n)+", PAGE.read_text(), re.M)
    lines = [[line.strip() for line in one.splitlines()] for one in found]
    begins = ("codx-index", "git", "cd")
    return [one for one in lines if one[0].startswith(begins)]


class Shell:
    """Types commands in a folder; each must end well."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.said: list[str] = []

    def type(self, *lines: str) -> None:
        for line in lines:
            name, *arguments = shlex.split(line)
            if name == "cd":
                root = (self.project.root / arguments[0]).resolve()
                project = self.project
                self.project = Project(root, project.cache_dir, project.environment)
            elif name == "git":
                self.project.git(*arguments)
            else:
                assert name == "codx-index"
                done = self.project.command(*arguments)
                assert done.returncode == 0, done.stderr
                assert not done.stderr, done.stderr
                self.said.append(done.stdout)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *about: object) -> None:
            pass

    handler = partial(Handler, directory=str(folder))
    with serving(handler) as address:
        yield address


def test_the_page(project: Project, tmp_path: Path) -> None:
    project.environment["CODX_INDEX_MODE"] = "sparse"
    main = Project(tmp_path / "main", project.cache_dir, project.environment)
    project.root.rename(main.root)
    main.write("a.py", text_of(1))
    commit(main)
    worktrees, clones, ci, pruning = blocks()
    shell = Shell(main)
    shell.type("codx-index run", *worktrees)
    assert "started from the index of ../main: 1 of 1 file" in shell.said[-1]
    # A clone starts from a folder, and another one from a file.
    first, export, second = clones
    for name, commands in {"one": [first], "two": [export, second]}.items():
        shell = Shell(main)
        shell.type(f"git clone -q . ../{name}", f"cd ../{name}", *commands)
        assert "started from the index of" in shell.said[-1]
    shell = Shell(main)
    run, export = ci
    with served(tmp_path) as address:
        assert ADDRESS in run
        shell.type("codx-index export ../shop.seed", "git clone -q . ../job")
        shell.type("cd ../job", run.replace(ADDRESS, address), export)
    assert f"started from the index of {address}/shop.seed" in shell.said[-2]
    shell.type(*pruning)
