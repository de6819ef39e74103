"""What the tools of the MCP server answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from indexer.api import Index
from indexer.cli.boundary import Ended, recorded
from indexer.errors import CodxIndexError
from indexer.paths import escape_path, unescape_path
from indexer.report import Report
from indexer.search.searcher import Searcher


class Hit(BaseModel):
    """A file that answers, by its best span of lines."""

    project: str = Field(description="Folder of the project")
    path: str = Field(description="Relative to the project")
    start_line: int
    end_line: int
    score: float = Field(description="Compares hits of one answer; higher is better")
    symbol: str = Field(description="Definition that holds the lines, such as Class.f")
    language: str
    text: str = Field(description="The lines; credentials are masked")
    before: str = Field(description="Lines before them, where asked for")
    after: str = Field(description="Lines after them, where asked for")


class Hits(BaseModel):
    """An answer."""

    hits: list[Hit] = Field(description="Best first")
    notes: list[str] = Field(description="What to know about the answer")


class Status(BaseModel):
    """What is served of a project."""

    project: str = Field(description="Folder of the project")
    collection: str
    model: str = Field(description="Model of the vectors")
    chunks: int = Field(description="Spans of lines in the index")
    embedded: int = Field(description="How many of them have a vector")
    remark: str = Field(description="On the index's age; empty: as new as the files")
    error: str = Field(description="Why the index cannot be searched; empty: it can")


class Statuses(BaseModel):
    """One for each project."""

    projects: list[Status]


def outcome(answer: Callable[[], CallToolResult]) -> CallToolResult:
    """The answer, or in a line why there is none."""
    report = Report()
    try:
        with recorded(report):
            return answer()
    except Ended:
        return failed(report.error)


def failed(message: str) -> CallToolResult:
    """The answer of a tool that failed."""
    return CallToolResult(content=[TextContent(text=one_line(message))], is_error=True)


def said(text: str, structure: BaseModel) -> CallToolResult:
    """The answer of a tool, as text and as structured content."""
    return CallToolResult(
        content=[TextContent(text=text)],
        structured_content=structure.model_dump(mode="json"),
    )


def one_line(message: str) -> str:
    """The message in one line, with undecodable bytes escaped."""
    return escape_path(" ".join(message.split()))


def block(hit: Hit, several: bool) -> str:
    """A head line, and the lines that it names."""
    lines = [*_lines(hit.before), *hit.text.split("\n"), *_lines(hit.after)]
    first = hit.start_line - len(_lines(hit.before))
    last = hit.end_line + len(_lines(hit.after))
    path = os.path.join(hit.project, hit.path) if several else hit.path
    head = f"{path}:{first}-{last}"
    return "\n".join(["  ".join(filter(None, (head, hit.symbol))), *lines])


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _status(searcher: Searcher) -> Status:
    settings = searcher.settings
    found: dict[str, Any] = {"project": settings.project}
    error = ""
    try:
        found = Index(searcher).status()
    except CodxIndexError as failure:
        error = one_line(str(failure))
    return Status(
        project=escape_path(found["project"]),
        collection=settings.collection_name,
        model=found.get("model", ""),
        chunks=found.get("chunks", 0),
        embedded=found.get("embedded", 0),
        remark=found.get("remark", ""),
        error=error,
    )


def status_line(status: Status) -> str:
    """The status of one project in one line."""
    if status.error:
        return f"{status.project}: {status.error}"
    lacking = status.chunks - status.embedded
    embedded = f", {status.embedded:,} of them embedded" if lacking else ""
    return (
        f"{status.project}: {status.chunks:,} chunks{embedded}, {status.model}; "
        f"{status.remark or 'up to date'}"
    )


def name_in(project: str, path: str) -> str:
    """The file as rows of this project name it, from its path in hits or an absolute one."""
    if not os.path.isabs(path):
        return os.path.normpath(path)
    folder, name = os.path.split(unescape_path(path))
    whole = os.path.join(os.path.realpath(folder), name)
    start = os.path.join(project, "")
    # A file of an external folder has an absolute path in rows too.
    return escape_path(whole.removeprefix(start))
