"""Guards the MCP server over HTTP: which requests it accepts, and how much of them.

Nothing of a request is read before its token is checked. Its body is read within a limit of time and size.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import anyio
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from indexer.cli.mcp_leniency import lenient_params
from indexer.cli.mcp_wire import without_halves

MOST_BYTES = 4 << 20  # of a body
BODY_SECONDS = 30.0

_CODE = -32600  # of JSON-RPC: an invalid request


class Gate:
    """An ASGI application that passes requests with the right token to the app of their path.

    `connected` is the number of requests that are being answered, including the open streams of
    clients; `last` is when there last was one, by the monotonic clock.
    """

    def __init__(self, apps: Mapping[str, ASGIApp], token: str) -> None:
        self._apps = apps
        self._token = token.encode()
        self.connected = 0
        self.last = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        headers = Headers(scope=scope)
        if not self._knows(headers.get("authorization", "")):
            needed = {"WWW-Authenticate": 'Bearer realm="codx-index"'}
            refusal = _refusal(401, "the token is missing or wrong", needed)
            await refusal(scope, receive, send)
            return
        app = self._apps.get(scope["path"].rstrip("/"))
        if app is None:
            known = ", ".join(self._apps)
            await _refusal(404, f"there is only {known}")(scope, receive, send)
            return
        self.connected += 1
        try:
            if scope["method"] == "POST":
                await self._post(app, scope, receive, send)
            else:
                await app(scope, receive, send)
        finally:
            self.connected -= 1
            self.last = time.monotonic()

    def _knows(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        is_right = hmac.compare_digest(given.strip().encode(), self._token)
        return scheme.lower() == "bearer" and is_right

    async def _post(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        body = None
        with anyio.move_on_after(BODY_SECONDS):
            body = await _body(receive)
        if body is None:
            await _refusal(408, "the request is incomplete")(scope, receive, send)
            return
        if len(body) > MOST_BYTES:
            said = f"a request may have at most {MOST_BYTES:,} bytes"
            await _refusal(413, said)(scope, receive, send)
            return
        whole: Message | None = {"type": "http.request", "body": _understood(body)}

        async def replay() -> Message:
            nonlocal whole
            message, whole = whole, None
            return message or await receive()

        names = [(k, v) for k, v in scope["headers"] if k != b"content-length"]
        await app({**scope, "headers": names}, replay, send)


async def _body(receive: Receive) -> bytes:
    """The body; if it is too long, more than `MOST_BYTES` of it; if it is cut off, what there is."""
    body = bytearray()
    while len(body) <= MOST_BYTES:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            break
    return bytes(body)


def _understood(body: bytes) -> bytes:
    """A request in the form that the SDK reads, see `mcp_leniency`; anything else as it is."""
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body
    if isinstance(value, dict) and isinstance(value.get("method"), str):
        params = value.get("params") or {}
        if isinstance(params, dict):
            value["params"] = lenient_params(value["method"], params)
    return without_halves(value).encode()


def _refusal(
    status: int, reason: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    error = {"code": _CODE, "message": reason}
    content = {"jsonrpc": "2.0", "id": None, "error": error}
    return JSONResponse(content, status, headers)
