"""The MCP server on stdio that gives agents the tools: `codx-index mcp`.

It needs the extra `mcp`, whose packages take half a second to import. Only the command imports
this module, in its function.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import IO, Any, BinaryIO, cast

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import ValidationError

from indexer import __version__
from indexer.cli.log import log
from indexer.cli.mcp_answers import failed, with_notes
from indexer.cli.mcp_leniency import lenient_arguments
from indexer.cli.mcp_tools import Tools
from indexer.cli.mcp_wire import Answers, Requests
from indexer.cli.texts import shown
from indexer.config import Settings

PATIENCE = 1.0  # seconds that closing may take when a signal ends the server

INSTRUCTIONS = (
    "Finds code and documents of {projects} by meaning and by words. Ask `search` before "
    "reading or grepping many files: a question in plain words, or names from the code. "
    "`similar` finds code like that at a place. Hits are spans of lines, best first, one for "
    "each file; lines are those of the last codx-index run, and a note says when files have "
    "changed since."
)


def serve(
    projects: Sequence[Settings], tell: Callable[[str], None] = lambda message: None
) -> None:
    """Serve the indexes of these projects until stdin ends or a signal ends the process."""
    tools = Tools(projects, tell)
    _end_with_signals(tools.close)
    names = ", ".join(dict.fromkeys(shown(one.title) for one in projects))
    server = _Server(
        "codx-index",
        title="codx-index",
        version=__version__,
        instructions=INSTRUCTIONS.format(projects=names),
    )
    reads = ToolAnnotations(
        read_only_hint=True,
        destructive_hint=False,
        idempotent_hint=True,
        open_world_hint=False,
    )
    for title, tool in (
        ("Search code", tools.search),
        ("Find similar code", tools.similar),
        ("Status of the index", tools.status),
    ):
        about = inspect.getdoc(tool)
        server.add_tool(tool, title=title, description=about, annotations=reads)
    source, target = _take_streams()

    def leave(error: OSError) -> None:
        """End the process: the client is gone, and a thread may be blocked in a read."""
        if not isinstance(error, ConnectionError):
            log.error(f"cannot write to stdout: {error.strerror}")
        _close(tools.close)
        os._exit(0 if isinstance(error, ConnectionError) else 1)

    answers = Answers(target, leave)
    requests = Requests(source, answers)
    threading.Thread(target=tools.warm_up, daemon=True).start()
    try:
        anyio.run(server.serve_on, requests, answers)
    finally:
        is_closed = _close(tools.close)
    if not is_closed:
        os._exit(0)  # at its own end Python would trip over threads of gRPC


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """The client's ends of stdin and stdout, in whose place nobody else reads or writes.

    What a library prints goes to stderr, and what we start finds an empty stdin.
    """
    sys.stdout.flush()
    wire = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for descriptor in wire:
        os.set_blocking(descriptor, True)
    return os.fdopen(wire[0], "rb"), os.fdopen(wire[1], "wb")


class _Server(MCPServer[Any]):
    """An MCP server that is lenient about the arguments of a call.

    It says in one line what is wrong with them all the same.
    """

    async def serve_on(self, requests: Requests, answers: Answers) -> None:
        """Serve until the requests end."""
        server = self._lowlevel_server
        async with stdio_server(
            anyio.wrap_file(cast(IO[str], requests)),
            anyio.wrap_file(cast(IO[str], answers)),
        ) as (read, write):
            await server.run(read, write, server.create_initialization_options())

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        context: Context[Any, Any] | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool by name. A note tells of parameters that the tool does not have."""
        notes = []
        for tool in await self.list_tools():
            if tool.name == name:
                known = tool.input_schema["properties"]
                arguments, strange = lenient_arguments(arguments, known)
                has = f"it has {', '.join(known)}" if known else "it has none"
                notes = [f"{name} has no parameter {one!r}; {has}" for one in strange]
        try:
            result = await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                return failed("; ".join([*_wrong(error.__cause__), *notes]))
            raise
        return with_notes(result, notes) if notes else result


def _wrong(error: ValidationError) -> list[str]:
    return [
        ": ".join([".".join(map(str, one["loc"])), one["msg"]])
        for one in error.errors(include_url=False)
    ]


def _end_with_signals(close: Callable[[], None]) -> None:
    """End the process at once when a signal comes.

    An exception cannot end it: a thread of the SDK is blocked in a read of stdin, which only
    the client can end. What is open was only read, so it is closed only if that is quick.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, lambda again, _: os._exit(128 + again))
        _close(close)
        os._exit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, leave)


def _close(close: Callable[[], None]) -> bool:
    """Call `close`, but do not wait for a query that takes long. Returns whether it is done."""
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    return not closing.is_alive()
