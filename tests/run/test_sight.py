"""After everyday changes a run and `status` look at what changed, and at nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from conftest import make_cache, only_slow
from stamped_tree import LIMIT, TEXTS, VOUCHED, WATCHED, WRITTEN, Tree, hidden

from indexer.index.manifest import Manifest
from indexer.report import Report
from indexer.run import sight
from indexer.run.plan import plan
from indexer.run.verify import verify
from indexer.tree import git_index

Act = Callable[[Path], object]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Tree:
    folder = tmp_path_factory.mktemp("sight")
    tree = Tree(folder / "template", make_cache(folder / "cache", model_cache))
    tree.root.mkdir()
    tree.git("init", "-q", "-b", "main", "--template=")
    tree.write(".gitignore", "*.log\n")
    names = "a.py b.py c.py src/d.py src/deep/e.py src/picture.png node_modules/x.py"
    for name, text in zip(names.split(), TEXTS):
        os.utime(tree.write(name, text), (WRITTEN, WRITTEN))
    tree.git("add", "-f", ".")
    tree.git("commit", "-qm", "first")
    for name, text in (
        ("loose.py", TEXTS[10]),
        ("photo.png", "not text"),
        ("extra/u.py", TEXTS[11]),
        ("seen.log", "ignored"),
        ("nothing.py", ""),
        (".venv/lib.py", TEXTS[12]),
    ):
        tree.write(name, text)
    return tree


def stamped(template: Tree, folder: Path, mode: str) -> Tree:
    shutil.copytree(template.root, folder / "tree", symlinks=True)
    tree = Tree(folder / "tree", template.cache_dir)
    tree.use(mode)
    time.sleep(0.025)
    return tree


@pytest.fixture(params=[VOUCHED, *only_slow(WATCHED)])
def tree(request: pytest.FixtureRequest, template: Tree, tmp_path: Path) -> Tree:
    return stamped(template, tmp_path, request.param)


def renamed_by_content(root: Path) -> None:
    """Two files change places."""
    first, second = (root / "a.py").read_text(), (root / "b.py").read_text()
    (root / "a.py").write_text(second)
    (root / "b.py").write_text(first)


ENOUGH: dict[str, Act] = {
    "edited": lambda root: (root / "a.py").write_text("edited = 1\n"),
    "replaced": lambda root: os.replace(root / "loose.py", root / "src/d.py"),
    "touched": lambda root: (root / "b.py").touch(),
    "new": lambda root: (root / "src/new.py").write_text(TEXTS[20]),
    "new at the top": lambda root: (root / "new.py").write_text(TEXTS[20]),
    "new in a folder that is not tracked": lambda root: (
        (root / "extra/v.py").write_text(TEXTS[20])
    ),
    "new and ignored": lambda root: (root / "src/x.log").write_text("x"),
    "new folder, ignored": lambda root: (root / "src/y.log").mkdir(),
    "new picture": lambda root: (root / "src/new.png").write_text("no text"),
    "new link": lambda root: (root / "link.py").symlink_to("a.py"),
    "deleted": lambda root: (root / "src/deep/e.py").unlink(),
    "deleted, not tracked": lambda root: (root / "loose.py").unlink(),
    "picture deleted": lambda root: (root / "src/picture.png").unlink(),
    "picture deleted, not tracked": lambda root: (root / "photo.png").unlink(),
    "moved": lambda root: (root / "c.py").rename(root / "src/c.py"),
    "folder deleted": lambda root: shutil.rmtree(root / "src/deep"),
    "change places": renamed_by_content,
    "emptied": lambda root: (root / "a.py").write_text(""),
    "filled": lambda root: (root / "nothing.py").write_text(TEXTS[20]),
    "too large": lambda root: (root / "a.py").write_text("x = 1\n" * LIMIT),
    "binary": lambda root: (root / "a.py").write_bytes(b"\0" * 100),
    "not readable by its name": lambda root: (root / "a.py").rename(root / "a.pyc"),
    "tracked in a folder of a tool": lambda root: (
        (root / "node_modules/x.py").write_text("edited = 2\n")
    ),
}


def never(*arguments: object, **named: object) -> NoReturn:
    raise AssertionError("every file was looked at")


def no_full_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sight, "scan_project", never)
    patch.setattr(Manifest, "records", never)


@pytest.mark.parametrize("name", ENOUGH)
def test_a_part_is_enough(
    name: str, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    ENOUGH[name](tree.root)
    same_as_a_full_look(tree, monkeypatch)


def same_as_a_full_look(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run and `status` look at a part of the tree, and find what a look at all of it finds."""
    time.sleep(0.025)
    with monkeypatch.context() as patch:
        no_full_look(patch)
        planned = plan(tree.settings(), Report())
    with hidden(tree.stamp):
        assert plan(tree.settings(), Report()) == planned
    with monkeypatch.context() as patch:
        no_full_look(patch)
        report = tree.update()
    assert report.failures == {}
    assert verify(tree.settings(), Report()) == []
    fast = Report()
    assert tree.is_unchanged() and not tree.view()[0]
    plan(tree.settings(), fast)
    counts = fast.files.scanned, fast.files.skipped, fast.files.unchanged
    files = report.files
    assert counts[:2] == (files.scanned, files.skipped)
    tree.stamp.unlink()
    whole = tree.update().files
    assert counts == (whole.scanned, whole.skipped, whole.unchanged)


