"""The lines of JSON-RPC on both sides of the SDK: each request with an id gets one answer."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from indexer.cli import mcp_wire
from indexer.cli.mcp_wire import Answers, Requests

PING = {"jsonrpc": "2.0", "id": 7, "method": "ping"}


def talk(*lines: bytes) -> tuple[list[dict[str, Any]], list[Any]]:
    """What the SDK reads of these lines, and what the client gets if it answers each request
    with the method that it read."""
    target = io.BytesIO()
    failures: list[OSError] = []
    answers = Answers(target, failures.append)
    requests = Requests(io.BytesIO(b"\n".join(lines) + b"\n"), answers)
    read: list[dict[str, Any]] = []
    while len(read) < 50 and (line := next_line(requests, answers)):
        read.append(json.loads(line))
        if "id" in read[-1]:
            result = {"method": read[-1]["method"]}
            about = {"jsonrpc": "2.0", "id": read[-1]["id"], "result": result}
            answers.write(json.dumps(about) + "\n")
    assert not failures
    return read, [json.loads(line) for line in target.getvalue().splitlines()]


def next_line(requests: Requests, answers: Answers) -> str:
    """The next line, read in a thread as the SDK does it."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(requests.readline()))
    thread.start()
    thread.join(60)
    return found[0]


def message(**changes: Any) -> bytes:
    """A ping with other fields; a value of `...` removes one."""
    changed = {k: v for k, v in {**PING, **changes}.items() if v is not ...}
    return json.dumps(changed).encode()


def error_of(answer: dict[str, Any]) -> tuple[int, Any]:
    assert answer["jsonrpc"] == "2.0" and isinstance(answer["error"]["message"], str)
    return answer["error"]["code"], answer["id"]


@pytest.mark.parametrize(
    "given", [7, 0, -1, 10**30, 4.5, 5.0, "7", "", "é", "\ud83c", "a\nb", None]
)
def test_an_answer_has_the_id_of_its_request(given: Any) -> None:
    read, answers = talk(message(id=given))
    assert [type(one["id"]) for one in read] == [int]
    assert [(one["id"], one["result"]) for one in answers] == [
        (given, {"method": "ping"})
    ]
    assert type(answers[0]["id"]) is type(given)


