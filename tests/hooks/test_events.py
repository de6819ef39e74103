"""Real files, FIFOs, pipes and HTTP servers that are told what a run does."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from indexer.errors import UsageError
from indexer.hooks import sink, webhook
from indexer.hooks.events import Events
from indexer.hooks.stream import check_stream
from indexer.hooks.webhook import check_webhook
from indexer.loop import LoopThread
from indexer.report import STAGES, Report

SCHEMA = json.loads(files("indexer").joinpath("schema.json").read_text("utf-8"))
HASH = "0123456789" * 4
SECRET = "a shared secret"

ABOUTS: list[tuple[str, dict[str, object]]] = [
    (
        "run-started",
        {"project": "/p", "collection": "c", "uri": "/p/m.db", "codx_index": "0.1.0"},
    ),
    ("plan", {"scanned": 9, "unchanged": 5, "changed": 4, "bytes": 99, "gone": 1}),
    (
        "file-loaded",
        {"path": "a.py", "change": "added", "file_hash": HASH, "chunks": 2},
    ),
    (
        "file-loaded",
        {
            "path": "b\\\\\\xff.py",
            "change": "renamed",
            "from": "ä.py",
            "file_hash": HASH,
            "chunks": 1,
        },
    ),
    ("file-deleted", {"path": "c.py"}),
    ("file-skipped", {"path": "d.bin", "reason": "binary"}),
    ("file-failed", {"path": "e.py", "error": "Permission denied"}),
    ("mention-pending", {"path": "a.py", "line": 3, "text": "@codx\ntwo lines"}),
    (
        "wiki-updated",
        {"folder": "/p/wiki", "pages": 3, "written": 1, "deleted": 0, "failed": 0},
    ),
    ("run-finished", {"report": Report(status="updated", error_code=0).as_dict()}),
]


def validate(value: object, name: str) -> None:
    schema = {**SCHEMA, "$ref": f"#/$defs/{name}"}
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)


def tell(events: Events, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        events.emit("file-deleted", {"path": f"{number}.py"})


def paths(found: list[dict[str, Any]]) -> list[str]:
    return [event["path"] for event in found]


def numbered(count: int) -> list[str]:
    return [f"{number}.py" for number in range(count)]


def lines_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_text("utf-8")
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_of_thread() -> None:
    """What was left to the end of the process ends now, as its reader has gone."""
    wait_until(
        lambda: "codx-index events" not in {t.name for t in threading.enumerate()}
    )


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    with contextlib.closing(LoopThread()) as started:
        yield started


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


# The schema


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]["report"]["properties"]["seconds"]["properties"]) == {
        "total",
        *STAGES,
    }


@pytest.mark.parametrize(
    "event, about",
    [
        ("unheard-of", {}),
        ("file-deleted", {}),
        ("file-deleted", {"path": 3}),
        ("file-loaded", {**ABOUTS[2][1], "chunks": 0}),
        ("file-loaded", {**ABOUTS[2][1], "change": "renamed"}),
        ("mention-pending", {"path": "a", "line": 0, "text": ""}),
        ("run-finished", {"report": {}}),
    ],
)
def test_the_schema_refuses(event: str, about: dict[str, object]) -> None:
    head = {"version": 1, "run": "0" * 32, "seq": 0, "time": "2026-11-25T15:30:00.123Z"}
    validate({**head, "event": "file-deleted", "path": "a"}, "event")
    with pytest.raises(ValidationError):
        validate({**head, "event": event, **about}, "event")


def test_the_schema_of_run_all() -> None:
    report = Report().as_dict()
    projects: list[dict[str, object]] = [
        {"project": "/a", "result": "run", "report": report, "until": None},
        {"project": "/b", "result": "backed-off", "report": None, "until": "later"},
    ]
    result = {"status": "x", "exit_code": 0, "seconds": 0.1, "projects": projects}
    validate(result, "run_all")
    projects[0]["result"] = "perhaps"
    with pytest.raises(ValidationError):
        validate(result, "run_all")


# Streams


def test_lines_in_order(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(str(path), "", "", loop)
    for event, about in ABOUTS:
        events.emit(event, about)
    events.close()
    found = lines_of(path)
    assert [event["event"] for event in found] == [event for event, _ in ABOUTS]
    assert [event["seq"] for event in found] == list(range(len(ABOUTS)))
    assert len({event["run"] for event in found}) == 1
    for line, (_, about) in zip(found, ABOUTS, strict=True):
        validate(line, "event")
        assert about.items() <= line.items()
    assert (events.counts.emitted, events.counts.undelivered) == (len(ABOUTS), 0)
    assert events.problems == []
    assert path.stat().st_mode & 0o777 == 0o600


def test_runs_are_appended(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "events.jsonl"
    for first in (0, 3):
        events = Events(str(path), "", "", loop)
        tell(events, 3, first)
        events.close()
    found = lines_of(path)
    assert paths(found) == numbered(6)
    assert [event["seq"] for event in found] == [0, 1, 2] * 2
    assert len({event["run"] for event in found}) == 2


def test_without_a_place_to_tell(loop: LoopThread) -> None:
    events = Events("", "", "", loop)
    tell(events, 3)
    events.close()
    assert (events.counts.emitted, events.counts.undelivered) == (0, 0)


def test_many_threads(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(str(path), "", "", loop)
    threads = [
        threading.Thread(target=tell, args=(events, 500, 500 * n)) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.close()
    found = lines_of(path)
    assert [event["seq"] for event in found] == list(range(4000))
    assert sorted(paths(found)) == sorted(numbered(4000))


def test_emit_does_not_fail(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(str(path), "", "", loop)
    events.emit("file-failed", {"path": "\udcff", "error": Path("no JSON")})
    events.close()
    assert lines_of(path)[0]["error"] == "no JSON"
    tell(events, 2)  # nobody is there any more
    assert (events.counts.emitted, events.counts.undelivered) == (3, 2)


def test_a_fifo_with_a_reader(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    events = Events(str(path), "", "", loop)
    tell(events, 1)  # before anybody reads
    with open(path, encoding="utf-8") as file:
        tell(events, 2000, 1)  # more than a pipe holds
        found = [json.loads(file.readline()) for _ in range(2001)]
        events.close()
        assert file.read() == ""
    assert paths(found) == numbered(2001)
    assert events.counts.undelivered == 0


def test_a_fifo_without_a_reader(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with contextlib.closing(Events(str(path), "", "", loop)) as events:
        tell(events, 3)
    assert events.counts.undelivered == 3
    assert events.problems == [f"events: {path}: 3 events undelivered: nobody reads it"]


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with suppress(OSError):
                os.close(end)


def test_a_descriptor(loop: LoopThread) -> None:
    with pipe() as (read_end, write_end):
        events = Events(check_stream(f"fd:{write_end}"), "", "", loop)
        tell(events, 3)
        events.close()
        os.close(write_end)  # it was not ours
        with os.fdopen(read_end) as file:
            assert paths([json.loads(line) for line in file]) == numbered(3)
    assert events.counts.undelivered == 0


@pytest.mark.parametrize("blocking", [True, False])
def test_a_descriptor_stays_as_it_is(loop: LoopThread, blocking: bool) -> None:
    with pipe() as (read_end, write_end):
        os.set_blocking(write_end, blocking)
        events = Events(f"fd:{write_end}", "", "", loop)
        tell(events, 2000)  # more than the pipe holds
        time.sleep(0.2)
        assert os.get_blocking(write_end) == blocking
        with os.fdopen(read_end) as file:
            found = [json.loads(file.readline()) for _ in range(2000)]
            events.close()
        assert paths(found) == numbered(2000)
    assert events.counts.undelivered == 0


def test_stdout(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from indexer.hooks.events import *\n"
            "events = Events('-', '', '', LoopThread())\n"
            "for _ in range(3): events.emit('file-deleted', {'path': 'a'})\n"
            "events.close()\n",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [0, 1, 2]


def test_the_reader_goes_away(loop: LoopThread) -> None:
    with pipe() as (read_end, write_end):
        events = Events(f"fd:{write_end}", "", "", loop)
        tell(events, 1)
        assert os.read(read_end, 1 << 16).endswith(b"\n")
        os.close(read_end)
        tell(events, 4)
        events.close()
    assert events.counts.undelivered == 4
    (problem,) = events.problems
    assert problem.endswith("4 events undelivered: Broken pipe")


def test_the_reader_does_not_read(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "LIMIT", 1000)
    with pipe() as (read_end, write_end):
        events = Events(f"fd:{write_end}", "", "", loop, patience=0.3)
        with contextlib.closing(events):
            tell(events, 5000)  # neither waits for a reader, which there never is
        os.set_blocking(read_end, False)
        got = os.read(read_end, 1 << 20)
        lost = events.counts.undelivered
        os.close(read_end)
        end_of_thread()
    assert got.endswith(b"\n")  # no line was cut
    assert paths([json.loads(line) for line in got.splitlines()]) == numbered(
        5000 - lost
    )
    (problem,) = events.problems
    assert f"{lost:,} events undelivered: it did not accept them in time" in problem


def test_a_process_ends_though_its_reader_does_not_read(tmp_path: Path) -> None:
    with pipe() as (_, write_end):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from indexer.hooks.events import *\n"
                f"events = Events('fd:{write_end}', '', '', LoopThread(), patience=0.1)\n"
                "for _ in range(5000): events.emit('file-deleted', {'path': 'a'})\n"
                "events.close()\n",
            ],
            cwd=tmp_path,
            pass_fds=[write_end],
            timeout=30,
        )
    assert done.returncode == 0


def test_an_unwritable_path(tmp_path: Path, loop: LoopThread) -> None:
    (tmp_path / "file").touch()
    for place, reason in (
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "file", "No such file or directory"),
        (tmp_path / "file" / "file", "Not a directory"),
    ):
        events = Events(str(place), "", "", loop)
        tell(events, 2)
        events.close()
        assert events.counts.undelivered == 2
        assert events.problems == [f"events: {place}: 2 events undelivered: {reason}"]


def test_a_full_device(loop: LoopThread) -> None:
    events = Events("/dev/full", "", "", loop)
    tell(events, 1)
    wait_until(lambda: bool(events._sinks[0].reason))
    tell(events, 1)
    assert events.counts.undelivered == 2  # known before the end
    events.close()
    assert events.problems == [
        "events: /dev/full: 2 events undelivered: No space left on device"
    ]


def test_a_line_without_room_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from indexer.hooks.events import *\n"
            "events = Events('events.jsonl', '', '', LoopThread())\n"
            "for n in range(100): events.emit('file-deleted', {'path': f'{n}.py'})\n"
            "events.close()\n"
            "print(events.counts.undelivered, events.problems)\n",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )
    found = lines_of(path)  # of whole lines
    assert 0 < len(found) < 100
    assert done.stdout.startswith(f"{100 - len(found)} [")
    assert "File too large" in done.stdout


@pytest.mark.parametrize("stream", ["-", "fd:2", "events.jsonl", "./fd:x", "/no/such"])
def test_a_good_stream(stream: str) -> None:
    assert check_stream(stream) == stream


@pytest.mark.parametrize(
    "stream",
    ["", "fd:0", "fd:00", "fd:", "fd:x", "fd:-1", "fd:999999999", "fd:9" * 9, "a\0"],
)
def test_a_bad_stream(stream: str) -> None:
    with pytest.raises(UsageError):
        check_stream(stream)


def test_a_stream_for_reading() -> None:
    with pipe() as (read_end, write_end):
        assert check_stream(f"fd:{write_end}")
        with pytest.raises(UsageError, match="reading only"):
            check_stream(f"fd:{read_end}")


# Webhooks


@dataclass
class Post:
    """A request as the server had it."""

    headers: dict[str, str]
    body: bytes
    status: int
    time: float

    @property
    def delivery(self) -> str:
        return self.headers["x-codx-delivery"]


@dataclass
class Server:
    """A webhook that answers a request with a status, by its number."""

    answer: Callable[[int], int] = lambda number: 204
    extra: dict[str, str] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    url: str = ""

    def events(self) -> list[dict[str, Any]]:
        """What was taken, each batch once."""
        taken = {post.delivery: post for post in self.posts if post.status < 300}
        assert len(taken) == sum(post.status < 300 for post in self.posts)
        return [
            event
            for post in taken.values()
            for event in json.loads(post.body)["events"]
        ]


@contextmanager
def serving(answer: Callable[[int], int], **extra: str) -> Iterator[Server]:
    server = Server(answer, extra)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = server.answer(len(server.posts))
            server.posts.append(Post(headers, body, status, time.monotonic()))
            self.send_response(status)
            for name, value in server.extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}/hook"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does what `talk` does with each connection; yields its URL."""
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=run, args=(connection,)))
                threads[-1].start()

    def run(connection: socket.socket) -> None:
        with suppress(OSError):
            talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/hook"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for connection in connections:
                connection.close()


