"""`codx-index mcp`, driven by the client of the MCP SDK, and its page docs/how-to/mcp.md."""

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
from mcp_client import Client
from searched import TEXTS as SEARCHED_TEXTS

from indexer.cli.main import cli
from indexer.cli.mcp import mcp as command
from indexer.cli.mcp_token import VARIABLE
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
    assert [*tools] == "search similar outline uses index status".split()
    for tool in tools.values():
        assert tool.title and tool.description and "\n    " not in tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name != "index")
        assert tool.annotations.idempotent_hint
        assert tool.annotations.open_world_hint is False
        # A client would hand on an object instead of the text.
        assert tool.output_schema is None
        for name, schema in tool.input_schema["properties"].items():
            assert schema["description"], f"{tool.name} {name}"
    search = tools["search"].input_schema
    assert search["required"] == ["query"]
    assert list(search["properties"]) == (
        "query limit mode language paths grep changed context max_tokens".split()
    )
    assert search["properties"]["mode"]["enum"] == ["hybrid", "dense", "sparse"]
    similar = tools["similar"].input_schema
    assert "required" not in similar
    assert list(similar["properties"]) == (
        "path line code limit language paths context max_tokens".split()
    )


def test_hits_are_those_of_the_command(served: Client, indexed: Project) -> None:
    query = "what happens when an http request fails"
    found = served.search(query, limit=3)
    told = indexed.report("search", query, "-k", "3")
    assert found.notes == told["notes"] == []
    assert len(found.hits) == len(told["hits"]) > 0
    for hit, expected in zip(found.hits, told["hits"]):
        for name in ("path", "start_line", "end_line", "symbol"):
            assert getattr(hit, name) == expected[name]
        assert "\n".join(hit.lines).rstrip() == expected["text"]
    for mode in ("hybrid", "dense", "sparse"):
        assert served.search(query, mode=mode).paths[0] == "net/retry.py"
    # Only the words of it are here.
    assert served.search("exponential", mode="sparse").paths == ["net/retry.py"]


def test_the_text_that_an_agent_reads(served: Client) -> None:
    (hit,) = served.search("value added tax", limit=1).hits
    head, *lines = served.text("search", query="value added tax", limit=1).split("\n")
    place = f"billing/tax.py:{hit.start_line}-{hit.end_line}"
    assert head == "  ".join(filter(None, (place, hit.symbol)))
    assert "\n".join(lines) in TEXTS["billing/tax.py"]


def test_lines_around_a_hit(served: Client) -> None:
    whole = TEXTS["billing/tax.py"].split("\n")
    text = served.text("search", query="value added tax", limit=1, context=100)
    head, *lines = text.split("\n")
    place = head.split()[0]
    first, last = map(int, place.removeprefix("billing/tax.py:").split("-"))
    assert "\n".join(lines).rstrip() == "\n".join(whole[first - 1 : last]).rstrip()
    assert "RATE = 19" in lines and "# Prices are net." in lines


def test_filters(served: Client) -> None:
    query = "password network tax release"
    assert set(served.search(query).paths) == {
        name.replace("\\", "\\\\") for name in TEXTS
    }
    assert served.search(query, language="go").paths == ["auth/passwords.go"]
    assert served.search(query, language=".md").paths == ["docs/release.md"]
    assert served.search(query, paths=["net/"]).paths == ["net/retry.py"]
    some = served.search(query, paths=["*.py", "!billing/**", "!odd*"])
    assert some.paths == ["net/retry.py"]
    assert served.search(query, grep="^func \\w+").paths == ["auth/passwords.go"]
    none = served.text("search", query=query, paths=["no/such/"])
    assert none.startswith("note: ") and none.endswith("\n\nno hits")


def test_notes_come_first(served: Client) -> None:
    text = served.text("search", query="??", limit=1)
    notes = text.partition("\n\n")[0].split("\n")
    assert notes[0] == f"note: {NO_GOOD_MATCH}" and len(notes) == 2


def test_similar(served: Client, indexed: Project) -> None:
    found = served.similar(path="net/retry.py", line=4, limit=2)
    assert len(found.hits) == 2 and "net/retry.py" not in found.paths
    for name in (str(indexed.root / "net/retry.py"), "./net/../net/retry.py"):
        assert served.similar(path=name, line=4, limit=2) == found


def test_similar_to_code_that_is_nowhere(served: Client) -> None:
    code = "def with_tax(price):\n    return price + price * 19 / 100\n"
    assert served.similar(code=code, limit=1).paths == ["billing/tax.py"]
    assert "net/retry.py" in served.similar(code="time.sleep(2**attempt)").paths


