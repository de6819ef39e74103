"""Our entry in files of clients: put in and taken out, and nothing else touched."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_files import SECRET, as_json, samples_for
from conftest import COMMAND as SCRIPT

from indexer.clients import files, jsonc, toml
from indexer.clients.changes import Change
from indexer.clients.command import installed_command
from indexer.clients.entry import NAME, is_ours
from indexer.clients.pieces import put_in, take_out, without
from indexer.clients.programs import BY_NAME, Client, Machine
from indexer.clients.receipts import Receipts, load
from indexer.clients.server_file import ServerFile
from indexer.errors import ClientFileError

COMMAND = "/opt/codx/bin/codx-index"


@pytest.fixture
def receipts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Receipts]:
    """Reads the receipts, which lie in a folder of the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return load


def file_of(tmp_path: Path, client: Client, data: bytes | None) -> ServerFile:
    suffix = "config.toml" if client.is_toml else "config.json"
    path = tmp_path / "home" / "deep" / suffix
    shutil.rmtree(tmp_path / "home", ignore_errors=True)
    if data is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return ServerFile(client, str(path), False)


def value_of(client: Client, path: str) -> Any:
    """What a strict reader finds, once comments and trailing commas are gone."""
    text = Path(path).read_text("utf-8-sig")
    if client.is_toml:
        return tomllib.loads(text)
    string = r'"(?:[^"\\]|\\.)*"'
    text = re.sub(rf"({string})|//[^\n]*|/\*.*?\*/", r"\1", text, flags=re.S)
    text = re.sub(rf"({string})|,(?=\s*[}}\]])", r"\1", text)
    return json.loads(text) if text.strip() else {}


SHAPES = ("claude", "opencode", "codex")  # the others differ in names alone


