"""A work tree without a git that can list it: refused, or walked where that is asked for."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from comparisons import comparable
from conftest import Project, assert_one_line

SPARSE = ("--mode", "sparse")
INSTEAD = "(--no-git indexes it as a plain folder, by its .gitignore files alone)"


@pytest.fixture
def mixed(project: Project) -> Project:
    """What git's rules and a walk disagree about: both list a.py alone in common."""
    project.write("a.py", "banana = 1\n")
    project.write("tracked.py", "y = 2\n")
    project.git("add", "-A", "-f")
    project.write(".gitignore", "tracked.py\n")
    project.write(".git/info/exclude", "private.py\n")
    project.write("private.py", "z = 3\n")
    project.git("add", ".gitignore")
    project.git("commit", "-q", "-m", "first")
    return project


def paths(project: Project) -> set[str]:
    return {row["path"] for row in project.rows().values()}


def without_git(project: Project, folder: Path) -> None:
    """Leave no git on PATH."""
    folder.mkdir(exist_ok=True)
    project.environment["PATH"] = str(folder)


def fake_git(project: Project, folder: Path, text: str, mode: int = 0o755) -> None:
    """Put a program of our own in the place of git."""
    folder.mkdir(exist_ok=True)
    (folder / "git").write_text(text)
    (folder / "git").chmod(mode)
    project.environment["PATH"] = str(folder)


def refused(project: Project, *words: str) -> None:
    """Every command that lists the tree says the same and touches nothing."""
    state = project.root / ".codx/index"
    has_index = (state / "milvus.db").exists()
    before = (state / "manifest.sqlite").read_bytes() if has_index else b""
    lines = {assert_one_line(project.command("run", *SPARSE), 1)}
    lines.add(assert_one_line(project.command("run", *SPARSE, "--dry-run"), 1))
    lines.add(assert_one_line(project.command("status", *SPARSE), 1))
    lines.add(assert_one_line(project.command("run", *SPARSE, "--file", "a.py"), 1))
    if has_index:
        lines.add(assert_one_line(project.command("verify", *SPARSE), 1))
        assert (state / "manifest.sqlite").read_bytes() == before
    (line,) = lines
    # Or that of the repository around it.
    assert str(project.root) in line or str(project.root.parent) in line
    for word in words:
        assert word in line


def test_without_git_a_work_tree_is_refused(mixed: Project, tmp_path: Path) -> None:
    without_git(mixed, tmp_path / "empty")
    refused(mixed, "there is no git on PATH: install it", INSTEAD)
    report = mixed.run(*SPARSE, code=1)
    assert report["status"] == "failed" and report["chunks"]["upserted"] == 0
    done = mixed.command("run-all", ".", *SPARSE)
    assert done.returncode == 2  # no project there
    mixed.write("codx-index.toml", "")
    done = mixed.command("run-all", ".", *SPARSE)
    assert done.returncode == 1 and "no git on PATH" in done.stderr


def test_an_index_that_git_made_is_not_touched(mixed: Project, tmp_path: Path) -> None:
    mixed.run(*SPARSE)
    without_git(mixed, tmp_path / "empty")
    refused(mixed)
    done = mixed.command("search", "banana", *SPARSE)  # which lists no tree
    assert done.returncode == 0 and "a.py" in done.stdout
    assert paths(mixed) == {".gitignore", "a.py", "tracked.py"}


@pytest.mark.parametrize("form", ["file", "broken file", "broken link", "empty folder"])
def test_every_form_of_a_repository(
    form: str, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    """Also where the project is a folder further down."""
    plain = make_project("plain")
    plain.write("below/a.py", "x = 1\n")
    marker = plain.root / ".git"
    if form == "broken link":
        marker.symlink_to("nowhere")
    elif form == "empty folder":
        marker.mkdir()
    elif form == "file":
        plain.git("init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere"))
    else:
        marker.write_text("gitdir: /nowhere\n")
    below = Project(plain.root / "below", plain.cache_dir)
    if form != "file":  # with git too
        refused(below, INSTEAD)
    without_git(below, tmp_path / "empty")
    refused(below, "no git on PATH")
    below.run(*SPARSE, "--no-git")
    assert paths(plain) == {"below/a.py"}


@pytest.mark.parametrize(
    "text, mode, words",
    [
        ("#!/bin/sh\nexit 0\n", 0o644, "no git on PATH"),
        ("#!/nowhere/sh\n", 0o755, "cannot be started"),
        ("\0\0\0", 0o755, "cannot be started"),
        ("#!/bin/sh\nexit 0\n", 0o755, "does not behave like git 2.31 or later"),
        # As git 2.20 repeats what it does not know.
        (
            '#!/bin/sh\nfor one; do case $one in --*) echo "$one"; esac; done\n',
            0o755,
            "does not behave like git 2.31 or later",
        ),
        ("#!/bin/sh\nkill -SEGV $$\n", 0o755, "it was ended by SIGSEGV"),
        ("#!/bin/sh\nexit 3\n", 0o755, "it ended with status 3"),
    ],
    ids=[
        "not executable",
        "no interpreter",
        "no program",
        "mute",
        "too old",
        "crash",
        "3",
    ],
)
def test_a_git_that_is_none(
    text: str, mode: int, words: str, mixed: Project, tmp_path: Path
) -> None:
    if mode == 0o644 and os.geteuid() == 0 and os.access("/dev/null", os.X_OK):
        pytest.skip("everything can be run here")
    fake_git(mixed, tmp_path / "bin", text, mode)
    refused(mixed, words, INSTEAD)
    mixed.run(*SPARSE, "--no-git")  # asks no git
    assert paths(mixed) == {".gitignore", "a.py", "private.py"}


