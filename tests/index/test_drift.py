"""What a reader says of the tree is true: files have changed, may have, or did not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from conftest import Project

from indexer.config import DEFAULT_MODEL, Settings
from indexer.index import drift
from indexer.index.drift import has_drifted
from indexer.index.manifest import Manifest
from indexer.search.freshness import BEHIND, DOUBTFUL

SPARSE = ("--mode", "sparse")


@pytest.fixture
def indexed(project: Project) -> Project:
    project.write("a.py", "a = 1\n")
    project.write("src/b.py", "b = 1\n")
    project.write("empty.py", "")
    project.write("data.txt", b"x\0y" * 10)
    project.git("add", ".")
    project.git("commit", "-qm", "1")
    project.write("untracked.py", "c = 1\n")
    project.run(*SPARSE)
    return project


def drifted(project: Project) -> bool | None:
    settings = Settings(
        project=os.path.realpath(project.root),
        cache_dir=str(project.cache_dir),
        model=DEFAULT_MODEL,
    )
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        return has_drifted(settings, manifest)


def touch(project: Project) -> None:
    for name in ("a.py", "src/b.py", "empty.py", "data.txt", "untracked.py", "."):
        os.utime(project.root / name)


def save_again(project: Project) -> None:
    """As editors do it: another file takes the place of the old one."""
    new = project.write("a.py.new", (project.root / "a.py").read_bytes())
    os.replace(new, project.root / "a.py")


def refresh(project: Project) -> None:
    touch(project)
    project.git("status")


def commit(project: Project) -> None:
    project.git("add", ".")
    project.git("commit", "-qm", "2")


def check_out_and_back(project: Project) -> None:
    project.git("checkout", "-qb", "other")
    project.git("rm", "-q", "a.py")
    project.git("commit", "-qm", "without a.py")
    project.git("checkout", "-q", "main")


@pytest.mark.parametrize("do", [touch, save_again, refresh, commit, check_out_and_back])
def test_nothing_that_counts(do: Callable[[Project], None], indexed: Project) -> None:
    do(indexed)
    assert drifted(indexed) is False
    assert indexed.report("search", "untracked", *SPARSE)["notes"] == []


@pytest.mark.parametrize(
    "options",
    [
        ("--ignore", "*.txt"),
        ("--no-git",),
        ("--include-secrets",),
        ("--max-file-size", "5"),
    ],
    ids=" ".join,
)
def test_the_last_run_said_what_is_left_out(
    options: tuple[str, ...], indexed: Project
) -> None:
    indexed.write(".env", "KEY=1\n")
    indexed.write(".git/info/exclude", "untracked.py\n")
    indexed.run(*SPARSE, *options)
    assert drifted(indexed) is False
    touch(indexed)
    answer = indexed.command("search", "untracked", "--json", *SPARSE).stdout
    notes = json.loads(answer)["notes"]
    assert [one for one in notes if not one.startswith("not in the index")] == []


CHANGES: dict[str, Callable[[Project], object]] = {
    "edited": lambda project: project.write("src/b.py", "b = 2\n"),
    "untracked, edited": lambda project: project.write("untracked.py", "c = 2\n"),
    "gone": lambda project: (project.root / "a.py").unlink(),
    "renamed": lambda project: os.rename(project.root / "a.py", project.root / "z.py"),
    "new": lambda project: project.write("src/new.py", "d = 1\n"),
    "no longer empty": lambda project: project.write("empty.py", "e = 1\n"),
    "text now": lambda project: project.write("data.txt", "words\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change(change: str, indexed: Project) -> None:
    CHANGES[change](indexed)
    assert drifted(indexed) is True
    assert indexed.report("search", "untracked", *SPARSE)["notes"] == [BEHIND]
    indexed.run(*SPARSE)
    assert drifted(indexed) is False


def test_what_is_not_known(indexed: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(drift, "MOST_FILES", 3)
        assert drifted(indexed) is None
    touch(indexed)
    for limit in ("MOST_READ", "MOST_BYTES"):
        with monkeypatch.context() as patch:
            patch.setattr(drift, limit, 3)
            assert drifted(indexed) is None
            (note,) = indexed.report("search", "untracked", *SPARSE)["notes"]
            assert note == DOUBTFUL and "may have changed" in note
    with Manifest(str(indexed.root / ".codx/index/manifest.sqlite")) as manifest:
        manifest.set(state="dirty")
    assert drifted(indexed) is None
