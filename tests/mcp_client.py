"""Clients of the MCP server for tests that know no asyncio, and what its answers say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcp import ClientSession
from mcp.types import CallToolResult, InitializeResult, TextContent, Tool

from indexer.config import Settings

if TYPE_CHECKING:
    from indexer.cli.mcp_tools import Tools

HEAD = re.compile(r"(\S.*?):(\d+)-(\d+)(?:  (.*))?")


@dataclass
class Found:
    """A hit, as the text has it."""

    path: str
    start_line: int
    end_line: int
    symbol: str
    lines: list[str] = field(default_factory=list)


@dataclass
class Answer:
    """An answer, as the text has it."""

    notes: list[str]
    hits: list[Found]

    @property
    def paths(self) -> list[str]:
        return [hit.path for hit in self.hits]


def text_of(result: CallToolResult) -> str:
    """The text of an answer, which has nothing else."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert result.structured_content is None
    return block.text


def answer_of(result: CallToolResult) -> Answer:
    """What an answer of `search` or `similar` says."""
    assert not result.is_error, text_of(result)
    found = Answer([], [])
    before = ""
    for line in text_of(result).split("\n"):
        if line.startswith("note: ") and not found.hits:
            found.notes.append(line.removeprefix("note: "))
        elif not before.strip() and (match := HEAD.fullmatch(line)):
            path, first, last, symbol = match.groups()
            found.hits.append(Found(path, int(first), int(last), symbol or ""))
        elif found.hits:
            found.hits[-1].lines.append(line)
        before = line if not line.startswith("note: ") else ""
    return found


class Client:
    """A session of the SDK's client."""

    def __init__(
        self,
        call: Callable[..., Any],
        session: ClientSession,
        initialized: InitializeResult,
    ) -> None:
        self._call = call
        self._session = session
        self.initialized = initialized

    def tools(self) -> dict[str, Tool]:
        listed = self._call(self._session.list_tools)
        return {tool.name: tool for tool in listed.tools}

    def call(self, name: str, /, **arguments: Any) -> CallToolResult:
        found: CallToolResult = self._call(self._session.call_tool, name, arguments)
        return found

    def text(self, name: str, /, **arguments: Any) -> str:
        """The text of a call that does not fail."""
        result = self.call(name, **arguments)
        assert not result.is_error, text_of(result)
        return text_of(result)

    def search(self, query: str, **arguments: Any) -> Answer:
        return answer_of(self.call("search", query=query, **arguments))

    def similar(self, **arguments: Any) -> Answer:
        return answer_of(self.call("similar", **arguments))

    def error(self, name: str, /, **arguments: Any) -> str:
        """The one line of a call that fails."""
        result = self.call(name, **arguments)
        assert result.is_error
        assert "\n" not in text_of(result)
        return text_of(result)


@contextmanager
def tools_of(settings: Sequence[Settings]) -> Iterator[Tools]:
    """The tools for these projects, in this process."""
    from indexer.cli.fresh import Refresher
    from indexer.cli.mcp_tools import Projects, Tools

    projects = Projects(settings, Refresher(settings, {}))
    try:
        yield Tools(projects, projects.searchers, lambda line: None)
    finally:
        projects.close()
