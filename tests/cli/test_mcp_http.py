"""`codx-index mcp --http`, driven by the client of the MCP SDK, and by clients that send nonsense."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from anyio.from_thread import start_blocking_portal
from conftest import COMMAND, TIMEOUT, Project, assert_one_line, project_in
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_client import Client

from indexer.cli.mcp_gate import MOST_BYTES
from indexer.cli.mcp_token import VARIABLE, find_token
from indexer.errors import CodxIndexError, UsageError

TOKEN = "a-token-of-the-tests"
ONE = {"tax.py": "def vat(net):\n    return net * 19 / 100\n"}
TWO = {"wait.py": "def backoff(attempt):\n    return 2**attempt  # seconds\n"}
ACCEPT = {"Accept": "application/json, text/event-stream"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


class Served:
    """A server that listens, and its URL."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @contextmanager
    def client(self, path: str = "", token: str = TOKEN) -> Iterator[Client]:
        """A session of its own."""
        headers = {"Authorization": f"Bearer {token}"}
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(
                httpx2.AsyncClient(headers=headers, timeout=TIMEOUT)
            ) as http,
            portal.wrap_async_context_manager(
                streamable_http_client(self.url + path, http_client=http)
            ) as streams,
            portal.wrap_async_context_manager(ClientSession(*streams)) as session,
        ):
            yield Client(portal.call, session, portal.call(session.initialize))

    def post(self, body: Any, path: str = "", **headers: str) -> httpx2.Response:
        """One request with the right token, unless `headers` say otherwise."""
        given = {"authorization": f"Bearer {TOKEN}", **ACCEPT}
        given |= {k.replace("_", "-"): v for k, v in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given["content-type"] = "application/json"
        return httpx2.post(
            self.url + path, content=content, headers=given, timeout=TIMEOUT
        )

    @property
    def address(self) -> tuple[str, int]:
        url = httpx2.URL(self.url)
        assert url.port is not None
        return url.host, url.port


@contextmanager
def serving(project: Project, *arguments: str, **variables: str) -> Iterator[Served]:
    process = subprocess.Popen(
        [COMMAND, "mcp", "--http", "0", *arguments],
        cwd=project.root,
        env={**project.variables(), VARIABLE: TOKEN, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield Served(process, process.stdout.readline().strip())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def projects(
    tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> list[Project]:
    folder = tmp_path_factory.mktemp("http")
    made = []
    for name, texts in (("one", ONE), ("two", TWO)):
        project = project_in(folder / name, model_cache)
        for path, text in texts.items():
            project.write(path, text)
        project.run("--executor", "serial")
        made.append(project)
    return made


@pytest.fixture(scope="module")
def served(projects: list[Project]) -> Iterator[Served]:
    with serving(projects[0], *(str(one.root) for one in projects)) as made:
        yield made


def test_many_sessions_share_a_process(served: Served) -> None:
    with served.client() as one, served.client() as other:
        assert other.initialized.server_info.name == "codx-index"
        assert one.tools().keys() == other.tools().keys() >= {"search", "outline"}
        for session in (one, other):
            found = session.search("value added tax", limit=1)
            assert found.paths == ["one/project/tax.py"]
            assert "no parameter" not in session.text("uses", name="backoff")
        assert one.error("search", query="x", max_tokens=5).startswith("max_tokens: ")


def test_a_session_about_one_project(served: Served, projects: list[Project]) -> None:
    with served.client("/two/project") as session:
        about = session.initialized.instructions
        assert about and str(projects[1].root) in about
        assert str(projects[0].root) not in about
        assert session.search("value added tax").paths == ["wait.py"]
        assert "tax.py" not in session.text("outline")
        assert session.text("status").startswith(f"{projects[1].root}: ")
    assert served.post(PING, "/three").status_code == 404


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"mcp_session_id": "unknown"}, 404),
        ({"mcp_session_id": "x" * 5000}, 404),
        ({"accept": "text/html"}, 400),
        ({"mcp_protocol_version": "1999-01-01"}, 400),
    ],
)
def test_who_is_turned_away(
    headers: dict[str, str], status: int, served: Served
) -> None:
    assert served.post(PING, **headers).status_code == status


