"""Settings of a project: three files, the environment, options; and whom to trust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, assert_one_line

from indexer.errors import UsageError
from indexer.settings.declarations import SETTINGS
from indexer.settings.files import find_projects, read_project_files
from indexer.settings.setting import Source
from indexer.settings.template import template


def settings_of(folder: Path) -> dict[str, Any]:
    found = read_project_files(str(folder)).entries
    return {name: entry.value for name, entry in found.items()}


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# Reading


def test_our_own_file(tmp_path: Path) -> None:
    write(
        tmp_path,
        "codx-index.toml",
        'jobs = 2\nmax_file_size = "2MiB"\nignore = "*.csv"\n'
        '[mentions]\ncommand = ["a", "b c"]\n[wiki]\nenabled = true\n',
    )
    assert settings_of(tmp_path) == {
        "jobs": 2,
        "max-file-size": "2MiB",
        "ignore": ["*.csv"],
        "mentions.command": ["a", "b c"],
        "wiki.enabled": True,
    }


def test_codx_juniors_file(tmp_path: Path) -> None:
    known = {
        "project_name": "Shop",
        "project_path": None,
        "watching": True,
        "use_knowledge": True,
        "project_wiki": True,
        "project_wiki_path": "wiki",
        "knowledge_file_ignore": "api/, .codx,,assets",
        "knowledge_external_folders": "/srv/lib,../other",
        "embeddings_model": "",
    }
    unknown = {"llm_model": "x", "urls": [], "knowledge_hnsw_M": 1024}
    write(tmp_path, ".codx/project.json", json.dumps({**known, **unknown}))
    assert settings_of(tmp_path) == {
        "name": "Shop",
        "watching": True,
        "use_knowledge": True,
        "wiki.enabled": True,
        "wiki.path": "wiki",
        "ignore-containing": ["api/", ".codx", "assets"],
        "external-folders": ["/srv/lib", "../other"],
    }


def test_the_first_file_counts_key_by_key(tmp_path: Path) -> None:
    write(tmp_path, "codx-index.toml", "jobs = 1\n")
    write(
        tmp_path, "pyproject.toml", '[tool.codx-index]\njobs = 2\nprecision = "f32"\n'
    )
    write(
        tmp_path,
        ".codx/project.json",
        '{"project_name": "x", "embeddings_model": "m"}',
    )
    assert settings_of(tmp_path) == {
        "jobs": 1,
        "precision": "f32",
        "name": "x",
        "model": "m",
    }


def test_a_pyproject_of_somebody_else_is_not_parsed(tmp_path: Path) -> None:
    write(tmp_path, "pyproject.toml", "this is [no toml")
    assert settings_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("codx-index.toml", "jobs = ", "is not TOML"),
        ("codx-index.toml", "jbos = 1", "jbos: there is no such setting (did you mean"),
        ("codx-index.toml", 'token = "x"', "token does not belong in a project's file"),
        (
            "codx-index.toml",
            "ignore = 3",
            "ignore: neither a string nor a list of strings",
        ),
        ("codx-index.toml", "watching = 1", "watching: 1 is neither true nor false"),
        ("codx-index.toml", "jobs = [1]", "jobs: [1] is neither a string nor a number"),
        ("pyproject.toml", "[tool]\ncodx-index = 3", "tool.codx-index is not a table"),
        (".codx/project.json", "{", "is not JSON"),
        (".codx/project.json", "[]", "is not an object"),
        (".codx/project.json", '{"watching": "x"}', "watching: 'x' is neither"),
    ],
)
def test_what_cannot_be_read_is_named(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    write(tmp_path, name, text)
    with pytest.raises(UsageError) as caught:
        read_project_files(str(tmp_path))
    assert str(tmp_path / name) in str(caught.value)
    assert said in str(caught.value)


def test_watched_projects(tmp_path: Path) -> None:
    for name, file, text, is_watched in (
        ("ours", "codx-index.toml", "", True),
        ("ours-not", "codx-index.toml", "watching = false", False),
        ("theirs", ".codx/project.json", '{"watching": true}', True),
        ("theirs-not", ".codx/project.json", "{}", False),
        (
            "unknowing",
            ".codx/project.json",
            '{"watching": true, "use_knowledge": false}',
            False,
        ),
    ):
        write(tmp_path / name, file, text)
        assert read_project_files(str(tmp_path / name)).is_watched is is_watched, name
    write(tmp_path / "ours" / "node_modules" / "x", "codx-index.toml", "")
    write(tmp_path / "plain", "a.py", "")
    found = [Path(folder).name for folder in find_projects([str(tmp_path)] * 2)]
    assert found == ["ours", "ours-not", "theirs", "theirs-not", "unknowing"]


def test_the_template_has_every_setting_and_can_be_uncommented(tmp_path: Path) -> None:
    lines = [
        line.removeprefix("# ") if " = " in line else line
        for line in template().splitlines()
    ]
    write(tmp_path, "codx-index.toml", "\n".join(lines))
    keys = {one.name for one in SETTINGS if Source.FILE in one.sources}
    assert set(settings_of(tmp_path)) == keys
    assert settings_of(tmp_path)["mentions.timeout"] == "5m"


# The commands


def shown(project: Project, *arguments: str) -> dict[str, Any]:
    found = project.report("config", "show", *arguments)
    settings: dict[str, Any] = found["settings"]
    return settings


def test_options_count_more_than_environment_than_files(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    project.write("b.md", "# b\n")
    project.write("codx-index.toml", 'ignore = ["*.md"]\nmax-file-size = "3"\n')
    found = shown(project)
    assert found["ignore"]["value"] == ["*.md"]
    assert found["ignore"]["source"] == "file"
    assert found["ignore"]["place"] == f"{project.root}/codx-index.toml: ignore"
    assert found["jobs"] == {
        "name": "jobs",
        "value": 0,
        "written": 0,
        "source": "default",
        "place": "",
        "needs_trust": False,
    }
    assert found["mentions-timeout"]["value"] == 300
    assert found["mentions-timeout"]["written"] == "5m"
    files = project.report("run", "--dry-run")["files"]
    assert files["skipped"] == {"ignored": 1, "too_large": 2}
    project.environment["CODX_INDEX_MAX_FILE_SIZE"] = "20"
    found = shown(project)["max-file-size"]
    assert (found["source"], found["place"]) == (
        "environment",
        "CODX_INDEX_MAX_FILE_SIZE",
    )
    files = project.report("run", "--dry-run")["files"]
    assert files["skipped"] == {"ignored": 1, "too_large": 1}
    files = project.report("run", "--dry-run", "--max-file-size", "1k")["files"]
    assert files["skipped"] == {"ignored": 1}
    project.environment["CODX_INDEX_TOKEN"] = "s3cret-token"
    assert shown(project)["token"]["value"] == "***"
    table = project.command("config", "show").stdout
    assert "s3cret" not in table
    assert f"file: {project.root}/codx-index.toml: ignore" in table


def test_a_value_that_cannot_be_is_named_with_file_and_key(project: Project) -> None:
    project.write("codx-index.toml", '[mentions]\nconcurrency = "many"\n')
    line = assert_one_line(project.command("run"), 2)
    assert f"{project.root}/codx-index.toml: mentions.concurrency: " in line
    assert "'many' is not a valid integer" in line
    # An option in its place makes it right.
    assert project.command("run", "--mentions-concurrency", "1").returncode == 0
    project.write("codx-index.toml", "sparse-first = 3\n")
    line = assert_one_line(project.command("run"), 2)
    assert "sparse-first: '3' is not a valid boolean" in line
    project.write("codx-index.toml", 'precision = "f16"\n')
    line = assert_one_line(project.command("status"), 2)
    assert "precision: 'f16' is not one of 'auto', 'f32', 'bf16', 'int8'" in line


def test_a_model_that_cannot_be_is_named_with_file_and_key(project: Project) -> None:
    settings = {"embeddings_model": "somebody/else's model"}
    project.write(".codx/project.json", json.dumps(settings))
    line = assert_one_line(project.command("run"), 1)
    assert line.startswith(
        f"codx-index: {project.root}/.codx/project.json: embeddings_model: "
    )
    assert "somebody/else's model" in line
    assert_one_line(project.command("run", "--model", "no/such"), 1)


def test_what_reaches_outside_needs_trust(project: Project, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.py").write_text("SECRET = 1\n")
    canary = tmp_path / "canary"
    project.write("a.py", "# @" + "codx: hello\n")
    for text in (
        f'external-folders = ["{outside}"]',
        f'uri = "{tmp_path}/x.db"',
        f'metrics = "{canary}"',
        f'events = "{canary}"',
        'webhook = "http://127.0.0.1:9/x"',
        f'[mentions]\ncommand = ["touch", "{canary}"]',
        f'[wiki]\nenabled = true\ncommand = ["touch", "{canary}"]',
        f'[wiki]\nenabled = true\npath = "{tmp_path}/wiki"',
        '[wiki]\nenabled = true\npath = "../wiki"',
    ):
        project.write("codx-index.toml", text + "\n")
        line = assert_one_line(project.command("run"), 2)
        assert f"{project.root}/codx-index.toml: " in line and "--trust" in line
    assert not canary.exists() and not (tmp_path / "wiki").exists()
    assert not (project.root / ".codx").exists()
    project.write("codx-index.toml", f'external-folders = ["{outside}"]\n')
    assert project.report("run", "--no-trust")["files"]["added"] == 2
    assert shown(project)["external-folders"]["needs_trust"] is True
    project.environment["CODX_INDEX_TRUST"] = "1"
    assert project.report("run")["files"]["added"] == 1
    # A wiki in the project needs none.
    del project.environment["CODX_INDEX_TRUST"]
    project.write("codx-index.toml", '[wiki]\npath = "docs/wiki"\n')
    assert project.report("run", "--dry-run")["exit_code"] == 0


def test_a_project_path_elsewhere(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.py").write_text("y = 2\n")
    project.write(".codx/project.json", json.dumps({"project_path": str(other)}))
    assert "project_path" in assert_one_line(project.command("status"), 2)
    assert project.report("status", "--trust")["project"] == str(other)
    project.write(".codx/project.json", json.dumps({"project_path": "/no/such"}))
    assert "/no/such" in assert_one_line(project.command("status", "--trust"), 2)


def test_external_folders(project: Project, tmp_path: Path) -> None:
    library = tmp_path / "library"
    (library / "inner").mkdir(parents=True)
    (library / "inner" / "lib.py").write_text("def shared():\n    return 1\n")
    project.write("a.py", "x = 1\n")
    options = ("--external-folders", str(library), "--external-folders", "inside")
    project.write("inside/b.py", "y = 1\n")
    report = project.run(*options)
    assert report["files"]["added"] == 3
    paths = {row["path"] for row in project.rows().values()}
    assert paths == {"a.py", "inside/b.py", str(library / "inner" / "lib.py")}
    assert project.run(*options)["files"] | {"skipped": {}} == {
        **report["files"],
        "added": 0,
        "read": 0,
        "unchanged": 3,
    }
    assert project.command("verify", *options).returncode == 0
    (library / "inner" / "lib.py").write_text("def shared():\n    return 2\n")
    assert project.run(*options)["files"]["modified"] == 1
    # One that is not there, for a moment perhaps, loses nothing.
    library.rename(tmp_path / "gone")
    report = project.run(*options, code=3)
    assert report["failures"] == [
        {"path": str(library), "error": f"{library} is not a folder"}
    ]
    assert {row["path"] for row in project.rows().values()} == paths
    # And without it, its files go.
    assert project.run()["files"]["deleted"] == 1
    line = assert_one_line(
        project.command("run", "--external-folders", str(tmp_path)), 2
    )
    assert "holds the project itself" in line


def test_init_writes_a_file_once(project: Project) -> None:
    done = project.command("init")
    assert done.stdout == f"wrote {project.root}/codx-index.toml\n"
    assert (project.root / "codx-index.toml").read_text() == template()
    assert "already exists" in assert_one_line(project.command("init"), 2)
    assert project.command("init", "--force").returncode == 0
    # With every setting as a comment it changes none.
    assert {one["source"] for one in shown(project).values()} == {
        "default",
        "environment",
    }


def test_ignored_texts_are_anywhere_in_a_path(project: Project) -> None:
    for name in ("api/a.py", "myapi/b.py", ".gitignore", "sub/.gitignore", "c.py"):
        project.write(name, "x\n")
    options = ("--ignore-containing", "api/", "--ignore-containing", "/.gitignore")
    report = project.report("run", "--dry-run", *options)
    assert report["plan"]["added"] == ["c.py"]
    assert report["files"]["skipped"] == {"ignored": 4}
    # A setting counts more than a .codxignore.
    project.write(".codxignore", "!c.py\n")
    report = project.report("run", "--dry-run", *options, "--ignore", "*.py")
    assert report["plan"]["added"] == [".codxignore"]


def test_a_run_elsewhere_reads_the_files_of_its_project(project: Project) -> None:
    project.write("a.md", "# about wagons\n")
    project.write("b.py", "x = 1\n")
    project.write(
        "codx-index.toml", 'ignore = ["*.py", "*.toml"]\ncollection = "named"\n'
    )
    done = project.command("run", str(project.root), "--json", folder=Path("/"))
    assert json.loads(done.stdout)["collection"] == "named"
    project.write("sub/c.md", "# about sledges\n")
    project.run()
    arguments = ("search", "wagons", str(project.root / "sub"), "--json")
    done = project.command(*arguments, folder=Path("/"))
    assert [hit["path"] for hit in json.loads(done.stdout)["hits"]] == ["sub/c.md"]
