"""Many projects in one collection: each has its own rows there, and touches no others."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line
from shared_rows import Rows, all_rows, of_project, open_database

from indexer import Index
from indexer.config import key_of_project
from indexer.errors import CodxIndexError, UsageError
from indexer.index import sharing
from indexer.vectors import choice

BIRDS = {"a": "avocet", "b": "bittern", "c": "crane", "d": "dunlin", "e": "egret"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "shared.db"


@pytest.fixture
def make_member(
    make_project: Callable[[str], Project], database: Path
) -> Callable[[str], Project]:
    """Makes projects, not indexed yet, that share one collection of the database."""

    def make(name: str) -> Project:
        project = make_project(name)
        project.environment |= {
            "CODX_INDEX_URI": str(database),
            "CODX_INDEX_SHARED_COLLECTION": "team",
            "CODX_INDEX_MODE": "sparse",
            "CODX_INDEX_EXECUTOR": "serial",
        }
        project.git("init", "-q", "-b", "main")
        # Two files with the same path and bytes in every project, and one that differs.
        project.write("same.py", "def flamingo(): return 1\n")
        project.write("own.py", f"def heron(): return '{BIRDS.get(name, name)}'\n")
        project.git("add", "-A")
        project.git("commit", "-qm", "two files")
        return project

    return make


@pytest.fixture
def members(make_member: Callable[[str], Project]) -> list[Project]:
    """Three projects, indexed by their words."""
    made = [make_member(name) for name in "abc"]
    for project in made:
        assert project.run()["files"]["added"] == 2
    return made


def key(project: Project) -> str:
    return key_of_project(str(project.root))


def found(project: Project, query: str, *options: str) -> list[tuple[str, str]]:
    """The hits of a search by words: projects and paths, in their order."""
    answer = project.report("search", "--mode", "sparse", query, *options)
    return [(hit["project"], hit["path"]) for hit in answer["hits"]]


def others(rows: Rows, project: Project) -> Rows:
    """The rows of all projects but this one."""
    return {id_: row for id_, row in rows.items() if row["project"] != key(project)}


def test_no_command_touches_rows_of_others(
    members: list[Project],
    make_member: Callable[[str], Project],
    database: Path,
) -> None:
    members += [make_member("d"), make_member("e")]
    for project in members[3:]:
        project.run()
    for project in members:
        assert project.run()["status"] == "unchanged"
    before = all_rows(database, "team")
    assert len(before) == 10
    one = members[2]
    one.write("own.py", "def other(): return 'pelican'\n")
    one.write("new/deep.py", "def deep(): pass\n")
    (one.root / "same.py").unlink()
    assert one.run()["files"]["deleted"] == 1
    after = all_rows(database, "team")
    assert others(after, one) == others(before, one)
    mine = of_project(after, key(one))
    assert sorted(row["path"] for row in mine.values()) == ["new/deep.py", "own.py"]
    for command in (
        ["verify"],
        ["status"],
        ["search", "--mode", "sparse", "pelican"],
        ["run", "--force"],
        ["verify", "--repair"],
    ):
        assert one.command(*command).returncode == 0, command
    assert others(all_rows(database, "team"), one) == others(before, one)
    # What others wrote made nobody's stamp stale.
    for project in members:
        assert project.run()["status"] == "unchanged"
        assert project.command("verify").returncode == 0
    assert one.command("clear", "--yes").returncode == 0
    assert all_rows(database, "team") == others(before, one)
    assert "no index" in assert_one_line(
        one.command("search", "--mode", "sparse", "pelican"), 1
    )
    assert one.run()["files"]["added"] == 2


def test_a_row_says_whose_it_is(members: list[Project], database: Path) -> None:
    project = members[0]
    about = key(project).encode() + b"\0same.py\x000"
    rows = all_rows(database, "team")
    row = rows[hashlib.sha256(about).hexdigest()]
    assert (row["project"], row["path"]) == (key(project), "same.py")


def test_a_search_over_one_project_several_or_all(members: list[Project]) -> None:
    roots = [str(project.root) for project in members]
    here, there = members[0], members[1]
    assert found(here, "flamingo heron") == [
        (roots[0], "same.py"),
        (roots[0], "own.py"),
    ]
    named = found(here, "flamingo", "--project", roots[2], "--project", "b")
    assert named == [(roots[1], "same.py"), (roots[2], "same.py")]
    assert found(here, "flamingo", "--all-projects") == [
        (root, "same.py") for root in roots
    ]
    # Ranked together: the best of all comes first, whoever has it.
    assert found(here, "heron crane", "--all-projects")[0] == (roots[2], "own.py")
    by_path = found(here, "flamingo", str(here.root), str(there.root))
    assert by_path == [(roots[0], "same.py"), (roots[1], "same.py")]
    context = here.report(
        "search", "--mode", "sparse", "heron", "--project", "b", "-C1"
    )
    assert context["hits"][0]["path"] == "own.py"
    done = here.command("search", "--mode", "sparse", "flamingo", "--project", "b")
    assert done.stdout == f"{roots[1]}/same.py:1:def flamingo(): return 1\n"


def test_the_same_from_python(
    members: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, *others = members
    for name, value in here.variables().items():
        monkeypatch.setenv(name, value)
    roots = [str(project.root) for project in members]

    def paths(projects: Any, query: str = "flamingo") -> list[str]:
        with Index.open(here.root, projects=projects) as index:
            return [one.project for one in index.search(query, mode="sparse")]

    assert paths(()) == [roots[0]]
    assert sorted(paths([roots[2], "b"])) == roots[1:]
    assert sorted(paths(None)) == roots
    for wrong, said in (("b", "a list of names"), (["nobody"], "nobody")):
        with pytest.raises(CodxIndexError, match=said):
            paths(wrong)
    monkeypatch.delenv("CODX_INDEX_SHARED_COLLECTION")
    with pytest.raises(UsageError, match="to a shared collection"):
        paths(["b"])
    with pytest.raises(UsageError, match="which projects in team"):
        Index.open("http://127.0.0.1:9", shared_collection="team")
    with pytest.raises(UsageError, match="which projects in team"):
        Index.open("http://127.0.0.1:9", shared_collection="team", projects=[])


def test_hits_name_projects_by_their_names(
    make_member: Callable[[str], Project],
) -> None:
    one, other = make_member("one"), make_member("other")
    one.run("--project", "billing")
    other.run()
    hits = found(other, "flamingo", "--all-projects")
    assert sorted(hits) == [(str(other.root), "same.py"), ("billing", "same.py")]
    assert found(other, "flamingo", "--project", "billing") == [("billing", "same.py")]
    line = assert_one_line(other.command("search", "x", "--project", "biling"), 1)
    assert "no project 'biling'" in line


@pytest.mark.parametrize(
    "options, said",
    [
        (["--collection", "x", "--shared-collection", "y", "--uri", "z.db"], "either"),
        (["--shared-collection", "y", "--uri", ""], "--uri"),
        (
            ["--project", "y", "--uri", "z.db", "--shared-collection", ""],
            "give that with",
        ),
        (["--shared-collection", "0-y", "--uri", "z.db"], "not a collection name"),
    ],
)
def test_what_cannot_be_shared(options: list[str], said: str, project: Project) -> None:
    line = assert_one_line(project.command("run", *options), 2)
    assert said in line
    assert not (project.root / ".codx").exists()


def test_a_search_says_what_it_needs(members: list[Project]) -> None:
    here = members[0]
    for options, said in (
        (["--all-projects", "--project", "b"], "means all"),
        (["--all-projects", str(here.root / "same.py")], "PATH"),
        (["--all-projects", "--shared-collection", ""], "--shared-collection"),
    ):
        line = assert_one_line(here.command("search", "flamingo", *options), 2)
        assert said in line


def test_a_project_is_known_by_its_path_unless_it_has_a_name(
    make_member: Callable[[str], Project],
) -> None:
    one, copy = make_member("one"), make_member("copy")
    for project in (one, copy):
        project.environment["CODX_INDEX_PROJECT"] = "billing"
    one.run()
    for command in (["run"], ["clear", "--yes"]):
        line = assert_one_line(copy.command(*command), 1)
        assert "'billing'" in line and f"belongs to {one.root}" in line
        assert "--project" in line and "--take-over" in line
    assert one.run()["status"] == "unchanged"
    # To read it does no harm.
    copy.command("search", "--mode", "sparse", "heron")
    assert copy.run("--take-over")["files"]["modified"] == 1
    assert copy.run()["status"] == "unchanged"
    assert "belongs to" in assert_one_line(one.command("run"), 1)


def test_another_fingerprint_is_refused(members: list[Project], database: Path) -> None:
    one = members[0]
    before, at_rest = all_rows(database, "team"), look(database)
    one.write("own.py", "changed = 1\n")
    for options, said in (
        (["--precision", "int8"], "precision"),
        (["--secrets", "off"], "secrets mask where this run has off"),
        (
            ["--languages", ".inc=php"],
            'languages {} where this run has {".inc": "php"}',
        ),
    ):
        line = assert_one_line(one.command("run", *options), 1)
        assert said in line and "--shared-collection" in line
    assert look(database) == at_rest
    assert all_rows(database, "team") == before
    fresh = ["--shared-collection", "other"]
    assert one.run("--secrets", "off", *fresh)["files"]["added"] == 2


def test_hosts_with_different_cpus_agree_on_a_precision(
    make_member: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_bf16(answer: bool) -> None:
        for module in (choice, sharing):
            monkeypatch.setattr(module, "cpu_has_bf16", lambda: answer)

    one, other = make_member("one"), make_member("other")
    one.run("--precision", "f32")
    has_bf16(True)
    assert other.run()["files"]["added"] == 2
    for project in (one, other):
        assert project.run()["status"] == "unchanged"
        assert project.report("status")["up_to_date"]
        assert project.command("verify").returncode == 0
    quick = ["--shared-collection", "quick"]
    one.run(*quick)
    has_bf16(False)
    line = assert_one_line(other.command("run", *quick), 1)
    assert "precision bf16 where this run has f32" in line


def look(database: Path) -> dict[str, bytes]:
    """Every file of a database, but for the lock and what readers leave alone."""
    return {
        str(path): path.read_bytes()
        for path in sorted(database.rglob("*"))
        if path.is_file() and path.suffix in (".json", ".parquet", ".arrow")
    }


def test_names_of_private_and_shared_collections_are_kept_apart(
    members: list[Project], make_project: Callable[[str], Project], database: Path
) -> None:
    private = make_project("private")
    private.write("p.py", "def private(): pass\n")
    named = ["--uri", str(database), "--collection"]
    line = assert_one_line(private.command("run", *named, "team"), 1)
    assert "is a shared collection" in line and "--shared-collection team" in line
    private.run(*named, "mine")
    line = assert_one_line(members[0].command("run", "--shared-collection", "mine"), 1)
    assert "is not a shared collection" in line
    assert private.run(*named, "mine")["status"] == "unchanged"
    # A private collection beside it changes nothing.
    assert members[0].run()["status"] == "unchanged"


# Marks


@pytest.mark.slow
def test_a_mark_is_believed_only_while_the_database_is_as_a_run_left_it(
    members: list[Project], database: Path
) -> None:
    one, other = members[:2]
    kept = database.with_name("kept.db")
    shutil.copytree(database, kept, ignore=shutil.ignore_patterns("s:0"))
    one.write("own.py", "second = 2\n")
    one.run()
    shutil.rmtree(database)
    shutil.copytree(kept, database)
    # An older copy has the older rows, of which the ledger in it knows.
    assert other.run()["status"] == "unchanged"
    assert one.run()["chunks"]["upserted"] == 1
    assert one.command("verify").returncode == 0
    # Without the ledger, or with rows that nobody wrote down, each reads its own rows.
    for harm in (drop_ledger, delete_a_row):
        harm(database, one)
        report = one.run()
        assert (report["status"], report["chunks"]["upserted"]) == (
            ("updated", 1) if harm is delete_a_row else ("unchanged", 0)
        )
        for project in members:
            assert project.run()["chunks"]["upserted"] == 0
            assert project.command("verify").returncode == 0
            assert project.run()["status"] == "unchanged"


def drop_ledger(database: Path, project: Project) -> None:
    (database / ".codx-index" / "marks-team.json").unlink()


def delete_a_row(database: Path, project: Project) -> None:
    with open_database(database) as client:
        client.load_collection("team")
        rows = client.query(
            "team", filter=f'project == "{key(project)}"', output_fields=["id"]
        )
        client.delete("team", ids=[rows[0]["id"]])


# Moving


def test_a_move_embeds_nothing(project: Project, database: Path) -> None:
    """Not even with an empty cache: the old rows have the vectors."""
    project.write("a.py", "def flamingo(): return 1\n")
    project.write("n.ipynb", json.dumps(NOTEBOOK))
    project.run()
    rows = {(r["path"], r["chunk_no"]): r["vector"] for r in project.rows().values()}
    places = [
        ["--uri", str(database), "--shared-collection", "team"],
        ["--uri", str(database)],
        ["--uri", str(database), "--shared-collection", "team", "--project", "p"],
        [],
    ]
    for place in places:
        empty_cache(project)
        done = project.command("run", "--json", *place)
        report: dict[str, Any] = json.loads(done.stdout)
        assert report["chunks"]["embedded"] == 0, place
        assert report["chunks"]["total"] == len(rows)
        assert "old one still exists: codx-index clear" in done.stderr
        said = done.stderr.split("codx-index clear ")[1].split(" removes it")[0]
        assert project.command("verify", *place, "--executor", "serial").returncode == 0
        assert project.command("clear", "--yes", *shlex.split(said)).returncode == 0
        assert project.run(*place)["status"] == "unchanged"
    assert all_rows(database, "team") == {}
    now = {(r["path"], r["chunk_no"]): r["vector"] for r in project.rows().values()}
    assert now == rows


NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["def heron():\n", "    return 2\n"]},
        {"cell_type": "markdown", "source": ["# All about egrets\n"]},
    ],
    "metadata": {"kernelspec": {"language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def test_a_folder_that_moves_has_another_name(
    make_member: Callable[[str], Project], database: Path
) -> None:
    one = make_member("one")
    one.run()
    moved = Project(one.root.with_name("moved"), one.cache_dir, one.environment)
    one.root.rename(moved.root)
    done = moved.command("run")
    assert done.returncode == 0
    said = done.stderr.split("codx-index clear ")[1].split(" removes it")[0]
    assert "--take-over" in said and str(one.root) in said
    assert len(all_rows(database, "team")) == 4
    assert moved.command("clear", "--yes", *shlex.split(said)).returncode == 0
    assert {r["project"] for r in all_rows(database, "team").values()} == {key(moved)}
    assert moved.run()["status"] == "unchanged"


def empty_cache(project: Project) -> None:
    for path in project.cache_dir.glob("embeddings-*"):
        os.unlink(path)
