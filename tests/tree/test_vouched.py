"""Which files git is believed to know without a look at their bytes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project

from indexer.tree.git import blob_id
from indexer.tree.vouched import Vouched


def hashes(project: Project) -> dict[str, str]:
    """The blob ids by git's index, whatever the files have."""
    listed = project.git("ls-files", "--stage").splitlines()
    return {line.partition("\t")[2]: line.split()[1] for line in listed}


def settle(project: Project) -> None:
    """Let git look at every file, and write an index that is younger than all of them."""
    time.sleep(0.05)
    project.git("update-index", "-q", "--really-refresh")
    os.utime(project.root / ".git" / "index")


def vouched(project: Project) -> set[str]:
    return {*Vouched(str(project.root)).stats(hashes(project))}


def attributes(text: str) -> Callable[[Project], None]:
    def write(project: Project) -> None:
        project.write(".gitattributes", text)

    return write


def configured(name: str, value: str) -> Callable[[Project], None]:
    def set_(project: Project) -> None:
        project.git("config", name, value)

    return set_


def nothing(project: Project) -> None:
    pass


@pytest.mark.parametrize(
    "prepare, expected",
    [
        (nothing, {"lf.txt", "crlf.txt", "id.txt"}),
        # git stores line feeds alone, so the file has others bytes than its blob.
        (attributes("* text=auto\n"), {"lf.txt", "id.txt"}),
        (configured("core.autocrlf", "input"), {"lf.txt", "id.txt"}),
        (attributes("*.txt ident\n"), set()),
        (attributes("*.txt filter=any\n"), set()),
        (attributes("*.txt working-tree-encoding=UTF-8\n"), set()),
    ],
)
def test_bytes_that_git_converts_are_not_vouched_for(
    prepare: Callable[[Project], None], expected: set[str], project: Project
) -> None:
    prepare(project)
    project.write("lf.txt", "one\ntwo\n")
    project.write("crlf.txt", "one\r\ntwo\r\n")
    project.write("id.txt", "$Id$\n")
    project.git("add", "--all")
    settle(project)
    found = vouched(project) - {".gitattributes"}
    assert found == expected
    for name in found:
        data = (project.root / name).read_bytes()
        assert blob_id(data, "sha1") == hashes(project)[name]


def test_conversions_of_earlier_days(project: Project) -> None:
    """git goes on taking the file for its blob when the attributes are gone."""
    project.write(".gitattributes", "* text=auto\n")
    project.write("crlf.txt", "one\r\ntwo\r\n")
    project.git("add", "--all")
    (project.root / ".gitattributes").unlink()
    settle(project)
    assert project.git("diff-files", "--name-only") == ".gitattributes\n"
    assert vouched(project) == set()


def test_what_changed_is_not_vouched_for(project: Project) -> None:
    for name in ("kept", "edited", "touched", "hidden", "gone", "linked"):
        project.write(name, "the same size\n")
    project.git("add", "--all")
    settle(project)
    edited = project.root / "edited"
    before = edited.stat()
    edited.write_text("another text!\n")
    os.utime(edited, ns=(before.st_atime_ns, before.st_mtime_ns))
    (project.root / "touched").touch()
    project.git("update-index", "--assume-unchanged", "hidden")
    (project.root / "gone").unlink()
    (project.root / "linked").unlink()
    (project.root / "linked").symlink_to("kept")
    assert vouched(project) == {"kept"}


def test_an_index_as_young_as_the_file_is_not_believed(project: Project) -> None:
    project.write("a", "text\n")
    project.git("add", "a")
    index = project.root / ".git" / "index"
    os.utime(index, ns=(0, (project.root / "a").stat().st_mtime_ns))
    assert vouched(project) == set()
    settle(project)
    assert vouched(project) == {"a"}


def test_outside_of_git(tmp_path: Path) -> None:
    assert Vouched(str(tmp_path)).stats({"a": "0" * 40}) == {}
    assert Vouched("").agreement({"a": "0" * 40}) == 0
