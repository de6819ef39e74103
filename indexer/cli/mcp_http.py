"""The MCP server over Streamable HTTP: one process for many sessions and projects."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager

import anyio
import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp

from indexer.cli.log import log
from indexer.cli.mcp_address import origin_of
from indexer.cli.mcp_endings import close_soon, end_with_signals
from indexer.cli.mcp_gate import Gate
from indexer.cli.mcp_server import CodeServer
from indexer.cli.mcp_tools import Projects, Tools, labelled

ROOT = "/mcp"
MOST_CONNECTIONS = 200
_LOOK = 1.0  # seconds between two checks whether anybody is there


def serve(projects: Projects, listener: socket.socket, token: str, idle: float) -> None:
    """Serve the projects: all of them at `ROOT`, and each below it under its short name.

    Ends when nobody has been connected for `idle` seconds (0: never), or with a signal.
    """
    end_with_signals(projects.close)
    managers = _managers(projects, listener)
    apps: dict[str, ASGIApp] = {k: one.handle_request for k, one in managers.items()}
    gate = Gate(apps, token)
    config = uvicorn.Config(
        gate,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    threading.Thread(target=projects.warm_up, daemon=True).start()
    try:
        anyio.run(_serve, _Server(config), listener, managers, gate, idle)
    finally:
        is_closed = close_soon(projects.close)
    if not is_closed:
        os._exit(0)  # Python's own exit would trip over threads of gRPC


def _managers(
    projects: Projects, listener: socket.socket
) -> dict[str, StreamableHTTPSessionManager]:
    """The session managers, by path."""
    host, port = origin_of(listener).removeprefix("http://").rsplit(":", 1)
    hosts = [f"{one}:{port}" for one in dict.fromkeys([host, "localhost"])]
    # A web page in a browser may send requests here, under any name that it has made
    # resolve to this machine. Both headers show that.
    security = TransportSecuritySettings(
        allowed_hosts=hosts, allowed_origins=[f"http://{one}" for one in hosts]
    )
    labels = labelled(projects.searchers)
    served = {ROOT: projects.searchers}
    if len(labels) > 1:
        served |= {f"{ROOT}/{label}": [one] for label, one in labels.items()}
    return {
        path: StreamableHTTPSessionManager(
            CodeServer(
                Tools(projects, searchers, log.info),
                [one.settings.title for one in searchers],
            ).lowlevel,
            json_response=True,
            security_settings=security,
        )
        for path, searchers in served.items()
    }


class _Server(uvicorn.Server):
    """Leaves signals to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    server: _Server,
    listener: socket.socket,
    managers: Mapping[str, StreamableHTTPSessionManager],
    gate: Gate,
    idle: float,
) -> None:
    async with AsyncExitStack() as stack:
        for manager in managers.values():
            await stack.enter_async_context(manager.run())
        async with anyio.create_task_group() as group:
            if idle:
                group.start_soon(_end_when_idle, server, gate, idle)
            await server.serve(sockets=[listener])
            group.cancel_scope.cancel()


async def _end_when_idle(server: _Server, gate: Gate, idle: float) -> None:
    while not server.should_exit:
        await anyio.sleep(min(_LOOK, idle / 4))
        if not gate.connected and time.monotonic() - gate.last >= idle:
            log.info("nobody is connected any more: stopping the server")
            server.should_exit = True
