"""The MCP server on stdin and stdout."""

from __future__ import annotations

import os
import sys
import threading
from typing import IO, BinaryIO, cast

import anyio
from mcp.server.stdio import stdio_server

from indexer.cli.log import log
from indexer.cli.mcp_endings import close_soon, end_with_signals
from indexer.cli.mcp_server import CodeServer
from indexer.cli.mcp_tools import Projects, Tools
from indexer.cli.mcp_wire import Answers, Requests


def serve(projects: Projects) -> None:
    """Serve the projects until stdin ends or a signal ends the process."""
    end_with_signals(projects.close)
    tools = Tools(projects, projects.searchers, log.info)
    server = CodeServer(tools, [one.settings.title for one in projects.searchers])
    source, target = _take_streams()

    def leave(error: OSError) -> None:
        """End the process: the client is gone, and a thread may be blocked in a read."""
        if not isinstance(error, ConnectionError):
            log.error(f"cannot write to stdout: {error.strerror}")
        close_soon(projects.close)
        os._exit(0 if isinstance(error, ConnectionError) else 1)

    answers = Answers(target, leave)
    requests = Requests(source, answers)
    threading.Thread(target=projects.warm_up, daemon=True).start()
    try:
        anyio.run(_serve_on, server, requests, answers)
    finally:
        is_closed = close_soon(projects.close)
    if not is_closed:
        os._exit(0)  # Python's own exit would trip over threads of gRPC


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The client's stdin and stdout, taken so that nobody else reads or writes there.

    What a library prints goes to stderr, and processes that we start find an empty stdin.
    """
    sys.stdout.flush()
    wire = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for descriptor in wire:
        os.set_blocking(descriptor, True)
    return os.fdopen(wire[0], "rb"), os.fdopen(wire[1], "wb")


async def _serve_on(server: CodeServer, requests: Requests, answers: Answers) -> None:
    """Serve until the requests end."""
    async with stdio_server(
        anyio.wrap_file(cast(IO[str], requests)),
        anyio.wrap_file(cast(IO[str], answers)),
    ) as (read, write):
        lowlevel = server.lowlevel
        await lowlevel.run(read, write, lowlevel.create_initialization_options())