NONSENSE = [
    (b"", 400),
    (b"no JSON", 400),
    (b"[]", 400),
    (b"{}", 400),
    (b"null", 400),
    (b"[" * 100_000, 400),
    (b"\xff\xfe\x00", 400),
    (b'{"jsonrpc": "2.0", "id": [], "method": "ping"}', 400),
    (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', 400),
    (b"x" * (MOST_BYTES + 1), 413),
]


def test_nonsense_is_answered(served: Served) -> None:
    with served.client() as session:
        for body, status in NONSENSE:
            before = time.monotonic()
            answer = served.post(body)
            assert answer.status_code == status, body[:20]
            assert "error" in answer.json(), body[:20]
            assert time.monotonic() - before < 5
        for method in ("PUT", "PATCH", "OPTIONS", "DELETE", "GET"):
            found = httpx2.request(method, served.url, timeout=TIMEOUT)
            assert found.status_code == 401
            headers = {"authorization": f"Bearer {TOKEN}"}
            found = httpx2.request(method, served.url, headers=headers, timeout=TIMEOUT)
            assert 400 <= found.status_code < 500
        assert session.search("value added tax", limit=1).paths
    # Null is nothing, as on stdin.
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": None}
    assert served.post(hello).json()["result"]["serverInfo"]["name"] == "codx-index"


def test_half_a_request_keeps_nobody_waiting(served: Served) -> None:
    head = f"POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    halves = [
        "",
        "\0\0\0",
        "POST /mcp HT",
        head,
        f"{head}Content-Length: 100\r\n\r\n{{",
        f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{{",
    ]
    sockets = []
    for half in halves:
        sockets.append(socket.create_connection(served.address))
        sockets[-1].sendall(half.encode())
    with served.client() as session:
        assert session.search("seconds to wait", limit=1).paths
    for one in sockets:
        one.close()
    with served.client() as session:
        assert session.text("status")


def test_the_token_of_the_user(projects: list[Project], tmp_path: Path) -> None:
    cache = {"CODX_INDEX_CACHE_DIR": str(tmp_path)}
    with serving(projects[0], **{VARIABLE: ""}, **cache) as served:
        path = tmp_path / "mcp-token"
        token = path.read_text().strip()
        assert len(token) > 40 and stat.S_IMODE(path.stat().st_mode) == 0o600
        assert served.post(PING).status_code == 401
        with served.client(token=token) as session:
            assert session.text("status")
        served.process.terminate()
        out, errors = served.process.communicate(timeout=TIMEOUT)
        assert served.process.returncode == 143
        assert out == "" and str(path) in errors and token not in errors
    assert find_token(str(tmp_path)).value == token  # the next server has it too
    path.chmod(0o644)
    with pytest.raises(CodxIndexError, match="others may have read"):
        find_token(str(tmp_path))
    path.unlink()
    path.symlink_to("elsewhere")
    with pytest.raises(CodxIndexError, match="cannot keep a token"):
        find_token(str(tmp_path))


def test_a_token_that_can_be_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UsageError, match=f"{VARIABLE} must have at least 16"):
        find_token("/nowhere")


def test_it_ends_when_nobody_is_connected(
    projects: list[Project], tmp_path: Path
) -> None:
    quick = "from indexer.cli import mcp_http\nserve = mcp_http.serve\n"
    quick += "mcp_http.serve = lambda *a: serve(*a[:3], a[3] / 60)\n"
    (tmp_path / "sitecustomize.py").write_text(quick)
    quickly = {"PYTHONPATH": str(tmp_path)}
    with serving(projects[0], "--idle", "1", **quickly) as served:
        with served.client() as session:
            assert session.text("status")
            time.sleep(2.5)  # its stream is open, although it says nothing
            assert session.search("tax", mode="sparse").paths
        assert served.process.wait(timeout=TIMEOUT) == 0
        assert served.process.stderr and served.process.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["--http", "0.0.0.0:0"], 2, "only this machine can be served"),
        (["--http", "example.org:80"], 2, "only this machine can be served"),
        (["--http", "192.168.0.1:0"], 2, "only this machine can be served"),
        (["--http", "[::]:0"], 2, "only this machine can be served"),
        (["--http", "localhost"], 2, "no port"),
        (["--http", "70000"], 2, "no port"),
        (["--idle", "3"], 2, "--idle needs --http"),
    ],
)
def test_wrong_usage(
    arguments: list[str], code: int, said: str, projects: list[Project]
) -> None:
    assert said in assert_one_line(projects[0].command("mcp", *arguments), code)


def test_a_port_that_is_taken(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = projects[0].command("mcp", "--http", str(port))
    assert assert_one_line(done, 1).endswith("Address already in use\n")


def test_ipv6(projects: list[Project]) -> None:
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    with serving(projects[0], "--http", "[::1]:0") as served:
        assert served.url.startswith("http://[::1]:")
        with served.client() as session:
            assert session.text("status")
