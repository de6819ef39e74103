"""Damaged files of the embedded database: told in one line, and mended by what that line says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from conftest import Project, project_in, python_text
from permissions import unprivileged

SPARSE = ("--mode", "sparse")
FAULT = "CODX_INDEX_FAULT"


def build(project: Project) -> Project:
    """An index with two segments and a list of deleted rows, complete and stamped.

    Few enough rows are dead for nothing to be merged, and the segments are so small that the places
    which are damaged below are among their samples.
    """
    project.root.mkdir()
    project.git("init", "-q")
    for number in range(9):
        text = python_text(number) if number < 3 else f"x{number} = {number}\n"
        project.write(f"{number}.py", text)
    project.run(*SPARSE)
    project.write("1.py", python_text(1) + "\n\nbanana = 1\n")
    (project.root / "4.py").unlink()
    project.git("add", ".")
    project.git("commit", "-q", "-m", "1")
    project.run(*SPARSE)
    return project


@dataclass
class Model:
    """A project to be copied, and the rows that an exact index of its tree has."""

    project: Project
    rows: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Model:
    made = build(project_in(tmp_path_factory.mktemp("whole"), model_cache))
    return Model(made, made.rows())


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Model:
    """The index of a run that was killed before it flushed: the log has what it wrote."""
    made = build(project_in(tmp_path_factory.mktemp("killed"), model_cache))
    made.write("1.py", python_text(1) + "\n\ncherry = 1\n")
    (made.root / "0.py").unlink()
    made.environment[FAULT] = "kill recorded"
    assert made.installed.command("run", *SPARSE).returncode == -9
    del made.environment[FAULT]
    healed = copied(made, made.root.with_name("healed"))
    healed.run("--force", *SPARSE)
    return Model(made, healed.rows())


def copied(project: Project, folder: Path) -> Project:
    socket = shutil.ignore_patterns("s:*")
    shutil.copytree(project.root, folder / "project", ignore=socket)
    return Project(folder / "project", project.cache_dir)


# What happens to a file


def flipped(content: bytes, at: float) -> bytes:
    changed = bytearray(content)
    changed[int(len(content) * at)] ^= 0x10
    return bytes(changed)


def change(to: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_bytes(to(path.read_bytes()))

    return damage


def put_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


KINDS: dict[str, Callable[[Path], None]] = {
    "empty": change(lambda content: b""),
    "half": change(lambda content: content[: len(content) // 2]),
    "longer": change(lambda content: content + bytes(10)),
    "zeros": change(lambda content: bytes(len(content))),
    "half zeros": change(
        lambda content: content[: len(content) // 2]
        + bytes(len(content) - len(content) // 2)
    ),
    "noise": change(lambda content: os.urandom(len(content) or 50)),
    "null": change(lambda content: b"null"),
    "{}": change(lambda content: b"{}"),
    "[]": change(lambda content: b"[]"),
    "bit at 10%": change(lambda content: flipped(content, 0.1)),
    "bit at 50%": change(lambda content: flipped(content, 0.5)),
    "bit at 98%": change(lambda content: flipped(content, 0.98)),
    "removed": Path.unlink,
    "a folder": put_a_folder,
    "unreadable": lambda path: path.chmod(0),
}
JSON = {"null", "{}", "[]"}
FILES = {
    "LOCK": "LOCK",
    "aliases": "aliases.json",
    "schema": "collections/*/schema.json",
    "list": "collections/*/manifest.json",
    "older list": "collections/*/manifest.json.prev",
    "first segment": "collections/*/partitions/*/data/data_000001_*",
    "last segment": "collections/*/partitions/*/data/data_*",
    "deleted": "collections/*/partitions/*/delta/*",
}
LOGS = {"log": "collections/*/wal/wal_data_*"}
# Those that fail are done in a process of their own, because an error leaves the database
# open until its end.
QUICK = {
    ("first segment", "zeros"): True,
    ("last segment", "bit at 50%"): True,
    ("last segment", "removed"): False,
    ("deleted", "removed"): False,
    ("list", "noise"): False,
    ("list", "{}"): False,
    ("LOCK", "a folder"): True,
}


def cases() -> Iterator[object]:
    for file in (*FILES, *LOGS):
        for kind in KINDS:
            is_json = file in ("aliases", "schema", "list", "older list")
            if (kind in JSON and not is_json) or (file == "LOCK" and "bit" in kind):
                continue
            is_quick = (file, kind) in QUICK
            yield pytest.param(file, kind, marks=() if is_quick else pytest.mark.slow)


def is_refused(done: CompletedProcess[str]) -> bool:
    """Whether it failed, in one line that says how to go on."""
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    if done.returncode == 0 or done.stderr.endswith(": no hits\n"):
        return False
    line = done.stderr.removesuffix("\n")
    assert "\n" not in line and line.startswith("codx-index: ")
    assert "codx-index clear" in line or "codx-index run" in line
    return True


def known(index: Project | Model) -> dict[str, dict[str, Any]]:
    """The rows as far as verify can know them: a vector is only known to have a length."""
    rows = index.rows() if isinstance(index, Project) else index.rows
    return {
        key: {name: value for name, value in row.items() if name != "vector"}
        for key, row in rows.items()
    }


@pytest.mark.parametrize("file, kind", [*cases()])
def test_a_damaged_file(
    file: str, kind: str, whole: Model, killed: Model, tmp_path: Path
) -> None:
    """Nothing says that all is well, and what the line says leads to the exact index."""
    model = killed if file in LOGS else whole
    project = copied(model.project, tmp_path)
    database = project.root / ".codx/index/milvus.db"
    if file in FILES:
        assert project.run(*SPARSE)["status"] == "unchanged"
        assert (project.root / ".codx/index/stamp.json").exists()
    KINDS[kind](max(database.glob({**FILES, **LOGS}[file])))
    damaged = tmp_path / "damaged"
    if kind != "unreadable":
        shutil.copytree(database, damaged)

    def call(*arguments: str) -> CompletedProcess[str]:
        """The command, as if nobody had opened the database, and so changed it, before."""
        if damaged.exists():
            shutil.rmtree(database)
            shutil.copytree(damaged, database)
        if kind == "unreadable":
            return unprivileged(project, *arguments)
        if not QUICK.get((file, kind), True) or arguments[0] == "search":
            return project.command(*arguments)
        return project.installed.command(*arguments)

    found = call("search", "banana", *SPARSE)
    if not is_refused(found) and file in FILES:
        assert "1.py" in found.stdout or "codx-index run brings" in found.stderr
    is_equal = False
    if (file, kind) not in QUICK:
        verified = call("verify", *SPARSE)
        assert "Traceback" not in verified.stderr
        assert verified.returncode in (0, 1)
        is_equal = verified.returncode == 0
    if is_refused(call("run", *SPARSE)):
        assert not is_equal
        assert project.command("clear", "--yes").returncode == 0
        project.run(*SPARSE)
    if file in LOGS and known(project) != known(model):
        # Arrow's log has no checksums: what a disk did to the log of a killed run, verify sees.
        assert project.command("verify", *SPARSE).returncode == 1
        assert project.command("verify", "--repair", *SPARSE).returncode == 0
    if file in LOGS:
        assert known(project) == known(model)
    else:
        assert project.rows() == model.rows
    assert project.run(*SPARSE)["status"] == "unchanged"
