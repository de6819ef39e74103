"""No answer shows a line that is not in its file any more without saying so."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from conftest import Project, project_in

from indexer import Index
from indexer.cli.fresh import Refresher
from indexer.search.answers import Hit
from indexer.settings.assembly import settings_for
from indexer.settings.declarations import CACHE_DIR
from indexer.settings.values import option_values

FILES = 12
QUICK_PAIRS = 16
STORM_PAIRS = int(os.environ.get("CODX_INDEX_EDITS", "1000"))

Edit = Callable[["Tree", Path, str], None]


class Tree:
    """A project whose files are edited at random; each edit brings a word that no other has."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.random = project, random.Random(seed)
        self._count = 0

    def word(self) -> str:
        """A word that was never there."""
        self._count += 1
        return f"zq{self._count:05d}{self.random.randrange(10**4):04d}"

    def files(self) -> list[Path]:
        """The files that are there, and no symlinks."""
        found = sorted((self.project.root / "src").rglob("*.py"))
        return [path for path in found if path.is_file() and not path.is_symlink()]

    def text(self, word: str) -> str:
        """A file with this word."""
        return f"def {word}(a, b):\n    return a + b  # {word}\n"

    def fill(self) -> None:
        for number in range(FILES - len(self.files())):
            word = self.word()
            name = f"src/p{number % 3}/f{self._count}.py"
            self.project.write(name, self.text(word))


def in_place(tree: Tree, path: Path, word: str) -> None:
    path.write_text(tree.text(word))


def with_restored_times(tree: Tree, path: Path, word: str) -> None:
    """The same size, and the same mtime."""
    info, before = path.stat(), path.read_text()
    text = tree.text(word)
    path.write_text(text[: len(before)].ljust(len(before), "#"))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def by_rename(tree: Tree, path: Path, word: str) -> None:
    """As editors save: another file takes its place."""
    draft = path.with_suffix(".tmp")
    draft.write_text(tree.text(word))
    draft.replace(path)


def moved(tree: Tree, path: Path, word: str) -> None:
    path.rename(path.with_name(f"moved_{word}.py"))


def deleted(tree: Tree, path: Path, word: str) -> None:
    path.unlink()


def made_a_folder(tree: Tree, path: Path, word: str) -> None:
    path.unlink()
    path.mkdir()
    (path / "inner.py").write_text(tree.text(word))


def made_a_symlink(tree: Tree, path: Path, word: str) -> None:
    others = [one for one in tree.files() if one != path]
    path.unlink()
    path.symlink_to(tree.random.choice(others))


def ignored(tree: Tree, path: Path, word: str) -> None:
    with (tree.project.root / ".gitignore").open("a") as rules:
        rules.write(f"{path.name}\n")
    path.write_text(tree.text(word))


EDITS: list[Edit] = [
    *(in_place, with_restored_times, by_rename, moved),
    *(deleted, made_a_folder, made_a_symlink, ignored),
]


@pytest.fixture(scope="module")
def tree_project(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Project:
    made = project_in(tmp_path_factory.mktemp("stale"), model_cache)
    made.root.mkdir()
    made.git("init", "-q")
    made.environment["CODX_INDEX_MODE"] = "sparse"
    return made


def is_true(hit: Hit, project: Project) -> bool:
    """Whether the hit's lines are in its file now, or it says that they may not be."""
    if hit.stale:
        return True
    path = project.root / hit.path
    if not path.is_file() or path.is_symlink():
        return False
    lines = path.read_text().split("\n")
    return "\n".join(lines[hit.start_line - 1 : hit.end_line]) == hit.text


@contextmanager
def runs_at_work(project: Project) -> Iterator[None]:
    """A block beside which the installed command runs, again and again."""
    is_over = threading.Event()

    def run_again() -> None:
        while not is_over.is_set():
            done = project.installed.command("run", "--wait", "20s")
            assert done.returncode in (0, 75), done.stderr

    thread = threading.Thread(target=run_again)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    "pairs, beside_runs",
    [
        pytest.param(QUICK_PAIRS, False, id="quick"),
        pytest.param(STORM_PAIRS // 2, False, id="storm", marks=pytest.mark.slow),
        pytest.param(STORM_PAIRS // 2, True, id="beside", marks=pytest.mark.slow),
    ],
)
def test_no_stale_line_is_shown_as_if_it_were_there(
    pairs: int,
    beside_runs: bool,
    tree_project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project, seed = tree_project, random.randrange(10**6)
    for name, value in project.variables().items():
        monkeypatch.setenv(name, value)
    shutil.rmtree(project.root / "src", ignore_errors=True)
    (project.root / ".gitignore").unlink(missing_ok=True)
    tree = Tree(project, seed)
    tree.fill()
    project.git("add", "-A")
    project.git("commit", "-qm", "one", "--allow-empty")
    project.run()
    given = option_values({CACHE_DIR: str(project.cache_dir)})
    refresher = Refresher([settings_for(str(project.root), given)], given)
    refreshed = flagged = 0
    with Index.open(project.root, cache_dir=str(project.cache_dir)) as index:
        # Beside runs, as they come and go; else nothing.
        with runs_at_work(project) if beside_runs else closing(_Nothing()):
            for number in range(pairs):
                edit = EDITS[number % len(EDITS)]
                path = tree.random.choice(tree.files())
                before, word = path.read_text().split("(")[0].split()[-1], tree.word()
                edit(tree, path, word)
                refreshes = tree.random.random() < 0.3
                current = refreshes and bool(refresher.update().current)
                for query in (before, word):
                    hits = index.search(query, mode="sparse", limit=5)
                    wrong = [one for one in hits if not is_true(one, project)]
                    assert not wrong, (seed, edit.__name__, wrong)
                    flagged += any(one.stale for one in hits)
                    if current and not beside_runs:
                        assert not any(one.stale for one in hits), (seed, edit.__name__)
                refreshed += current
                tree.fill()
    assert flagged and refreshed
    project.run("--wait", "20s")
    assert project.command("verify").returncode == 0


class _Nothing:
    def close(self) -> None:
        """There is nothing to end."""
