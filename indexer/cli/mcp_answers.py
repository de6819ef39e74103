"""What the tools of the MCP server answer: text for a model, and the same as an object."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mcp.types import CallToolResult, InputRequiredResult, TextContent
from pydantic import BaseModel, Field

from indexer.address import without_passwords
from indexer.api import Index
from indexer.cli.boundary import Ended, recorded
from indexer.cli.texts import without_controls
from indexer.errors import CodxIndexError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.search import answers
from indexer.search.searcher import Searcher


class Hit(BaseModel):
    """A file that answers, by its best span of lines."""

    project: str = Field(description="Folder of the project")
    path: str = Field(description="Relative to the project")
    start_line: int
    end_line: int
    score: float = Field(description="0 to 1; below 0.5 for the first: no good match")
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
    """What `answer` returns, or one line about the error that it raises."""
    report = Report()
    try:
        with recorded(report):
            return answer()
    except Ended:
        return failed(report.error)


def failed(message: str) -> CallToolResult:
    """The result of a tool that failed."""
    return CallToolResult(content=[TextContent(text=_one_line(message))], is_error=True)


def with_notes(
    result: CallToolResult | InputRequiredResult, notes: Sequence[str]
) -> CallToolResult | InputRequiredResult:
    """The result of a tool, with remarks on the call before its text."""
    if isinstance(result, CallToolResult):
        lines = [_one_line(note) for note in notes]
        head = "\n".join(f"note: {line}" for line in lines)
        for block in result.content:
            if isinstance(block, TextContent):
                block.text = f"{head}\n\n{block.text}"
        structure = result.structured_content
        if structure and isinstance(structure.get("notes"), list):
            structure["notes"] += lines
    return result


def answer_result(
    answer: answers.Answer, remarks: Sequence[tuple[str, str]]
) -> CallToolResult:
    """The result of a tool that finds code.

    `remarks` has the folder of each project and what to know about the age of its index, ""
    if nothing.
    """
    projects = {project for project, _ in remarks}
    several = len(projects.union(hit.project for hit in answer.hits)) > 1
    notes = [_one_line(note) for note in [*answer.missing, *answer.notes]]
    for project, text in remarks:
        if text:
            notes.append(f"{escape_path(project)}: {text}" if several else text)
    hits = [_hit(hit) for hit in answer.hits]
    blocks = [_block(hit, several) for hit in hits] or ["no hits"]
    if notes:
        blocks.insert(0, "\n".join(f"note: {note}" for note in notes))
    return _result("\n\n".join(blocks), Hits(hits=hits, notes=notes))


def statuses_result(statuses: list[Status]) -> CallToolResult:
    """The result of the tool `status`."""
    text = "\n".join(map(_status_line, statuses))
    return _result(text, Statuses(projects=statuses))


def status_of(searcher: Searcher) -> Status:
    """The status of the index that is searched. Never raises a failure: `error` holds it."""
    settings = searcher.settings
    found: dict[str, Any] = {"project": settings.title}
    error = ""
    try:
        found = Index(searcher).status()
    except CodxIndexError as failure:
        error = _one_line(str(failure))
    return Status(
        project=escape_path(found["project"]),
        collection=settings.collection_name,
        model=found.get("model", ""),
        chunks=found.get("chunks", 0),
        embedded=found.get("embedded", 0),
        remark=found.get("remark", ""),
        error=error,
    )


def _result(text: str, structure: BaseModel) -> CallToolResult:
    """The same answer as text and as structured content.

    An agent shows either at a terminal, so neither has anything that a terminal obeys.
    """
    return CallToolResult(
        content=[TextContent(text=without_controls(text))],
        structured_content=_safe(structure.model_dump(mode="json")),
    )


def _safe(value: Any) -> Any:
    """JSON-ready values, without controls in any text of theirs."""
    if isinstance(value, str):
        return without_controls(value)
    if isinstance(value, list):
        return [_safe(one) for one in value]
    if isinstance(value, dict):
        return {name: _safe(one) for name, one in value.items()}
    return value


def _hit(hit: answers.Hit) -> Hit:
    return Hit(
        project=escape_path(hit.project),
        path=hit.path,
        start_line=hit.start_line,
        end_line=hit.end_line,
        score=round(hit.score, 4),
        symbol=hit.symbol,
        language=hit.language,
        text=hit.text,
        before=hit.before,
        after=hit.after,
    )


def _block(hit: Hit, several: bool) -> str:
    """A heading and the lines that it names; `several` projects need theirs in the heading."""
    before, after = _lines(hit.before), _lines(hit.after)
    first, last = hit.start_line - len(before), hit.end_line + len(after)
    path = os.path.join(hit.project, hit.path) if several else hit.path
    head = "  ".join(filter(None, (f"{path}:{first}-{last}", hit.symbol)))
    return "\n".join([head, *before, *hit.text.split("\n"), *after])


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _status_line(status: Status) -> str:
    """The status of one project, in one line."""
    if status.error:
        return f"{status.project}: {status.error}"
    lacking = status.chunks - status.embedded
    embedded = f", {status.embedded:,} of them embedded" if lacking else ""
    return (
        f"{status.project}: {status.chunks:,} chunks{embedded}, {status.model}; "
        f"{status.remark or 'up to date'}"
    )


def _one_line(message: str) -> str:
    """The message in one line, with undecodable bytes escaped."""
    return without_controls(without_passwords(escape_path(" ".join(message.split()))))
