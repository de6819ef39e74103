"""Searches that are narrowed: `--grep`, `--changed`, and paths alone with `-l`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, Project, assert_one_line, project_in, without_remarks
from searched import TEXTS

from indexer import Index
from indexer.search import best_rows
from indexer.search.best_rows import NO_CHANGES, NOT_ALL
from indexer.settings.assembly import settings_for


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """An indexed repository, in which some files differ from HEAD."""
    made = project_in(tmp_path_factory.mktemp("narrowed"), model_cache)
    for name, text in TEXTS.items():
        made.write(name, text)
    made.git("init", "-qb", "main")
    made.git("add", "-A")
    made.git("commit", "-qm", "first")
    made.write("net/retry.py", TEXTS["net/retry.py"] + "\n\nPASSWORD_TRIES = 3\n")
    made.write("net/tax password.py", "def tax_of_password():\n    return 1\n")
    made.write(os.fsdecode(b"net/\xff\n.py"), "def password_of_tax():\n    return 2\n")
    assert made.run()["status"] == "updated"
    return made


def paths(project: Project, *arguments: str) -> list[str]:
    return [hit["path"] for hit in project.report("search", *arguments)["hits"]]


def test_the_line_that_matches_is_shown(committed: Project) -> None:
    done = committed.command("search", "retry", "--grep", r"time\.\w+\(")
    assert done.stdout == "net/retry.py:10:            time.sleep(2**attempt)\n"
    (hit,) = committed.report("search", "retry", "--grep", r"time\.\w+\(")["hits"]
    assert (hit["line"], hit["line_text"].strip()) == (10, "time.sleep(2**attempt)")


def test_case(committed: Project) -> None:
    assert paths(committed, "retry", "--grep", "exponential BACKOFF|xyz", "-i")
    report = committed.report("search", "retry", "--grep", "BACKOFF", code=1)
    assert (report["grep"], report["hits"]) == ("BACKOFF", [])


def test_paths_alone(committed: Project) -> None:
    scope = ("password tax", "-t", "py", "--path", "net/")
    done = committed.command("search", *scope, "-l")
    found = done.stdout.splitlines()
    assert sorted(found) == [
        "net/\\xff\\u000a.py",
        "net/retry.py",
        "net/tax password.py",
    ]
    hits = committed.report("search", *scope, "-l")["hits"]
    assert [*hits[0]] == ["project", "path", "score", "stale"]
    assert len(hits) == 3
    inside = committed.command("search", *scope, "-l", folder=committed.root / "net")
    assert "tax password.py" in inside.stdout.splitlines()


def test_paths_for_xargs(committed: Project) -> None:
    """They are as the file system has them, whatever is in them."""
    command = (COMMAND, "search", "password tax", "--path", "net/", "-l0")
    done = subprocess.run(
        command, cwd=committed.root, env=committed.variables(), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    expected = {b"", b"net/\xff\n.py", b"net/retry.py", b"net/tax password.py"}
    assert {*done.stdout.split(b"\0")} == expected


def test_changed_files(committed: Project) -> None:
    new = {"net/retry.py", "net/tax password.py", "net/\\xff\n.py"}
    assert {*paths(committed, "password tax", "--changed")} == new
    assert {*paths(committed, "--changed", "password tax")} == new
    assert {*paths(committed, "password tax", "--changed=main")} == new
    report = committed.report("search", "--changed", "password tax", "net/retry.py")
    assert (report["query"], report["changed"]) == ("password tax", "HEAD")
    assert [hit["path"] for hit in report["hits"]] == ["net/retry.py"]
    found = paths(committed, "password", "--changed", "--grep", "PASSWORD", "-t", "py")
    assert found == ["net/retry.py"]


def test_from_python(committed: Project) -> None:
    cache = str(committed.cache_dir)
    with Index.open(committed.root, cache_dir=cache) as index:
        hits = index.search("password", grep="PASSWORD_", changed="HEAD")
        assert [hit.path for hit in hits] == ["net/retry.py"]
        hits = index.similar("billing/tax.py", 1, grep="^def [tp]a", changed="main")
        assert {hit.path for hit in hits} == {"net/tax password.py", "net/\\xff\n.py"}


def test_from_an_agent(committed: Project) -> None:
    from mcp_client import answer_of, tools_of

    with tools_of([settings_for(str(committed.root), {})]) as tools:
        tools._refreshes = False
        found = answer_of(tools.search("password", grep="PASSWORD", changed="main"))
        assert found.paths == ["net/retry.py"]
        found = answer_of(tools.search("password", changed="HEAD"))
        assert {"net/retry.py", "net/tax password.py"} <= {*found.paths}
        assert "billing/tax.py" not in found.paths


def test_several_projects(committed: Project, tmp_path: Path) -> None:
    """Each is compared in its own repository."""
    clone = tmp_path / "clone"
    shutil.copytree(committed.root, clone)
    other = Project(clone, committed.cache_dir)
    other.git("add", "-A")
    other.git("commit", "-qm", "all")
    report = committed.report(
        "search", "password", "--changed", str(committed.root), str(clone)
    )
    assert {hit["project"] for hit in report["hits"]} == {str(committed.root)}
    done = other.command("search", "password", "--changed")
    assert done.returncode == 1
    assert NO_CHANGES in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["x", "--grep", "("], r"not a regular expression \(of RE2\): missing \)"),
        (["--grep", "x"], "the query is empty: .*--grep only narrows"),
        (["x", "-0"], "so it needs -l"),
        (["x", "--changed="], "git knows no commit ''"),
        (["x", "--changed=nowhere"], "git knows no commit 'nowhere'"),
        (["x", "--changed", "main"], "there is no main: .*--changed=main"),
        (["--changed", "main", "x"], "there is no x: .*--changed=main"),
        (["x", "-l", "python"], "there is no python: .*language is -t"),
    ],
)
def test_mistakes(arguments: list[str], message: str, committed: Project) -> None:
    done = committed.command("search", *arguments)
    assert re.search(message, assert_one_line(done, 2))


def test_no_repository(tmp_path: Path, cache_dir: Path) -> None:
    plain = Project(tmp_path / "plain", cache_dir)
    plain.write("a.py", "x = 1\n")
    plain.run("--mode", "sparse")
    line = assert_one_line(plain.command("search", "x", "--changed"), 2)
    assert "not in a git repository" in line


def test_a_variable_names_the_pattern(committed: Project) -> None:
    other = Project(
        committed.root,
        committed.cache_dir,
        {"CODX_INDEX_GREP": "(", "CODX_INDEX_CHANGED": "main"},
    )
    line = assert_one_line(other.command("search", "x"), 2)
    assert "CODX_INDEX_GREP: not a regular expression" in line


def test_few_matches_among_many(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More and more chunks are looked at, up to a bound, and a note says when that was met."""
    for number in range(300):
        project.write(f"many/f{number}.py", f"check password {number}\n")
    project.write("zz/other.py", "password = needle\n")
    project.run("--mode", "sparse")
    assert paths(project, "check password", "--grep", "needle") == ["zz/other.py"]
    monkeypatch.setattr(best_rows, "MOST_HITS", 200)
    done = project.command("search", "check password", "--grep", "needle")
    assert done.returncode == 1
    assert NOT_ALL in done.stderr
    done = project.command("search", "check password", "--grep", "0$")
    assert without_remarks(done.stderr) == f"codx-index: {NOT_ALL}\n"
    assert NOT_ALL not in project.report("search", "password")["notes"]
