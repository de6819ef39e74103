"""The ways to start it, and their help."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import COMMAND, Project, only_slow, python_text

from indexer import __version__
from indexer.cli.main import COMMANDS, cli

CHECKOUT = Path(__file__).parents[2]
LAUNCHERS = {
    "codx-index": [COMMAND],
    "cli.py": [sys.executable, str(CHECKOUT / "cli.py")],
    "python -m indexer": [sys.executable, "-m", "indexer"],
}
HEAVY = ["torch", "openvino", "pymilvus", "transformers", "sentence_transformers"]
HEAVY += ["tokenizers", "tree_sitter", "numpy", "multiprocessing", "sqlite3", "tqdm"]


def launch(
    launcher: str, project: Project, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return project.launch(*LAUNCHERS[launcher], *arguments)


@pytest.mark.parametrize("other", ["cli.py", *only_slow("python -m indexer")])
def test_every_launcher_gives_the_same_report(other: str, project: Project) -> None:
    """With processes: spawn imports the main module again, whatever it is."""
    for number in range(3):
        project.write(f"{number}.py", python_text(number, 150))
    assert sum(path.stat().st_size for path in project.root.glob("*.py")) > 100 * 1024
    reports = []
    for launcher in ("codx-index", other):
        shutil.rmtree(project.root / ".codx", ignore_errors=True)
        done = launch(launcher, project, "run", "-j", "2", "--mode", "sparse", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        report: dict[str, Any] = json.loads(done.stdout)
        del report["seconds"]
        reports.append(report)
    assert reports[0] == reports[1]
    assert reports[0]["files"]["added"] == 3


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_version(launcher: str, project: Project) -> None:
    done = launch(launcher, project, "--version")
    assert (done.returncode, done.stdout) == (0, f"codx-index, version {__version__}\n")


def command_named(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found
    return found


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(flag: str, command: str, project: Project) -> None:
    done = project.command(*command.split(), flag)
    assert (done.returncode, done.stderr) == (0, "")
    shown = command_named(command) if command else cli
    assert f"Usage: codx-index {command}".rstrip() in done.stdout
    for parameter in shown.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            assert all(name in done.stdout for name in parameter.opts)
    if not command:
        assert all(name in done.stdout for name in COMMANDS)


def test_no_command_shows_the_help(project: Project) -> None:
    done = project.command()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == project.command("--help").stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_little(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom indexer.cli.main import main\ntry:\n    main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert not set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("limit", [30, 60, 200])
def test_the_list_of_commands_says_what_each_one_says(command: str, limit: int) -> None:
    _, about = COMMANDS[command]
    listed = click.Command(command, help=about).get_short_help_str(limit)
    assert listed == command_named(command).get_short_help_str(limit)
