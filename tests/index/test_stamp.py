"""The fast answer is "unchanged" only where the slow one is. The oracle is the plan of a
run, which knows nothing of stamps; real repositories, and what people do to them."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, assert_one_line, make_cache, only_slow
from life import Life
from stamped_tree import (
    LIMIT,
    TEXTS,
    VOUCHED,
    WATCHED,
    WRITTEN,
    Silence,
    Tree,
    is_unchanged,
    rewrite,
)

from indexer import pipeline
from indexer.config import DEFAULT_MODEL
from indexer.errors import CodxIndexError, LockedError
from indexer.index import stamp
from indexer.index.lock import run_lock
from indexer.report import Report
from indexer.run import progress
from indexer.run.verify import verify
from indexer.tree import git_index
from indexer.tree.reader import Reader
from indexer.vectors.model import resolve_model

MODES = pytest.mark.parametrize("mode", [VOUCHED, WATCHED])
SERIAL = ("--executor", "serial", "--max-file-size", str(LIMIT))


def make_template(folder: Path, cache_dir: Path) -> Tree:
    """Every kind of file that there is, indexed."""
    folder.mkdir()
    tree = Tree(folder, cache_dir)
    tree.git("init", "-q", "-b", "main", "--template=")
    (folder / ".git/info").mkdir()
    tree.write(".git/info/exclude", "local.txt\n.codxignore\n")
    tree.write(".gitignore", "*.log\nbuild/\n")
    tracked = ["a.py", "b.py", "src/c.py", "src/d.py", "src/deep/e.py", "lib/f.py"]
    for name, text in zip([*tracked, "dirty.py"], TEXTS, strict=False):
        tree.write(name, text)
    tree.write("empty.py", "")
    tree.write("large.py", "x = 1\n" * LIMIT)
    (folder / "link.py").symlink_to("a.py")
    for path in folder.rglob("*"):
        os.utime(path, (WRITTEN, WRITTEN), follow_symlinks=False)
    tree.git("add", "-A")
    tree.git("commit", "-qm", "first")
    tree.write("dirty.py", TEXTS[10])
    tree.write("extra/u.py", TEXTS[11])
    tree.write("loose.py", TEXTS[12])
    tree.write("local.txt", "ignored by info/exclude\n")
    tree.write("build/out.py", "ignored = 1\n")
    tree.write("logs/deep/only.log", "a folder of ignored files\n")
    tree.write("tool-cache/.gitignore", "*\n")
    tree.write("tool-cache/x.py", "ignored = 1\n")
    (folder / "vacant/deep").mkdir(parents=True)
    for number, text in enumerate(TEXTS):
        tree.write(f"pool/{number}.py", text)
    tree.update()
    shutil.rmtree(folder / "pool")
    tree.update()
    return tree


class Copies:
    """Copies of the template, each older than a second when it is handed out: so old
    must a file be for git to vouch for it."""

    def __init__(self, template: Tree, folder: Path) -> None:
        self._template = template
        self._folder = folder
        self._made: list[tuple[Path, float]] = []
        self._count = 0
        for _ in range(8):
            self._make()

    def take(self) -> Tree:
        self._make()
        root, born = self._made.pop(0)
        time.sleep(max(0.0, born + 1.1 - time.monotonic()))
        return Tree(root, self._template.cache_dir)

    def _make(self) -> None:
        self._count += 1
        root = self._folder / f"p{self._count}/tree"
        shutil.copytree(self._template.root, root, symlinks=True)
        self._made.append((root, time.monotonic()))


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Copies:
    folder = tmp_path_factory.mktemp("stamp")
    template = make_template(
        folder / "template", make_cache(folder / "cache", model_cache)
    )
    return Copies(template, folder)


@pytest.fixture
def tree(copies: Copies) -> Tree:
    return copies.take()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a user without settings; but those of git are read, not set aside."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


# Changes. Each prepares the tree, yields, and changes it.

Change = Callable[[Tree], Iterator[None]]
CHANGES: list[Change] = []


def change(function: Change) -> Change:
    CHANGES.append(function)
    return function


def simple(name: str, act: Callable[..., object], *arguments: object) -> None:
    """A change without preparation."""

    def run(tree: Tree) -> Iterator[None]:
        yield
        act(tree, *arguments)

    run.__name__ = name
    CHANGES.append(run)


def edit(tree: Tree, name: str) -> None:
    tree.write(name, "edited = True\n")


def rewrite_in_place(tree: Tree, name: str) -> None:
    rewrite(tree.root / name, TEXTS[20])


def rewrite_by_rename(tree: Tree, name: str) -> None:
    rewrite(tree.root / name, TEXTS[21], in_place=False)


def delete(tree: Tree, name: str) -> None:
    (tree.root / name).unlink()


def move(tree: Tree, name: str, to: str = "moved.py") -> None:
    (tree.root / name).rename(tree.root / to)


for kind, name in (
    ("tracked", "a.py"),
    ("untracked", "loose.py"),
    ("dirty", "dirty.py"),
    ("deep", "src/deep/e.py"),
    ("deep_untracked", "extra/u.py"),
):
    for act in (edit, rewrite_in_place, rewrite_by_rename, delete, move):
        simple(f"{act.__name__}_{kind}", act, name)

for where in (
    *("", "src/", "src/deep/", "fresh/deep/", "vacant/", "vacant/deep/", "logs/"),
    *("logs/deep/", "extra/"),
):
    name = where.replace("/", "_") or "root_"
    simple(f"new_file_in_{name}", Tree.write, f"{where}new.py", TEXTS[22])

for where in ("", "src/", "src/deep/", "extra/"):
    name = where.replace("/", "_") or "root_"
    simple(f"codxignore_in_{name}", Tree.write, f"{where}.codxignore", "*.py\n")

simple("new_symlink", lambda tree: (tree.root / "src/l.py").symlink_to("c.py"))
simple("git_mv", Tree.git, "mv", "a.py", "src/renamed.py")
simple("mv_folder", move, "src", "source")
simple("mv_untracked_folder", move, "extra", "extra2")
simple("empty_gets_content", Tree.write, "empty.py", TEXTS[23])
simple("becomes_empty", Tree.write, "a.py", "")
simple("grows_too_large", Tree.write, "a.py", "x = 1\n" * LIMIT)
simple("large_shrinks", Tree.write, "large.py", TEXTS[24])
simple("becomes_binary", Tree.write, "a.py", b"\x00\x01" * 7)
simple("gitignore_leaves_out", Tree.write, ".gitignore", "*.log\nloose.py\nbuild\n")
simple("gitignore_lets_in", Tree.write, ".gitignore", "*.log\n")
simple("gitignore_removed", delete, ".gitignore")
simple("new_gitignore_below", Tree.write, "extra/.gitignore", "u.py\n")
simple("gitignore_of_a_cache_removed", delete, "tool-cache/.gitignore")
simple("gitignore_of_a_cache_edited", Tree.write, "tool-cache/.gitignore", "*.log\n")
simple("exclude_edited", Tree.write, ".git/info/exclude", "loose.py\n")
simple("exclude_removed", delete, ".git/info/exclude")


@change
def exclude_by_rename(tree: Tree) -> Iterator[None]:
    tree.write(".git/info/draft", "loose.py\n")
    yield
    move(tree, ".git/info/draft", ".git/info/exclude")


@change
def untracked_gitignore(tree: Tree) -> Iterator[None]:
    tree.write("extra/.gitignore", "nothing\n")
    yield
    tree.write("extra/.gitignore", "u.py\n")


@change
def ignored_gitignore(tree: Tree) -> Iterator[None]:
    tree.write(".git/info/exclude", ".gitignore\n")
    tree.write("extra/.gitignore", "nothing\n")
    yield
    rewrite(tree.root / "extra/.gitignore", "u.*\n\n\n\n\n")


@change
def ignored_gitignore_of_tracked_folder(tree: Tree) -> Iterator[None]:
    tree.write(".git/info/exclude", ".gitignore\n")
    tree.write("src/new.py", TEXTS[25])
    yield
    tree.write("src/.gitignore", "new.py\n")


@change
def codxignore_edited(tree: Tree) -> Iterator[None]:
    tree.write("src/.codxignore", "nothing\n")
    yield
    rewrite(tree.root / "src/.codxignore", "c.*\n\n\n\n\n")


@change
def codxignore_removed(tree: Tree) -> Iterator[None]:
    tree.write(".codxignore", "src\n")
    yield
    (tree.root / ".codxignore").unlink()


@change
def codxignore_that_leaves_out_its_folder(tree: Tree) -> Iterator[None]:
    tree.write("src/.codxignore", "*\n")
    yield
    tree.write("src/.codxignore", "*\n!c.py\n")


@change
def excludes_file_set(tree: Tree) -> Iterator[None]:
    tree.write("../ignore", "loose.py\n")
    yield
    tree.git("config", "core.excludesFile", str(tree.root.parent / "ignore"))


@change
def excludes_file_edited(tree: Tree) -> Iterator[None]:
    where = tree.write("../ignore", "nothing!\n")
    tree.git("config", "core.excludesFile", str(where))
    yield
    rewrite(where, "loose.py\n")


@change
def excludes_file_created(tree: Tree) -> Iterator[None]:
    tree.git("config", "core.excludesFile", str(tree.root.parent / "deep/ignore"))
    yield
    tree.write("../deep/ignore", "loose.py\n")


@change
def target_of_excludes_file_edited(tree: Tree) -> Iterator[None]:
    where = tree.write("../target", "nothing!\n")
    (tree.root.parent / "ignore").symlink_to("target")
    tree.git("config", "core.excludesFile", str(tree.root.parent / "ignore"))
    yield
    rewrite(where, "loose.py\n")


@change
def excludes_file_leads_elsewhere(tree: Tree) -> Iterator[None]:
    tree.write("../one", "nothing!\n")
    tree.write("../two", "loose.py\n")
    (tree.root.parent / "ignore").symlink_to("one")
    tree.git("config", "core.excludesFile", str(tree.root.parent / "ignore"))
    yield
    (tree.root.parent / "ignore").unlink()
    (tree.root.parent / "ignore").symlink_to("two")


@change
def excludes_file_of_the_user(tree: Tree) -> Iterator[None]:
    Path(os.environ["HOME"], "mine").write_text("nothing!\n")
    Path(os.environ["HOME"], ".gitconfig").write_text("[core]\nexcludesFile = ~/mine\n")
    yield
    Path(os.environ["HOME"], "mine").write_text("loose.py\n")


@change
def gitconfig_of_the_user(tree: Tree) -> Iterator[None]:
    Path(os.environ["HOME"], "mine").write_text("loose.py\n")
    yield
    Path(os.environ["HOME"], ".gitconfig").write_text("[core]\nexcludesFile = ~/mine\n")


@change
def ignore_file_of_the_user(tree: Tree) -> Iterator[None]:
    yield
    folder = Path(os.environ["HOME"], ".config/git")
    folder.mkdir(parents=True)
    (folder / "ignore").write_text("loose.py\n")


@change
def core_worktree(tree: Tree) -> Iterator[None]:
    """The repository's top is another, and with it the names in the index."""
    tree.git("checkout", "-q", "dirty.py")
    yield
    tree.git("config", "core.worktree", str(tree.root.parent))
    tree.write("a.py", TEXTS[26])