def test_changes_one_after_another(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one run wrote down of the tree is what the next one starts from."""
    names = ["edited", "new", "deleted, not tracked", "new picture", "moved", "emptied"]
    no_full_look(monkeypatch)
    for name in names:
        ENOUGH[name](tree.root)
        tree.update()
        assert tree.is_unchanged(), name
    (tree.root / "src/new.png").unlink()
    (tree.root / "src/new.py").unlink()
    os.replace(tree.root / "src/c.py", tree.root / "a.py")
    tree.update()
    monkeypatch.undo()
    assert verify(tree.settings(), Report()) == []
    assert tree.is_unchanged() and not tree.view()[0]


# --- git's index ------------------------------------------------------------------------


def git(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(root), *arguments], check=True)


def age(path: Path, seconds: int = 10) -> Path:
    """Let a file be older than git's index, in whole seconds, as what a person commits is."""
    when = WRITTEN + seconds
    os.utime(path, (when, when), follow_symlinks=False)
    return path


def index_of(root: Path) -> Path:
    return Path(git_index.index_path(str(root)))


def edited(root: Path, name: str, text: str = "edited = 1\n") -> Path:
    path = root / name
    path.write_text(text)
    return age(path)


def committed_in_part(root: Path) -> None:
    edited(root, "a.py")
    git(root, "add", "a.py")
    git(root, "commit", "-qm", "second")
    edited(root, "b.py", "edited = 2\n")


def committed_file_and_others(root: Path) -> None:
    edited(root, "src/d.py")
    (root / "c.py").unlink()
    edited(root, "src/new.py", TEXTS[20])
    git(root, "add", "-A", "src", "c.py")
    git(root, "commit", "-qm", "second")


def moved_by_git(root: Path) -> None:
    git(root, "mv", "a.py", "src/a.py")
    git(root, "mv", "src/picture.png", "src/deep/photo.png")


def hard_links_change_places(root: Path) -> None:
    """An entry gets the stat fields that another one had."""
    (root / "b.py").unlink()
    os.link(root / "a.py", root / "b.py")
    (root / "a.py").unlink()
    git(root, "add", "-A", "a.py", "b.py")


def untracked_and_gone(root: Path) -> None:
    git(root, "rm", "-q", "--cached", "b.py")
    (root / "b.py").unlink()


def a_link_takes_its_place(root: Path) -> None:
    (root / "a.py").unlink()
    (root / "a.py").symlink_to("b.py")
    age(root / "a.py")
    git(root, "add", "a.py")


def made_executable(root: Path) -> None:
    (root / "a.py").chmod(0o755)
    git(root, "add", "a.py")


GIT_IS_ENOUGH: dict[str, Act] = {
    "refreshed": lambda root: (
        (age(root / "a.py"), git(root, "update-index", "--refresh"))
    ),
    "committed": lambda root: (
        (edited(root, "a.py"), git(root, "commit", "-qam", "second"))
    ),
    "committed in part": committed_in_part,
    "committed with others": committed_file_and_others,
    "staged": lambda root: (edited(root, "a.py"), git(root, "add", "a.py")),
    "staged, then edited": lambda root: (
        (edited(root, "a.py"), git(root, "add", "a.py"), edited(root, "a.py", "x = 2"))
    ),
    "added": lambda root: git(root, "add", "loose.py", "photo.png", "extra/u.py"),
    "added, which was ignored": lambda root: git(root, "add", "-f", "seen.log"),
    "added, which is empty": lambda root: git(root, "add", "nothing.py"),
    "new and added": lambda root: (
        (edited(root, "src/new.py", TEXTS[20]), git(root, "add", "src/new.py"))
    ),
    "removed": lambda root: git(root, "rm", "-q", "b.py", "src/picture.png"),
    "removed with its folder": lambda root: git(root, "rm", "-qr", "src/deep"),
    "no longer tracked": lambda root: (
        git(root, "rm", "-q", "--cached", "b.py", "src/picture.png")
    ),
    "no longer tracked, and gone": untracked_and_gone,
    "moved by git": moved_by_git,
    "hard links": hard_links_change_places,
    "a link takes its place": a_link_takes_its_place,
    "executable": made_executable,
    "nothing but the commit": lambda root: (
        git(root, "commit", "-q", "--allow-empty", "-m", "second"),
        git(root, "read-tree", "HEAD"),
        git(root, "update-index", "-q", "--refresh"),
    ),
}
"""What git's index shows without a look at any other file."""


def as_new_as_the_index(root: Path) -> None:
    (root / "a.py").write_text("edited = 1\n")
    git(root, "add", "a.py")
    index_of(root).touch()


def an_index_from_the_past(root: Path) -> None:
    edited(root, "a.py")
    git(root, "add", "a.py")
    age(index_of(root), 60)


def in_a_new_folder(root: Path) -> None:
    (root / "made").mkdir()
    edited(root, "made/new.py", TEXTS[20])
    git(root, "add", "made")


def other_rules(root: Path) -> None:
    edited(root, ".gitignore", "*.log\na.py\n")
    git(root, "add", ".gitignore")


def flagged(flag: str) -> Act:
    return lambda root: git(root, "update-index", flag, "a.py")


GIT_IS_NOT_ENOUGH: dict[str, Act] = {
    "as new as the index": as_new_as_the_index,
    "an index from the past": an_index_from_the_past,
    "left out from now on": lambda root: (
        git(root, "rm", "-q", "--cached", "node_modules/x.py")
    ),
    "not compared": flagged("--assume-unchanged"),
    "not checked out": flagged("--skip-worktree"),
    "in a folder of a tool": lambda root: git(root, "add", "-f", ".venv/lib.py"),
    "in a new folder": in_a_new_folder,
    "intended": lambda root: git(root, "add", "-N", "loose.py"),
    "rules": other_rules,
}


QUICK = {
    *("committed with others", "added", "no longer tracked", "moved by git"),
    *("hard links", "nothing but the commit"),
    *("as new as the index", "in a new folder", "not compared"),
}


def in_part(acts: dict[str, Act]) -> list[object]:
    """Most of them only in the slow tests."""
    return [*only_slow(*sorted(acts.keys() - QUICK)), *sorted(acts.keys() & QUICK)]


@pytest.fixture
def vouched(template: Tree, tmp_path: Path) -> Tree:
    return stamped(template, tmp_path, VOUCHED)


@pytest.mark.parametrize("name", in_part(GIT_IS_ENOUGH))
def test_after_git_a_part_is_enough(
    name: str, vouched: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    GIT_IS_ENOUGH[name](vouched.root)
    same_as_a_full_look(vouched, monkeypatch)
    # And what comes then is seen, in what was committed and in the rest.
    for path in ("src/d.py", "b.py", "loose.py"):
        if not (vouched.root / path).is_file():
            continue
        edited(vouched.root, path, f"later = {len(path)}\n")
        assert not vouched.is_unchanged() and vouched.view()[0], path
        vouched.update()
        assert vouched.is_unchanged()
    assert verify(vouched.settings(), Report()) == []


@pytest.mark.parametrize("name", in_part(GIT_IS_NOT_ENOUGH))
def test_after_git_every_file_is_looked_at(
    name: str, vouched: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    GIT_IS_NOT_ENOUGH[name](vouched.root)
    time.sleep(0.025)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        no_full_look(patch)
        plan(vouched.settings(), Report())
    assert not vouched.is_fooled()
    vouched.check()


def test_commit_after_commit(vouched: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is vouched for after one change of git's index is what the next starts from."""
    with monkeypatch.context() as patch:
        no_full_look(patch)
        for name in ("committed", "committed with others", "added", "removed"):
            GIT_IS_ENOUGH[name](vouched.root)
            vouched.update()
            assert vouched.is_unchanged(), name
    same_as_a_full_look(vouched, monkeypatch)


@pytest.mark.parametrize("harm", ["gone", "torn", "of another index"])
def test_without_the_listing_of_before(harm: str, vouched: Tree) -> None:
    listing = vouched.state / "tracked.0"
    before = listing.read_bytes()
    assert b"src/deep/e.py" in before
    GIT_IS_ENOUGH["committed"](vouched.root)
    if harm == "gone":
        listing.unlink()
    elif harm == "torn":
        listing.write_bytes(before[:-9])
    else:
        listing.write_bytes(before.replace(b"a.py", b"A.py"))
    vouched.check()
    assert vouched.is_unchanged()
    assert listing.read_bytes() != before


def test_listings_of_repositories_that_are_gone(vouched: Tree) -> None:
    inner = vouched.write("extra/inner/a.py", TEXTS[21]).parent
    git(inner, "init", "-q")
    git(inner, "add", ".")
    vouched.use(WATCHED)
    names = {path.name for path in vouched.state.glob("tracked.*")}
    assert names == {"tracked.0", "tracked.1"}
    shutil.rmtree(inner)
    vouched.use(WATCHED)
    names = {path.name for path in vouched.state.glob("tracked.*")}
    assert names == {"tracked.0"}


# --- where a part does not do -----------------------------------------------------------


NOT_ENOUGH: dict[str, Act] = {
    "rules": lambda root: (root / ".gitignore").write_text("a.py\n"),
    "our rules": lambda root: (root / "src/.codxignore").write_text("d.py\n"),
    "new folder": lambda root: (root / "src/made").mkdir(),
    "folder of a tool": lambda root: shutil.rmtree(root / ".venv"),
    "sign of a tool": lambda root: (root / "extra/pyvenv.cfg").write_text("home = /\n"),
    "repository": lambda root: (root / "extra/.git").mkdir(),
}


@pytest.mark.parametrize("name", NOT_ENOUGH)
def test_every_file_is_looked_at(
    name: str, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    NOT_ENOUGH[name](tree.root)
    with monkeypatch.context() as patch, pytest.raises(AssertionError):
        no_full_look(patch)
        plan(tree.settings(), Report())


def test_a_manifest_that_another_run_wrote_is_not_taken(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp was looked at before the lock was taken."""
    from indexer.index import stamp

    ENOUGH["edited"](tree.root)
    look = stamp.look(tree.settings(), Report())
    assert look is not None and look.still_holds(tree.settings())
    ENOUGH["new"](tree.root)
    tree.update()
    assert not look.still_holds(tree.settings())
