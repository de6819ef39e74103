"""No command shows or keeps a password, and none prints what a terminal obeys."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Project, start, wait_for
from milvus_server import served

SPARSE = ("--mode", "sparse")
SECRET = "s3cr3t-word"


def kept_in(folder: Path, word: str = SECRET) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers; there is no need to ask four times."""
    monkeypatch.setattr("indexer.milvus.remote.CONNECT_ATTEMPTS", 1)
    monkeypatch.setattr("indexer.milvus.remote.CONNECT_TIMEOUT", 0.2)


@pytest.mark.parametrize(
    "uri, shown",
    [
        (f"http://someone:{SECRET}@127.0.0.1:1", "http://someone:***@127.0.0.1:1"),
        (f"tcp://127.0.0.1:1?token={SECRET}", "tcp://127.0.0.1:1?token=***"),
        (f"ftp://someone:{SECRET}@127.0.0.1", "ftp://someone:***@127.0.0.1"),
    ],
)
def test_no_command_shows_the_password(
    uri: str, shown: str, project: Project, tmp_path: Path, quick: None
) -> None:
    """Neither the outputs, nor any file of the project, nor what is sent."""
    project.write("a.py", "x = 1\n")
    project.environment |= {"CODX_INDEX_URI": uri, "CODX_INDEX_TOKEN": f"me:{SECRET}"}
    summary = tmp_path / "summary.md"
    project.environment["GITHUB_STEP_SUMMARY"] = str(summary)
    outlets = ("--events", "events.jsonl", "--metrics", "m.prom")
    said = ""
    for command in (
        ["run", *SPARSE, *outlets, "-vv"],
        ["run", *SPARSE, "--json", "--trace", "trace.json"],
        ["run", *SPARSE, "--log-format", "json", "-v"],
        ["run", *SPARSE, "--dry-run"],
        ["status", *SPARSE, "-v"],
        ["verify", *SPARSE, "-v"],
        ["search", *SPARSE, "x", "-v"],
        ["search", *SPARSE, "x", "--json"],
        ["clear", "--yes", "-v"],
        ["run-all", *SPARSE, ".", "--json"],
        ["config", "show"],
        ["config", "show", "--json"],
        ["run", uri],
    ):
        if command[0] == "run-all":
            project.write("codx-index.toml", "")
        done = project.command(*command)
        said += done.stdout + done.stderr
    assert shown in said and SECRET not in said
    project.environment["CODX_INDEX_URI"] = ""
    (project.root / "codx-index.toml").write_text(f'uri = "{uri}"\n')
    for flags in (["run", *SPARSE, "--trust"], ["run", *SPARSE], ["config", "show"]):
        done = project.command(*flags)
        assert SECRET not in done.stdout + done.stderr
    (project.root / "codx-index.toml").write_text(f'uri = ["{uri}"]\n')
    done = project.command("run", *SPARSE, "--trust")
    assert done.returncode == 2 and SECRET not in done.stderr
    (project.root / "codx-index.toml").unlink()
    assert not kept_in(project.root) and not kept_in(project.cache_dir)
    assert SECRET not in (summary.read_text() if summary.exists() else "")


def test_config_show_masks_other_secrets(project: Project) -> None:
    project.write(
        "codx-index.toml",
        f"""\
webhook = "https://me:{SECRET}@hooks.example.org/services/T0/{SECRET}"
[mentions]
command = ["ask", "--token", "{SECRET}", "--api-key={SECRET}", "-H", "Authorization: Bearer {SECRET}", "--fast"]
[wiki]
command = "curl https://me:{SECRET}@host -d password={SECRET}"
""",
    )
    for given in ([], ["--json"]):
        done = project.command("config", "show", *given)
        assert done.returncode == 0 and SECRET not in done.stdout
    shown = json.loads(done.stdout)["settings"]
    assert shown["webhook"]["value"] == "https://hooks.example.org/***"
    assert shown["mentions-command"]["value"] == [
        *("ask", "--token", "***", "--api-key=***", "-H", "Authorization: ***"),
        "--fast",
    ]
    assert shown["wiki-command"]["value"] == [
        *("curl", "https://me:***@host", "-d", "password=***")
    ]


def test_the_list_of_processes_has_none(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    uri = f"http://me:{SECRET}@127.0.0.1:1"
    process = start(
        project,
        *("mcp", "--uri", uri, f"--uri={uri}", f"--token={SECRET}", "--token", SECRET),
    )
    try:
        line = Path(f"/proc/{process.pid}/cmdline")
        if not line.exists():
            pytest.skip("no /proc")
        wait_for(lambda: process.poll() is not None or b"***" in line.read_bytes())
        assert process.poll() is not None or SECRET.encode() not in line.read_bytes()
    finally:
        process.kill()
        process.communicate()


def test_commands_of_the_user_do_not_get_them(project: Project) -> None:
    project.write("m.py", "# @codx: what\n")
    project.write("hook", "#!/bin/sh\nenv > seen\n").chmod(0o755)
    project.environment |= {
        "CODX_INDEX_TOKEN": SECRET,
        "CODX_INDEX_WEBHOOK": f"http://127.0.0.1:1/{SECRET}",
        "CODX_INDEX_WEBHOOK_SECRET": SECRET,
    }
    project.run(*SPARSE, "--mentions-command", str(project.root / "hook"))
    seen = (project.root / "seen").read_text()
    assert "CODX_INDEX_CACHE_DIR" in seen and SECRET not in seen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "served") as (uri, _):
        yield uri