@change
def core_ignorecase(tree: Tree) -> Iterator[None]:
    tree.write(".git/info/exclude", "LOOSE.py\nSRC/C.py\n")
    yield
    tree.git("config", "core.ignoreCase", "true")


@change
def core_bare(tree: Tree) -> Iterator[None]:
    yield
    tree.git("config", "core.bare", "true")


@change
def folder_becomes_a_symlink(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "src").rename(tree.root / "moved")
    (tree.root / "src").symlink_to("moved")


@change
def untracked_folder_becomes_a_symlink(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "extra").rename(tree.root / "moved")
    (tree.root / "extra").symlink_to("moved")


@change
def file_becomes_a_symlink(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "a.py").rename(tree.root / "build/a.py")
    (tree.root / "a.py").symlink_to("build/a.py")


@change
def symlink_becomes_a_file(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "link.py").unlink()
    tree.write("link.py", TEXTS[27])


@change
def file_becomes_a_fifo(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "src/c.py").unlink()
    os.mkfifo(tree.root / "src/c.py")


@change
def file_becomes_a_folder(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / "a.py").unlink()
    tree.write("a.py/inner.py", TEXTS[27])


@change
def folder_becomes_a_file(tree: Tree) -> Iterator[None]:
    yield
    shutil.rmtree(tree.root / "lib")
    tree.write("lib", TEXTS[27])


@change
def deleted_file_comes_back(tree: Tree) -> Iterator[None]:
    (tree.root / "src/c.py").unlink()
    yield
    tree.write("src/c.py", TEXTS[2])


@change
def deleted_folder_comes_back(tree: Tree) -> Iterator[None]:
    shutil.rmtree(tree.root / "lib")
    yield
    tree.write("lib/f.py", TEXTS[5])


@change
def git_rm_cached_of_an_ignored_file(tree: Tree) -> Iterator[None]:
    tree.write("forced.log", TEXTS[29])
    tree.git("add", "-f", "forced.log")
    yield
    tree.git("rm", "-q", "--cached", "forced.log")


@change
def git_add_of_an_ignored_file(tree: Tree) -> Iterator[None]:
    yield
    tree.git("add", "-f", "build/out.py")


