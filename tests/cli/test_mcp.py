"""`codx-index mcp`, driven by the client of the MCP SDK, and its page docs/mcp.md."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from conftest import COMMAND, TIMEOUT, Project, only_slow, project_in, start, wait_for
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.types import CallToolResult, InitializeResult, TextContent, Tool
from searched import TEXTS as SEARCHED_TEXTS

from indexer.cli.mcp import mcp as command
from indexer.search.answers import NO_GOOD_MATCH
from indexer.search.freshness import BEHIND

TEXTS = {
    **SEARCHED_TEXTS,
    "billing/tax.py": (
        "RATE = 19\n\n\ndef vat(net, rate=RATE):\n"
        '    """The value added tax on a net price."""\n'
        "    return net * rate / 100\n\n\n# Prices are net.\n"
    ),
    "odd\\name.py": "def unusual():\n    return 'a backslash in the name'\n",
}
OTHER_TEXTS = {
    "net/retry.py": "def backoff(attempt):\n    return 2**attempt  # seconds to wait\n",
    "harvest.py": "def pick_apples(tree):\n    return [a for a in tree if a.is_ripe]\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mcp")


def indexed_project(
    folder: Path, model_cache: Path, texts: Mapping[str, str]
) -> Project:
    made = project_in(folder, model_cache)
    for name, text in texts.items():
        made.write(name, text)
    made.run("--executor", "serial")
    return made


@pytest.fixture(scope="module")
def indexed(folder: Path, model_cache: Path) -> Project:
    return indexed_project(folder / "one", model_cache, TEXTS)


@pytest.fixture(scope="module")
def other(folder: Path, model_cache: Path) -> Project:
    return indexed_project(folder / "two", model_cache, OTHER_TEXTS)


class Client:
    """A session of the SDK's client, for tests that know no asyncio."""

    def __init__(
        self,
        call: Callable[..., Any],
        session: ClientSession,
        initialized: InitializeResult,
    ) -> None:
        self._call = call
        self._session = session
        self.initialized = initialized

    def tools(self) -> dict[str, Tool]:
        listed = self._call(self._session.list_tools)
        return {tool.name: tool for tool in listed.tools}

    def call(self, name: str, **arguments: Any) -> CallToolResult:
        found: CallToolResult = self._call(self._session.call_tool, name, arguments)
        return found

    def search(self, query: str, **arguments: Any) -> dict[str, Any]:
        return structure(self.call("search", query=query, **arguments))

    def error(self, name: str, **arguments: Any) -> str:
        """The one line of a call that fails."""
        result = self.call(name, **arguments)
        assert result.is_error and result.structured_content is None
        assert "\n" not in text_of(result)
        return text_of(result)