@pytest.mark.parametrize("name", SHAPES)
def test_it_comes_and_goes(
    name: str, tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    client = BY_NAME[name]
    for data in samples_for(client).values():
        server = file_of(tmp_path, client, data)
        before = value_of(client, server.path) if data else {}
        change = server.with_entry(COMMAND, ["."], receipts())
        assert change and not change.is_by_hand
        assert SECRET not in "".join(change.lines)
        change.make(receipts())
        written = Path(server.path).read_bytes()
        after = value_of(client, server.path)
        entry = after[client.keys[0]].pop(NAME)
        assert is_ours(entry) and COMMAND in as_json(entry)
        assert entry.items() >= client.fields.items()
        if not after[client.keys[0]] and client.keys[0] not in before:
            del after[client.keys[0]]
        assert after == before
        if data and b"\n" in data:
            has_line_feeds = b"\n" in written.replace(b"\r\n", b"")
            assert has_line_feeds == (b"\r\n" not in data)
        # Again: nothing to do.
        assert server.with_entry(COMMAND, ["."], receipts()) is None
        gone = server.without_entry(receipts())
        assert gone and SECRET not in "".join(gone.lines)
        gone.make(receipts())
        if data is None:
            assert not (tmp_path / "home").exists()
        else:
            assert Path(server.path).read_bytes() == data
        assert server.without_entry(receipts()) is None
        assert receipts().found == {}


@pytest.mark.parametrize("name", SHAPES)
def test_it_goes_without_a_receipt_too(
    name: str, tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    """Then an object that was made for it may stay, and nothing else differs."""
    client = BY_NAME[name]
    key = client.keys[0]
    for sample, data in samples_for(client).items():
        server = file_of(tmp_path, client, data)
        before = value_of(client, server.path) if data else {}
        change = server.with_entry(COMMAND, ["."], receipts())
        assert change
        change.make(receipts())
        change = server.without_entry(Receipts(str(tmp_path / "none")))
        assert change
        change.make(receipts())
        left = value_of(client, server.path)
        assert left | {key: left.get(key) or {}} == before | {
            key: before.get(key) or {}
        }
        if data and sample.partition(",")[0] in {"usual", "commented", "one line"}:
            assert Path(server.path).read_bytes().rstrip() == data.rstrip()
        receipts().keep(os.path.realpath(server.path), None)


def test_what_others_change_meanwhile_stays(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    """As Claude Code does, which writes its file anew all the time."""
    client = BY_NAME["claude"]
    data = b'{\n  "numStartups": 1\n}\n'
    server = file_of(tmp_path, client, data)
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    change.make(receipts())
    value = value_of(client, server.path)
    value["numStartups"] = 2
    Path(server.path).write_text(json.dumps(value, indent=2) + "\n")
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    assert Path(server.path).read_bytes() == data.replace(b"1", b"2")


def test_a_file_that_was_made_is_kept_for_what_others_put_in(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    client = BY_NAME["cursor"]
    server = file_of(tmp_path, client, None)
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    change.make(receipts())
    value = value_of(client, server.path)
    value["mcpServers"]["other"] = {"command": "x"}
    Path(server.path).write_text(json.dumps(value))
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    assert value_of(client, server.path) == {"mcpServers": {"other": {"command": "x"}}}


# --- entries of ours and of others -----------------------------------------------------


def with_servers(tmp_path: Path, **servers: object) -> ServerFile:
    text = json.dumps({"mcpServers": servers}, indent=2)
    return file_of(tmp_path, BY_NAME["cursor"], text.encode())


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "npx", "args": ["codx-index-clone"]},
        {"url": "http://127.0.0.1:8765/mcp"},
        {"command": "codx-index", "args": ["search"]},
        "codx-index mcp",
    ],
)
def test_another_server_of_our_name_is_refused(
    entry: object, tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    server = with_servers(tmp_path, **{NAME: entry})
    with pytest.raises(ClientFileError, match="another server called codx-index"):
        server.with_entry(COMMAND, ["."], receipts())
    assert server.without_entry(receipts()) is None


def test_what_a_person_added_stays(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    words = ["mcp", "--no-refresh", "/home/me/a"]
    ours = {
        "command": COMMAND,
        "args": words,
        "env": {"CODX_INDEX_TOKEN": SECRET},
        "disabled": True,
    }
    server = with_servers(tmp_path, **{NAME: ours})
    assert server.with_entry(COMMAND, ["."], receipts()) is None
    assert server.with_entry(COMMAND, ["/home/me/a"], receipts()) is None
    change = server.with_entry(COMMAND, ["/home/me/b"], receipts())
    assert change and not change.is_by_hand  # because nothing is lost
    assert SECRET not in "".join(change.lines)
    change.make(receipts())
    found = value_of(BY_NAME["cursor"], server.path)["mcpServers"][NAME]
    assert found == {**ours, "args": [*words, "/home/me/b"]}


def test_a_command_by_hand_is_not_replaced_unasked(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    by_hand = {
        "command": "uvx",
        "args": ["--from", "codx-index[mcp]", NAME, "mcp", "."],
    }
    server = with_servers(tmp_path, **{NAME: by_hand})
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change and change.is_by_hand
    assert any(line.startswith("-") and "uvx" in line for line in change.lines)
    change.make(receipts())
    # What we wrote ourselves is no longer by hand, so another installation replaces it.
    change = server.with_entry("/elsewhere/codx-index", ["."], receipts())
    assert change and not change.is_by_hand
    change.make(receipts())
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    assert value_of(BY_NAME["cursor"], server.path) == {"mcpServers": {}}


def test_a_token_is_not_shown(tmp_path: Path, receipts: Callable[[], Receipts]) -> None:
    words = [
        "mcp",
        "--token",
        SECRET,
        f"--token={SECRET}",
        "--uri",
        f"http://u:{SECRET}@h",
    ]
    server = with_servers(tmp_path, **{NAME: {"command": "codx-index", "args": words}})
    change = server.without_entry(receipts())
    assert change and "--token" in "".join(change.lines)
    assert SECRET not in "".join(change.lines)


# --- files that stay as they are -------------------------------------------------------


@pytest.mark.parametrize(
    "client, data, said",
    [
        ("cursor", b"{", "is not JSON, as line 1 shows"),
        ("cursor", b'{"a": tru}', "is not JSON"),
        ("cursor", b"[]", "is not an object of JSON"),
        ("cursor", b"null", "is not an object of JSON"),
        (
            "cursor",
            b'{"mcpServers": []}',
            "something else than an object at 'mcpServers'",
        ),
        ("cursor", b'{"mcpServers": null}', "something else than an object"),
        ("cursor", b'{"mcpServers": {}, "mcpServers": {}}', 'has "mcpServers" twice'),
        ("cursor", b'{"mcpServers": {"codx-index": null}}', "has 'codx-index' already"),
        ("cursor", b"\xff\xfe{\0}\0", "is not in UTF-8"),
        ("cursor", b"[" * 100_000, "is nested too deeply"),
        ("codex", b"a = ", "is not TOML"),
        ("codex", b"mcp_servers = {}\n", "in a form that only a person can change"),
        ("codex", b"mcp_servers = 1\n", "in a form that only a person can change"),
    ],
)
def test_what_cannot_be_changed_is_named(
    client: str,
    data: bytes,
    said: str,
    tmp_path: Path,
    receipts: Callable[[], Receipts],
) -> None:
    server = file_of(tmp_path, BY_NAME[client], data)
    with pytest.raises(ClientFileError, match=re.escape(said)) as raised:
        server.with_entry(COMMAND, ["."], receipts())
    assert str(raised.value).startswith(server.path)
    assert "\n" not in str(raised.value)
    assert Path(server.path).read_bytes() == data


def test_a_folder_in_its_place_is_named(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    server = ServerFile(BY_NAME["cursor"], str(tmp_path), False)
    with pytest.raises(ClientFileError, match="is not a file"):
        server.with_entry(COMMAND, ["."], receipts())
    (tmp_path / "file").write_text("")
    server = ServerFile(BY_NAME["cursor"], str(tmp_path / "file" / "x.json"), False)
    with pytest.raises(ClientFileError, match="cannot be used: Not a directory"):
        server.with_entry(COMMAND, ["."], receipts())


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {"/a": {}}}', '{"files": []}'])
def test_receipts_that_cannot_be_read_count_as_none(
    text: str, tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    folder = tmp_path / "state" / "codx-index"
    folder.mkdir(parents=True)
    (folder / "clients.json").write_text(text)
    assert receipts().found == {}
    server = file_of(tmp_path, BY_NAME["cursor"], b"{}")
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    change.make(receipts())
    assert [*receipts().found] == [os.path.realpath(server.path)]


def test_the_link_that_leads_to_our_command_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pipx and uv make one, outside of the environment that they make anew."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed_command() == SCRIPT
    (tmp_path / NAME).symlink_to(SCRIPT)
    assert installed_command() == str(tmp_path / NAME)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).write_text("#!/bin/sh\n")  # of another installation
    (tmp_path / NAME).chmod(0o755)
    assert installed_command() == SCRIPT


def test_an_inline_entry_of_toml_is_left_to_a_person(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    text = (
        b'mcp_servers = { codx-index = { command = "codx-index", args = ["mcp"] } }\n'
    )
    server = file_of(tmp_path, BY_NAME["codex"], text)
    with pytest.raises(ClientFileError, match="only a person can take out"):
        server.without_entry(receipts())


def test_tables_below_ours_go_too(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    ours = (
        '[mcp_servers."codx-index"]\ncommand = "codx-index"\nargs = ["mcp"]\n\n'
        '[mcp_servers.codx-index.env]\nCODX_INDEX_TOKEN = "t"\n'
    )
    text = f"a = 1\n\n{ours}\n# about the next one\n[mcp_servers.b]\ncommand = 'b'\n"
    server = file_of(tmp_path, BY_NAME["codex"], text.encode())
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    left = "a = 1\n\n# about the next one\n[mcp_servers.b]\ncommand = 'b'\n"
    assert Path(server.path).read_text() == left


def test_a_change_in_the_meantime_stops_it(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    server = file_of(tmp_path, BY_NAME["cursor"], b"{}")
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    Path(server.path).write_bytes(b'{"a": 1}')
    with pytest.raises(ClientFileError, match="changed in the meantime"):
        change.make(receipts())
    assert Path(server.path).read_bytes() == b'{"a": 1}'
    assert os.listdir(Path(server.path).parent) == ["config.json"]
    assert receipts().found == {}


def test_a_link_stays_one_and_the_mode_stays(
    tmp_path: Path, receipts: Callable[[], Receipts]
) -> None:
    dotfiles = tmp_path / "dotfiles"
    dotfiles.mkdir()
    kept = dotfiles / "cursor.json"
    kept.write_bytes(b"{}\n")
    kept.chmod(0o640)
    link = tmp_path / "mcp.json"
    link.symlink_to("dotfiles/cursor.json")
    server = ServerFile(BY_NAME["cursor"], str(link), False)
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    change.make(receipts())
    assert link.is_symlink() and NAME in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    assert link.is_symlink() and kept.read_bytes() == b"{}\n"


@pytest.mark.parametrize(
    "is_shared, file_mode, folder_mode", [(False, 0o600, 0o700), (True, 0o644, 0o755)]
)
def test_modes_of_what_is_made(
    is_shared: bool, file_mode: int, folder_mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "new" / "file.json"
    files.replace(str(path), None, b"{}", is_shared=is_shared)
    assert stat.S_IMODE(path.stat().st_mode) == file_mode
    assert stat.S_IMODE(path.parent.stat().st_mode) == folder_mode


def test_a_write_that_fails_leaves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, receipts: Callable[[], Receipts]
) -> None:
    server = file_of(tmp_path, BY_NAME["cursor"], b"{}")
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    with monkeypatch.context() as patch:

        def full(number: int) -> None:
            if "home" in os.readlink(f"/proc/self/fd/{number}"):
                raise OSError(28, "No space left on device")

        patch.setattr(os, "fsync", full)
        with pytest.raises(ClientFileError, match="No space left on device"):
            change.make(receipts())
    assert Path(server.path).read_bytes() == b"{}"
    assert os.listdir(Path(server.path).parent) == ["config.json"]


@pytest.mark.parametrize("data", [None, b"{}"])
def test_a_kill_in_the_middle_is_made_good(
    data: bytes | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    receipts: Callable[[], Receipts],
) -> None:
    """Between the receipt and the file."""
    server = file_of(tmp_path, BY_NAME["cursor"], data)
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Change, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            change.make(receipts())
    assert receipts().found
    assert server.without_entry(receipts()) is None
    server = file_of(tmp_path, BY_NAME["cursor"], b"{}")  # which is not ours
    change = server.with_entry(COMMAND, ["."], receipts())
    assert change
    change.make(receipts())
    change = server.without_entry(receipts())
    assert change
    change.make(receipts())
    assert Path(server.path).read_bytes() == b"{}"


# --- files that nobody thought of ------------------------------------------------------


def random_jsonc(rng: random.Random, depth: int = 0) -> str:
    """A value with random white space, comments and trailing commas."""
    kind = rng.choice(["atom", "object", "object", "array"] if depth < 3 else ["atom"])
    if kind == "atom" and depth:
        return rng.choice(
            [
                "1",
                "-2.5e3",
                "true",
                "null",
                '"a\\"b // c"',
                '"/* , */"',
                '"{["',
                '"é\\\\"',
            ]
        )
    opening, closing = "[]" if kind == "array" and depth else "{}"
    names = rng.sample(["a", "b", "c", "d", "mcpServers", "other"], rng.randint(0, 3))
    members = []
    for name in names:
        key = "" if opening == "[" else f'"{name}"{gap(rng)}:{gap(rng)}'
        inner = depth + 1
        value = random_jsonc(rng, inner)
        if name == "mcpServers" and opening == "{" and not value.startswith("{"):
            value = "{}"
        members.append(f"{gap(rng)}{key}{value}{gap(rng)}")
    comma = f",{gap(rng)}" if members and rng.random() < 0.3 else ""
    return f"{opening}{','.join(members)}{comma}{gap(rng)}{closing}"


def gap(rng: random.Random) -> str:
    spaces = ["", "", " ", "\n", "\n  ", "\r\n\t", " // x, }\n", "/* y, { */", "\n\n"]
    return rng.choice(spaces)


def test_any_json_with_comments() -> None:
    keys = ["mcpServers", NAME]
    entry = {"command": "codx-index", "args": ["mcp", "."]}
    for seed in range(300):
        rng = random.Random(seed)
        text = (gap(rng) + random_jsonc(rng) + gap(rng)).encode()
        before = jsonc.read(text)
        pieces = jsonc.added(text, keys, entry)
        after = put_in(text, pieces)
        value: Any = jsonc.read(after)
        assert value["mcpServers"].pop(NAME) == entry, seed
        is_new = "mcpServers" not in before
        if is_new:
            assert value.pop("mcpServers") == {}, seed
        assert as_json(value) == as_json(before), seed
        assert take_out(after, pieces) == text, seed
        left = without(after, jsonc.taken_out(after, keys, int(is_new)))
        value = jsonc.read(left)
        if is_new and "mcpServers" in value:  # with a comment in it
            assert value.pop("mcpServers") == {}, seed
        assert as_json(value) == as_json(before), seed
        comments = re.findall(rb"// x, }|/\* y, { \*/", text)
        assert re.findall(rb"// x, }|/\* y, { \*/", left) == comments, seed


def random_toml(rng: random.Random) -> str:
    parts = []
    for number in range(rng.randint(0, 4)):
        header = rng.choice(["[t{}]", "[mcp_servers.s{}]", "[[list{}]]", "['q {}'.x]"])
        lines = [header.format(number)]
        lines += rng.sample(
            [
                "a = 1",
                "b = 'x' # why",
                'c = ["""\n[no.table]\n""", 2]',
                "# only",
                "",
                "d.e = {f = 1}",
            ],
            rng.randint(0, 4),
        )
        parts += [*lines, *rng.choice([[], [""], ["# between"]])]
    end = rng.choice(["\n", "\r\n"])
    return end.join(parts) + rng.choice(["", end])


def test_any_toml() -> None:
    keys = ["mcp_servers", NAME]
    entry = {"command": 'a "b" \\ \x7f é', "args": ["mcp", "."]}
    for seed in range(150):
        text = random_toml(random.Random(seed)).encode()
        before = toml.read(text)
        pieces = toml.added(text, keys, entry)
        after = put_in(text, pieces)
        value: Any = toml.read(after)
        assert value["mcp_servers"].pop(NAME) == entry, seed
        assert take_out(after, pieces) == text, seed
        left = without(after, toml.taken_out(after, keys, 1))
        assert toml.read(left) == before, seed
        assert left.rstrip() == text.rstrip(), seed


# --- where files lie -------------------------------------------------------------------


@pytest.mark.parametrize(
    "platform, environ, name, path",
    [
        ("linux", {}, "vscode", "/h/.config/Code/User/mcp.json"),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "vscode", "/x/Code/User/mcp.json"),
        ("linux", {"XDG_CONFIG_HOME": ""}, "zed", "/h/.config/zed/settings.json"),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "opencode", "/x/opencode/opencode.json"),
        ("linux", {}, "claude-desktop", "/h/.config/Claude/claude_desktop_config.json"),
        ("linux", {"CODEX_HOME": "/c"}, "codex", "/c/config.toml"),
        ("linux", {"CLAUDE_CONFIG_DIR": "/c"}, "claude", "/c/.claude.json"),
        ("linux", {}, "claude", "/h/.claude.json"),
        ("linux", {"COPILOT_HOME": "/c"}, "copilot", "/c/mcp-config.json"),
        ("darwin", {}, "vscode", "/h/Library/Application Support/Code/User/mcp.json"),
        ("darwin", {"XDG_CONFIG_HOME": "/x"}, "zed", "/x/zed/settings.json"),
        ("win32", {"APPDATA": "/a"}, "vscode", "/a/Code/User/mcp.json"),
        ("win32", {"APPDATA": "/a"}, "zed", "/a/Zed/settings.json"),
        ("win32", {}, "vscode", "/h/AppData/Roaming/Code/User/mcp.json"),
    ],
)
def test_where_a_client_keeps_its_settings(
    platform: str, environ: dict[str, str], name: str, path: str
) -> None:
    machine = Machine("/h", platform, environ)
    assert machine.paths(BY_NAME[name].user)[0] == path


def test_a_client_is_found_by_its_folder_or_its_program(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path), "linux", {"PATH": str(tmp_path / "bin")})
    assert not any(client.is_on(machine) for client in BY_NAME.values())
    (tmp_path / ".cursor").mkdir()
    assert BY_NAME["cursor"].is_on(machine)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "codex").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "codex").chmod(0o755)
    assert BY_NAME["codex"].is_on(machine)