def test_a_path_as_in_hits(served: Client, indexed: Project) -> None:
    (hit,) = served.search("unusual backslash", limit=1).hits
    assert hit.path == "odd\\\\name.py"
    for name in (hit.path, f"{indexed.root}/{hit.path}"):
        assert served.similar(path=name, line=1).hits
        assert served.text("outline", path=name).startswith(f"{hit.path}  python")


def test_outlines(served: Client, indexed: Project) -> None:
    text = "billing/tax.py  python, 9 lines\n4-6 vat"
    for name in ("billing/tax.py", str(indexed.root / "billing/tax.py")):
        assert served.text("outline", path=name) == text
    folder = "billing\ntax.py  python, 9 lines: vat"
    for name in ("billing", "billing/", str(indexed.root / "billing")):
        assert served.text("outline", path=name) == folder
    for name in ("", ".", "/", str(indexed.root)):
        if name != "/":
            root = served.text("outline", path=name).split("\n")
            assert root[0] == "." and "billing/  1 file" in root
    assert "odd\\\\name.py  python, 2 lines: unusual" in root


def test_uses(served: Client) -> None:
    assert served.text("uses", name="RATE") == (
        "RATE: 2 lines in 1 file\n\nbilling/tax.py\n1: RATE = 19\n"
        "4: def vat(net, rate=RATE):"
    )
    assert served.text("uses", name="rat") == "no uses of rat in the index"
    narrow = served.text("uses", name="RATE", paths=["net/"])
    assert narrow == "no uses of RATE in the index"


def test_status(served: Client, indexed: Project) -> None:
    assert re.fullmatch(
        rf"{re.escape(str(indexed.root))}: collection codx_index, \d+ chunks, "
        "all-MiniLM-L6-v2; up to date",
        served.text("status"),
    )


