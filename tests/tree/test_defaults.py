"""What is left out by default, and what brings it back."""

from __future__ import annotations

from pathlib import Path

import pytest
from git_calls import run_git

from indexer.tree import scan as scanning
from indexer.tree.defaults import CACHE_SIGNATURE, default_excludes
from indexer.tree.scan import Scan


@pytest.fixture(params=["git", "plain"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    if request.param == "git":
        run_git(tmp_path / "tree", "init", "-q")
    return tmp_path / "tree"


def write(top: Path, *names: str, text: str = "x = 1\n") -> None:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)


def scan(top: Path, *, has_defaults: bool = True, ignore: tuple[str, ...] = ()) -> Scan:
    return scanning.scan(
        str(top),
        max_file_size=1000,
        own_paths=[],
        has_defaults=has_defaults,
        ignore=ignore,
    )


def paths(result: Scan) -> set[str]:
    return {file.path for file in result.files}


# A folder that tools fill, and what makes it one: in it, or beside it.
LEFT_OUT = [
    *[(name, "") for name in ".venv node_modules __pycache__ .tox _build".split()],
    *[(name, "") for name in "venv .idea .gradle site-packages my.egg-info".split()],
    *[("target", f"../{name}") for name in ("Cargo.toml", "pom.xml", "build.sbt")],
    *[("build", f"../{name}") for name in ("setup.py", "package.json", "meson.build")],
    ("build", "../build.gradle.kts"),
    ("build", "CMakeCache.txt"),
    ("dist", "../pyproject.toml"),
    ("vendor", "../go.mod"),
    ("vendor", "autoload.php"),
    ("bin", "Debug/app.pdb"),
    ("obj", "project.assets.json"),
    ("coverage", "lcov.info"),
    ("env", "pyvenv.cfg"),
    ("whatever", "pyvenv.cfg"),
    ("ENV", "conda-meta/history"),
]


@pytest.mark.parametrize("folder, sign", LEFT_OUT)
@pytest.mark.parametrize("where", ["", "web/app/"])
def test_a_folder_that_tools_fill(
    where: str, folder: str, sign: str, tree: Path
) -> None:
    write(tree, "a.py", f"{where}{folder}/one.py", f"{where}{folder}/deep/two.py")
    if sign:
        assert f"{where}{folder}/one.py" in paths(scan(tree))
        write(tree, f"{where}{folder}/{sign}")
    result = scan(tree)
    assert not any("one.py" in path or "two.py" in path for path in paths(result))
    assert result.left_out == {f"{where}{folder}/": "excluded_by_default"}
    assert result.skipped["excluded_by_default"] == 1
    everything = scan(tree, has_defaults=False)
    assert {f"{where}{folder}/one.py", f"{where}{folder}/deep/two.py"} <= paths(
        everything
    )
    assert everything.left_out == {}


def test_a_cache_is_tagged(tree: Path) -> None:
    write(tree, "a.py", "any/one.py", "other/two.py", "other/CACHEDIR.TAG")
    write(tree, "any/CACHEDIR.TAG", text=f"{CACHE_SIGNATURE.decode()}\n# made by x\n")
    result = scan(tree)
    assert paths(result) == {"a.py", "other/two.py", "other/CACHEDIR.TAG"}


def test_sources_with_such_a_name(tree: Path) -> None:
    """Also files, and the folder in which the command runs."""
    sources = {
        *("venv/__init__.py", "build/make.py", "dist/x.py", "target/x.rs", "bin/run.py"),
        *("env/dev.yaml", "vendor/own.py", "coverage/x.py", "lib/node_modules", "obj/x.py"),
        *(".github/x.yml", ".claude/x.md", ".config/x.toml", "Library/x.py"),
    }  # fmt: skip
    write(tree, *sources)
    assert paths(scan(tree)) == sources
    write(tree, "node_modules/mine/a.js", "node_modules/mine/node_modules/b.js")
    assert paths(scan(tree / "node_modules/mine")) == {"a.js"}


@pytest.mark.parametrize("file", [".codxignore", ".gitignore", "sub/.codxignore"])
def test_a_default_is_the_weakest_rule(file: str, tree: Path) -> None:
    write(tree, "sub/node_modules/a.js", "sub/node_modules/deep/b.js", "sub/.venv/v.py")
    write(tree, file, text="!node_modules/\n")
    result = scan(tree)
    expected = {file, "sub/node_modules/a.js", "sub/node_modules/deep/b.js"}
    assert paths(result) == expected
    assert result.left_out == {"sub/.venv/": "excluded_by_default"}
    write(tree, file, text="!node_modules/\n**/node_modules/*\n!deep/\n")
    assert paths(scan(tree)) == expected - {"sub/node_modules/a.js"}


def test_the_settings_bring_back_and_leave_out(tree: Path) -> None:
    write(tree, "node_modules/a.js", ".venv/v.py")
    assert paths(scan(tree, ignore=("!node_modules/",))) == {"node_modules/a.js"}
    result = scan(tree, ignore=("node_modules/",))
    assert result.skipped == {"excluded_by_default": 1, "ignored": 1}


def test_what_git_ignores_is_not_counted(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q")
    write(tmp_path, "node_modules/a.js", "a.py")
    write(tmp_path, ".gitignore", text="node_modules\n")
    assert scan(tmp_path).skipped == {}


def test_what_is_tracked_is_indexed(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q")
    write(
        tmp_path,
        "Cargo.toml",
        "target/a.rs",
        "node_modules/a/b.js",
        "node_modules/c.js",
    )
    run_git(tmp_path, "add", "Cargo.toml", "node_modules/a", "target")
    tracked = {"Cargo.toml", "target/a.rs", "node_modules/a/b.js"}
    assert paths(scan(tmp_path)) == tracked
    write(tmp_path, "target/new.rs")
    assert paths(scan(tmp_path)) == tracked


def test_the_defaults_of_others_are_among_them() -> None:
    """Those of black and ruff; version control's own folders belong to no tree."""
    ours = " ".join(default_excludes())
    for name in (
        """.bzr .direnv .eggs .git-rewrite .ipynb_checkpoints .mypy_cache .nox .pants.d
        .pyenv .pytest_cache .pytype .ruff_cache .tox .venv .vscode __pypackages__ _build
        buck-out build dist node_modules site-packages venv""".split()
    ):
        assert f"{name}/" in ours
