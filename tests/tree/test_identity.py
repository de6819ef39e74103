"""Whatever git says of a file, the index holds the bytes on disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import count
from pathlib import Path

import pytest
from conftest import Project, make_cache
from stamped_tree import TEXTS, WRITTEN, Silence, Tree, rewrite

from indexer import pipeline
from indexer.index.collection import Collection
from indexer.index.identity import identify
from indexer.index.manifest import COMPLETE, Manifest
from indexer.index.state_folder import make_state_dir
from indexer.report import Report
from indexer.run.plan import plan
from indexer.run.verify import verify
from indexer.tree import git_index
from indexer.tree.git import blob_id
from indexer.tree.project import scan_project
from indexer.types import FileRecord

NAMES = ["a.py", "b.py", "src/c.py", "src/deep/d.py", "lib/e.py", "lib/f.py"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


def make_repository(tree: Tree, *options: str) -> Tree:
    tree.root.mkdir(exist_ok=True, parents=True)
    tree.git("init", "-q", "-b", "main", "--template=", *options)
    (tree.root / ".git/info").mkdir(exist_ok=True)
    for name, text in zip(NAMES, TEXTS, strict=False):
        os.utime(tree.write(name, text), (WRITTEN, WRITTEN))
    tree.git("add", "-A")
    tree.git("commit", "-qm", "first")
    return tree


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Tree:
    """A repository that was indexed."""
    folder = tmp_path_factory.mktemp("identity")
    cache = make_cache(folder / "cache", model_cache)
    tree = make_repository(Tree(folder / "origin", cache))
    for number, text in enumerate(TEXTS):  # so that no test has to embed one
        tree.write(f"pool/{number}.py", text)
    tree.update()
    shutil.rmtree(tree.root / "pool")
    tree.update()
    return tree


@pytest.fixture
def fresh(origin: Tree, tmp_path: Path) -> Tree:
    """A repository of its own, not indexed yet."""
    return make_repository(Tree(tmp_path / "tree", origin.cache_dir))


def refresh(tree: Tree, *below: str) -> None:
    """`git status`, later than any file."""
    time.sleep(0.025)
    for folder in ("", *below):
        Tree(tree.root / folder, tree.cache_dir).git("status")


_seconds = count(WRITTEN + 10)


def touch(tree: Tree, *names: str) -> int:
    """Touch these files, or all; git compares whole seconds only."""
    now = next(_seconds)
    found = scan_project(tree.settings(), Report()).files
    paths = list(names) or [file.path for file in found]
    for path in paths:
        os.utime(tree.root / path, (now, now))
    return len(paths)


def edit(tree: Tree, name: str, text: str) -> None:
    """So that git sees it too, even in the second of the last change."""
    tree.write(name, text)
    touch(tree, name)


def rows(tree: Tree) -> dict[str, str]:
    """The hash of each file, as the rows have it."""
    found = tree.rows().values()
    return {str(row["path"]): str(row["file_hash"]) for row in found}


def on_disk(tree: Tree, *names: str) -> dict[str, str]:
    return {name: blob_id((tree.root / name).read_bytes()) for name in names}


def counts(report: Report) -> tuple[int, int]:
    return (report.files.read, report.chunks.embedded)


# A fresh clone


def clone(origin: Tree, root: Path, *options: str) -> Tree:
    """A fresh clone, and the state of the index that it comes from."""
    origin.git("clone", "-q", *options, ".", str(root))
    shutil.copytree(origin.root / ".codx", root / ".codx")
    return Tree(root, origin.cache_dir)


def test_a_fresh_clone_is_read_but_not_embedded(origin: Tree, tmp_path: Path) -> None:
    tree = clone(origin, tmp_path / "clone")
    refresh(tree)
    report = tree.update()
    assert counts(report) == (len(NAMES), 0)
    assert report.status == "unchanged"
    assert report.files.unchanged == len(NAMES)
    assert verify(tree.settings(), Report()) == []
    # The manifest knows them now: without git as well.
    shutil.rmtree(tree.root / ".git")
    assert counts(tree.update()) == (0, 0)


def test_the_command_in_a_fresh_clone(origin: Tree, tmp_path: Path) -> None:
    tree = clone(origin, tmp_path / "clone")
    refresh(tree)
    options = ("--executor", "serial", "--max-file-size", "2000")
    report = Project(tree.root, tree.cache_dir).run(*options)
    assert report["files"]["read"] == len(NAMES)
    assert report["chunks"]["embedded"] == 0
    assert report["status"] == "unchanged"


def test_a_clone_with_changes(origin: Tree, tmp_path: Path) -> None:
    tree = clone(origin, tmp_path / "clone")
    rewrite(tree.root / "a.py", TEXTS[20])
    tree.write("b.py", TEXTS[21])
    tree.git("add", "b.py")
    (tree.root / "lib/f.py").rename(tree.root / "lib/g.py")
    tree.write("new.py", TEXTS[22])
    refresh(tree)
    report = tree.update()
    files = report.files
    assert (files.read, files.modified, files.renamed, files.added) == (7, 2, 1, 1)
    assert report.chunks.embedded == 0
    assert verify(tree.settings(), Report()) == []


def test_touched_files(fresh: Tree) -> None:
    fresh.update()
    assert touch(fresh) == len(NAMES)
    assert counts(fresh.update()) == (len(NAMES), 0)
    assert counts(fresh.update()) == (0, 0)
    touch(fresh)
    refresh(fresh)
    assert counts(fresh.update()) == (len(NAMES), 0)
    assert counts(fresh.update()) == (0, 0)
    assert fresh.update(force=True).files.read == len(NAMES)


# Conversions between the file and git's object

ROT13 = "tr A-Za-z N-ZA-Mn-za-m"
EBCDIC = "working-tree-encoding=IBM037"  # of the size that ASCII has


def rot13(text: str) -> str:
    source = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    target = "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
    return text.translate(str.maketrans(source, target))


def set_filter(tree: Tree, clean: str, smudge: str, log: Path) -> None:
    """A driver that tells when it runs."""
    tree.git("config", "filter.f.clean", f"echo clean >> '{log}'; {clean}")
    tree.git("config", "filter.f.smudge", f"echo smudge >> '{log}'; {smudge}")
    tree.git("config", "filter.f.required", "true")


def check_out_again(tree: Tree, *names: str) -> None:
    for name in names:
        (tree.root / name).unlink()
    tree.git("checkout", "-q", "--", *names)


CONVERSIONS: dict[str, tuple[str, Callable[[str], bytes]]] = {
    "eol": ("* text=auto eol=crlf", lambda text: text.replace("\n", "\r\n").encode()),
    "autocrlf": ("", lambda text: text.replace("\n", "\r\n").encode()),
    "growing": ("* filter=f", lambda text: ("# grown\n" + text).encode()),
    "rot13": ("* filter=f", lambda text: rot13(text).encode()),
    "utf-16": (
        "*.py text working-tree-encoding=UTF-16LE",
        lambda text: text.encode("utf-16-le"),
    ),
    "ebcdic": (f"*.py text {EBCDIC}", lambda text: text.encode("cp037")),
    "macro": ("[attr]odd filter=f\n*.py odd", lambda text: rot13(text).encode()),
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind, marks=() if kind in ("autocrlf", "growing") else pytest.mark.slow
        )
        for kind in CONVERSIONS
    ],
)
def test_converted_files(kind: str, fresh: Tree, tmp_path: Path) -> None:
    """The rows have the bytes on disk, in whatever form, and no run takes one form for
    the other."""
    attributes, convert = CONVERSIONS[kind]
    log = tmp_path / "log"
    if kind == "growing":
        set_filter(fresh, "tail -n +2", "(echo '# grown'; cat)", log)
    else:
        set_filter(fresh, ROT13, ROT13, log)
    plain = fresh.update()
    assert plain.files.added == len(NAMES)
    assert rows(fresh) == on_disk(fresh, *NAMES)

    if kind == "autocrlf":
        fresh.git("config", "core.autocrlf", "true")
    fresh.write(".git/info/attributes", attributes + "\n")
    check_out_again(fresh, *NAMES)
    for name, text in zip(NAMES, TEXTS, strict=False):
        assert (fresh.root / name).read_bytes() == convert(text)
    refresh(fresh)
    log.unlink(missing_ok=True)
    report = fresh.update()
    readable = kind not in ("utf-16", "ebcdic")  # else it is binary, or is it?
    assert report.files.read == len(NAMES)
    assert report.files.unchanged == 0
    if readable:
        assert report.files.modified == len(NAMES)
        assert rows(fresh) == on_disk(fresh, *NAMES)
    records = known_hashes(fresh)
    assert records == on_disk(fresh, *NAMES)
    assert counts(fresh.update()) == (0, 0)
    assert not log.exists(), "the filter ran"

    # Touched and put right by git, again and again: the same bytes.
    for number in range(5):
        touch(fresh)
        if number % 2:
            refresh(fresh)
        log.unlink(missing_ok=True)
        report = fresh.update()
        assert report.status == "unchanged"
        assert known_hashes(fresh) == records
        assert not log.exists(), "the filter ran"

    # And back.
    fresh.git("config", "core.autocrlf", "false")
    fresh.write(".git/info/attributes", "")
    check_out_again(fresh, *NAMES)
    refresh(fresh)
    assert fresh.update().files.read == len(NAMES)
    assert rows(fresh) == on_disk(fresh, *NAMES)
    assert verify(fresh.settings(), Report()) == []


def test_ident(fresh: Tree) -> None:
    fresh.write("a.py", "# $Id$\n")
    fresh.git("commit", "-qam", "ident")
    refresh(fresh)
    fresh.update()
    fresh.write(".gitattributes", "a.py ident\n")
    check_out_again(fresh, "a.py")
    assert b"$Id: " in (fresh.root / "a.py").read_bytes()
    refresh(fresh)
    report = fresh.update()
    assert (report.files.modified, report.files.added) == (1, 1)
    assert rows(fresh) == on_disk(fresh, *NAMES, ".gitattributes")
    # A file that looks like what git writes, and is not.
    found = (fresh.root / "a.py").read_text()
    digits = found[len("# $Id: ") :][:40]
    rewrite(fresh.root / "a.py", found.replace(digits, digits[::-1]))
    refresh(fresh)
    assert fresh.update().files.modified == 1
    assert rows(fresh) == on_disk(fresh, *NAMES, ".gitattributes")


def known_hashes(tree: Tree) -> dict[str, str]:
    with Manifest(str(tree.state / "manifest.sqlite"), readonly=True) as manifest:
        records = manifest.records()
    return {path: record.file_hash for path, record in records.items() if path in NAMES}


@pytest.mark.parametrize("where", ["info", "top", "below", "user", "macro", "encoding"])
def test_the_record_is_that_of_the_object_but_the_file_is_converted(
    where: str, fresh: Tree, tmp_path: Path, home: Path
) -> None:
    """The size is the same: only the attribute tells."""
    refresh(fresh)
    fresh.update()
    set_filter(fresh, ROT13, ROT13, tmp_path / "log")
    if where == "info":
        fresh.write(".git/info/attributes", "c.py filter=f\n")
    elif where == "top":
        fresh.write(".gitattributes", "/src/c.py filter=f\n")
    elif where == "below":
        fresh.write("src/.gitattributes", "c.py filter=f\n")
    elif where == "user":
        (home / "attributes").write_text("c.py filter=f\n")
        fresh.git("config", "core.attributesFile", str(home / "attributes"))
    elif where == "macro":
        fresh.write(".gitattributes", "[attr]odd -diff filter=f\nsrc/** odd\n")
    else:
        fresh.write(".gitattributes", f"src/c.py text {EBCDIC}\n")
    check_out_again(fresh, "src/c.py")
    assert (fresh.root / "src/c.py").read_bytes() != TEXTS[2].encode()
    refresh(fresh)
    index = git_index.read_index(str(fresh.root))
    entry = index.entries[b"src/c.py"]
    assert entry.object_id == known_hashes(fresh)["src/c.py"]
    assert entry.size == len(TEXTS[2]) and entry.is_plain
    assert plan(fresh.settings(), Report()).modified == ["src/c.py"]


@pytest.mark.parametrize("how", ["file", "configuration", "index", "commit"])
def test_the_attribute_is_gone_but_the_file_is_still_converted(
    how: str, fresh: Tree, tmp_path: Path
) -> None:
    """To git the file is as committed."""
    refresh(fresh)
    fresh.update()
    set_filter(fresh, ROT13, ROT13, tmp_path / "log")
    fresh.git("checkout", "-q", "-b", "filtered")
    fresh.write(".gitattributes", "src/c.py filter=f\n")
    fresh.git("add", "-A")
    fresh.git("commit", "-qm", "attributes")
    check_out_again(fresh, "src/c.py")
    touch(fresh, "src/c.py")
    refresh(fresh)
    if how == "file":
        (fresh.root / ".gitattributes").unlink()
    elif how == "index":
        fresh.git("rm", "-q", ".gitattributes")
    elif how == "configuration":
        fresh.git("config", "--remove-section", "filter.f")
    else:
        fresh.git("checkout", "-q", "main")
    assert (fresh.root / "src/c.py").read_text() == rot13(TEXTS[2])
    assert "src/c.py" in plan(fresh.settings(), Report()).modified


# Entries that say nothing


def flags(tree: Tree, *arguments: str) -> None:
    tree.git("update-index", *arguments, "src/c.py")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_flagged_entries_are_read(flag: str, fresh: Tree) -> None:
    refresh(fresh)
    fresh.update()
    touch(fresh)
    refresh(fresh)
    flags(fresh, flag)
    report = fresh.update()
    assert (report.files.read, report.files.unchanged) == (len(NAMES), len(NAMES))
    rewrite(fresh.root / "src/c.py", TEXTS[20])
    refresh(fresh)
    assert fresh.update().files.modified == 1
    flags(fresh, flag.replace("--", "--no-"))
    refresh(fresh)
    touch(fresh)
    assert fresh.update().status == "unchanged"
    assert rows(fresh) == on_disk(fresh, *NAMES)


def test_entries_of_other_objects(fresh: Tree) -> None:
    """What git is told of a file, it does not know of it."""
    refresh(fresh)
    fresh.update()
    known = known_hashes(fresh)["src/c.py"]
    rewrite(fresh.root / "src/c.py", TEXTS[20])
    tricks: list[Callable[[], object]] = [
        lambda: fresh.git("add", "src/c.py"),
        lambda: flags(fresh, "--cacheinfo", f"100644,{known},src/c.py"),
        lambda: refresh(fresh),
        lambda: flags(fresh, "--assume-unchanged"),
        lambda: flags(fresh, "--no-assume-unchanged"),
        lambda: flags(fresh, "--fsmonitor-valid"),
        lambda: fresh.git("reset", "-q"),
        lambda: refresh(fresh),
        lambda: fresh.git("config", "core.trustctime", "false"),
        lambda: fresh.git("config", "core.checkStat", "minimal"),
        lambda: refresh(fresh),
        lambda: fresh.git("update-index", "--split-index"),
        lambda: fresh.git("update-index", "--index-version", "4"),
        lambda: os.utime(fresh.root / ".git/index", (2**31, 2**31)),
        lambda: fresh.git("config", "core.ignoreStat", "true"),
        lambda: fresh.git("update-index", "--really-refresh", "-q", "src/c.py"),
    ]
    for number, trick in enumerate(tricks):
        with suppress(subprocess.CalledProcessError):
            trick()
        assert plan(fresh.settings(), Report()).modified == ["src/c.py"], number
        rewrite(fresh.root / "src/c.py", TEXTS[20 + number])
        assert plan(fresh.settings(), Report()).modified == ["src/c.py"], number


def test_a_file_in_conflict_is_read(fresh: Tree) -> None:
    for branch, text in (("one", TEXTS[20]), ("two", TEXTS[21])):
        fresh.git("checkout", "-q", "-b", branch, "main")
        fresh.write("src/c.py", text)
        fresh.git("commit", "-qam", branch)
    refresh(fresh)
    fresh.update()
    with pytest.raises(subprocess.CalledProcessError):
        fresh.git("merge", "one")
    # As `git merge` found it.
    fresh.write("src/c.py", TEXTS[21])
    refresh(fresh)
    report = fresh.update()
    assert (report.files.read, report.status) == (1, "unchanged")
    fresh.write("src/c.py", TEXTS[20])
    refresh(fresh)
    assert fresh.update().files.modified == 1


def test_symlinks_as_files(fresh: Tree) -> None:
    """With core.symlinks=false a link is checked out as a file that holds its target."""
    (fresh.root / "link.py").symlink_to("a.py")
    fresh.git("add", "-A")
    fresh.git("commit", "-qm", "link")
    fresh.git("config", "core.symlinks", "false")
    check_out_again(fresh, "link.py")
    assert not (fresh.root / "link.py").is_symlink()
    refresh(fresh)
    fresh.update()
    touch(fresh)
    refresh(fresh)
    report = fresh.update()
    assert (report.files.read, report.status) == (len(NAMES) + 1, "unchanged")
    assert verify(fresh.settings(), Report()) == []


def test_intent_to_add(fresh: Tree) -> None:
    refresh(fresh)
    fresh.write("new.py", TEXTS[20])
    fresh.update()
    fresh.git("add", "-N", "new.py")
    refresh(fresh)
    touch(fresh, "new.py")
    report = fresh.update()
    assert (report.files.read, report.status) == (1, "unchanged")


def test_a_repository_without_an_index(origin: Tree, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree", origin.cache_dir)
    tree.root.mkdir()
    tree.git("init", "-q")
    tree.write("a.py", TEXTS[0])
    tree.update()
    touch(tree, "a.py")
    assert counts(tree.update()) == (1, 0)


def test_outside_git(origin: Tree, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree", origin.cache_dir)
    tree.write("a.py", TEXTS[0])
    tree.write("src/c.py", TEXTS[2])
    tree.update()
    touch(tree, "a.py")
    rewrite(tree.root / "src/c.py", TEXTS[3])
    report = tree.update()
    assert (report.files.read, report.files.modified) == (2, 1)


# Where the repository is


def test_submodules_and_nested_repositories(fresh: Tree, tmp_path: Path) -> None:
    inner = make_repository(Tree(tmp_path / "inner", fresh.cache_dir))
    fresh.git("submodule", "--quiet", "add", str(inner.root), "mods/sub")
    fresh.git("commit", "-qm", "submodule")
    make_repository(Tree(fresh.root / "nested", fresh.cache_dir))
    make_repository(Tree(fresh.root / "extra/deep", fresh.cache_dir))
    repositories = ("mods/sub", "nested", "extra/deep")
    refresh(fresh, *repositories)
    fresh.update()
    assert touch(fresh) == 4 * len(NAMES) + 1
    assert counts(fresh.update()) == (4 * len(NAMES) + 1, 0)
    rewrite(fresh.root / "mods/sub/a.py", TEXTS[20])
    rewrite(fresh.root / "nested/b.py", TEXTS[21])
    edit(fresh, "a.py", TEXTS[22])
    refresh(fresh, *repositories)
    report = fresh.update()
    assert (report.files.read, report.files.modified) == (3, 3)
    assert verify(fresh.settings(), Report()) == []

    # The same, as a fresh clone.
    copy = tmp_path / "clone"
    fresh.git("add", "a.py")
    fresh.git("commit", "-qm", "second")
    fresh.git("clone", "-q", "--recurse-submodules", ".", str(copy))
    shutil.copytree(fresh.root / ".codx", copy / ".codx")
    tree = Tree(copy, fresh.cache_dir)
    refresh(tree, "mods/sub")
    report = tree.update()
    # It has neither the nested repositories nor the edit in the submodule.
    assert (report.files.read, report.files.modified) == (2 * len(NAMES) + 1, 1)
    assert report.files.added == 0
    assert report.files.deleted == 2 * len(NAMES)
    assert verify(tree.settings(), Report()) == []


def test_a_folder_of_a_repository(fresh: Tree, tmp_path: Path) -> None:
    below = Tree(fresh.root / "src", fresh.cache_dir)
    refresh(fresh)
    assert below.update().files.added == 2
    touch(below)
    refresh(fresh)
    assert counts(below.update()) == (2, 0)
    edit(below, "deep/d.py", TEXTS[20])
    refresh(fresh)
    assert below.update().files.modified == 1
    copy = tmp_path / "clone"
    fresh.git("commit", "-qam", "second")
    fresh.git("clone", "-q", ".", str(copy))
    shutil.copytree(below.root / ".codx", copy / "src/.codx")
    tree = Tree(copy / "src", fresh.cache_dir)
    refresh(Tree(copy, fresh.cache_dir))
    assert counts(tree.update()) == (2, 0)


@pytest.mark.parametrize("kind", ["worktree", "sha256", "sparse", "sparse index"])
def test_kinds_of_repositories(kind: str, origin: Tree, tmp_path: Path) -> None:
    if kind == "worktree":
        tree = Tree(tmp_path / "second", origin.cache_dir)
        main = make_repository(Tree(tmp_path / "tree", origin.cache_dir))
        main.git("worktree", "add", "-q", str(tree.root))
    elif kind == "sha256":
        tree = Tree(tmp_path / "tree", origin.cache_dir)
        make_repository(tree, "--object-format=sha256")
    else:
        tree = make_repository(Tree(tmp_path / "tree", origin.cache_dir))
        options = ["--sparse-index"] * ("index" in kind)
        tree.git("sparse-checkout", "set", "--cone", *options, "src")
    refresh(tree)
    added = tree.update().files.added
    assert added == (4 if "sparse" in kind else len(NAMES))
    touch(tree)
    refresh(tree)
    assert counts(tree.update()) == (added, 0)
    rewrite(tree.root / "src/c.py", TEXTS[20])
    refresh(tree)
    report = tree.update()
    assert (report.files.read, report.files.modified) == (1, 1)
    assert verify(tree.settings(), Report()) == []
    if "sparse" in kind:
        tree.git("sparse-checkout", "disable")
        refresh(tree)
        report = tree.update()
        assert (report.files.read, report.files.added) == (2, 2)


def test_odd_names(fresh: Tree) -> None:
    odd = [
        b"line\nbreak.py",
        b'quo"te.py',
        b"-leading.py",
        b"latin-\xe9.py",
        b"t\tab.py",
    ]
    odd += [b":(top)magic.py", b"glob*[a].py", b" space .py", b"back\\slash.py"]
    paths = [Path(os.fsdecode(os.fsencode(fresh.root) + b"/" + name)) for name in odd]
    for path, text in zip(paths, TEXTS[30:], strict=False):
        path.write_text(text)
    fresh.git("add", "-A")
    refresh(fresh)
    assert fresh.update().files.added == len(NAMES) + len(odd)
    touch(fresh)
    refresh(fresh)
    assert counts(fresh.update()) == (len(NAMES) + len(odd), 0)
    for path in paths[3:5]:
        rewrite(path, TEXTS[50])
    refresh(fresh)
    report = fresh.update()
    assert (report.files.read, report.files.modified) == (2, 2)


# Same size, same mtime: many times

MANY = 300


def remember(tree: Tree) -> None:
    """A manifest of the tree as it is, without its rows."""
    time.sleep(0.05)
    make_state_dir(tree.settings())
    identity = identify(tree.settings())
    records = []
    for file in scan_project(tree.settings(), Report()).files:
        fields = (file.size, file.mtime_ns, file.ctime_ns, file.inode)
        data = (tree.root / file.path).read_bytes()
        records.append(FileRecord(file.path, fields, blob_id(data), 1))
    with (
        Manifest(str(tree.state / "manifest.sqlite")) as manifest,
        closing(Collection(tree.settings(), identity)) as index,
    ):
        manifest.reset(
            records,
            state=COMPLETE,
            place=index.place,
            fingerprint=identity.fingerprint,
            mark="none",
        )


def text(number: int, version: int) -> str:
    return f"value = {number:05} + {version:05}\n"


@pytest.fixture
def many(origin: Tree, tmp_path: Path) -> Tree:
    tree = Tree(tmp_path / "many", origin.cache_dir)
    tree.root.mkdir()
    tree.git("init", "-q", "--template=")
    write_all(tree, 0)
    return tree


def write_all(tree: Tree, version: int) -> None:
    for number in range(MANY):
        tree.write(f"d{number % 10}/{number}.py", text(number, version))


def rewrite_all(tree: Tree, version: int) -> None:
    for number in range(MANY):
        rewrite(tree.root / f"d{number % 10}/{number}.py", text(number, version))


def found(tree: Tree) -> tuple[int, int]:
    """How many files are modified, and how many had to be read."""
    report = Report()
    return len(plan(tree.settings(), report).modified), report.files.read


def test_many_rewrites(many: Tree) -> None:
    many.git("add", "-A")
    remember(many)
    refresh(many)
    assert found(many) == (0, 0)
    rewrite_all(many, 1)
    assert found(many) == (MANY, MANY)
    many.git("status")
    assert found(many) == (MANY, MANY)
    many.git("add", "-A")
    assert found(many) == (MANY, MANY)
    many.git("commit", "-qm", "second")
    assert found(many) == (MANY, MANY)
    rewrite_all(many, 0)
    modified, read = found(many)
    assert (modified, read) == (0, MANY)


def test_the_stat_of_the_record_comes_from_the_file(fresh: Tree) -> None:
    """Not from git's index, nor is that of a file of this moment believed."""
    refresh(fresh)
    fresh.update()
    for number in range(20, 26):
        fresh.write("a.py", TEXTS[number])
        pipeline.run(fresh.settings(), Report(), Silence())
        with closing(sqlite3.connect(fresh.state / "manifest.sqlite")) as db:
            (size,) = db.execute(
                "SELECT size FROM files WHERE path = ?", (b"a.py",)
            ).fetchone()
        info = (fresh.root / "a.py").lstat()
        if size is None:
            assert time.time_ns() - info.st_ctime_ns < 10**9
        rewrite(fresh.root / "a.py", TEXTS[number + 10])
        assert plan(fresh.settings(), Report()).modified == ["a.py"]