@change
def git_checkout_of_a_branch(tree: Tree) -> Iterator[None]:
    tree.git("stash", "-q")
    tree.git("checkout", "-q", "-b", "other")
    tree.write("src/c.py", TEXTS[30])
    tree.git("commit", "-qam", "other")
    yield
    tree.git("checkout", "-q", "main")


@change
def git_stash(tree: Tree) -> Iterator[None]:
    yield
    tree.git("stash", "-q")


@change
def git_reset_hard(tree: Tree) -> Iterator[None]:
    yield
    tree.git("reset", "-q", "--hard")


@change
def edit_and_commit(tree: Tree) -> Iterator[None]:
    yield
    tree.write("a.py", TEXTS[31])
    tree.git("commit", "-qam", "edited")


@change
def edit_and_add(tree: Tree) -> Iterator[None]:
    yield
    rewrite(tree.root / "a.py", TEXTS[32])
    tree.git("add", "-A")


@change
def assume_unchanged(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--assume-unchanged", "src/c.py")
    yield
    rewrite(tree.root / "src/c.py", TEXTS[33])


@change
def assume_unchanged_and_delete(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--assume-unchanged", "src/c.py")
    yield
    (tree.root / "src/c.py").unlink()


@change
def skip_worktree(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--skip-worktree", "src/c.py")
    yield
    rewrite(tree.root / "src/c.py", TEXTS[34])


@change
def skip_worktree_file_appears(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--skip-worktree", "src/c.py")
    (tree.root / "src/c.py").unlink()
    yield
    tree.write("src/c.py", TEXTS[34])


@change
def sparse_checkout(tree: Tree) -> Iterator[None]:
    yield
    tree.git("status")
    tree.git("sparse-checkout", "set", "--cone", "lib")


@change
def file_outside_of_the_sparse_checkout(tree: Tree) -> Iterator[None]:
    tree.git("status")
    tree.git("sparse-checkout", "set", "--cone", "lib")
    assert not (tree.root / "src").exists()
    yield
    tree.write("src/deep/e.py", TEXTS[35])


@change
def file_outside_of_the_sparse_index(tree: Tree) -> Iterator[None]:
    tree.git("status")
    tree.git("sparse-checkout", "set", "--cone", "--sparse-index", "lib")
    yield
    tree.write("src/deep/new.py", TEXTS[35])


@change
def stat_settings_of_the_repository(tree: Tree) -> Iterator[None]:
    for name, value in (("checkStat", "minimal"), ("trustctime", "false"),
                        ("ignoreStat", "true"), ("fsmonitor", "true")):  # fmt: skip
        tree.git("config", f"core.{name}", value)
    yield
    rewrite(tree.root / "a.py", TEXTS[36])


@change
def split_index(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--split-index")
    yield
    rewrite(tree.root / "a.py", TEXTS[36])
    tree.git("add", "a.py")


@change
def untracked_cache(tree: Tree) -> Iterator[None]:
    tree.git("update-index", "--force-untracked-cache")
    tree.git("status")
    yield
    tree.write("src/new.py", TEXTS[36])


@change
def intent_to_add(tree: Tree) -> Iterator[None]:
    tree.git("add", "-N", "loose.py")
    yield
    rewrite(tree.root / "loose.py", TEXTS[37])


@change
def hard_link(tree: Tree) -> Iterator[None]:
    os.link(tree.root / "a.py", tree.root.parent / "other-name")
    yield
    rewrite(tree.root.parent / "other-name", TEXTS[37])


def conflict(tree: Tree) -> None:
    tree.git("stash", "-q")
    for branch, text in (("one", TEXTS[38]), ("two", TEXTS[39])):
        tree.git("checkout", "-q", "-B", branch, "main")
        tree.write("src/c.py", text)
        tree.git("commit", "-qam", branch)
    with pytest.raises(subprocess.CalledProcessError):
        tree.git("merge", "one")


@change
def file_in_conflict(tree: Tree) -> Iterator[None]:
    conflict(tree)
    yield
    tree.write("src/c.py", TEXTS[40])


@change
def file_beside_a_conflict(tree: Tree) -> Iterator[None]:
    conflict(tree)
    yield
    rewrite(tree.root / "src/d.py", TEXTS[40])


@change
def conflict_begins(tree: Tree) -> Iterator[None]:
    yield
    conflict(tree)


def add_submodule(tree: Tree) -> Path:
    inner = tree.root.parent / "inner"
    inner.mkdir()
    origin = Tree(inner, tree.cache_dir)
    origin.git("init", "-q", "-b", "main")
    origin.write("i.py", TEXTS[41])
    origin.git("add", "-A")
    origin.git("commit", "-qm", "inner")
    tree.git("submodule", "--quiet", "add", str(inner), "mods/sub")
    tree.git("commit", "-qm", "submodule")
    return tree.root / "mods/sub"


@change
def edit_in_a_submodule(tree: Tree) -> Iterator[None]:
    folder = add_submodule(tree)
    yield
    rewrite(folder / "i.py", TEXTS[42])


@change
def new_file_in_a_submodule(tree: Tree) -> Iterator[None]:
    add_submodule(tree)
    yield
    tree.write("mods/sub/deep/new.py", TEXTS[42])


@change
def commit_in_a_submodule(tree: Tree) -> Iterator[None]:
    inner = Tree(add_submodule(tree), tree.cache_dir)
    yield
    inner.write("i.py", "committed = True\n")
    inner.git("commit", "-qam", "second")


@change
def exclude_of_a_submodule(tree: Tree) -> Iterator[None]:
    add_submodule(tree)
    tree.write("mods/sub/new.py", TEXTS[42])
    yield
    tree.write(".git/modules/mods/sub/info/exclude", "new.py\n")


@change
def deinit_of_a_submodule(tree: Tree) -> Iterator[None]:
    add_submodule(tree)
    yield
    tree.git("submodule", "deinit", "-f", "mods/sub")


@change
def checkout_of_a_vacant_submodule(tree: Tree) -> Iterator[None]:
    add_submodule(tree)
    tree.git("submodule", "deinit", "-f", "mods/sub")
    yield
    tree.git("submodule", "update", "--init")


@change
def repository_in_the_place_of_a_vacant_submodule(tree: Tree) -> Iterator[None]:
    add_submodule(tree)
    tree.git("submodule", "deinit", "-f", "mods/sub")
    yield
    tree.write("mods/sub/other.py", TEXTS[43])
    Tree(tree.root / "mods/sub", tree.cache_dir).git("init", "-q")


@change
def submodule_of_another_repository(tree: Tree) -> Iterator[None]:
    """Its `.git`, a file, leads elsewhere; rewritten in place."""
    folder = add_submodule(tree)
    tree.write("mods/sub/loose.py", TEXTS[43])
    yield
    other = tree.root.parent / "inner/.git"
    Path(other, "info/exclude").write_text("loose.py\n")
    tree.write("mods/sub/.git", f"gitdir: {other}\n")
    assert (folder / ".git").is_file()


def add_nested(tree: Tree, where: str = "extra/nested") -> Tree:
    tree.write(f"{where}/n.py", TEXTS[44])
    tree.write(f"{where}/.gitignore", "*.tmp\n")
    tree.write(f"{where}/ignored.tmp", TEXTS[45])
    nested = Tree(tree.root / where, tree.cache_dir)
    nested.git("init", "-q", "-b", "main")
    nested.git("add", "-A")
    nested.git("commit", "-qm", "nested")
    return nested


@change
def edit_in_a_nested_repository(tree: Tree) -> Iterator[None]:
    nested = add_nested(tree)
    yield
    rewrite(nested.root / "n.py", TEXTS[46])


@change
def new_file_in_a_nested_repository(tree: Tree) -> Iterator[None]:
    nested = add_nested(tree)
    yield
    nested.write("deep/new.py", TEXTS[46])


@change
def new_file_beside_a_nested_repository(tree: Tree) -> Iterator[None]:
    add_nested(tree, "logs/nested")
    yield
    tree.write("logs/new.py", TEXTS[46])


@change
def nested_repository_appears(tree: Tree) -> Iterator[None]:
    yield
    add_nested(tree)


@change
def nested_repository_appears_in_a_folder_of_ignored_files(
    tree: Tree,
) -> Iterator[None]:
    yield
    Tree(tree.root / "logs", tree.cache_dir).git("init", "-q")


@change
def nested_repository_loses_its_git(tree: Tree) -> Iterator[None]:
    nested = add_nested(tree)
    nested.write(".git/info/exclude", "by-exclude.py\n")
    nested.write("by-exclude.py", TEXTS[47])
    yield
    shutil.rmtree(nested.root / ".git")


@change
def nested_repository_is_damaged(tree: Tree) -> Iterator[None]:
    nested = add_nested(tree)
    nested.write(".git/info/exclude", "by-exclude.py\n")
    nested.write("by-exclude.py", TEXTS[47])
    yield
    (nested.root / ".git/HEAD").unlink()


@change
def another_git_folder(tree: Tree) -> Iterator[None]:
    """As many files are tracked, under other names."""
    yield
    (tree.root / ".git").rename(tree.root.parent / "old.git")
    tree.git("init", "-q", "--template=")
    tree.git("add", "-f", "build/out.py")


@change
def git_folder_is_lost(tree: Tree) -> Iterator[None]:
    yield
    shutil.rmtree(tree.root / ".git")


@change
def git_folder_is_damaged(tree: Tree) -> Iterator[None]:
    yield
    (tree.root / ".git/HEAD").unlink()


@change
def odd_names(tree: Tree) -> Iterator[None]:
    odd = [
        b"line\nbreak.py",
        b'quo"te.py',
        b"-leading.py",
        b"latin-\xe9.py",
        b"t\tab.py",
    ]
    for name, text in zip(odd, TEXTS[48:], strict=False):
        Path(os.fsdecode(os.path.join(os.fsencode(tree.root), name))).write_text(text)
    tree.git("add", "-A")
    yield
    rewrite(Path(os.fsdecode(os.fsencode(tree.root) + b"/latin-\xe9.py")), TEXTS[54])


@change
def odd_names_untracked(tree: Tree) -> Iterator[None]:
    folder = Path(os.fsdecode(os.fsencode(tree.root) + b'/-odd\n\xe9"/deep'))
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(TEXTS[48])
    yield
    (folder / "b.py").write_text(TEXTS[49])


def finish(steps: Iterator[None]) -> None:
    with suppress(StopIteration):
        next(steps)


def named(function: Change) -> str:
    return function.__name__


# Of an index whose files are all watched there is no stamp while one is missing.
MISSING = {deleted_file_comes_back, deleted_folder_comes_back}
CASES = [
    (mode, function)
    for function in CHANGES
    for mode in (VOUCHED, WATCHED)
    if mode == VOUCHED or function not in MISSING
]
# One of each kind; the slow rounds have them all, in both modes.
KINDS = set("""
    edit_tracked rewrite_in_place_tracked delete_tracked move_tracked
    edit_untracked new_file_in_root_ new_file_in_vacant_deep_
    codxignore_in_src_ new_symlink gitignore_leaves_out ignored_gitignore
    target_of_excludes_file_edited core_ignorecase folder_becomes_a_symlink
    deleted_file_comes_back git_checkout_of_a_branch assume_unchanged sparse_checkout
    split_index edit_in_a_submodule checkout_of_a_vacant_submodule
    edit_in_a_nested_repository odd_names
    """.split())
WATCHED_KINDS = set("""
    edit_tracked new_file_in_src_
    """.split())


@pytest.mark.parametrize(
    "mode, function",
    [
        pytest.param(
            *(mode, function),
            id=f"{named(function)}-{mode}",
            marks=[] if named(function) in kinds else pytest.mark.slow,
        )
        for mode, function in CASES
        for kinds in [KINDS if mode == VOUCHED else WATCHED_KINDS]
    ],
)
def test_a_change_is_seen(function: Change, mode: str, tree: Tree) -> None:
    steps = function(tree)
    next(steps)
    tree.use(mode)
    before = tree.view()
    finish(steps)
    after = tree.view()
    assert after != before, "the oracle sees no change: this tests nothing"
    assert not tree.is_unchanged()
    if mode == VOUCHED and isinstance(after[0], bool):
        tree.check()


@MODES
def test_a_new_file_where_a_folder_took_the_place_of_a_file(
    mode: str, tree: Tree
) -> None:
    tree.use(mode)
    (tree.root / "a.py").unlink()
    tree.write("a.py/inner.py", TEXTS[27])
    for name in ("a.py/another.py", "a.py/deep/new.py"):
        tree.update()
        tree.update()
        tree.write(name, TEXTS[28])
        assert tree.view()[0]
        assert not tree.is_unchanged()


def called_before(function: Any, act: Callable[[], object]) -> Callable[..., Any]:
    def both(*arguments: Any, **named: Any) -> Any:
        act()
        return function(*arguments, **named)

    return both


MOMENTS = ["after the scan", "before the survey", "within it"]
# One of each kind, at one of the moments; the slow rounds have them all.
DURING = """
    edit_tracked edit_and_add new_file_in_src_ delete_untracked codxignore_in_src_
    excludes_file_leads_elsewhere gitconfig_of_the_user checkout_of_a_vacant_submodule
    nested_repository_loses_its_git
    """.split()
IN_TURN = set(zip(DURING, itertools.cycle(MOMENTS), strict=False))


@pytest.mark.parametrize(
    "mode, function, moment",
    [
        pytest.param(
            *(mode, function, moment),
            id=f"{named(function)}-{mode}-{moment}",
            marks=[] if is_quick else pytest.mark.slow,
        )
        for mode, function in CASES
        for moment in MOMENTS
        for is_quick in [mode == VOUCHED and (named(function), moment) in IN_TURN]
    ],
)
def test_a_change_during_a_run(
    function: Change,
    mode: str,
    moment: str,
    tree: Tree,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the run made of it, the next one is not told that nothing changed."""
    steps = function(tree)
    next(steps)
    tree.use(mode)
    tree.stamp.unlink()
    tree.write("pending.py", TEXTS[55])  # something to do

    def now(*_: object, **__: object) -> None:
        time.sleep(0.03)
        finish(steps)
        time.sleep(0.03)

    with monkeypatch.context() as patch:
        if moment == "after the scan":
            patch.setattr(Silence, "start", now)
        elif moment == "before the survey":
            patch.setattr(stamp, "write", called_before(stamp.write, now))
        else:
            patch.setattr(
                git_index, "read_index", called_before(git_index.read_index, now)
            )
        with suppress(CodxIndexError):
            tree.update()
    assert not tree.is_fooled()


# What is left alone


def neutral(tree: Tree, act: Callable[[], object]) -> None:
    assert tree.is_unchanged()
    act()
    assert tree.is_unchanged()
    assert not tree.is_fooled()


@MODES
def test_nothing_changed(mode: str, tree: Tree) -> None:
    tree.use(mode)
    watched = tree.survey()["watched"]
    assert ("a.py" in watched) == (mode == WATCHED)
    assert {"dirty.py", "loose.py", "extra/u.py", "link.py"} <= set(watched)
    fast, slow = Report(), Report()
    assert is_unchanged(tree.settings(), fast)
    tree.stamp.unlink()
    pipeline.run(tree.settings(), slow, Silence())
    fast.spans = slow.spans
    assert fast == slow
    assert fast.status == "unchanged"
    assert fast.files.skipped == {"empty": 1, "symlink": 1, "too_large": 1}


@MODES
def test_what_does_not_matter(mode: str, tree: Tree) -> None:
    (tree.root / "build/deep").mkdir()
    tree.use(mode)
    neutral(tree, lambda: tree.write("build/new.py", TEXTS[0]))
    neutral(tree, lambda: tree.write("build/deep/new.py", TEXTS[0]))
    neutral(tree, lambda: tree.write("build/out.py", TEXTS[0]))
    neutral(tree, lambda: tree.write("local.txt", "ignored, edited\n"))
    neutral(tree, lambda: tree.write(".git/description", "edited\n"))
    neutral(tree, lambda: [p.read_bytes() for p in tree.root.rglob("*.py")])
    neutral(tree, lambda: tree.git("config", "user.name", "somebody"))
    neutral(tree, lambda: tree.git("log", "-p"))
    if mode == VOUCHED:  # else git puts the index right
        neutral(tree, lambda: tree.git("status"))
        neutral(tree, lambda: tree.git("diff"))


def test_the_working_directory_does_not_matter(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.use(VOUCHED)
    neutral(tree, lambda: monkeypatch.chdir(tmp_path))
    neutral(tree, lambda: monkeypatch.chdir(tree.root))


def test_the_clock_ticks_on(tree: Tree) -> None:
    """In git's index, what was watched comes to be vouched for."""
    tree.use(WATCHED)
    tree.git("add", "-A")
    tree.git("commit", "-qm", "second")
    tree.check()
    time.sleep(1.1)
    tree.git("status")
    tree.update()
    assert tree.is_unchanged()
    assert not {"a.py", "dirty.py", "loose.py"} & set(tree.survey()["watched"])
    rewrite(tree.root / "dirty.py", TEXTS[1])
    assert tree.view()[0]
    assert not tree.is_unchanged()


# Where the repository is


@pytest.mark.parametrize(
    "mode", [VOUCHED, pytest.param(WATCHED, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", [*only_slow("worktree", "sha256"), "clone"])
def test_kinds_of_repositories(kind: str, mode: str, tree: Tree) -> None:
    root = tree.root.parent / "other"
    if kind == "worktree":
        tree.git("worktree", "add", "-q", str(root))
    elif kind == "sha256":
        shutil.copytree(tree.root, root, ignore=shutil.ignore_patterns(".git", ".codx"))
        other = Tree(root, tree.cache_dir)
        other.git("init", "-q", "--object-format=sha256")
        other.git("add", "-A")
    else:
        tree.git("clone", "-q", ".", str(root))
    other = Tree(root, tree.cache_dir)
    other.update()
    if mode == VOUCHED:
        time.sleep(1.1)
    other.use(mode)
    for act in (
        lambda: other.write("src/new.py", TEXTS[1]),
        lambda: rewrite(other.root / "src/c.py", TEXTS[50]),
        lambda: (other.root / "b.py").unlink(),
    ):
        if mode == WATCHED and not (other.root / "b.py").exists():
            break
        act()
        assert other.view()[0]
        assert not other.is_unchanged()
        other.check()
        time.sleep(0.03)
        other.update()
    assert not other.is_fooled()


@pytest.mark.parametrize("mode", [WATCHED, *only_slow(VOUCHED)])
def test_a_folder_of_a_repository(mode: str, tree: Tree, home: Path) -> None:
    (tree.root / "src/new").mkdir()
    below = Tree(tree.root / "src", tree.cache_dir)
    below.update()
    if mode == VOUCHED:
        tree.git("status")
    else:
        os.utime(tree.root / ".git/index", (WRITTEN, WRITTEN))
    changes: list[tuple[str, Callable[[], object]]] = [
        ("", lambda: tree.write(".gitignore", "*.log\nbuild/\nd.py\nnew/\n")),
        ("stays", lambda: rewrite(tree.root / "a.py", TEXTS[50])),
        ("", lambda: below.write("new/n.py", TEXTS[51])),  # ignored now
        ("", lambda: tree.write(".gitignore", "*.log\nbuild/\n")),
        ("", lambda: rewrite(below.root / "c.py", TEXTS[52])),
        ("", lambda: below.write("deep/new.py", TEXTS[53])),
        ("", lambda: tree.write(".git/info/exclude", "new.py\n")),
        ("stays", lambda: (tree.root / "lib/f.py").unlink()),
        ("", lambda: (tree.root / ".gitignore").unlink()),
        ("", lambda: tree.write(".gitignore", "new/\n")),
        ("stays", lambda: tree.write("lib/new.py", TEXTS[54])),
    ]
    for kind, act in changes:
        below.update()
        assert below.is_unchanged()
        before = below.view()
        act()
        time.sleep(0.03)
        if kind == "stays":
            assert below.view() == before
            assert below.is_unchanged()
        else:
            assert not below.is_unchanged() or below.view() == before
    below.check()


def test_a_repository_appears_between(tree: Tree) -> None:
    """Of a folder in it: `.gitignore` files above do not count any more."""
    tree.write(".gitignore", "new.py\n")
    tree.write("extra/below/new.py", TEXTS[50])
    tree.write("extra/below/old.py", TEXTS[51])
    below = Tree(tree.root / "extra/below", tree.cache_dir)
    below.update()
    below.update()
    assert below.is_unchanged()
    Tree(tree.root / "extra", tree.cache_dir).git("init", "-q")
    assert below.view()[0]
    assert not below.is_unchanged()


def test_outside_git_there_is_no_stamp(tree: Tree) -> None:
    shutil.rmtree(tree.root / ".git")
    tree.stamp.unlink(missing_ok=True)
    for _ in range(2):
        tree.update()
        assert not tree.stamp.exists()
    assert not tree.is_unchanged()


def test_without_its_submodules(tree: Tree) -> None:
    folder = add_submodule(tree)
    for _ in range(2):
        tree.update(recurse_submodules=False)
    assert tree.is_unchanged(recurse_submodules=False)
    assert not tree.is_unchanged()
    rewrite(folder / "i.py", TEXTS[42])
    tree.write("mods/sub/deep/new.py", TEXTS[43])
    assert tree.update(recurse_submodules=False).status == "unchanged"
    assert tree.update().files.added == 2


@pytest.mark.parametrize("value", ["rules", "%(prefix)/rules", ""])
def test_an_excludes_file_without_an_absolute_path(
    value: str, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """git knows where it is; whoever does not may not say that nothing changed."""
    monkeypatch.chdir(tmp_path)
    tree.write("rules", "rules\n")
    tree.git("config", "core.excludesFile", value)
    for _ in range(2):
        tree.update()
    tree.write("rules", "rules\nloose.py\n")
    assert tree.view()[0]
    assert not tree.is_fooled()


def test_another_home(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two/git").mkdir(parents=True)
    (tmp_path / "two/git/ignore").write_text("loose.py\n")
    tree.use(VOUCHED)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path / "two"))
        assert tree.view()[0]
        assert not tree.is_unchanged()
    assert tree.is_unchanged()
    (tmp_path / "two/mine").write_text("loose.py\n")
    tree.git("config", "core.excludesFile", "~/mine")
    tree.update()
    assert tree.is_unchanged()
    monkeypatch.setenv("HOME", str(tmp_path / "two"))
    assert tree.view()[0]
    assert not tree.is_unchanged()


def test_ignore_files_above_where_the_work_tree_is_larger(tree: Tree) -> None:
    """With core.worktree the top may lie above the folder that holds `.git`."""
    tree.git("config", "core.worktree", "../..")
    for _ in range(2):
        tree.update()
    tree.write("../.gitignore", "loose.py\n")
    assert tree.view()[0]
    assert not tree.is_unchanged()


def test_git_is_gone(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.use(VOUCHED)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not tree.is_unchanged()


# What else the stamp hangs on


def test_other_settings(tree: Tree, tmp_path: Path) -> None:
    tree.use(VOUCHED)
    # The default model under another name, with another digest.
    model = tmp_path / "model"
    folder = resolve_model(DEFAULT_MODEL, str(tmp_path)).folder
    shutil.copytree(folder, model, copy_function=os.symlink)
    config = (model / "config.json").read_text()
    (model / "config.json").unlink()
    (model / "config.json").write_text(config + "\n")
    for changed in (
        {"max_file_size": LIMIT + 1},
        {"recurse_submodules": False},
        {"collection": "other"},
        {"uri": str(tmp_path / "other.db")},
        {"uri": str(tree.state / "milvus.db")},
        {"model": str(model)},
    ):
        assert not tree.is_unchanged(**changed), changed
    assert tree.is_unchanged(jobs=3, executor="thread")
    assert tree.is_unchanged()


def copy_in_place(path: Path) -> None:
    shutil.copy2(path, path.with_name("draft"))
    path.with_name("draft").replace(path)


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"\n")


def store_file(tree: Tree, pattern: str) -> Path:
    return sorted((tree.state / "milvus.db").rglob(pattern))[0]


DAMAGE: list[tuple[Callable[[Tree], object], bool]] = [
    (lambda tree: shutil.rmtree(tree.state / "milvus.db"), True),
    (lambda tree: shutil.rmtree(tree.state / "milvus.db/collections"), False),
    (lambda tree: (tree.state / "milvus.db/aliases.json").write_text("{}"), True),
    (lambda tree: append(store_file(tree, "manifest.json")), True),
    (lambda tree: append(store_file(tree, "*.parquet")), False),
    (lambda tree: store_file(tree, "*.parquet").unlink(), False),
    (lambda tree: (tree.state / "manifest.sqlite").unlink(), True),
    (lambda tree: copy_in_place(tree.state / "manifest.sqlite"), True),
    (lambda tree: append(tree.state / "manifest.sqlite"), True),
    (lambda tree: os.truncate(tree.state / "manifest.sqlite", 100), True),
    (lambda tree: tree.stamp.unlink(), True),
]


@pytest.mark.parametrize("act, can_be_mended", DAMAGE, ids=range(len(DAMAGE)))
def test_the_index_is_not_as_it_was(
    act: Callable[[Tree], object], can_be_mended: bool, tree: Tree
) -> None:
    tree.use(VOUCHED)
    act(tree)
    assert not tree.is_unchanged()
    if can_be_mended:
        tree.check()
        tree.update()
        assert tree.is_unchanged()


def test_moved_or_copied(tree: Tree) -> None:
    tree.use(VOUCHED)
    moved = Tree(tree.root.with_name("moved"), tree.cache_dir)
    shutil.copytree(tree.root, moved.root, symlinks=True)
    assert not moved.is_unchanged()
    shutil.rmtree(moved.root)
    tree.root.rename(moved.root)
    assert not moved.is_unchanged()
    moved.check()
    # Another tree in the old place, with the stamp of the old one.
    shutil.copytree(moved.root, tree.root, symlinks=True)
    assert not tree.is_unchanged()


def test_another_version(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stamp, "__version__", "0.0.0")
        tree.use(VOUCHED)
    assert tree.stamp.exists()
    assert not tree.is_unchanged()
    tree.update()
    assert tree.is_unchanged()


@pytest.mark.parametrize("name", [".codx", ".codx/index"])
def test_the_state_folder_became_a_symlink(name: str, tree: Tree) -> None:
    """A run refuses to work through it."""
    tree.use(VOUCHED)
    (tree.root / name).rename(tree.root.parent / "moved")
    (tree.root / name).symlink_to(tree.root.parent / "moved")
    with pytest.raises(CodxIndexError, match="symlink"):
        if not tree.is_unchanged():
            tree.update()


def test_the_index_of_git_changes_while_we_look(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit from before our start, added to git after it."""
    tree.use(VOUCHED)
    rewrite(tree.root / "a.py", TEXTS[50])

    def add() -> None:
        tree.git("add", "a.py")

    monkeypatch.setattr("indexer.index.stamp.run_lock", called_before(run_lock, add))
    assert not tree.is_unchanged()


# When there is none


def test_no_stamp_while_a_file_cannot_be_believed(tree: Tree) -> None:
    """Written within the clock's tick, so that a later change may not show."""
    tree.use(VOUCHED)
    tree.stamp.unlink()
    tree.write("a.py", TEXTS[50])
    pipeline.run(tree.settings(), Report(), Silence())
    rewrite(tree.root / "a.py", TEXTS[51])
    assert not tree.is_fooled()


@pytest.mark.parametrize(
    "place",
    [
        *("a.py", "extra"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("loose.py", "src")),
    ],
)
def test_rewrites_right_after_the_run(place: str, tree: Tree) -> None:
    """As fast as can be: none is missed."""
    tree.use(VOUCHED)
    for number in range(5):
        if place.endswith(".py"):
            rewrite(tree.root / place, TEXTS[number])
        else:
            tree.write(f"{place}/{number}.py", TEXTS[number])
        pipeline.run(tree.settings(), Report(), Silence())
        if place.endswith(".py"):
            rewrite(tree.root / place, TEXTS[number + 20])
        else:
            tree.write(f"{place}/again{number}.py", TEXTS[number])
        assert not tree.is_unchanged()
        pipeline.run(tree.settings(), Report(), Silence())
        assert not tree.is_fooled()


def test_no_stamp_after_a_failure(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.use(VOUCHED)
    tree.write("a.py", TEXTS[50])

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("indexer.tree.reader.read_file", refuse)
        assert tree.update().status == "partial"
    assert not tree.is_unchanged()
    # Nor when the file, for all its stat fields tell, is as it was.
    tree.write("a.py", TEXTS[0])
    assert not tree.is_fooled()


class StoppedAtOnce(progress.Uninterrupted):
    """The signal came before the first file."""

    received = 2


def stop(tree: Tree) -> None:
    """A run that is stopped by a signal at once."""
    time.sleep(0.025)
    report = Report()
    pipeline.run(tree.settings(), report, Silence(), StoppedAtOnce())
    assert report.status == "interrupted"


def test_no_stamp_of_a_stopped_run(tree: Tree) -> None:
    tree.use(VOUCHED)
    tree.stamp.unlink()
    stop(tree)
    assert not tree.stamp.exists()
    tree.write("new.py", TEXTS[50])
    stop(tree)
    assert not tree.stamp.exists()
    tree.check()


def test_a_stopped_run_makes_no_old_stamp_true(tree: Tree) -> None:
    tree.use(VOUCHED)
    tree.write("new.py", TEXTS[50])
    (tree.root / "extra").rename(tree.root.parent / "aside")
    stop(tree)
    assert not tree.is_unchanged()
    (tree.root / "new.py").unlink()
    (tree.root.parent / "aside").rename(tree.root / "extra")
    assert not tree.is_fooled()
    tree.check()


def test_a_file_that_vanishes_while_it_is_read(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.use(VOUCHED)
    tree.write("new.py", TEXTS[50])
    path = tree.root / "new.py"

    def comes_and_goes(self: Reader, file: Any) -> Any:
        path.rename(tree.root / "build/new.py")
        try:
            return read(self, file)
        finally:
            (tree.root / "build/new.py").rename(path)
            time.sleep(0.03)

    read = Reader._read
    with monkeypatch.context() as patch:
        patch.setattr(Reader, "_read", comes_and_goes)
        tree.update()
    assert tree.view()[0]
    assert not tree.is_unchanged()


# Damage


def test_a_damaged_stamp_is_no_stamp(tree: Tree) -> None:
    tree.use(VOUCHED)
    good = tree.stamp.read_bytes()
    rng = random.Random(1)
    damaged = [good[: len(good) * number // 20] for number in range(20)]
    damaged += [rng.randbytes(len(good)), b"\xff", b"null", b"[]", b"3", b'"x"', b"{}"]
    damaged += [b"[" * 100_000, b"1" * 5000, good + b"x", b'{"repositories": []}']
    for data in damaged:
        tree.stamp.write_bytes(data)
        assert not tree.is_unchanged(), data[:100]
    tree.stamp.unlink()
    tree.stamp.mkdir()
    assert not tree.is_unchanged()
    tree.update()
    tree.stamp.rmdir()
    tree.update()
    assert tree.is_unchanged()


@pytest.mark.parametrize("count", [50, *only_slow(300)])
def test_no_flipped_bit_is_believed(count: int, tree: Tree) -> None:
    tree.use(VOUCHED)
    good = tree.stamp.read_bytes()
    rng = random.Random(2)
    for _ in range(count):
        damaged = bytearray(good)
        damaged[rng.randrange(len(good))] ^= 1 << rng.randrange(8)
        tree.stamp.write_bytes(damaged)
        assert not tree.is_unchanged(), damaged
    tree.stamp.write_bytes(good)
    assert tree.is_unchanged()


# The command


def command(tree: Tree, *arguments: str) -> dict[str, Any]:
    done = tree.command("run", *SERIAL, *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_the_report_of_the_fast_answer(tree: Tree) -> None:
    tree.use(VOUCHED)
    fast = command(tree)
    tree.stamp.unlink()
    slow = command(tree)
    assert fast.pop("seconds").keys() == slow.pop("seconds").keys()
    assert fast == slow
    assert tree.stamp.exists()
    tree.stamp.write_bytes(b"damaged")
    again = command(tree)
    assert again.pop("seconds")
    assert again == slow
    forced = command(tree, "--force")
    assert forced["files"]["modified"] == forced["files"]["read"] > 0
    done = tree.command("run", *SERIAL)
    assert done.stdout.startswith("unchanged: ")


def test_the_lock_comes_first(tree: Tree) -> None:
    tree.use(VOUCHED)
    with open(tree.state / "lock", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(LockedError):
            tree.is_unchanged()
        line = assert_one_line(tree.command("run", *SERIAL), 75)
        assert "another run holds this index" in line
    assert tree.is_unchanged()


HEAVY = {"torch", "openvino", "pymilvus", "milvus_lite", "grpc", "numpy"}
HEAVY |= {"tokenizers", "tree_sitter", "transformers", "sentence_transformers", "tqdm"}
HEAVY |= {"charset_normalizer", "multiprocessing", "concurrent"}

WATCHING = """
import json, os, sys
events = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        events.append(("open", os.path.abspath(os.fsdecode(arguments[0]))))
    elif event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"):
        events.append(("start", os.fsdecode(arguments[0])))
    elif event in ("os.fork", "os.forkpty", "socket.connect", "os.listdir", "os.scandir"):
        events.append((event, str(arguments)))
sys.addaudithook(hook)
from indexer.cli.main import main
try:
    main()
finally:
    modules = [name for name in sys.modules if "." not in name]
    print(json.dumps([events, modules]), file=sys.stderr)
"""


@MODES
def test_it_costs_next_to_nothing(mode: str, tree: Tree) -> None:
    tree.use(mode)
    done = tree.launch(sys.executable, "-c", WATCHING, "run", *SERIAL)
    assert done.returncode == 0 and done.stdout.startswith("unchanged: ")
    events, modules = json.loads(done.stderr.splitlines()[-1])
    assert not HEAVY & set(modules)
    top = os.path.join(os.path.realpath(tree.root), "")
    inside = {
        what.removeprefix(top)
        for event, what in events
        if event == "open" and what.startswith(top)
    }
    assert {path for path in inside if not path.startswith(".codx/index/")} == set()
    assert {os.path.basename(what) for event, what in events if event == "start"} == {
        "git"
    }
    assert not [event for event in events if event[0] in ("os.fork", "socket.connect")]


def traced(tree: Tree, log: Path) -> list[str]:
    """Files below the project that a run opened, its children included."""
    calls = "trace=open,openat,openat2,creat,execve"
    done = tree.launch("strace", "-f", "-qq", "-e", calls, "-o", str(log),
                       COMMAND, "run", *SERIAL)  # fmt: skip
    if done.returncode:
        pytest.skip(f"strace does not work here: {done.stderr}")
    assert done.stdout.startswith("unchanged: ")
    found, top = [], os.path.join(os.path.realpath(tree.root), "")
    for line in log.read_text().splitlines():
        call, _, rest = line.partition(" ")[2].strip().partition("(")
        if " = -1 " in line or "O_DIRECTORY" in line or '"' not in rest:
            continue
        name = os.path.normpath(os.path.join(top, rest.split('"')[1]))
        if call == "execve":
            assert os.path.basename(name) in ("git", "codx-index", "env") or (
                "python" in name
            ), line
        elif name.startswith(top):
            found.append(name.removeprefix(top))
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@MODES
def test_git_opens_no_file_of_the_tree(mode: str, tree: Tree, tmp_path: Path) -> None:
    add_submodule(tree)
    add_nested(tree)
    tree.write("src/.gitattributes", "* filter=evil\n")
    tree.use(mode)
    opened = traced(tree, tmp_path / "log")
    assert ".codx/index/stamp.json" in opened
    others = {
        name
        for name in opened
        if not name.startswith((".codx/index/", ".git/", "extra/nested/.git/"))
    }
    assert others <= {"mods/sub/.git"}  # a file, which leads to the repository


HOOKS = [
    "post-index-change",
    "fsmonitor-watchman",
    "pre-auto-gc",
    "reference-transaction",
]
HOOKS += ["post-checkout", "pre-commit"]
PROGRAMS = """
    core.fsmonitor filter.evil.clean filter.evil.smudge filter.evil.process
    diff.evil.textconv diff.evil.command diff.external core.sshCommand core.pager
    core.editor core.askPass credential.helper alias.ls-files alias.rev-parse
    alias.diff-files alias.config alias.check-attr core.gitProxy
    core.alternateRefsCommand pager.config pager.ls-files pager.diff-files
    trailer.x.command gpg.program merge.evil.driver sequence.editor
    """.split()


def set_trap(tree: Tree, fired: Path) -> None:
    """Everything that git would run for this repository is the canary."""
    canary = tree.root.parent / "canary.sh"
    canary.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{fired}'\nexit 1\n")
    canary.chmod(0o755)
    folder = Path(tree.git("rev-parse", "--absolute-git-dir").strip())
    (folder / "hooks").mkdir(exist_ok=True)
    for hook in HOOKS:
        (folder / "hooks" / hook).symlink_to(canary)
    for setting in PROGRAMS:
        Tree.git(tree, "config", setting, str(canary))
    Tree.git(tree, "config", "core.hooksPath", str(folder / "hooks"))
    Tree.git(tree, "config", "filter.evil.required", "true")
    Tree.git(tree, "config", "include.path", str(folder / "more"))


def test_nothing_of_the_repository_runs(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested, fired = add_nested(tree), tmp_path / "fired"
    attributes = "* filter=evil diff=evil merge=evil text ident\n"
    for one in (tree, nested):
        one.write(".git/info/attributes", attributes)
    tree.write("src/.gitattributes", attributes)
    (tree.root / "git").symlink_to(tree.root.parent / "canary.sh")
    tree.use(VOUCHED)
    for one in (tree, nested):
        set_trap(one, fired)
    # Racy: as new as the index, and of the size that the index has.
    now = time.time_ns()
    for one, name in ((tree, "a.py"), (tree, "src/c.py"), (nested, "n.py")):
        before = (one.root / name).lstat()
        (one.root / name).write_text(TEXTS[50])
        os.utime(one.root / name, ns=(now, before.st_mtime_ns))
        os.utime(one.root / ".git/index", ns=(now, before.st_mtime_ns))
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}:")
    monkeypatch.chdir(tree.root)
    for _ in range(3):  # without a stamp, with an old one, with a new one
        done = tree.command("run", *SERIAL)
        assert (done.returncode, done.stderr) == (0, "")
        time.sleep(0.03)
    assert done.stdout.startswith("unchanged: ")
    assert tree.is_unchanged()
    os.utime(tree.root / "a.py")
    assert not tree.is_unchanged()
    tree.view()
    for one in (tree, nested):
        os.utime(one.root / ".git/index")  # not racy any more: git is asked about files
    tree.update()
    time.sleep(0.03)
    tree.update()
    assert not tree.is_fooled()
    tree.stamp.unlink()
    tree.update()
    assert not fired.exists()

    # The canary is alive: git runs it when not held back.
    subprocess.run(["git", "status"], cwd=tree.root, capture_output=True)
    assert fired.exists()


# Whatever people do


@pytest.mark.parametrize(
    "seed, steps",
    [
        (1, 12),
        pytest.param(2, 500, marks=pytest.mark.slow),
    ],
)
def test_a_life(seed: int, steps: int, tree: Tree) -> None:
    life = Life(tree, seed)
    tree.use(VOUCHED)
    answers = kept = 0
    for number in range(steps):
        before, was = tree.view(), tree.is_unchanged()
        name = life.step()
        after = tree.view()
        assert not tree.is_fooled(), (number, name)
        if after[0] or after != before:
            assert not tree.is_unchanged(), (number, name)
        elif was:
            kept += tree.is_unchanged()
        tree.update()
        assert not tree.view()[0], (number, name)
        answers += tree.is_unchanged()
    # It can be fast: none of the above was in vain.
    assert answers > steps // 10 and kept > steps // 50, (answers, kept)
    assert verify(tree.settings(), Report()) == []
