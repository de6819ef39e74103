"""The MCP server that gives agents the tools, over any transport.

It needs the extra `mcp`, whose packages take half a second to import. Only `codx-index mcp`
imports this module, inside its function.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import ValidationError

from indexer import __version__
from indexer.cli.mcp_leniency import lenient_arguments
from indexer.cli.mcp_page import one_line
from indexer.cli.mcp_tools import Tools, failed, remarking
from indexer.cli.texts import shown

INSTRUCTIONS = (
    "Finds code and documents of {projects} by meaning and by words. Ask `search` before "
    "reading or grepping many files: a question in plain words, or names from the code. "
    "`similar` finds code like the code at a place, `outline` the symbols of a file or "
    "folder, `uses` every line with an identifier. Hits are spans of lines, best first, one "
    "for each file. Changed files are indexed before each answer; if that was not possible, a "
    "note says so, and each hit whose file has changed since is marked."
)

_READS = ToolAnnotations(
    read_only_hint=True,
    destructive_hint=False,
    idempotent_hint=True,
    open_world_hint=False,
)
_WRITES = _READS.model_copy(update={"read_only_hint": False})


class CodeServer(MCPServer[Any]):
    """An MCP server with these tools, which is lenient about the arguments of a call.

    It still says in one line what is wrong with them. No tool declares an output: an
    answer is text, because clients do not agree on which of two forms a model gets to read.
    """

    def __init__(self, tools: Tools, projects: list[str]) -> None:
        super().__init__(
            "codx-index",
            title="codx-index",
            version=__version__,
            instructions=INSTRUCTIONS.format(projects=", ".join(map(shown, projects))),
        )
        for title, tool, about in (
            ("Search code", tools.search, _READS),
            ("Find similar code", tools.similar, _READS),
            ("Outline of a file or folder", tools.outline, _READS),
            ("Uses of an identifier", tools.uses, _READS),
            ("Index a project", tools.index, _WRITES),
            ("Status of the index", tools.status, _READS),
        ):
            self._add(tool, title, about)

    @property
    def lowlevel(self) -> Server[Any]:
        """The server that a transport runs."""
        return self._lowlevel_server

    def _add(
        self,
        tool: Callable[..., CallToolResult],
        title: str,
        annotations: ToolAnnotations,
    ) -> None:
        self.add_tool(
            tool,
            title=title,
            description=inspect.getdoc(tool),
            annotations=annotations,
            structured_output=False,
        )

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
            with remarking(notes):
                return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                wrong = "; ".join([*_wrong(error.__cause__), *notes])
                return failed(one_line(wrong))
            raise


def _wrong(error: ValidationError) -> list[str]:
    return [
        ": ".join([".".join(map(str, one["loc"])), one["msg"]])
        for one in error.errors(include_url=False)
    ]