def text_of(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def structure(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error, text_of(result)
    found: dict[str, Any] | None = result.structured_content
    assert found is not None
    return found


def paths(found: dict[str, Any]) -> list[str]:
    return [str(hit["path"]) for hit in found["hits"]]


@contextmanager
def client(project: Project, *arguments: str, **variables: str) -> Iterator[Client]:
    """A client of a server of its own, which has nothing to say on stderr."""
    log = project.cache_dir / f"stderr-{time.monotonic_ns()}"
    parameters = StdioServerParameters(
        command=COMMAND,
        args=["mcp", *arguments],
        cwd=project.root,
        env={"CODX_INDEX_CACHE_DIR": str(project.cache_dir), **variables},
    )
    with (
        open(log, "w", encoding="utf-8") as errors,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(stdio_client(parameters, errors)) as streams,
        portal.wrap_async_context_manager(ClientSession(*streams)) as session,
    ):
        yield Client(portal.call, session, portal.call(session.initialize))
    assert log.read_text(encoding="utf-8") == ""


@pytest.fixture(scope="module")
def served(indexed: Project) -> Iterator[Client]:
    with client(indexed) as made:
        yield made


# --- the tools -------------------------------------------------------------------------


def test_what_it_says_of_itself(served: Client, indexed: Project) -> None:
    about = served.initialized
    assert about.server_info.name == "codx-index" and about.server_info.version
    assert about.instructions and str(indexed.root) in about.instructions
    tools = served.tools()
    assert tools.keys() == {"search", "similar", "status"}
    for tool in tools.values():
        assert tool.title and tool.description and "\n    " not in tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint and tool.annotations.idempotent_hint
        assert tool.annotations.open_world_hint is False
        assert tool.output_schema is not None
        for name, schema in tool.input_schema["properties"].items():
            assert schema["description"], f"{tool.name} {name}"
    search = tools["search"].input_schema
    assert search["required"] == ["query"]
    assert list(search["properties"]) == (
        "query limit mode language paths context".split()
    )
    assert search["properties"]["mode"]["enum"] == ["hybrid", "dense", "sparse"]
    similar = tools["similar"].input_schema
    assert similar["required"] == ["path", "line"]
    assert list(similar["properties"]) == (
        "path line limit language paths context".split()
    )


def test_hits_are_those_of_the_command(served: Client, indexed: Project) -> None:
    query = "what happens when an http request fails"
    found = served.search(query, limit=3, context=1)
    told = indexed.report("search", query, "-k", "3", "-C", "1")
    assert found["notes"] == told["notes"] == []
    assert len(found["hits"]) == len(told["hits"]) > 0
    for hit, expected in zip(found["hits"], told["hits"]):
        assert hit["score"] == pytest.approx(expected.pop("score"), abs=1e-3)
        del expected["line"], expected["line_text"]  # what a person is shown
        assert expected.items() <= hit.items()
    for mode in ("hybrid", "dense", "sparse"):
        assert paths(served.search(query, mode=mode))[0] == "net/retry.py"
    # Only the words of it are here.
    words = served.search("exponential", mode="sparse")
    assert paths(words) == ["net/retry.py"]


def test_the_text_that_an_agent_reads(served: Client) -> None:
    result = served.call("search", query="value added tax", limit=1)
    (hit,) = structure(result)["hits"]
    head, *lines = text_of(result).split("\n")
    place = f"billing/tax.py:{hit['start_line']}-{hit['end_line']}"
    assert head == "  ".join(filter(None, (place, hit["symbol"])))
    assert "\n".join(lines) == hit["text"]
    assert hit["text"] in TEXTS["billing/tax.py"]


def test_lines_around_a_hit(served: Client) -> None:
    whole = TEXTS["billing/tax.py"].split("\n")
    result = served.call("search", query="value added tax", limit=1, context=100)
    head, *lines = text_of(result).split("\n")
    place = head.split()[0]
    first, last = map(int, place.removeprefix("billing/tax.py:").split("-"))
    assert "\n".join(lines).rstrip() == "\n".join(whole[first - 1 : last]).rstrip()
    assert "RATE = 19" in lines and "# Prices are net." in lines


def test_filters(served: Client) -> None:
    query = "password network tax release"
    assert set(paths(served.search(query))) == {
        name.replace("\\", "\\\\") for name in TEXTS
    }
    assert paths(served.search(query, language="go")) == ["auth/passwords.go"]
    assert paths(served.search(query, language=".md")) == ["docs/release.md"]
    assert paths(served.search(query, paths=["net/"])) == ["net/retry.py"]
    some = served.search(query, paths=["*.py", "!billing/**", "!odd*"])
    assert paths(some) == ["net/retry.py"]
    none = served.call("search", query=query, paths=["no/such/"])
    assert text_of(none) == "no hits" and structure(none)["hits"] == []


def test_notes_are_part_of_the_answer(served: Client) -> None:
    result = served.call("search", query="??", limit=1)
    notes = structure(result)["notes"]
    assert notes[0] == NO_GOOD_MATCH and len(notes) == 2
    assert text_of(result).startswith("\n".join(f"note: {one}" for one in notes))


def test_similar(served: Client, indexed: Project) -> None:
    found = structure(served.call("similar", path="net/retry.py", line=4, limit=2))
    assert len(found["hits"]) == 2 and "net/retry.py" not in paths(found)
    for name in (str(indexed.root / "net/retry.py"), "./net/../net/retry.py"):
        assert structure(served.call("similar", path=name, line=4, limit=2)) == found


def test_a_path_as_in_hits(served: Client, indexed: Project) -> None:
    (hit,) = served.search("unusual backslash", limit=1)["hits"]
    assert hit["path"] == "odd\\\\name.py"
    for name in (hit["path"], f"{indexed.root}/{hit['path']}"):
        assert structure(served.call("similar", path=name, line=1))["hits"]


def test_status(served: Client, indexed: Project) -> None:
    result = served.call("status")
    (about,) = structure(result)["projects"]
    chunks = about["chunks"]
    assert chunks >= len(TEXTS)
    assert about == {
        "project": str(indexed.root),
        "collection": "codx_index",
        "model": "all-MiniLM-L6-v2",
        "chunks": chunks,
        "embedded": chunks,
        "remark": "",
        "error": "",
    }
    assert text_of(result) == (
        f"{indexed.root}: {chunks} chunks, all-MiniLM-L6-v2; up to date"
    )


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        ("search", {"query": " \n"}, "the query is empty"),
        ("search", {"query": "x", "language": "klingon"}, "no language 'klingon'"),
        ("search", {"query": "x", "paths": ["!"]}, "not a pattern for paths"),
        ("search", {"query": "x", "limit": 51}, "limit: "),
        ("search", {"query": "x", "limit": 0, "mode": "best"}, "mode: "),
        ("search", {}, "query: "),
        ("search", {"query": None, "where": 1}, "query: "),
        ("search", {"where": 1}, "search has no parameter 'where'; "),
        ("search", {"query": "x", "limit": 2.5}, "limit: "),
        ("search", {"query": "x", "limit": "many"}, "limit: "),
        ("search", {"query": "x", "paths": {"a": 1}}, "paths: "),
        ("search", {"query": "x", "paths": ["a", ["b"]]}, "paths.1: "),
        ("similar", {"path": "net/no.py", "line": 1}, "net/no.py is not in the index"),
        ("similar", {"path": "/no/a.py", "line": 1}, "/no/a.py is not in the index"),
        ("similar", {"path": "net/retry.py", "line": 99}, "has no line 99"),
        ("similar", {"path": "net/retry.py", "line": 10**12}, "has no line 1000"),
        ("similar", {"path": "", "line": 1}, "is not in the index"),
        ("nothing", {}, "Unknown tool: nothing"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    name: str, arguments: dict[str, Any], said: str, served: Client
) -> None:
    assert said in served.error(name, **arguments)
    assert paths(served.search("value added tax", limit=1)) == ["billing/tax.py"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"limit": None, "mode": None, "language": None, "paths": None, "context": None},
        {"limit": "", "mode": "", "language": "", "paths": "", "context": ""},
        {"limit": "10", "context": "0"},
        {"limit": 10.0, "context": 0.0},
        {"limit": " 10.0 ", "context": [0]},
        {"mode": "Hybrid"},
        {"language": ["python"]},
        {"paths": "billing/"},
        {"paths": '["billing/"]'},
        {"paths": ["billing/", None, ""]},
        {"Paths": ["billing/"], "Limit": 10},
        {"path": "billing/", "mode": ["hybrid"]},
    ],
)
def test_optional_parameters_as_clients_write_them(
    arguments: dict[str, Any], served: Client
) -> None:
    found = served.search("value added tax", **arguments)
    assert paths(found)[0] == "billing/tax.py"
    assert not found["notes"]
    narrow = any(name.lower().startswith("path") for name in arguments)
    if narrow and any("billing" in str(one) for one in arguments.values()):
        assert all(path.startswith("billing/") for path in paths(found))


