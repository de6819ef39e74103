"""After everyday changes a run and `status` look at what changed, and at nothing else."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from conftest import make_cache
from stamped_tree import LIMIT, TEXTS, VOUCHED, WATCHED, WRITTEN, Tree, hidden

from indexer.index.manifest import Manifest
from indexer.report import Report
from indexer.run import sight
from indexer.run.plan import plan
from indexer.run.verify import verify

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


@pytest.fixture(params=[VOUCHED, WATCHED])
def tree(request: pytest.FixtureRequest, template: Tree, tmp_path: Path) -> Tree:
    shutil.copytree(template.root, tmp_path / "tree", symlinks=True)
    tree = Tree(tmp_path / "tree", template.cache_dir)
    tree.use(request.param)
    time.sleep(0.025)
    return tree


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