def test_a_webhook(loop: LoopThread) -> None:
    with serving(lambda number: 200) as server:
        events = Events("", check_webhook(server.url), SECRET, loop)
        for event, about in ABOUTS:
            events.emit(event, about)
        events.close()
        assert [event["seq"] for event in server.events()] == list(range(len(ABOUTS)))
        assert (events.counts.emitted, events.counts.undelivered) == (len(ABOUTS), 0)
    assert events.problems == []
    for post in server.posts:
        body = json.loads(post.body)
        validate(body, "delivery")
        assert {event["run"] for event in body["events"]} == {body["run"]}
        assert post.headers["content-type"] == "application/json"
        assert re.fullmatch(r"codx-index/[\d.]+", post.headers["user-agent"])
        signature = hmac.new(SECRET.encode(), post.body, hashlib.sha256).hexdigest()
        assert post.headers["x-codx-signature-256"] == f"sha256={signature}"


def test_without_a_secret_there_is_no_signature(loop: LoopThread) -> None:
    with serving(lambda number: 204) as server:
        events = Events("", server.url, "", loop)
        tell(events, 1)
        events.close()
    assert "x-codx-signature-256" not in server.posts[0].headers


def test_batches(loop: LoopThread) -> None:
    with serving(lambda number: 204) as server:
        events = Events("", server.url, "", loop)
        tell(events, 250)
        wait_until(lambda: len(server.events()) == 250)  # without a close
        tell(events, 1, 250)
        wait_until(lambda: len(server.events()) == 251)
        events.close()
    sizes = [len(json.loads(post.body)["events"]) for post in server.posts]
    assert max(sizes) == webhook.BATCH
    assert len(sizes) <= 5
    assert paths(server.events()) == numbered(251)
    assert len({post.delivery for post in server.posts}) == len(server.posts)


