"""Selected files, and what is left for later: by time, and by a budget."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line, python_text

from indexer.run.budget import Budget
from indexer.timeline import process_age

FILES = 8


def paths(project: Project) -> set[str]:
    return {row["path"] for row in project.rows().values()}


def stale(project: Project) -> set[str]:
    """What a run would still have to do."""
    plan = project.report("run", "--dry-run")["plan"]
    return {*plan["added"], *plan["modified"], *plan["deleted"]}


def three_files(project: Project) -> None:
    for name in ("a.py", "b.py", "sub/c.py"):
        project.write(name, f"NAME = {name!r}\n")


# --file, --files-from


def test_a_file_alone(project: Project) -> None:
    three_files(project)
    report = project.run("--file", "a.py")
    assert report["files"]["added"] == report["files"]["scanned"] == 1
    assert paths(project) == {"a.py"}
    project.run()
    before = project.rows()
    for name in ("a.py", "b.py", "sub/c.py"):
        project.write(name, f"NEW = {name!r}\n")
    report = project.run("--file", "b.py", "--file", "sub")
    assert report["files"]["modified"] == 2 and report["files"]["read"] == 2
    after = project.rows()
    kept = {key for key in before if before[key] == after.get(key)}
    assert {before[key]["path"] for key in kept} == {"a.py"}
    assert stale(project) == {"a.py"}
    assert project.command("status", "--check").returncode == 1
    # An unchanged one costs nothing, unless it is forced.
    assert project.run("--file", "b.py")["files"]["read"] == 0
    report = project.run("--file", "b.py", "--force")
    assert report["files"]["modified"] == 1 and report["chunks"]["upserted"] == 1
    assert project.run()["files"]["modified"] == 1
    assert project.command("verify").returncode == 0


def test_one_that_is_gone_is_deleted(project: Project) -> None:
    three_files(project)
    project.run()
    (project.root / "a.py").unlink()
    (project.root / "b.py").unlink()
    assert project.run("--file", "a.py")["files"]["deleted"] == 1
    assert paths(project) == {"b.py", "sub/c.py"}


def test_one_that_is_left_out_says_why(project: Project) -> None:
    three_files(project)
    project.write(".gitignore", "*.log\n")
    project.write("x.log", "x\n")
    project.write(".env", "KEY=1\n")
    for name, reason in (("x.log", "ignored"), (".env", "secret")):
        assert project.run("--file", name)["files"]["skipped"] == {reason: 1}
    assert paths(project) == set()


def test_a_typo_is_named(project: Project, tmp_path: Path) -> None:
    three_files(project)
    done = project.command("run", "--file", "typo.py", "--file", "a.py")
    assert done.returncode == 3 and paths(project) == {"a.py"}
    assert done.stderr == (
        "codx-index: typo.py: it is neither in the project nor in the index\n"
    )
    (tmp_path / "other.py").write_text("x = 1\n")
    line = assert_one_line(project.command("run", "--file", "../other.py"), 2)
    assert "is not in the project" in line
    assert_one_line(project.command("run", "--files-from", "missing"), 2)
    assert "-z needs --files-from" in assert_one_line(project.command("run", "-z"), 2)


def test_paths_are_those_of_the_shell(project: Project, tmp_path: Path) -> None:
    three_files(project)
    (tmp_path / "link").symlink_to(project.root)
    for where, name in (
        (project.root / "sub", "c.py"),
        (tmp_path, "link/a.py"),
        (tmp_path, str(project.root / "b.py")),
    ):
        arguments = ("run", str(project.root), "--file", name, "--json")
        done = project.command(*arguments, folder=where)
        assert json.loads(done.stdout)["files"]["added"] == 1, done.stderr
    assert paths(project) == {"a.py", "b.py", "sub/c.py"}


def test_a_list_of_files(project: Project, tmp_path: Path) -> None:
    odd = b"odd \xff\nname.py"
    three_files(project)
    project.write("a.py", "NAME = 1\n")
    with open(os.path.join(os.fsencode(project.root), odd), "wb") as file:
        file.write(b"ODD = 1\n")
    listed = tmp_path / "listed"
    listed.write_text("a.py\nnever-was.py\n\nsub/c.py\n")
    report = project.run("--files-from", str(listed), code=3)
    assert [one["path"] for one in report["failures"]] == ["never-was.py"]
    assert report["files"]["added"] == 2 and paths(project) == {"a.py", "sub/c.py"}
    arguments = ("run", "--files-from", "-", "-z", "--json")
    done = project.command(*arguments, given=odd + b"\0b.py\0")
    assert json.loads(done.stdout)["files"]["added"] == 2
    assert project.run()["files"]["added"] == 0
    empty = tmp_path / "empty"
    empty.write_text("")
    assert project.run("--files-from", str(empty))["files"]["scanned"] == 0
    # Of these, nobody would miss a row.
    listed.write_text("gone/picture.png\ngone/poetry.lock\n")
    assert project.run("--files-from", str(listed))["failures"] == []


NASTY = [
    b"caf\xc3\xa9.py",
    b"\xff.py",
    b'say "hi".py',
    b"tab\there.py",
    b"back\\slash.py",
    b"line\nbreak.py",
    b"plain.py",
]


@pytest.mark.parametrize("quotes", ["true", "false"])
def test_names_as_git_quotes_them(project: Project, quotes: str) -> None:
    folder = os.fsencode(project.root)
    for name in NASTY:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"x = 1\n")
    project.git("config", "core.quotePath", quotes)
    project.git("add", ".")
    listed = subprocess.check_output(["git", "ls-files"], cwd=project.root)
    assert b'"' in listed
    arguments = ("run", "--files-from", "-", "--json")
    given = codecs.BOM_UTF8 + listed.replace(b"\n", b"\r\n")
    done = project.command(*arguments, given=given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["files"]["added"] == len(NASTY)
    # A name with quotes around it is that of a file, if there is one.
    project.write('"plain.py"', "y = 2\n")
    done = project.command(*arguments, given=b'"plain.py"\n"caf\\303\\251.py"\n')
    assert json.loads(done.stdout)["files"]["added"] == 1


# --changed-within, --settle


def test_by_the_time_of_the_last_change(project: Project) -> None:
    three_files(project)
    old = time.time() - 7200
    os.utime(project.root / "a.py", (old, old))
    report = project.run("--changed-within", "1h")
    assert (report["files"]["added"], report["files"]["deferred"]) == (2, 1)
    assert report["exit_code"] == 0 and paths(project) == {"b.py", "sub/c.py"}
    done = project.command("run", "--changed-within", "1h")
    assert "1 file left for later" in done.stdout
    project.write("b.py", "BEING = 'written'\n")
    future = time.time() + 7200  # of a clock that is wrong: nothing to wait for
    project.write("sub/c.py", "FUTURE = 1\n")
    os.utime(project.root / "sub" / "c.py", (future, future))
    report = project.run("--settle", "1h")
    assert (report["files"]["added"], report["files"]["modified"]) == (1, 1)
    assert report["files"]["deferred"] == 1 and stale(project) == {"b.py"}
    (project.root / "a.py").unlink()
    report = project.run("--settle", "1h")
    assert (report["files"]["deleted"], report["files"]["deferred"]) == (1, 1)
    assert project.run()["files"]["modified"] == 1
    assert project.command("verify").returncode == 0
    for wrong in ("soon", "-1", "1y", "nan", "inf"):
        done = project.command("run", f"--settle={wrong}")
        assert done.returncode == 2 and "is not a time like" in done.stderr


def test_another_index_takes_over_only_when_all_is_there(project: Project) -> None:
    three_files(project)
    project.write("a.py", 'password = "hunter2-hunter2"\n')
    project.run()
    before = project.rows()
    report = project.run("--file", "a.py", "--secrets", "off")
    assert report["files"]["added"] == 1
    assert project.rows() == before  # what a search finds
    report = project.run("--secrets", "off")
    assert report["files"]["added"] == 2
    assert "hunter2-hunter2" in "".join(r["text"] for r in project.rows().values())


# --max-seconds


class Clock:
    """One on which each look takes a tenth of a second."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.1
        return self.now


