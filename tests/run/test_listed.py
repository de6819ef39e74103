"""`run-all --from`: repositories as folders and as addresses, which are cloned."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line
from git_calls import run_git

from indexer.errors import UsageError
from indexer.run.repositories import listed_repositories, parse

QUICK = ("--mode", "sparse", "--executor", "serial", "--no-backoff")


class Fleet:
    """Repositories of others, and `run-all` with a list of them, into one database."""

    def __init__(self, folder: Path, project: Project) -> None:
        self.folder = folder
        self.project = project
        self.database = str(folder / "shared.db")

    def repository(self, name: str, **files: str) -> Path:
        """A repository with a commit of these files, which have the ending .py."""
        root = self.folder / name
        root.mkdir(parents=True)
        run_git(root, "init", "-q", "-b", "main")
        self.commit(root, **files)
        return root

    def commit(self, root: Path, **files: str) -> str:
        for name, text in files.items():
            (root / f"{name}.py").write_text(text)
        run_git(root, "add", "-A")
        run_git(root, "commit", "-qm", "change")
        return run_git(root, "rev-parse", "HEAD").decode().strip()

    def run(
        self, *lines: object, code: int = 0, options: tuple[str, ...] = QUICK
    ) -> list[dict[str, Any]]:
        """What became of each project of the list, in the order of their names."""
        done = self.project.command(
            "run-all",
            *("--from", "-", "--uri", self.database, "--json"),
            *options,
            given="\n".join(map(str, lines)).encode(),
        )
        assert done.returncode == code, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["projects"]
        return found

    def texts(self, collection: str) -> dict[str, str]:
        """The texts of a collection by path, read by pymilvus alone."""
        from indexer.milvus.embedded import serve

        state = str(self.project.cache_dir / "state")
        os.makedirs(state, exist_ok=True)
        store = serve(self.database, state, collection, patience=20)
        try:
            store.open()
            rows = store.fetch([key.id for key in store.keys()])
            return {row["path"]: row["text"] for row in rows}
        finally:
            store.close()


@pytest.fixture
def fleet(tmp_path: Path, make_project: Callable[[str], Project]) -> Fleet:
    return Fleet(tmp_path / "theirs", make_project("elsewhere"))


def test_folders_and_clones_in_one_report(fleet: Fleet) -> None:
    first = fleet.repository("first", a="def one(): return 1\n")
    folder = fleet.repository("folder", b="def two(): return 2\n")
    gone = fleet.folder / "gone"
    found = fleet.run(
        "# ours", "", f"file://{first}  # cloned", folder, f"file://{gone}", code=1
    )
    assert [one["result"] for one in found] == ["run", "run", "failed"]
    by_name = {one["project"]: one["report"] for one in found}
    cloned = by_name[f"file://{first}"]
    assert cloned["project"] == f"file://{first}" and cloned["files"]["added"] == 1
    assert cloned["collection"].startswith("codx_first_")
    assert fleet.texts(cloned["collection"]) == {"a.py": "def one(): return 1"}
    assert by_name[str(folder)]["files"]["added"] == 1
    failed = by_name[f"file://{gone}"]
    assert "it cannot be fetched" in failed["error"] and failed["exit_code"] == 1
    # The repository of others has nothing of ours in it.
    assert not (first / ".codx").exists()


def test_a_run_follows_the_repository_and_its_revisions(fleet: Fleet) -> None:
    root = fleet.repository("r", a="def a(): return 1\n", b="def b(): return 1\n")
    run_git(root, "tag", "-a", "-m", "v1", "v1")
    before = fleet.run(f"file://{root}")[0]["report"]
    assert before["files"]["added"] == 2
    again = fleet.run(f"file://{root}")[0]["report"]
    assert (again["status"], again["files"]["read"]) == ("unchanged", 0)
    whole = fleet.commit(root, a="def a(): return 2\n")
    # Only what changed was fetched and written, so only that is read.
    report = fleet.run(f"file://{root}")[0]["report"]
    assert (report["files"]["modified"], report["files"]["read"]) == (1, 1)
    # Another revision is the same index: by tag, by branch, by commit, by the path alone.
    run_git(root, "checkout", "-q", "-b", "side/line", "v1")
    fleet.commit(root, c="def c(): return 3\n")
    for revision, paths in (
        ("v1", {"a.py": "def a(): return 1", "b.py": "def b(): return 1"}),
        (whole, {"a.py": "def a(): return 2", "b.py": "def b(): return 1"}),
    ):
        report = fleet.run(f"file://{root}@{revision}")[0]["report"]
        assert report["collection"] == before["collection"]
        assert fleet.texts(report["collection"]) == paths
        again = fleet.run(f"{root}@{revision}")[0]["report"]
        assert again["status"] == "unchanged"
    report = fleet.run(f"file://{root}@side/line")[0]["report"]
    assert set(fleet.texts(report["collection"])) == {"a.py", "b.py", "c.py"}
    failed = fleet.run(f"file://{root}@nowhere", code=1)[0]["report"]
    assert "it has no revision 'nowhere'" in failed["error"]


def test_wherever_it_is_cloned_nothing_is_embedded_twice(fleet: Fleet) -> None:
    """Another host has neither the clone nor the state, and perhaps no cache."""
    root = fleet.repository("r", a="def precious(): return 1\n")
    options = ("--executor", "serial")
    first = fleet.run(f"file://{root}", options=options)[0]["report"]
    assert first["chunks"]["embedded"] == 1
    cached = ("--cache-size", "0")
    # The clone alone went, as when it was not used for long.
    shutil.rmtree(next((fleet.project.cache_dir / "clones").glob("r-*/tree")))
    again = fleet.run(f"file://{root}", options=(*options, *cached))[0]["report"]
    assert again["status"] == "unchanged" and again["files"]["read"] == 1
    # State and clone went: the rows say what there is.
    for place in ("elsewhere", "another"):
        scratch = ("--scratch", str(fleet.folder / place))
        there = fleet.run(f"file://{root}", options=(*options, *cached, *scratch))
        assert there[0]["report"]["chunks"]["embedded"] == 0
        assert there[0]["report"]["status"] == "unchanged"
        assert there[0]["report"]["collection"] == first["collection"]


@pytest.mark.slow
def test_clones_stay_within_their_bound(fleet: Fleet) -> None:
    roots = [fleet.repository(name, a="x = 1\n") for name in ("r1", "r2", "r3")]
    for root in roots:
        fleet.run(f"file://{root}", options=(*QUICK, "--scratch-size", "1k"))
    clones = fleet.project.cache_dir / "clones"
    assert [one.parent.name[:2] for one in clones.glob("*/tree")] == ["r3"]
    assert len([*clones.glob("*/.codx/index/manifest.sqlite")]) == 3
    reports = fleet.run(*(f"file://{root}" for root in roots))
    assert {one["report"]["status"] for one in reports} == {"unchanged"}


@pytest.mark.slow
def test_a_clone_that_was_broken_off_is_made_anew(fleet: Fleet) -> None:
    root = fleet.repository("r", a="def a(): return 1\n")
    fleet.run(f"file://{root}")
    tree = next((fleet.project.cache_dir / "clones").glob("r-*/tree"))
    (tree / ".git" / "index.lock").touch()
    fleet.commit(root, a="def a(): return 2\n")
    report = fleet.run(f"file://{root}")[0]["report"]
    assert fleet.texts(report["collection"]) == {"a.py": "def a(): return 2"}
    # A part that is left of one is not taken for the whole.
    (tree / ".git" / "codx-fetched").unlink()
    (tree / "a.py").unlink()
    assert fleet.run(f"file://{root}")[0]["report"]["status"] == "unchanged"


def test_nothing_of_a_clone_is_run(fleet: Fleet, tmp_path: Path) -> None:
    """Nor is what its settings would reach, unless they are trusted."""
    root = fleet.repository("r", a="x = 1\n")
    hook = tmp_path / "templates" / "hooks" / "post-checkout"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[init]\ntemplateDir = {tmp_path}/templates\n")
    fleet.project.environment["GIT_CONFIG_GLOBAL"] = str(settings)
    fleet.run(f"file://{root}")
    assert not (tmp_path / "ran").exists()
    (root / "codx-index.toml").write_text('[mentions]\ncommand = ["true"]\n')
    fleet.commit(root)
    failed = fleet.run(f"file://{root}", code=2)[0]["report"]
    assert "--trust" in failed["error"] and "mentions.command" in failed["error"]


def test_passwords_are_neither_shown_nor_kept(fleet: Fleet, tmp_path: Path) -> None:
    line = "https://bob:se%2Fcret1@127.0.0.1:9/o/r.git"
    done = fleet.project.command(
        "run-all",
        *("--from", "-", "--uri", fleet.database, "-v", *QUICK),
        given=line.encode(),
    )
    assert done.returncode == 1 and "https://127.0.0.1:9/o/r: failed" in done.stdout
    assert "cret1" not in done.stdout + done.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file() and "models" not in path.parts:
            assert b"cret1" not in path.read_bytes(), path
    bad = fleet.project.command(
        "run-all",
        *("--from", "-", "--uri", fleet.database),
        given=b"https://bob:se@cret1@h/r",
    )
    assert "cret1" not in assert_one_line(bad, 2)


def test_git_gets_the_password_but_its_command_line_has_none() -> None:
    remote = parse("https://bob:pw@example.org:444/o/r.git@main").remote
    assert remote and remote.url == "https://example.org:444/o/r.git"
    assert remote.variables["GIT_CONFIG_VALUE_0"] == "https://example.org:444/"
    key = "url.https://bob:pw@example.org:444/.insteadOf"
    assert remote.variables["GIT_CONFIG_KEY_0"] == key
    assert "pw" not in repr(remote) and remote.revision == "main"


@pytest.mark.parametrize(
    "line",
    [
        "--upload-pack=touch x",
        "-v",
        "ext::sh -c touch% x",
        "ext::sh@main",
        "git://host/x",
        "ftp://host/x",
        "https://host",
        "https://u:p@ss@host/x",
        "https://host/a b",
        "https://host/x?y=z",
        "https://host/x@-v",
        "https://host/x@a..b",
        "https://host/x@+main:other",
        "ssh://-oProxyCommand=x/y",
        "ssh://-l@host/y",
        "file://host/x",
        "git@host:x@--y",
        "a\x1b[31m",
    ],
)
def test_a_line_that_is_refused_before_anything_runs(line: str, fleet: Fleet) -> None:
    good = fleet.repository("good", a="x = 1\n")
    data = f"{good}\n# comment\n{line}\n".encode()
    with pytest.raises(UsageError, match="the list, line 3: "):
        listed_repositories(data, "the list")
    assert not (good / ".codx").exists()


@pytest.mark.parametrize(
    ("line", "name", "revision"),
    [
        ("https://Host.org/o/r.git", "https://host.org/o/r", ""),
        ("https://tok@host.org:443/o/r/", "https://host.org/o/r", ""),
        ("https://host.org/o/r@feature/x", "https://host.org/o/r", "feature/x"),
        ("https://host.org/@me/r", "https://host.org/@me/r", ""),
        ("git@host.org:o/r.git", "ssh://git@host.org/~/o/r", ""),
        ("git@host.org:o/r.git@v1.2", "ssh://git@host.org/~/o/r", "v1.2"),
        ("ssh://git@host.org:2222/o/r@v1", "ssh://git@host.org:2222/o/r", "v1"),
        ("file:///no/such%20place@v1", "file:///no/such place", "v1"),
    ],
)
def test_the_name_of_an_address(line: str, name: str, revision: str) -> None:
    found = parse(line)
    assert found.remote and (found.name, found.remote.revision) == (name, revision)


def test_lists(fleet: Fleet, tmp_path: Path) -> None:
    root = fleet.repository("r@2", a="x = 1\n")  # the @ is the folder's own
    lines = f"\ufeff{root}\r\n{root}\n"
    assert [one.name for one in listed_repositories(lines.encode(), "l")] == [str(root)]
    with pytest.raises(UsageError, match="line 2: .* of line 1 written"):
        listed_repositories(b"https://h/r@v1\nhttps://h/r@v2\n", "l")
    command = fleet.project.command
    line = assert_one_line(command("run-all", "--from", "/no/such"), 2)
    assert "cannot read /no/such" in line
    assert "no ROOTS" in assert_one_line(command("run-all"), 2)
    listed = command("run-all", "--from", "-", given=f"file://{root}".encode())
    assert "--uri" in assert_one_line(listed, 2)
    # With roots, and a project of both only once.
    (root / "codx-index.toml").write_text("watching = false\n")
    both = command(
        "run-all",
        *(str(fleet.folder), "--from", "-", "--json", *QUICK),
        given=str(root).encode(),
    )
    assert [one["result"] for one in json.loads(both.stdout)["projects"]] == ["run"]


def test_clones_share_a_collection_wherever_they_lie(
    fleet: Fleet, tmp_path: Path
) -> None:
    root = fleet.repository("r", a="def a(): return 1\n")
    shared = (*QUICK, "--shared-collection", "team")
    first = fleet.run(f"file://{root}", options=shared)[0]["report"]
    assert (first["collection"], first["files"]["added"]) == ("team", 1)
    # Another host finds its rows there, and adds none.
    elsewhere = (*shared, "--scratch", str(tmp_path / "elsewhere"))
    second = fleet.run(f"file://{root}", options=elsewhere)[0]["report"]
    assert (second["chunks"]["total"], second["chunks"]["upserted"]) == (1, 0)
