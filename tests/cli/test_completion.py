"""Completion: what shells are answered, and what they make of it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import time
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem, ShellComplete
from conftest import COMMAND, TIMEOUT, Project

from indexer.cli.completion import SHELLS
from indexer.cli.main import COMPLETION, PROGRAM, cli
from indexer.cli.shells import Bash, Fish, Zsh

# What is typed before the text that completes it, and what to press for that.
STARTS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$({} completion bash)"'),
    "zsh": (
        ["zsh", "-f", "-i"],
        'autoload -Uz compinit; compinit -u; eval "$({} completion zsh)"',
    ),
    "fish": (["fish", "--no-config", "-i"], "{} completion fish | source"),
}


def answers(shell: type[ShellComplete], *words: str) -> list[CompletionItem]:
    """What the last of the words may become."""
    made = shell(cli, {}, PROGRAM, COMPLETION)
    return made.get_completions(list(words[:-1]), words[-1])


def values(shell: type[ShellComplete], *words: str) -> list[str]:
    return [item.value for item in answers(shell, *words)]


def test_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert values(Fish, "sea") == ["search"]
    assert values(Fish, "cache", "ex") == ["export"]
    assert values(Fish, "search", "--mode", "s") == ["sparse"]
    assert values(Fish, "search", "-t", "py") == ["python"]
    assert values(Fish, "run", "--executor", "") == ["process", "thread", "serial"]
    assert "--ignore-case" in values(Fish, "search", "words", "--ign")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("clear", "x"), "dir"),
        (("run-all", "x"), "dir"),
        (("run", "x"), "file"),
        (("run", "--cache-dir", "x"), "dir"),
        (("run", "--trace", "x"), "file"),
        (("search", "words", "--like", "x"), "file"),
        (("search", "words", "--path", "x"), "file"),
    ],
)
def test_folders_and_files(words: tuple[str, ...], kind: str) -> None:
    assert [item.type for item in answers(Bash, *words)] == [kind]


def test_a_value_that_is_joined_to_its_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """bash puts the answer behind the =, the others in the place of the whole word."""
    for shell in (Zsh, Fish):
        assert values(shell, "search", "--mode=s") == ["--mode=sparse"]
    for typed in ("--mode = s", "--mode ="):
        monkeypatch.setenv("COMP_WORDS", f"codx-index search {typed}")
        monkeypatch.setenv("COMP_CWORD", str(1 + len(typed.split())))
        made = Bash(cli, {}, PROGRAM, COMPLETION)
        args, incomplete = made.get_completion_args()
        found = [item.value for item in made.get_completions(args, incomplete)]
        assert "sparse" in found and "--mode" not in found


def test_a_line_that_is_being_typed_is_no_mistake(project: Project) -> None:
    project.write("codx-index.toml", "model = ")  # which no command reads
    project.environment |= {
        COMPLETION: "bash_complete",
        "COMP_WORDS": "codx-index search words no/such --changed --gr",
        "COMP_CWORD": "5",
    }
    done = project.installed.command()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "plain,--grep"


@pytest.mark.parametrize("shell", SHELLS)
def test_in_the_shell_itself(shell: str, tmp_path: Path) -> None:
    arguments, setup = STARTS[shell]
    if not (program := shutil.which(shell)):
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "folder").mkdir()
    process, terminal = pty.fork()
    if not process:
        variables = {"HOME": str(tmp_path), "TERM": "dumb", "INPUTRC": os.devnull}
        variables["PATH"] = f"{os.path.dirname(COMMAND)}:{os.environ['PATH']}"
        os.chdir(tmp_path)
        os.execve(program, arguments, variables)
    try:
        ask(terminal, f"{setup.format(PROGRAM)}; echo rea''dy\n", "ready")
        ask(terminal, f"{PROGRAM} sea\t", f"{PROGRAM} search ")
        ask(terminal, "--mode=s\t", "--mode=sparse")
        ask(terminal, "--cache-dir f\t", "folder/")
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def ask(terminal: int, typed: str, expected: str) -> None:
    """Type something, and wait until the terminal shows what it becomes."""
    os.write(terminal, typed.encode())
    shown, end = b"", time.monotonic() + TIMEOUT
    while expected.encode() not in shown:
        ready, _, _ = select.select([terminal], [], [], end - time.monotonic())
        assert ready, shown
        shown += os.read(terminal, 4096)