def test_a_stream_and_a_webhook(tmp_path: Path, loop: LoopThread) -> None:
    path = tmp_path / "events.jsonl"
    with serving(lambda number: 204) as server:
        events = Events(str(path), server.url, "", loop)
        tell(events, 10)
        events.close()
        assert lines_of(path) == server.events()
    assert events.counts.undelivered == 0


@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_fails_half_of_the_requests(loop: LoopThread, seed: int) -> None:
    choose = random.Random(seed)
    with serving(lambda number: choose.choice([204, 500, 503, 204])) as server:
        events = Events("", server.url, SECRET, loop, patience=60)
        for first in range(0, 600, 60):
            tell(events, 60, first)
            time.sleep(0.1)
        events.close()
        assert paths(server.events()) == numbered(600)
    assert any(post.status >= 500 for post in server.posts)
    for delivery in {post.delivery for post in server.posts}:
        tries = [post for post in server.posts if post.delivery == delivery]
        assert len({post.body for post in tries}) == 1
        assert [post.status < 300 for post in tries].index(True) == len(tries) - 1
    assert events.counts.undelivered == 0
    assert events.problems == []


def test_a_try_is_not_the_last_of_a_batch(loop: LoopThread) -> None:
    statuses = [408, 425, 429, 500, 599, 204]
    with serving(lambda number: statuses[number]) as server:
        events = Events("", server.url, "", loop, patience=60)
        tell(events, 1)
        events.close()
    assert [post.status for post in server.posts] == statuses
    assert events.counts.undelivered == 0