def test_a_budget_stops_a_run_and_the_next_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[Budget.__module__], "time", clock := Clock())
    for number in range(FILES):
        project.write(f"f{number}.py", python_text(number, 16))
    reports: list[dict[str, Any]] = []
    seconds = 2.0
    for _ in range(20):
        started = clock.now
        done = project.command(
            "run", "--max-seconds", str(seconds), "--executor", "serial", "--json"
        )
        report = json.loads(done.stdout)
        reports.append(report)
        if not done.returncode:
            break
        assert clock.now - started < seconds + 2
        assert done.returncode == 4 and report["status"] == "budget"
        found = report["files"]
        assert found["deferred"] > 0
        assert found["deferred"] + found["unchanged"] + found["added"] == FILES
        assert len(paths(project)) == FILES - found["deferred"]
    assert len(reports) > 1 and reports[-1]["exit_code"] == 0
    total = reports[-1]["chunks"]["total"]
    assert sum(report["chunks"]["embedded"] for report in reports) == total
    assert project.command("verify").returncode == 0
    done = project.command("run", "--max-seconds", "0.01", "--force")
    assert done.returncode == 4
    assert f"{FILES} files left for later; run again to continue" in done.stdout


def test_a_budget_has_time_to_drain() -> None:
    without = Budget(0)
    assert not without.is_closing and not without.is_spent
    assert Budget(1e-6).is_closing and not Budget(process_age()).is_spent
    large = Budget(1e6)
    assert not large.is_closing