def test_relative_entries_of_path_do_not_count(mixed: Project) -> None:
    mixed.write("bin/git", "#!/bin/sh\ntouch run\n").chmod(0o755)
    for path in ("bin", "./bin:", ":", "."):
        mixed.environment["PATH"] = path
        refused(mixed, "there is no git on PATH, whose relative entries are ignored")
    assert not (mixed.root / "run").exists()


def test_without_a_path_the_usual_folders_count(
    mixed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("git", path=os.defpath):
        pytest.skip("git lies elsewhere")
    monkeypatch.delenv("PATH")
    mixed.run(*SPARSE)
    assert "tracked.py" in paths(mixed)


@pytest.mark.parametrize("vanishing", ["nested", "external"])
def test_git_vanishes_while_it_lists(
    vanishing: str, mixed: Project, tmp_path: Path
) -> None:
    """After the first repository: the second is not walked, nor left out, in silence."""
    other = Project(
        (mixed.root if vanishing == "nested" else tmp_path) / "other", mixed.cache_dir
    )
    other.root.mkdir()
    other.git("init", "-q")
    other.write("b.py", "b = 1\n")
    given = [] if vanishing == "nested" else ["--external-folders", str(other.root)]
    mixed.run(*SPARSE, *given)
    before = comparable(mixed.rows())
    git = shutil.which("git")
    text = f"""#!/bin/sh
case " $* " in *" --others "*) rm "$0";; esac
exec {git} "$@"
"""
    fake_git(mixed, tmp_path / "bin", text)
    mixed.environment["PATH"] += ":/nowhere"
    # The program needs an rm, which is nowhere on the PATH of the test.
    text = text.replace("rm", shutil.which("rm") or "rm")
    (tmp_path / "bin/git").write_text(text)
    mixed.write("c.py", "c = 1\n")
    line = assert_one_line(mixed.command("run", *SPARSE, *given), 1)
    assert "no git on PATH" in line and str(other.root) in line
    assert comparable(mixed.rows()) == before


@pytest.mark.parametrize(
    "object_format", ["sha256", pytest.param("sha1", marks=pytest.mark.slow)]
)
def test_an_index_follows_the_rules_of_the_last_run(
    object_format: str, make_project: Callable[[str], Project]
) -> None:
    """By git, as a plain folder, and back: each time it equals one that was made afresh."""
    tree = make_project("tree")
    tree.git("init", "-q", f"--object-format={object_format}")
    tree.write("a.py", "banana = 1\n")
    tree.write("tracked.py", "y = 2\n")
    tree.git("add", "-A")
    tree.write(".gitignore", "tracked.py\nignored/\n")
    tree.write("ignored/i.py", "i = 1\n")
    tree.write(".git/info/exclude", "private.py\n")
    tree.write("private.py", "z = 3\n")
    nested = Project(tree.root / "nested", tree.cache_dir)
    nested.write("n.py", "n = 1\n")
    nested.write("excluded.py", "n = 2\n")
    nested.git("init", "-q", f"--object-format={object_format}")
    nested.write(".git/info/exclude", "excluded.py\n")
    common = {".gitignore", "a.py", "nested/n.py"}
    plain = common | {"private.py", "nested/excluded.py"}
    # Without its repositories, the same folder.
    copy = make_project("copy")
    ignored = shutil.ignore_patterns(".git")
    shutil.copytree(tree.root, copy.root, dirs_exist_ok=True, ignore=ignored)
    copy.run(*SPARSE)
    tree.run(*SPARSE)
    by_git = comparable(tree.rows())
    assert paths(tree) == common | {"tracked.py"}
    for given in (["--no-git"], []):
        for round_ in range(2):
            report = tree.run(*SPARSE, *given)
            assert (report["status"] == "updated") == (round_ == 0)
            assert tree.command("verify", *SPARSE, *given).returncode == 0
            assert tree.command("status", *SPARSE, *given, "--check").returncode == 0
            assert tree.command("search", "banana", *SPARSE).stderr == ""
        if given:
            assert paths(tree) == plain
            assert comparable(tree.rows()) == comparable(copy.rows())
            assert tree.command("status", *SPARSE, "--check").returncode == 1
    assert comparable(tree.rows()) == by_git


def test_external_folders_are_walked_too(mixed: Project, tmp_path: Path) -> None:
    other = Project(tmp_path / "other", mixed.cache_dir)
    other.root.mkdir()
    other.git("init", "-q")
    other.write(".git/info/exclude", "private.py\n")
    other.write("private.py", "b = 1\n")
    given = [*SPARSE, "--external-folders", str(other.root)]
    mixed.run(*given)
    assert f"{other.root}/private.py" not in paths(mixed)
    mixed.run(*given, "--no-git")
    assert f"{other.root}/private.py" in paths(mixed)


def test_a_clone_does_not_say_that_git_is_left_out(mixed: Project) -> None:
    """Its files would uncover what the user's own rules exclude."""
    mixed.write("codx-index.toml", "git = false\n")
    line = assert_one_line(mixed.command("run", *SPARSE), 2)
    assert "git stores what should stay out of an index" in line and "--trust" in line
    mixed.run(*SPARSE, "--no-trust")
    assert "private.py" not in paths(mixed)
    mixed.run(*SPARSE, "--trust")
    assert "private.py" in paths(mixed)


def test_the_variable_says_so_as_well(mixed: Project, tmp_path: Path) -> None:
    without_git(mixed, tmp_path / "empty")
    mixed.environment["CODX_INDEX_GIT"] = "0"
    mixed.run(*SPARSE)
    shown = json.loads(mixed.command("config", "show", "--json").stdout)
    assert "private.py" in paths(mixed)
    assert shown["settings"]["git"]["value"] is False