def test_retry_after(loop: LoopThread) -> None:
    with serving(lambda number: [429, 204][number], **{"Retry-After": "1"}) as server:
        events = Events("", server.url, "", loop)
        tell(events, 1)
        events.close()
    assert server.posts[1].time - server.posts[0].time > 0.9
    assert events.counts.undelivered == 0


@pytest.mark.parametrize("status", [400, 401, 404, 302])
def test_a_refusal_is_final(loop: LoopThread, status: int) -> None:
    with serving(lambda number: status, Location="/elsewhere") as server:
        events = Events("", server.url, "", loop)
        tell(events, 5)
        events.close()
    assert len(server.posts) == 1
    assert events.counts.undelivered == 5
    address = server.url.removesuffix("/hook")
    assert events.problems == [
        f"webhook {address}: 5 events undelivered: HTTP {status}"
    ]


def test_after_some_lost_batches_the_webhook_is_given_up(loop: LoopThread) -> None:
    with serving(lambda number: 410) as server:
        events = Events("", server.url, "", loop)
        tell(events, 1000)
        wait_until(lambda: events._sinks[0].lost == 1000)
        tell(events, 1)
        assert events.counts.undelivered == 1001
        events.close()
    assert len(server.posts) == webhook.MAX_LOST
    assert events.counts.undelivered == 1001


def test_one_lost_batch_is_not_the_end(loop: LoopThread) -> None:
    answers = {0: 400, 1: 400, 2: 204, 3: 400, 4: 400, 5: 204}
    with serving(lambda number: answers[number]) as server:
        events = Events("", server.url, "", loop)
        tell(events, 600)
        events.close()
    assert events.counts.undelivered == 400
    assert len(server.events()) == 200


