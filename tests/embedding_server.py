"""A server of OpenAI's embeddings API with the default model, in a process of its own, that fails as it is told.

    with serving(cache_dir) as server:
        server.set(faults=["429"], every=10)

It answers at `server.model`. What it does wrong is set over HTTP, and so is what it counted read.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DIMENSION = 384
HANG_SECONDS = 60


@dataclass
class Server:
    """The server as a test sees it. With another `name` it is taken for an unknown model."""

    port: int
    process: subprocess.Popen[str]
    name: str = "all-MiniLM-L6-v2"

    @property
    def model(self) -> str:
        return f"openai+http://127.0.0.1:{self.port}/v1#{self.name}"

    def set(self, **plan: Any) -> None:
        """Forget what was counted, and behave as `Plan` says."""
        self._ask("/control", plan)

    @property
    def told(self) -> dict[str, Any]:
        """What was counted since: `requests`, the `texts` that were answered (without probes),
        `most_at_once`, and the last `headers`."""
        found: dict[str, Any] = self._ask("/told")
        return found

    def _ask(self, path: str, given: Any = None) -> Any:
        data = None if given is None else json.dumps(given).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, data, timeout=20) as answer:
            return json.loads(answer.read())


@contextmanager
def serving(cache_dir: Path) -> Iterator[Server]:
    """Start the server, and end it after the block."""
    command = [sys.executable, __file__, str(cache_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()), process)
        finally:
            process.kill()


@dataclass
class Plan:
    """How the server behaves: after so many requests, each `every`-th meets the next of the `faults`.

    One is a status, or "reset", "hang", "garbage", "count", "nan", "none", "huge", "dimension",
    "redirect" or "numbers". A request with a text that has `refused` in it gets 400, with `fatal`
    500, and with more than `most` texts 413. Vectors are those of `other` models, of texts that are cut
    to `cut` characters.
    """

    faults: list[str] = field(default_factory=list)
    every: int = 1
    after: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    fatal: str = ""
    most: int = 1_000
    other: int = 0
    cut: int = 1_000_000
    key: str = ""
    delay: float = 0.0
    has_base64: bool = True
    is_shuffled: bool = False


class App:
    """The ASGI application."""

    def __init__(self, cache_dir: str) -> None:
        from indexer.vectors.choice import choose_backend
        from indexer.vectors.delivery import SIGN_OF_LIFE
        from indexer.vectors.embedders import load_embedder
        from indexer.vectors.endpoint import PROBES
        from indexer.vectors.model import resolve_model

        model = resolve_model("all-MiniLM-L6-v2", cache_dir)
        backend = choose_backend(model, cache_dir, convert=True)
        self.embedder = load_embedder(backend)
        self.own = {*PROBES, SIGN_OF_LIFE}
        self.reset({})

    def reset(self, plan: dict[str, Any]) -> None:
        self.plan = Plan(**plan)
        self.texts: list[str] = []
        self.requests = self.now = self.most_at_once = 0
        self.last: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        if scope["path"] == "/control":
            self.reset(json.loads(body))
            await answered(send, 200, {})
        elif scope["path"] == "/told":
            told = {
                "requests": self.requests,
                "texts": [one for one in self.texts if one not in self.own],
                "most_at_once": self.most_at_once,
                "headers": self.last,
            }
            await answered(send, 200, told)
        elif scope["path"] != "/v1/embeddings":
            await answered(send, 404, {"error": {"message": "no such page"}})
        else:
            self.last = {k.decode(): v.decode() for k, v in scope["headers"]}
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
            try:
                await self.embed(json.loads(body), send)
            finally:
                self.now -= 1

    async def embed(self, asked: dict[str, Any], send: Any) -> None:
        plan, texts = self.plan, asked["input"]
        self.requests += 1
        beyond = self.requests - plan.after
        await asyncio.sleep(plan.delay)
        number, is_off = divmod(beyond, plan.every)
        fault = ""
        if plan.faults and beyond > 0 and not is_off:
            fault = plan.faults[number % len(plan.faults)]
        if plan.key and self.last.get("authorization") != f"Bearer {plan.key}":
            fault = "401"
        if len(texts) > plan.most:
            fault = "413"
        if plan.refused and any(plan.refused in text for text in texts):
            fault = "400"
        if plan.fatal and any(plan.fatal in text for text in texts):
            fault = "500"
        if asked["encoding_format"] == "base64" and not plan.has_base64:
            fault = "422"
        if await self.failed(fault, send):
            return
        found = self.embedder.encode([text[: plan.cut] for text in texts]).vectors
        if plan.other:
            found = found[:, ::-1] * 3.0
        vectors: list[Any] = [one.tolist() for one in found]
        if fault == "nan":
            vectors[0][0] = float("nan")
        if fault == "none":
            vectors[0] = [0.0] * DIMENSION
        if fault == "dimension":
            vectors = [one[:-1] for one in vectors]
        if fault == "count":
            vectors.pop()
        if asked["encoding_format"] == "base64" and not fault:
            vectors = [base64.b64encode(one.tobytes()).decode() for one in found]
        data = [
            {"object": "embedding", "index": number, "embedding": one}
            for number, one in enumerate(vectors)
        ]
        if fault == "numbers":
            data[0]["index"] = 77
        if plan.is_shuffled:
            data.reverse()
        if not fault:
            self.texts += texts
        await answered(send, 200, {"object": "list", "data": data})

    async def failed(self, fault: str, send: Any) -> bool:
        """Whether the fault needs no vectors, and was answered."""
        if fault.isdecimal():
            told = {"error": {"message": f"told to say {fault}"}}
            await answered(send, int(fault), told, self.plan.headers)
        elif fault == "redirect":
            place = {"location": "https://elsewhere.example/v1/embeddings"}
            await answered(send, 307, {}, place)
        elif fault == "garbage":
            await answered(send, 200, ["<html>"])
        elif fault == "huge":
            await answered(send, 200, {"data": "x" * 40_000_000})
        elif fault == "hang":
            await asyncio.sleep(HANG_SECONDS)
        elif fault == "reset":
            head = [(b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionResetError
        else:
            return False
        return True


async def answered(
    send: Any, status: int, content: Any, headers: dict[str, str] | None = None
) -> None:
    body = json.dumps(content).encode()
    given = {"content-type": "application/json", **(headers or {})}
    pairs = [(k.encode(), v.encode()) for k, v in given.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def serve(cache_dir: str) -> None:
    import socket

    import uvicorn

    app = App(cache_dir)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", timeout_keep_alive=60
    )
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    serve(sys.argv[1])
