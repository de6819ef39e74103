"""Which settings in a project's files are followed with --trust only."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from conftest import Project, assert_one_line

from indexer.cli.main import cli
from indexer.errors import UsageError
from indexer.settings.command import setting_options
from indexer.settings.declarations import COLLECTION, URI
from indexer.settings.files import project_files
from indexer.settings.requests import TRUST
from indexer.settings.values import Origin, option_values, resolve

# What a stranger's file could do, and a harmless value of the same setting.
REACHING = [
    (
        'secrets = "off"',
        'secrets = "skip-file"',
        "stores what should stay out of an index",
    ),
    (
        "include-secrets = true",
        "include-secrets = false",
        "stores what should stay out",
    ),
    ("jobs = 1024", "jobs = 1", "more of this machine"),
    ('executor = "serial"', 'executor = "process"', "more of this machine"),
    ('max-file-size = "1GiB"', 'max-file-size = "8MiB"', "more of this machine"),
    ("task-timeout = 0", "task-timeout = 60", "more of this machine"),
    ('wait = "52w"', 'wait = "5m"', "more of this machine"),
    ("mentions.concurrency = 256", "mentions.concurrency = 2", "more of this"),
    ("mentions.timeout = 0", "mentions.timeout = 9", "more of this machine"),
    ("wiki.concurrency = 256", "wiki.concurrency = 2", "more of this machine"),
    ('wiki.timeout = "2d"', 'wiki.timeout = "1m"', "more of this machine"),
    ('cache-size = "1k"', 'cache-size = "2GiB"', "cache that all projects share"),
    ('cache-size = "1024GiB"', "cache-size = 0", "cache that all projects share"),
    ('model = "/elsewhere"', 'model = "./model"', "outside the project"),
    ('model = "../elsewhere"', 'model = "some/name"', "outside the project"),
    ('wiki.path = ".git/hooks"', 'wiki.path = "wiki"', "outside the project"),
]


@pytest.mark.parametrize("reaching, harmless, reason", REACHING)
def test_a_value_decides(
    reaching: str,
    harmless: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command = cli.get_command(click.Context(cli), "run")
    assert command
    run = [one.setting for one in setting_options(command)]
    key = reaching.partition(" ")[0]
    for name, prefix in (
        ("codx-index.toml", ""),
        ("pyproject.toml", "tool.codx-index."),
    ):
        path = tmp_path / name
        path.write_text(prefix + harmless)
        resolve(run, {}, project_files(str(tmp_path)))
        path.write_text(prefix + reaching)
        files = project_files(str(tmp_path))
        said = f"{tmp_path}/{name}: {prefix}{key} .*{reason}.*--trust .*--no-trust"
        with pytest.raises(UsageError, match=said):
            resolve(run, {}, files)
        trusted = resolve(run, option_values({TRUST: True}), files)
        without = resolve(run, option_values({TRUST: False}), files)
        (setting,) = (one for one in run if one.name == key)
        assert trusted.found[setting].origin is Origin.FILE
        assert without.found[setting].origin is Origin.DEFAULT
        # What an option says is the user's own will.
        given = option_values({setting: setting.default})
        assert resolve(run, given, files)[setting] == setting.default
        path.unlink()


def test_a_collection_needs_trust_where_others_have_theirs(tmp_path: Path) -> None:
    (tmp_path / "codx-index.toml").write_text('collection = "mine"\n')
    files = project_files(str(tmp_path))
    assert resolve((TRUST, URI, COLLECTION), {}, files)[COLLECTION] == "mine"
    shared = option_values({URI: "http://localhost:19530"})
    with pytest.raises(UsageError, match="replace the index of another project"):
        resolve((TRUST, URI, COLLECTION), shared, files)
    left_out = {**shared, **option_values({TRUST: False})}
    assert resolve((TRUST, URI, COLLECTION), left_out, files)[COLLECTION] == ""


def test_secrets_of_a_clone(project: Project) -> None:
    """The settings of a clone do not have the user's own keys stored."""
    key = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzz" + "zzzzKEY1"
    project.write("codx-index.toml", 'secrets = "off"\ninclude-secrets = true\n')
    project.write(".env", f"AWS_SECRET_ACCESS_KEY={key}\n")
    line = assert_one_line(project.command("run", "--mode", "sparse"), 2)
    assert "secrets stores what should stay out of an index" in line
    assert not (project.root / ".codx").exists()
    project.run("--mode", "sparse", "--no-trust")
    assert key not in str([row["text"] for row in project.rows().values()])