def test_a_refused_connection(loop: LoopThread) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    events = Events("", f"http://127.0.0.1:{port}/", "", loop)
    with contextlib.closing(events):
        tell(events, 7)
    assert events.counts.undelivered == 7
    (problem,) = events.problems
    assert problem.startswith(
        f"webhook http://127.0.0.1:{port}: 7 events undelivered: "
    )
    assert "connect" in problem.lower()


def test_a_server_that_hangs(loop: LoopThread) -> None:
    with talking(lambda connection: None) as url:
        events = Events("", url, "", loop, patience=0.5)
        with contextlib.closing(events):
            tell(events, 5000)  # neither waits for an answer, which there never is
        assert (events.counts.emitted, events.counts.undelivered) == (5000, 5000)
    assert "in time" in events.problems[0]


def trickle(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    for byte in b"HTTP/1.1 204 No Content\r\nX-Long: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def test_a_server_that_trickles(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    monkeypatch.setattr(webhook, "TRIES", 2)
    with talking(trickle) as url:
        with contextlib.closing(Events("", url, "", loop)) as events:
            tell(events, 3)
    assert events.counts.undelivered == 3
    assert events.problems[0].endswith("no answer within 0.2 s")


def endless(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"x" * 10_000)


def test_the_body_of_an_answer_is_not_read(loop: LoopThread) -> None:
    with talking(endless) as url:
        with contextlib.closing(Events("", url, "", loop)) as events:
            tell(events, 3)
    assert events.counts.undelivered == 0


def garbage(connection: socket.socket) -> None:
    connection.recv(1 << 16)
    connection.sendall(b"\x00\xff no HTTP at all\r\n\r\n")
    connection.close()


def test_a_server_that_speaks_no_http(loop: LoopThread) -> None:
    with talking(garbage) as url:
        with contextlib.closing(Events("", url, "", loop)) as events:
            tell(events, 3)
    assert events.counts.undelivered == 3
    assert events.problems[0].endswith("the answer is not HTTP")


def test_a_full_queue(loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "LIMIT", 200)
    with talking(lambda connection: None) as url:
        events = Events("", url, "", loop, patience=0)
        tell(events, 1000)
        assert 700 <= events.counts.undelivered <= 800  # known before the end
        events.close()
    assert events.counts.undelivered == 1000


def test_what_is_secret_is_not_told(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(webhook, "TRIES", 2)
    with serving(lambda number: 403) as server:
        url = server.url.replace("//", "//USER:PASSWORD@") + "/PATH?token=TOKEN"
        events = Events("", url, "SECRET", loop)
        tell(events, 1)
        events.close()
    assert server.posts[0].headers["authorization"].startswith("Basic ")
    with talking(garbage) as url:
        url = url.replace("//", "//USER:PASSWORD@") + "/PATH?token=TOKEN"
        others = Events("", url, "SECRET", loop)
        tell(others, 1)
        others.close()
    problems = [*events.problems, *others.problems]
    assert len(problems) == 2
    assert not re.search("USER|PASSWORD|PATH|TOKEN|SECRET", "".join(problems))


def test_a_proxy_that_cannot_be_used(
    loop: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "nonsense://USER:PASSWORD@host")
    events = Events("", "http://webhook.invalid:1/", "", loop)
    tell(events, 2)
    events.close()
    assert events.problems == [
        "webhook http://webhook.invalid:1: 2 events undelivered: "
        "cannot create an HTTP client: ValueError"
    ]


def test_the_loop_is_closed_first() -> None:
    with talking(lambda connection: None) as url:
        with contextlib.closing(LoopThread()) as loop:
            events = Events("", url, "", loop)
            tell(events, 1)
        tell(events, 99, 1)
        events.close()
    assert events.counts.undelivered == 100


@pytest.mark.parametrize(
    "url", ["http://h", "https://u:p@h:8443/a?b=c", "http://[::1]:80/", "HTTP://ü.de"]
)
def test_a_good_webhook(url: str) -> None:
    assert check_webhook(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/path",
        "ftp://u:PASSWORD@host/",
        "http://",
        "http:///path",
        "http:host",
        "http://u:PASSWORD@",
        "http://u:PASSWORD@host:x/",
        "http://host:0/",
        "http://host:65536/",
        "http://u:PASSWORD@a host/",
        "http://host/\n",
        "http://[::1/",
        "http://u:PASSWORD@\udcff/",
    ],
)
def test_a_bad_webhook(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_webhook(url)
    assert "PASSWORD" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