@pytest.mark.parametrize(
    "name, arguments, said",
    [
        ("search", {"query": " \n"}, "the query is empty"),
        ("search", {"query": "x", "language": "klingon"}, "unknown language 'klingon'"),
        ("search", {"query": "x", "paths": ["!"]}, "not a pattern of paths"),
        ("search", {"query": "x", "grep": "("}, "not a regular expression"),
        ("search", {"query": "x", "changed": "HEAD"}, "is not in a git repository"),
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
        ("similar", {"path": "", "line": 1}, "give a path and a line"),
        ("similar", {"path": "net/retry.py"}, "give a path and a line"),
        ("similar", {"path": "a.py", "code": "x = 1"}, "but not both"),
        ("similar", {"code": " \n"}, "there is no code"),
        ("similar", {"code": "x" * 20_001}, "code: "),
        ("outline", {"path": "no/such"}, "no/such is not in the index"),
        ("uses", {"name": "two words"}, "is not an identifier"),
        ("uses", {"name": ""}, "is not an identifier"),
        (
            "search",
            {"query": "x", "max_tokens": 99},
            "max_tokens: Input should be greater than or equal to 100",
        ),
        ("index", {"project": "elsewhere"}, "there is no project elsewhere"),
        ("nothing", {}, "Unknown tool: nothing"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    name: str, arguments: dict[str, Any], said: str, served: Client
) -> None:
    assert said in served.error(name, **arguments)
    assert served.search("value added tax", limit=1).paths == ["billing/tax.py"]


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
    assert found.paths[0] == "billing/tax.py"
    assert not found.notes
    narrow = any(name.lower().startswith("path") for name in arguments)
    if narrow and any("billing" in str(one) for one in arguments.values()):
        assert all(path.startswith("billing/") for path in found.paths)


def test_numbers_and_lists_of_one_for_what_is_required(served: Client) -> None:
    served.search(7)  # type: ignore[arg-type]
    assert served.search(["value added tax"]).paths[0] == (  # type: ignore[arg-type]
        "billing/tax.py"
    )
    found = served.similar(path=["billing/tax.py"], line="4", limit="2")
    assert len(found.hits) <= 2


def test_a_parameter_that_a_tool_lacks_is_noted(served: Client) -> None:
    found = served.search("value added tax", where="src", limit=1)
    said = "search has no parameter 'where'; it has query, limit, mode"
    assert found.paths == ["billing/tax.py"] and found.notes[0].startswith(said)
    text = served.text("status", x=1)
    assert text.startswith("note: status has no parameter 'x'; it has none\n\n/")


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
        text = served.text("search", query="seconds to wait before an attempt", limit=2)
        legend, *_ = text.split("\n\n")
        # Each folder is named once, and its files by its short name.
        assert sorted(legend.split("\n")) == [
            f"one/project/ is {indexed.root}",
            f"two/project/ is {other.root}",
        ]
        found = served.search("seconds to wait before an attempt", limit=2)
        assert sorted(found.paths) == [
            "one/project/net/retry.py",
            "two/project/net/retry.py",
        ]
        assert text.count(str(other.root)) == 1
        assert served.search("ripe apples", limit=1).paths == ["two/project/harvest.py"]
        said = served.error("similar", path="net/retry.py", line=1)
        assert said == "several projects have net/retry.py: give an absolute path"
        for project in (indexed, other):
            label = f"{project.root.parent.name}/{project.root.name}"
            for path in (f"{label}/net/retry.py", f"{project.root}/net/retry.py"):
                found = served.similar(path=path, line=1)
                assert found.hits and all(
                    p.startswith(f"{label}/") for p in found.paths
                )
        assert served.similar(path="harvest.py", line=1).paths == [
            "two/project/net/retry.py"
        ]
        tax = served.similar(code="return net * rate / 100", limit=1)
        assert tax.paths == ["one/project/billing/tax.py"]
        outlines = served.text("outline", path="net/retry.py")
        assert "\n\none/project/net/retry.py  python" in outlines
        assert outlines.endswith(
            "two/project/net/retry.py  python, 2 lines\n1-2 backoff"
        )
        assert "\n\ntwo/project/harvest.py\n1: def pick" in served.text(
            "uses", name="pick_apples"
        )
        said = served.error("index")
        assert (
            said == "there are several projects: name one of one/project, two/project"
        )
        statuses = served.text("status").split("\n\n")
        assert [one.split(": ")[0] for one in statuses] == [
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
    with client(one, "--no-refresh", ".", str(two.root)) as served:
        assert served.error("search", query="moonlight") == missing[0]
        said = served.error("similar", path="night.py", line=1)
        assert said == "; ".join(missing)
        assert served.text("status") == "\n\n".join(
            f"{project.root}: collection codx_index, {line}"
            for project, line in zip((one, two), missing, strict=True)
        )
        assert served.text("index", project="one") == (
            f"indexing of {one.root} has begun"
        )
        wait_for(lambda: "up to date" in served.text("status"))
        found = served.search("moonlight")
        assert (found.paths, found.notes) == (["one/night.py"], missing[1:])
        assert served.similar(path="night.py", line=1).paths == []


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
    with client(project, "--no-refresh") as second:
        with client(project, "--no-refresh") as served:
            before = served.search(query)
            assert second.search(query) == before  # it reads through the first
            assert "sky.py" not in before.paths
            sky = "def telescope():\n    return 'sees distant galaxies'\n"
            project.write("sky.py", sky)
            (project.root / "net/retry.py").unlink()
            found = served.search(query)
            assert found.notes == [NO_GOOD_MATCH, BEHIND]
            assert "sky.py" not in found.paths
            assert served.text("status").endswith(BEHIND)
            running = start(project, "run", "--executor", "serial")
            asked = 0
            while running.poll() is None:
                found = served.search("value added tax", limit=1)
                assert found.paths == ["billing/tax.py"]
                asked += 1
            assert (running.communicate()[1], running.returncode) == ("", 0)
            assert asked
            for one in (served, second):
                found = one.search(query)
                assert found.notes == [] and found.paths[0] == "sky.py"
                assert "net/retry.py" not in found.paths
        # The one that had the database is gone.
        assert second.search(query).paths[0] == "sky.py"
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
    with bare(other, "--verbose", "--no-refresh") as process:
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
        assert len(served.tools()) == 6
        go.touch()
        assert served.search("value added tax", limit=1).paths == ["billing/tax.py"]
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
        one, two = result["content"][0]["text"].split("\n\n")
        assert "collection codx_index," in one and "collection elsewhere," in two
    second.write("codx-index.toml", 'uri = "http://127.0.0.1:1"\n')
    done = first.command("mcp", ".", str(second.root))
    assert done.returncode == 2 and "--trust" in done.stderr


# --- the page --------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "mcp.md").read_text(
    encoding="utf-8"
)
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
            yield from (line[line.index("--") + 1 :] for line in lines if "--" in line)
            continue
        server = servers.pop("codx-index")
        assert servers == {}
        if server.get("type") == "http":
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/mcp/\w+", server["url"])
            assert VARIABLE in server["headers"]["Authorization"]
            continue
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
        given, _, _ = command.make_parser(
            command.make_context("mcp", [], **cli.context_settings)
        ).parse_args(arguments)
        assert given["paths"]


def test_the_page_names_every_tool_and_parameter(served: Client) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.M))
    for name, tool in served.tools().items():
        for parameter in tool.input_schema["properties"]:
            assert f"`{parameter}`" in rows[name]
