"""The lines of JSON-RPC between an MCP client and the SDK's server.

The SDK silently ignores what it cannot read, and takes a request whose id it does not like
for a notification, so a client waits for ever. Here every request with an id gets an answer, and
what clients write differently is rewritten as the SDK reads it. docs/how-to/mcp.md says what is accepted.
"""

from __future__ import annotations

import io
import json
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from mcp.types import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    jsonrpc_message_adapter,
)
from msgspec import Struct, field

from indexer.cli.mcp_leniency import lenient_params
from indexer.cli.texts import json_text

LONGEST = 64 << 20  # bytes of a line
LAST_ANSWERS = (
    30.0  # seconds in which what was asked before the end of stdin is answered
)

_SURROGATE = re.compile("[\ud800-\udfff]")


class _Batch(Struct):
    """Messages that came in one array; their answers go into one, too."""

    left: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)


class _Refusal(Exception):
    """A message that is answered with an error; `id` is None if it has no valid one."""

    def __init__(self, id: Any, code: int, reason: str) -> None:  # noqa: A002
        super().__init__(id, code, reason)
        self.id = id
        self.code = code
        self.reason = reason


class Answers(io.TextIOBase):
    """What the SDK writes to. Each answer gets the id that its request came with.

    The SDK knows requests by our own numbers, because it does not accept every id that JSON-RPC
    allows. `on_error` is called when the client can no longer be written to.
    """

    def __init__(self, target: BinaryIO, on_error: Callable[[OSError], None]) -> None:
        self._target = target
        self._on_error = on_error
        self._asked: dict[int, tuple[Any, _Batch | None]] = {}
        self._last = 0
        self._changed = threading.Condition(threading.RLock())

    def expect(self, given_id: Any, batch: _Batch | None) -> int:
        """The number under which the SDK must answer a request."""
        with self._changed:
            self._last += 1
            self._asked[self._last] = given_id, batch
            if batch:
                batch.left += 1
            return self._last

    def drop(self, given_id: Any) -> int | None:
        """Forget a request that the client takes back; its number, None if there is none."""
        with self._changed:
            for number, (asked, batch) in self._asked.items():
                if str(asked) == str(given_id):
                    del self._asked[number]
                    self._settle(batch)
                    return number
        return None

    def refuse(self, refusal: _Refusal, batch: _Batch | None = None) -> None:
        """Answer with an error."""
        error = {"code": refusal.code, "message": refusal.reason}
        with self._changed:
            if batch:
                batch.left += 1
            self._answer({"jsonrpc": "2.0", "id": refusal.id, "error": error}, batch)

    def end_batch(self, batch: _Batch) -> None:
        """Say that all messages of a batch are read."""
        with self._changed:
            self._settle(batch)

    def write(self, text: str) -> int:
        """Send one of the SDK's messages. The SDK calls this with whole lines."""
        message = json.loads(text)
        with self._changed:
            if "method" in message:
                self._send(message)
            elif message.get("id") in self._asked:
                message["id"], batch = self._asked.pop(message["id"])
                self._answer(message, batch)
        return len(text)

    def await_last(self) -> None:
        """Wait until every request is answered, but not for long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._asked, LAST_ANSWERS)

    def _answer(self, message: dict[str, Any], batch: _Batch | None) -> None:
        if batch is None:
            self._send(message)
        else:
            batch.answers.append(message)
        self._settle(batch)

    def _settle(self, batch: _Batch | None) -> None:
        if batch:
            batch.left -= 1
            if not batch.left and batch.answers:
                self._send(batch.answers)
        self._changed.notify_all()

    def _send(self, value: object) -> None:
        try:
            line = json_text(value, separators=(",", ":"))
            self._target.write(line.encode() + b"\n")
            self._target.flush()
        except OSError as error:
            self._asked.clear()
            self._on_error(error)


class Requests(io.TextIOBase):
    """What the SDK reads from: the client's messages, each on a line, as it understands them."""

    def __init__(self, source: BinaryIO, answers: Answers) -> None:
        self._source = source
        self._answers = answers
        self._ready: deque[str] = deque()

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """The next message, "" at the end. Lines before it that are not messages are answered."""
        while not self._ready:
            line = self._source.readline(LONGEST)
            if not line:
                self._answers.await_last()
                return ""
            self._ready.extend(self._messages(line))
        return self._ready.popleft()

    def _messages(self, line: bytes) -> Iterator[str]:
        if len(line) == LONGEST and not line.endswith(b"\n"):
            while (rest := self._source.readline(LONGEST)) and not rest.endswith(b"\n"):
                pass
            self._answers.refuse(_Refusal(None, PARSE_ERROR, "the line is too long"))
            return
        text = line.decode("utf-8", "replace").removeprefix("\ufeff").strip()
        if not text:
            return
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            self._answers.refuse(_Refusal(None, PARSE_ERROR, "the line is not JSON"))
            return
        if value == []:
            self._answers.refuse(_Refusal(None, INVALID_REQUEST, "the batch is empty"))
        # Count one more, so that a batch does not end while it is being read.
        batch = _Batch(left=1) if isinstance(value, list) else None
        for one in value if batch else [value]:
            try:
                message = self._message(one, batch)
            except _Refusal as refusal:
                self._answers.refuse(refusal, batch)
            else:
                if message:
                    yield message
        if batch:
            self._answers.end_batch(batch)

    def _message(self, value: Any, batch: _Batch | None) -> str:
        """A message as the SDK reads it; "" if it needs no answer and tells us nothing.

        Raises `_Refusal`.
        """
        if not isinstance(value, dict):
            raise _Refusal(None, INVALID_REQUEST, "a message is an object")
        if "method" not in value and ("result" in value or "error" in value):
            return ""  # an answer, but we ask nothing
        given_id = value.get("id")
        if not _is_id(given_id):
            raise _Refusal(None, INVALID_REQUEST, "an id is a string or a number")
        method = value.get("method")
        if not isinstance(method, str):
            raise _Refusal(given_id, INVALID_REQUEST, "the method is not a string")
        if value.get("jsonrpc", "2.0") not in ("2.0", 2, "2"):
            raise _Refusal(given_id, INVALID_REQUEST, "jsonrpc is not 2.0")
        params = value.get("params")
        if not (params is None or params == [] or isinstance(params, dict)):
            if "id" not in value:
                return ""
            raise _Refusal(given_id, INVALID_PARAMS, "params are not an object")
        message: dict[str, Any] = {
            "jsonrpc": "2.0",
            "method": method,
            "params": lenient_params(method, params or {}),
        }
        if "id" in value:
            _check(message | {"id": 0}, given_id)
            message["id"] = self._answers.expect(given_id, batch)
        elif method == "notifications/cancelled":
            asked = message["params"].get("requestId")
            message["params"]["requestId"] = self._answers.drop(asked) or 0
        return _text(message)


def without_halves(message: Any) -> str:
    """The message in JSON. Half of a character that was cut apart becomes U+FFFD,
    because no text in UTF-8 can hold it."""
    return _SURROGATE.sub("\ufffd", json.dumps(message, ensure_ascii=False))


def _text(message: dict[str, Any]) -> str:
    return without_halves(message) + "\n"


def _check(message: dict[str, Any], given_id: Any) -> None:
    """Raise `_Refusal` for what the SDK would silently ignore."""
    try:
        jsonrpc_message_adapter.validate_json(_text(message), by_name=False)
    except (ValueError, RecursionError) as error:
        reason = "the message cannot be read"
        raise _Refusal(given_id, INVALID_REQUEST, reason) from error


def _is_id(value: Any) -> bool:
    """Whether JSON-RPC allows such an id. It allows null, but advises against it."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (
        isinstance(value, str | int) and not isinstance(value, bool)
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