def test_numbers_and_lists_of_one_for_what_is_required(served: Client) -> None:
    served.search(7)  # type: ignore[arg-type]
    assert paths(served.search(["value added tax"]))[0] == (  # type: ignore[arg-type]
        "billing/tax.py"
    )
    result = served.call("similar", path=["billing/tax.py"], line="4", limit="2")
    assert len(structure(result)["hits"]) <= 2


def test_a_parameter_that_a_tool_lacks_is_noted(served: Client) -> None:
    result = served.call("search", query="value added tax", where="src", limit=1)
    said = "search has no parameter 'where'; it has query, limit, mode"
    assert text_of(result).startswith(f"note: {said}")
    found = structure(result)
    assert paths(found) == ["billing/tax.py"] and found["notes"][0].startswith(said)
    result = served.call("status", x=1)
    assert text_of(result).startswith("note: status has no parameter 'x'; it has none")
    assert set(structure(result)) == {"projects"}


def test_lines_that_the_sdk_passes_over_in_silence(other: Project) -> None:
    call = {"name": "search", "arguments": {"query": "ripe \ud83c", "mode": "sparse"}}
    asked = [
        {"jsonrpc": "2.0", "id": 1.5, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
        {"jsonrpc": "2.0", "id": None, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": "\ud83c", "method": "no\ud83c/such", "params": None},
        {"jsonrpc": "2.0", "id": [], "method": "ping"},
        {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": 4}},
    ]
    lines = ["no JSON", *map(json.dumps, asked)]
    with bare(other) as process:
        out, errors = process.communicate("\n".join(lines), timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    answers = [json.loads(line) for line in out.splitlines()]
    found = {json.dumps(one["id"]): one for one in answers if "result" in one}
    assert set(found) == {"1.5", "2", "null"}
    assert "harvest.py" in found["2"]["result"]["content"][0]["text"]
    codes = [(one["id"], one["error"]["code"]) for one in answers if "error" in one]
    assert sorted(codes, key=str) == [
        ("\ud83c", -32601),
        (4, -32602),
        (None, -32600),
        (None, -32700),
    ]


def test_any_text_is_a_query(served: Client) -> None:
    for query in ("\0", "\u202e\x1b[2J", '"; drop', "x " * 5000, "日本語"):
        served.search(query)


# --- several projects, and none --------------------------------------------------------


def test_several_projects(indexed: Project, other: Project) -> None:
    with client(indexed, str(indexed.root), str(other.root), ".") as served:
        found = served.search("seconds to wait before an attempt", limit=2)
        assert {(hit["project"], hit["path"]) for hit in found["hits"]} == {
            (str(indexed.root), "net/retry.py"),
            (str(other.root), "net/retry.py"),
        }
        result = served.call("search", query="ripe apples", limit=1)
        assert text_of(result).startswith(f"{other.root}/harvest.py:1-2  pick_apples\n")
        said = served.error("similar", path="net/retry.py", line=1)
        assert said == "several projects have net/retry.py: give an absolute path"
        for project in (indexed, other):
            path = str(project.root / "net/retry.py")
            found = structure(served.call("similar", path=path, line=1))
            assert {hit["project"] for hit in found["hits"]} == {str(project.root)}
        found = structure(served.call("similar", path="harvest.py", line=1))
        assert paths(found) == ["net/retry.py"]
        statuses = structure(served.call("status"))["projects"]
        assert [one["project"] for one in statuses] == [
            str(indexed.root),
            str(other.root),
        ]


def test_no_index_yet(make_project: Callable[[str], Project]) -> None:
    one, two = make_project("one"), make_project("two")
    one.write("night.py", "def moonlight():\n    return 'silver'\n")
    missing = [
        f"no index in {project.root}: build it with codx-index run"
        for project in (one, two)
    ]
    with client(one, ".", str(two.root)) as served:
        assert served.error("search", query="moonlight") == missing[0]
        said = served.error("similar", path="night.py", line=1)
        assert said == "; ".join(missing)
        statuses = structure(served.call("status"))["projects"]
        assert [about["error"] for about in statuses] == missing
        assert text_of(served.call("status")).startswith(f"{one.root}: {missing[0]}\n")
        one.run("--executor", "serial")
        found = served.search("moonlight")
        assert (paths(found), found["notes"]) == (["night.py"], missing[1:])
        assert paths(structure(served.call("similar", path="night.py", line=1))) == []


def test_no_milvus(indexed: Project, tmp_path: Path) -> None:
    impatient = "from indexer.milvus import remote\nremote.CONNECT_PAUSE = 0.01\n"
    (tmp_path / "sitecustomize.py").write_text(impatient)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with client(indexed, "--uri", address, PYTHONPATH=str(tmp_path)) as served:
        assert f"no Milvus answers at {address}" in served.error("search", query="x")


# --- runs meanwhile --------------------------------------------------------------------


def test_a_run_is_not_kept_waiting_and_its_work_is_found(project: Project) -> None:
    for name, text in TEXTS.items():
        project.write(name, text)
    project.run("--executor", "serial")
    query = "telescope for distant galaxies"
    with client(project) as second:
        with client(project) as served:
            before = served.search(query)
            assert second.search(query) == before  # it reads through the first
            assert "sky.py" not in paths(before)
            sky = "def telescope():\n    return 'sees distant galaxies'\n"
            project.write("sky.py", sky)
            (project.root / "net/retry.py").unlink()
            found = served.search(query)
            assert found["notes"] == [NO_GOOD_MATCH, BEHIND]
            assert "sky.py" not in paths(found)
            (about,) = structure(served.call("status"))["projects"]
            assert about["remark"] == BEHIND
            running = start(project, "run", "--executor", "serial")
            asked = 0
            while running.poll() is None:
                found = served.search("value added tax", limit=1)
                assert paths(found) == ["billing/tax.py"]
                asked += 1
            assert (running.communicate()[1], running.returncode) == ("", 0)
            assert asked
            for one in (served, second):
                found = one.search(query)
                assert found["notes"] == [] and paths(found)[0] == "sky.py"
                assert "net/retry.py" not in paths(found)
        # The one that had the database is gone.
        assert paths(second.search(query))[0] == "sky.py"
        assert project.run()["status"] == "unchanged"


# --- start and end ---------------------------------------------------------------------


@contextmanager
def bare(
    project: Project, *arguments: str, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """A server that is spoken to line by line; killed at the end if it is still there."""
    process = subprocess.Popen(
        [COMMAND, "mcp", *arguments],
        cwd=project.root,
        env={**project.variables(), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[str], method: str, **parameters: Any) -> Any:
    assert process.stdin is not None and process.stdout is not None
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())["result"]


def initialize(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    about = {"name": "test", "version": "0"}
    ask(
        process,
        "initialize",
        protocolVersion="2025-06-18",
        capabilities={},
        clientInfo=about,
    )
    done = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    process.stdin.write(json.dumps(done) + "\n")
    process.stdin.flush()


def search_once(process: subprocess.Popen[str]) -> None:
    arguments = {"query": "ripe apples", "limit": 1}
    result = ask(process, "tools/call", name="search", arguments=arguments)
    assert "harvest.py" in result["content"][0]["text"]


def test_it_ends_with_its_stdin(other: Project) -> None:
    with bare(other, "--verbose") as process:
        initialize(process)
        search_once(process)
        assert (other.root / ".codx/index/s:0").exists()
        out, errors = process.communicate(timeout=TIMEOUT)
        assert (out, process.returncode) == ("", 0)
        assert re.fullmatch(r"\S+Z codx-index: search 'ripe apples'\n", errors)
    assert not (other.root / ".codx/index/s:0").exists()


def test_it_ends_with_its_client(other: Project) -> None:
    with bare(other) as process:
        initialize(process)
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        request = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.close()
        assert (process.wait(timeout=TIMEOUT), process.stderr.read()) == (0, "")


@pytest.mark.parametrize("name", ["SIGTERM", *only_slow("SIGINT")])
def test_a_signal_ends_it(name: str, other: Project) -> None:
    number = getattr(signal, name)
    with bare(other) as process:
        initialize(process)
        search_once(process)
        process.send_signal(number)
        assert process.wait(timeout=TIMEOUT) == 128 + number
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
    assert not (other.root / ".codx/index/s:0").exists()


SLOW_MODEL = """
import os, time
from indexer.search import query
load = query.load_embedder

def slow(backend, **options):
    open(os.environ["ASKED"], "w").close()
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
    return load(backend, **options)

query.load_embedder = slow
"""


def test_a_client_does_not_wait_for_the_model(indexed: Project, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_MODEL)
    asked, go = tmp_path / "asked", tmp_path / "go"
    slow = {"PYTHONPATH": str(tmp_path), "ASKED": str(asked), "GO": str(go)}
    with client(indexed, **slow) as served:
        wait_for(asked.exists)  # though nobody has asked a question
        assert len(served.tools()) == 3
        go.touch()
        assert paths(served.search("value added tax", limit=1)) == ["billing/tax.py"]
    # A signal ends it even then.
    go.unlink()
    asked.unlink()
    with bare(indexed, **slow) as process:
        initialize(process)
        wait_for(asked.exists)
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=TIMEOUT) == 128 + signal.SIGHUP


def test_a_mistake_of_ours_ends_no_server(indexed: Project, tmp_path: Path) -> None:
    broken = "from indexer.search import question\nquestion.Question.of = None\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    with client(indexed, PYTHONPATH=str(tmp_path)) as served:
        said = served.error("search", query="tax")
        assert said.startswith("unexpected TypeError: ")
        assert not served.call("status").is_error


def test_without_the_extra(indexed: Project, tmp_path: Path) -> None:
    (tmp_path / "mcp.py").write_text("raise ImportError('not here')\n")
    project = Project(indexed.root, indexed.cache_dir, {"PYTHONPATH": str(tmp_path)})
    done = project.installed.command("mcp")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "codx-index: codx-index mcp needs the extra: pip install 'codx-index[mcp]' "
        "(not here)\n"
    )


def test_wrong_usage(indexed: Project) -> None:
    done = indexed.command("mcp", "no/such")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "codx-index: no such folder: no/such\n"
    line = f"exec {shlex.quote(COMMAND)} mcp <&-"
    done = indexed.launch("sh", "-c", line)
    assert (done.returncode, done.stdout) == (2, "")
    assert "stdin and stdout" in done.stderr and done.stderr.count("\n") == 1


def test_settings_of_each_project(
    indexed: Project, make_project: Callable[[str], Project]
) -> None:
    first, second = make_project("first"), make_project("second")
    second.write("codx-index.toml", 'collection = "elsewhere"\n')
    with bare(first, ".", str(second.root)) as process:
        initialize(process)
        result = ask(process, "tools/call", name="status", arguments={})
        statuses = result["structuredContent"]["projects"]
        assert [one["collection"] for one in statuses] == ["codx_index", "elsewhere"]
    second.write("codx-index.toml", 'uri = "http://127.0.0.1:1"\n')
    done = first.command("mcp", ".", str(second.root))
    assert done.returncode == 2 and "--trust" in done.stderr


# --- the page --------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)


def configured() -> Iterator[list[str]]:
    """The commands in the examples, word by word."""
    for language, text in BLOCKS:
        if language == "json":
            (servers,) = json.loads(text).values()
        elif language == "toml":
            (servers,) = tomllib.loads(text).values()
        else:
            assert language == "sh"
            lines = [shlex.split(line) for line in text.splitlines()]
            yield from (line[line.index("--") + 1 :] for line in lines)
            continue
        server = servers.pop("codx-index")
        assert servers == {}
        assert server.keys() <= {"type", "command", "args", "env"}
        assert all(name.startswith("CODX_INDEX_") for name in server.get("env", {}))
        yield [server["command"], *server["args"]]


def test_the_examples_of_the_page() -> None:
    assert {language for language, _ in BLOCKS} == {"json", "toml", "sh"}
    commands = list(configured())
    assert len(commands) == 8
    for program, subcommand, *arguments in commands:
        assert os.path.basename(program) == "codx-index"
        assert subcommand == "mcp"
        given, _, _ = command.make_parser(command.make_context("mcp", [])).parse_args(
            arguments
        )
        assert given["paths"]


def test_the_page_names_every_tool_and_parameter(served: Client) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.M))
    for name, tool in served.tools().items():
        for parameter in tool.input_schema["properties"]:
            assert f"`{parameter}`" in rows[name]