def test_an_index_on_a_server_keeps_no_password(server: str, project: Project) -> None:
    """What an earlier version kept goes with the next run; a place without one stays believed."""
    project.write("a.py", "x = 1\n")
    secret = server.replace("//", f"//me:{SECRET}@")
    given = [*SPARSE, "--collection", "shared", "--uri"]
    project.run(*given, secret)
    manifest = project.root / ".codx/index/manifest.sqlite"
    assert not kept_in(project.root)
    assert project.run(*given, secret)["status"] == "unchanged"
    assert project.command("status", *given, secret, "--check").returncode == 0
    # The password does not tell indexes apart; the user and the server do.
    other = server.replace("//", "//me:another@")
    assert project.command("status", *given, other, "--check").returncode == 0
    other = server.replace("//", "//you:another@")
    assert project.command("status", *given, other, "--check").returncode == 1
    with closing(sqlite3.connect(manifest)) as db, db:
        db.execute(
            "UPDATE meta SET value = ? WHERE key = 'place'", (f"{secret} shared",)
        )
    assert kept_in(project.root)
    report = project.run(*given, secret)
    assert report["chunks"]["embedded"] == report["chunks"]["upserted"] == 0
    assert not kept_in(project.root)


# What a terminal obeys

CONTROLS = "\x9b31m\x85\u202e\u2066\u2028\x7f"


def has_controls(text: str) -> bool:
    return any(char in text for char in CONTROLS.replace("31m", "") + "\x1b")


@pytest.fixture
def hostile(project: Project) -> Project:
    """Names and texts with characters that a terminal obeys."""
    project.write(
        f"n\x1b[2J{CONTROLS}.py", f"# banana {CONTROLS} \x1b]0;title\x07 kiwi\n"
    )
    project.write("plain.py", "# banana ünïcödé\u00a0x\n")
    return project


def test_no_output_has_a_control_character(hostile: Project) -> None:
    outlets = ("--events", "../events.jsonl", "--metrics", "../m.prom")
    name = f"bad\x9b{CONTROLS}"
    said = ""
    for command in (
        ["run", *SPARSE, "--dry-run"],
        ["run", *SPARSE, "--dry-run", "--json"],
        ["run", *SPARSE, *outlets, "-vv", "--wiki", "--profile", "--json"],
        ["run", *SPARSE, "-vv", "--log-format", "json", "--force", "--profile"],
        ["status", *SPARSE],
        ["status", *SPARSE, "--json"],
        ["search", *SPARSE, "banana", "--explain", "-C", "3"],
        ["search", *SPARSE, "banana", "--json"],
        ["verify", *SPARSE, "--json"],
        ["run", name],
        ["run", "--file", name],
        ["run", "--model", f"./{name}"],
        ["run", "--mode", name],
        ["run", "--jobs", name, "--json"],
        ["search", *SPARSE, name, "--language", name],
        ["search", *SPARSE, "--like", name],
        ["run", "--uri", name, "--json"],
        ["run", "--collection", name, "-v"],
        [name],
        [f"--{name}"],
        ["config", "show"],
        ["config", "show", "--json"],
    ):
        done = hostile.command(*command)
        said += done.stdout + done.stderr
        assert not has_controls(done.stdout + done.stderr), command
    assert "\\u009b" in said and "ünïcödé\u00a0x" in said
    for path in (hostile.root.parent / "events.jsonl", hostile.root.parent / "m.prom"):
        assert path.exists() and not has_controls(path.read_text())
    for path in (hostile.root / ".codx/wiki").rglob("*.md"):
        assert not has_controls(path.read_text())
    found = json.loads(hostile.command("search", *SPARSE, "kiwi", "--json").stdout)
    assert CONTROLS in found["hits"][0]["text"] and CONTROLS in found["hits"][0]["path"]


def test_json_of_ordinary_text_is_as_it_was(project: Project) -> None:
    from indexer.cli.texts import json_text, with_controls, without_controls

    value = {"a": ['ünïcödé \u00a0\t\n\x1b"\\ 日本 👩‍💻', 1.5, None]}
    assert json_text(value) == json.dumps(value, ensure_ascii=False)
    hard = {CONTROLS: CONTROLS + "\udc80"}
    assert json.loads(json_text(hard)) == hard
    assert json_text(hard).isascii()
    path = f"a\\\\u0041\\x80{CONTROLS}"
    assert with_controls(without_controls(path)) == path
    assert without_controls("a\tb\nc 👩‍💻") == "a\tb\nc 👩‍💻"


def test_answers_to_agents(hostile: Project) -> None:
    pytest.importorskip("mcp")
    from mcp_client import tools_of

    from indexer.cli.mcp_page import one_line
    from indexer.cli.mcp_tools import failed
    from indexer.settings.assembly import settings_for

    hostile.run(*SPARSE)
    with tools_of([settings_for(str(hostile.root), {})]) as tools:
        answers = [
            tools.search("banana", mode="sparse", context=2),
            tools.uses("banana"),
            tools.outline(),
            tools.outline(f"no {CONTROLS}"),
            tools.status(),
            failed(one_line(f"http://me:{SECRET}@host {CONTROLS}")),
        ]
    for answer in answers:
        text = json.dumps(answer.model_dump(mode="json"), ensure_ascii=False)
        assert not has_controls(json.dumps(json.loads(text), ensure_ascii=False))
        for block in answer.content:
            assert not has_controls(block.model_dump()["text"])
        assert SECRET not in text
