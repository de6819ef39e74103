"""`codx-index install` and `uninstall`, the skill, and their page docs/how-to/agents.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from conftest import COMMAND, Project, assert_one_line
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp_client import Client
from terminals import at_a_terminal

from indexer.clients.programs import BY_NAME, CLIENTS, Machine
from indexer.clients.skill_file import skill_text

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "agents.md").read_text(encoding="utf-8")
SKILL = skill_text().decode()
OTHER = b'{\n  "mcpServers": {\n    "other": {"env": {"TOKEN": "ghp_secret"}}\n  }\n}\n'


@pytest.fixture
def home(project: Project, tmp_path: Path) -> Path:
    """A home without a client, and no other folder of settings."""
    folder = tmp_path / "home"
    folder.mkdir()
    project.environment |= {
        "HOME": str(folder),
        "PATH": f"{os.path.dirname(COMMAND)}:/usr/bin:/bin",
        **{
            name: ""
            for name in (
                *("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CODEX_HOME", "COPILOT_HOME"),
                *("CLAUDE_CONFIG_DIR", "APPDATA"),
            )
        },
    }
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder, but for git's."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if ".git" not in path.parts and ".local" not in path.parts
    }


# --- the commands ----------------------------------------------------------------------


@pytest.mark.parametrize("scope", [[], ["--project"]])
def test_all_clients_and_back(scope: list[str], project: Project, home: Path) -> None:
    names = [one.name for one in CLIENTS if one.project or not scope]
    place = project.root if scope else home
    before = contents(place)
    done = project.command("install", *names, *scope, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    for client in (BY_NAME[name] for name in names):
        machine = Machine(str(home), "linux", {})
        files = [str(place / one) for one in client.project]
        path, *_ = files if scope else machine.paths(client.user)
        entry = entry_in(Path(path), client.keys[0])
        program, *words = command_line(entry)
        assert program == ("codx-index" if scope else COMMAND)
        assert words[0] == "mcp" and len(words) == 2
        assert words[1] in {".", "${workspaceFolder}", str(project.root)}
        assert f"wrote {path}" in done.stdout
    again = project.command("install", *names, *scope, "--yes")
    assert again.stdout == "".join(f"{name}: nothing to do\n" for name in names)
    done = project.command("uninstall", *scope, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(place) == before
    done = project.command("uninstall", *scope, "--yes")
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")


def entry_in(path: Path, key: str) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    found: dict[str, Any] = value[key]["codx-index"]
    return found


def command_line(entry: dict[str, Any]) -> list[str]:
    command = entry["command"]
    return command if isinstance(command, list) else [command, *entry["args"]]


def test_without_a_terminal_nothing_is_written(project: Project, home: Path) -> None:
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_bytes(OTHER)
    before = contents(home)
    done = project.command("install", "cursor")
    assert "nobody can be asked here: --yes" in assert_one_line_on_stderr(done, 2)
    assert '+   "codx-index": {' in done.stdout and "ghp_secret" not in done.stdout
    dry = project.command("install", "cursor", "--dry-run")
    assert (dry.returncode, dry.stdout, dry.stderr) == (0, done.stdout, "")
    assert contents(home) == before and not (home / ".local").exists()


def assert_one_line_on_stderr(done: Any, code: int) -> str:
    assert done.returncode == code
    assert done.stderr.count("\n") == 1, done.stderr
    return str(done.stderr)


@pytest.mark.parametrize("answer, code", [("y\n", 0), ("n\n", 1)])
def test_a_person_is_asked(
    answer: str, code: int, project: Project, home: Path
) -> None:
    found, text = at_a_terminal(project, "install", "cursor", answer=answer)
    assert found == code, text
    assert "Change 2 files of Cursor?" in text
    assert (home / ".cursor" / "mcp.json").exists() == (code == 0)


def test_a_bad_file_stays_and_the_others_are_done(project: Project, home: Path) -> None:
    (home / ".cursor").mkdir()
    (home / ".cursor" / "mcp.json").write_text('{"a": ')
    done = project.command("install", "cursor", "gemini", "--yes", "--only", "mcp")
    line = assert_one_line_on_stderr(done, 1)
    assert f"{home}/.cursor/mcp.json is not JSON, as line 1 shows" in line
    assert (home / ".cursor" / "mcp.json").read_text() == '{"a": '
    assert (home / ".gemini" / "settings.json").exists()
    listed = project.command("install", "--list").stdout
    states = dict(line.split()[:2] for line in listed.splitlines())
    assert states["cursor"] == "unreadable" and states["gemini"] == "installed"
    assert states["zed"] == "-" and len(states) == len(CLIENTS)


def test_what_somebody_changed_stays_unless_forced(
    project: Project, home: Path
) -> None:
    project.command("install", "cursor", "--yes")
    file = home / ".cursor" / "mcp.json"
    file.write_text(file.read_text().replace(COMMAND, "/my/wrapper/codx-index"))
    skill = home / ".agents" / "skills" / "codx-index" / "SKILL.md"
    skill.write_text("mine\n")
    before = contents(home)
    done = project.command("install", "cursor", "--yes")
    assert done.returncode == 1 and contents(home) == before
    assert done.stderr.count("changed by hand") == 2 == done.stderr.count("\n")
    done = project.command("uninstall", "cursor", "--yes", "--only", "skill")
    assert "changed by hand" in assert_one_line_on_stderr(done, 1)
    assert skill.read_text() == "mine\n"
    done = project.command("install", "cursor", "--yes", "--force")
    assert done.returncode == 0 and "- mine" in done.stdout.replace("-mine", "- mine")
    assert COMMAND in file.read_text() and skill.read_text() == SKILL


def test_a_skill_stays_for_the_last_client_that_reads_it(
    project: Project, home: Path
) -> None:
    project.command("install", "codex", "zed", "--yes", "--only", "skill")
    skill = home / ".agents" / "skills" / "codx-index" / "SKILL.md"
    project.command("uninstall", "codex", "--yes")
    assert skill.exists()
    project.command("uninstall", "zed", "--yes")
    assert contents(home) == {}


def test_an_older_skill_is_brought_up_to_date(project: Project, home: Path) -> None:
    project.command("install", "zed", "--yes", "--only", "skill")
    skill = home / ".agents" / "skills" / "codx-index" / "SKILL.md"
    state = home / ".local" / "state" / "codx-index" / "clients.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    from indexer.clients.receipts import digest

    known = state.read_text()
    state.write_text(known.replace(digest(SKILL.encode()), digest(b"older\n")))
    skill.write_text("older\n")
    done = project.command("install", "zed", "--yes", "--only", "skill")
    assert done.returncode == 0 and skill.read_text() == SKILL


def test_a_client_that_starts_servers_anywhere_is_told_the_project(
    project: Project, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "nowhere").mkdir()
    done = project.command("install", "zed", "--yes", folder=tmp_path / "nowhere")
    assert "nothing marks the current folder" in assert_one_line(done, 2)
    project.command("install", "zed", "--yes")
    other = tmp_path / "other"
    other.mkdir()
    where = tmp_path / "nowhere"
    project.command("install", "zed", "--yes", "--serve", "../other", folder=where)
    entry = entry_in(home / ".config" / "zed" / "settings.json", "context_servers")
    assert entry["args"] == ["mcp", str(project.root), str(other)]
    project.command("uninstall", "zed", "--yes")
    assert contents(home) == {}


def test_found_clients_are_meant_without_a_name(project: Project, home: Path) -> None:
    done = project.command("install", "--yes")
    assert "no client was found here" in assert_one_line(done, 2)
    (home / ".gemini").mkdir()
    (home / ".gemini" / "settings.json").write_text("{}")
    (home / ".config" / "Claude").mkdir(parents=True)
    done = project.command("install", "--yes", folder=home)
    # One of the two cannot be told which project it is about.
    assert "claude-desktop: nothing marks" in assert_one_line_on_stderr(done, 1)
    assert "wrote" in done.stdout
    assert json.loads((home / ".gemini" / "settings.json").read_text())["mcpServers"]


def test_wrong_usage(project: Project, home: Path, tmp_path: Path) -> None:
    done = project.command("install", "zed", "--project")
    assert "Zed has no file in a project" in assert_one_line(done, 2)
    done = project.command("install", "emacs")
    assert "'emacs' is not one of" in assert_one_line(done, 2)
    done = project.command("install", "claude", "--project", "--serve", ".")
    assert "--serve" in assert_one_line(done, 2)
    done = project.command("install", "claude", "--serve", "no/such")
    assert "there is no folder no/such" in assert_one_line(done, 2)
    done = project.command("install", "claude", "--project", folder=tmp_path)
    assert "nothing marks the current folder" in assert_one_line(done, 2)
    project.environment["HOME"] = ""
    done = project.command("install", "claude", "--yes")
    assert "not known where your home folder is" in assert_one_line(done, 2)


# --- the real client of the protocol ---------------------------------------------------


@pytest.fixture
def indexed(project: Project) -> Project:
    project.environment |= {
        "CODX_INDEX_MODE": "sparse",
        "CODX_INDEX_EXECUTOR": "serial",
    }
    project.write("src/app.py", "def retry_payment(attempts):\n    return attempts\n")
    project.write("config.py", "def parse_configuration(text):\n    return text\n")
    project.git("add", ".")
    project.git("commit", "-qm", "one")
    project.run()
    return project


def test_what_was_written_starts_and_answers(indexed: Project, home: Path) -> None:
    indexed.command("install", "claude-desktop", "--yes")
    path = home / ".config" / "Claude" / "claude_desktop_config.json"
    program, *arguments = command_line(entry_in(path, "mcpServers"))
    parameters = StdioServerParameters(
        command=program,
        args=arguments,
        cwd="/",  # wherever a program of the desktop is
        env={
            "CODX_INDEX_CACHE_DIR": str(indexed.cache_dir),
            "CODX_INDEX_MODE": "sparse",
        },
    )
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(stdio_client(parameters)) as streams,
        portal.wrap_async_context_manager(ClientSession(*streams)) as session,
    ):
        client = Client(portal.call, session, portal.call(session.initialize))
        assert client.search("retry_payment").paths == ["src/app.py"]


# --- the skill -------------------------------------------------------------------------


def test_the_form_of_the_skill() -> None:
    """As agentskills.io has it."""
    assert len(SKILL.splitlines()) < 100
    found = re.match(r"---\nname: (.*)\ndescription: (.*)\n---\n", SKILL)
    assert found and found[1] == "codx-index" and len(found[2]) <= 1024
    assert ": " not in found[2]  # it would need quotes in YAML


def commands_in(text: str) -> Iterator[list[str]]:
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            yield shlex.split(line, comments=True)


def test_each_command_of_the_skill_runs(indexed: Project) -> None:
    commands = [*commands_in(SKILL)]
    assert len(commands) == 10
    for program, *arguments in commands:
        assert program == "codx-index"
        done = indexed.command(*arguments)
        # Some of the questions find nothing here.
        assert done.returncode == 0 or "no hits" in done.stderr, (
            arguments,
            done.stderr,
        )
    hit = indexed.command("search", "retry_payment").stdout.splitlines()[0]
    shape = re.compile(r"[^:]+:\d+:.*")
    (example,) = re.findall(r"^```\n(.*)\n```", SKILL, re.M)
    assert shape.fullmatch(hit) and shape.fullmatch(example)


# --- the page --------------------------------------------------------------------------


def test_each_command_of_the_page_runs(project: Project, home: Path) -> None:
    (home / ".cursor").mkdir()
    commands = [*commands_in(PAGE)]
    named = re.findall(r"`(codx-index (?:un)?install [a-z-]+)`", PAGE)
    commands += [shlex.split(one) for one in named]
    assert len(commands) > 18
    assert {one for line in commands for one in line if one in BY_NAME} == {*BY_NAME}
    for _, *arguments in commands:
        is_quiet = {"--yes", "--dry-run", "--list"} & {*arguments}
        done = project.command(*arguments, *([] if is_quiet else ["--yes"]))
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_what_the_page_shows_is_what_is_written(project: Project, home: Path) -> None:
    sections = re.split(r"^### ", PAGE.partition("\n## Clients")[2], flags=re.M)[1:]
    shown_for = set()
    for section in sections:
        names = re.findall(r"codx-index install ([\w-]+)`", section)
        for language, text in re.findall(r"^```(\w+)\n(.*?)^```", section, re.M | re.S):
            for name in names:
                client = BY_NAME[name]
                project.command("install", name, "--yes")
                path, *_ = Machine(str(home), "linux", {}).paths(client.user)
                loads = json.loads if language == "json" else tomllib.loads
                written = Path(path).read_text(encoding="utf-8")
                written = written.replace(COMMAND, "/home/me/.local/bin/codx-index")
                written = written.replace(str(project.root), "/home/me/src/shop")
                assert loads(text) == loads(written), name
                (told,) = [one for one in (path.replace(str(home), "~"),)]
                assert os.path.basename(told) in section, name
                assert all(one in section for one in client.project[:1]), name
                shown_for.add(name)
    assert shown_for == {*BY_NAME}


def test_the_example_at_the_start_is_true(project: Project, home: Path) -> None:
    done = project.command("install", "claude", "--dry-run")
    text = done.stdout.replace(str(home), "/home/me")
    text = text.replace(COMMAND, "/home/me/.local/bin/codx-index")
    assert text in PAGE