@pytest.mark.parametrize(
    "line, code, given",
    [
        (b"no JSON", -32700, None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "ping"', -32700, None),
        (b"\xff\xfe\x00", -32700, None),
        (b"[" * 100_000, -32700, None),
        (message(id=float("nan")), -32700, None),
        (b"[]", -32600, None),
        (b"7", -32600, None),
        (b"null", -32600, None),
        (b"{}", -32600, None),
        (message(id=True), -32600, None),
        (message(id=[7]), -32600, None),
        (message(id={"a": 7}), -32600, None),
        (b'{"jsonrpc": "2.0", "id": 1e999, "method": "ping"}', -32600, None),
        (message(id=..., method=5), -32600, None),
        (message(method=...), -32600, 7),
        (message(method=None), -32600, 7),
        (message(jsonrpc="1.0"), -32600, 7),
        (message(params=[1]), -32602, 7),
        (message(params="x"), -32602, 7),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(
    line: bytes, code: int, given: Any
) -> None:
    read, answers = talk(line, message(id=8))
    assert [one["method"] for one in read] == ["ping"]
    assert error_of(answers[0]) == (code, given)
    assert answers[1]["id"] == 8


def test_what_is_nested_too_deeply_for_the_sdk_is_answered() -> None:
    deep = "[" * 400 + "]" * 400
    line = b'{"jsonrpc": "2.0", "id": 7, "method": "ping", "params": {"x": %s}}'
    read, answers = talk(line % deep.encode())
    assert read == [] and error_of(answers[0]) == (-32600, 7)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" \t",
        message(id=..., method="notifications/nothing", params="x"),
        message(method=..., result={}),
        message(method=..., id=None, error={"code": 1, "message": "x"}),
    ],
)
def test_what_is_no_request_and_no_mistake_is_not_answered(line: bytes) -> None:
    assert talk(line) == ([], [])


@pytest.mark.parametrize(
    "line",
    [
        message(extra=[1], params=None),
        message(params=[]),
        message(params=...),
        message(jsonrpc=...),
        message(jsonrpc=2.0),
        b"\xef\xbb\xbf" + message(),
        message() + b"\r",
        b"  " + message() + b"  ",
    ],
)
def test_forms_of_a_request(line: bytes) -> None:
    read, answers = talk(line)
    assert read == [{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {}}]
    assert [one["id"] for one in answers] == [7]


@pytest.mark.parametrize(
    "query, seen",
    [
        (b'"cut \\ud83c off"', "cut \ufffd off"),
        (b'"\\udc00\\ud83c"', "\ufffd\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\xff\xfe"', "\ufffd\ufffd"),
        (b'"\xed\xa0\xbc"', "\ufffd\ufffd\ufffd"),  # a surrogate, in what is not UTF-8
    ],
)
def test_text_that_is_no_text(query: bytes, seen: str) -> None:
    line = b'{"jsonrpc": "2.0", "id": 7, "method": "m", "params": {%s: %s}}'
    read, answers = talk(line % (query, query))
    assert read[0]["params"] == {seen: seen}
    assert answers[0]["id"] == 7


def test_a_batch_is_answered_with_an_array() -> None:
    notice = {"jsonrpc": "2.0", "method": "notifications/x"}
    batch = [PING, notice, 5, {**PING, "id": "b"}]
    read, (answers,) = talk(json.dumps(batch).encode())
    assert [one["method"] for one in read] == ["ping", "notifications/x", "ping"]
    assert {json.dumps(one["id"]) for one in answers} == {"7", '"b"', "null"}
    assert talk(json.dumps([notice]).encode())[1] == []
    assert [error_of(one) for one in talk(b"[1, 2]")[1][0]] == [(-32600, None)] * 2


def test_a_request_that_is_taken_back_gets_no_answer() -> None:
    target = io.BytesIO()
    answers = Answers(target, lambda error: None)
    cancelled = {"requestId": "7", "reason": None}
    lines = [
        message(id=6, method="first"),
        message(method="second"),
        message(id=..., method="notifications/cancelled", params=cancelled),
        message(id=..., method="notifications/cancelled"),
        message(id=8, method="third"),
    ]
    requests = Requests(io.BytesIO(b"\n".join(lines)), answers)
    read = [json.loads(requests.readline()) for _ in lines]
    assert read[2]["params"] == {"requestId": read[1]["id"]}  # as the SDK knows it
    for one in read:
        if "id" in one:
            answers.write(json.dumps({"id": one["id"], "result": {}}))
    given = [json.loads(line)["id"] for line in target.getvalue().splitlines()]
    assert given == [6, 8]
    assert next_line(requests, answers) == ""  # nothing is left to wait for


def test_the_end_waits_for_the_last_answer() -> None:
    target = io.BytesIO()
    answers = Answers(target, lambda error: None)
    requests = Requests(io.BytesIO(message()), answers)
    number = json.loads(requests.readline())["id"]
    ends: list[str] = []
    thread = threading.Thread(target=lambda: ends.append(requests.readline()))
    thread.start()
    thread.join(0.05)
    assert ends == []
    answers.write(json.dumps({"id": number, "result": {}}))
    thread.join(60)
    assert ends == [""] and b'"id":7' in target.getvalue()


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_wire, "LONGEST", 1000)
    long = message(params={"x": "y" * 5000})
    read, answers = talk(long, message(id=8))
    assert [one["id"] for one in read] == [1]
    assert error_of(answers[0]) == (-32700, None)
    assert answers[1]["id"] == 8


def test_a_client_that_is_gone() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise BrokenPipeError

    seen: list[OSError] = []
    answers = Answers(Full(), seen.append)
    requests = Requests(io.BytesIO(b"no JSON\n"), answers)
    assert requests.readline() == ""
    assert [type(one) for one in seen] == [BrokenPipeError]


def test_what_clients_leave_out_of_the_handshake() -> None:
    read, _ = talk(message(method="initialize", params=None))
    assert read[0]["params"] == {
        "protocolVersion": "",
        "capabilities": {},
        "clientInfo": {"name": "", "version": ""},
    }
    given = {
        "protocolVersion": 2025,
        "capabilities": {"roots": None, "sampling": [], "experimental": {"a": None}},
        "clientInfo": {"name": "c", "title": None},
        "_meta": None,
    }
    read, _ = talk(message(method="initialize", params=given))
    assert read[0]["params"] == {
        "protocolVersion": "2025",
        "capabilities": {"sampling": {}, "experimental": {}},
        "clientInfo": {"name": "c", "version": ""},
    }
