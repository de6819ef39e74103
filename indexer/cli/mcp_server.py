"""Indexes as the tools of an MCP server on stdio, for agents: `codx-index mcp`.

Needs the extra `mcp`, whose packages take half a second to import: only the command imports
this module, within its function.
"""

from __future__ import annotations

import inspect
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import FrameType
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import (
    CallToolResult,
    InputRequiredResult,
    ToolAnnotations,
)
from pydantic import Field, ValidationError

from indexer import __version__
from indexer.cli.boundary import Ended, recorded
from indexer.cli.mcp_answers import (
    Hit,
    Hits,
    Statuses,
    _status,
    block,
    failed,
    name_in,
    one_line,
    outcome,
    said,
    status_line,
)
from indexer.config import HYBRID, Settings
from indexer.errors import (
    NoIndexError,
    StoreUnavailableError,
    UsageError,
)
from indexer.paths import escape_path
from indexer.report import Report
from indexer.search.answers import Answer, Wanted
from indexer.search.freshness import remark
from indexer.search.query import QueryEmbedder
from indexer.search.scope import make_scope
from indexer.search.searcher import Searcher, search, similar

MOST_FILES = 50
MOST_CONTEXT = 100
PATIENCE = 1.0  # seconds that closing may take when a signal ends the server

INSTRUCTIONS = (
    "Finds code and documents of {projects} by meaning and by words. Ask `search` before "
    "reading or grepping many files: a question in plain words, or names from the code. "
    "`similar` finds code like that at a place. Hits are spans of lines, best first, one for "
    "each file; lines are those of the last codx-index run, and a note says when files have "
    "changed since."
)


Limit = Annotated[int, Field(description="Most files to return", ge=1, le=MOST_FILES)]
Language = Annotated[
    str, Field(description="Only this language, as python or .py; empty: all")
]
Paths = Annotated[
    list[str],
    Field(
        description="Only files that one of these patterns matches, as in a .gitignore: "
        "src/, *.md; after them, with ! in front, which not: !*_test.py, !vendor/**"
    ),
]
ContextLines = Annotated[
    int, Field(description="Lines to show around each hit", ge=0, le=MOST_CONTEXT)
]


class Tools:
    """The tools, on the indexes of some projects, from any thread.

    Model and collections are kept open between calls; `tell` is told of each call.
    """

    def __init__(
        self, projects: Sequence[Settings], tell: Callable[[str], None]
    ) -> None:
        distinct = {one.project + one.address: one for one in projects}
        embedder = QueryEmbedder(projects[0])
        self._searchers = [
            Searcher(one, keeps_open=True, embedder=embedder)
            for one in distinct.values()
        ]
        self._tell = tell

    def warm_up(self) -> None:
        """Load the models and open the collections, so that the first query is quick."""
        for searcher in self._searchers:
            with suppress(Ended), recorded(Report()):  # the first query says it
                search([searcher], "warm up", Wanted(limit=1))

    def close(self) -> None:
        """Let go of the collections."""
        for searcher in self._searchers:
            searcher.close()

    def search(
        self,
        query: Annotated[
            str, Field(description="What to look for: a question, or names in the code")
        ],
        limit: Limit = 10,
        mode: Annotated[
            Literal["hybrid", "dense", "sparse"],
            Field(description="By meaning and words, by meaning alone, by words alone"),
        ] = "hybrid",
        language: Language = "",
        paths: Paths = [],  # noqa: B006  (never changed, and so shown in the schema)
        context: ContextLines = 0,
    ) -> Annotated[CallToolResult, Hits]:
        """Find the files that answer a question, best first, each by its best lines.

        Matches meaning ("where are payments retried") as well as words and identifiers
        (RetryPolicy). A hit brings its lines in full, so often no file need be read.
        """
        self._tell(f"search {query!r}")

        def found() -> Answer:
            wanted = Wanted(limit, mode, make_scope(language, paths), context)
            return self._search(query, wanted)

        return self._hits(found)

    def similar(
        self,
        path: Annotated[str, Field(description="A file, as in hits, or absolute")],
        line: Annotated[int, Field(description="Line of it", ge=1)],
        limit: Limit = 10,
        language: Language = "",
        paths: Paths = [],  # noqa: B006
        context: ContextLines = 0,
    ) -> Annotated[CallToolResult, Hits]:
        """Find other places with code like that at a line of a file of the same project.

        For other implementations, callers written alike, copies to change as well, tests that
        could serve as a model.
        """
        self._tell(f"similar {path!r}:{line}")

        def found() -> Answer:
            wanted = Wanted(limit, HYBRID, make_scope(language, paths), context)
            answers, misses = [], []
            for searcher in self._searchers:
                name = name_in(searcher.settings.project, path)
                try:
                    answers.append(similar(searcher, name, line, wanted))
                except (UsageError, NoIndexError) as error:
                    misses.append(str(error))
            if not answers:
                raise UsageError("; ".join(dict.fromkeys(misses)))
            if len(answers) > 1:
                raise UsageError(f"several projects have {path}: give an absolute path")
            return answers[0]

        return self._hits(found)

    def status(self) -> Annotated[CallToolResult, Statuses]:
        """Say which projects are searched, how big their indexes are, and whether files have
        changed since they were built."""
        self._tell("status")

        def found() -> CallToolResult:
            statuses = [_status(searcher) for searcher in self._searchers]
            text = "\n".join(map(status_line, statuses))
            return said(text, Statuses(projects=statuses))

        return outcome(found)

    def _search(self, query: str, wanted: Wanted) -> Answer:
        """The answer; of several indexes, those that cannot be asked only get a note."""
        try:
            return search(self._searchers, query, wanted)
        except (NoIndexError, StoreUnavailableError):
            if len(self._searchers) == 1:
                raise
            good, notes = [], []
            for searcher in self._searchers:
                try:
                    searcher.about()
                    good.append(searcher)
                except (NoIndexError, StoreUnavailableError) as error:
                    notes.append(str(error))
            if not good:
                raise
            answer = search(good, query, wanted)
            return Answer(answer.hits, [*answer.notes, *notes])

    def _hits(self, found: Callable[[], Answer]) -> CallToolResult:
        """What is found, while somebody looks whether the indexes are behind."""

        def answer() -> CallToolResult:
            with ThreadPoolExecutor(len(self._searchers)) as pool:
                looks = [pool.submit(remark, one.settings) for one in self._searchers]
                return self._result(found(), [look.result() for look in looks])

        return outcome(answer)

    def _result(self, answer: Answer, remarks: Sequence[str]) -> CallToolResult:
        several = len(self._searchers) > 1
        notes = [one_line(note) for note in answer.notes]
        for searcher, text in zip(self._searchers, remarks):
            if text:
                name = escape_path(searcher.settings.project)
                notes.append(f"{name}: {text}" if several else text)
        hits = [
            Hit(
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
            for hit in answer.hits
        ]
        blocks = [block(hit, several) for hit in hits] or ["no hits"]
        if notes:
            blocks.insert(0, "\n".join(f"note: {note}" for note in notes))
        return said("\n\n".join(blocks), Hits(hits=hits, notes=notes))


def serve(
    projects: Sequence[Settings], tell: Callable[[str], None] = lambda message: None
) -> None:
    """Serve the indexes of these projects until stdin ends, or a signal ends the process."""
    tools = Tools(projects, tell)
    _end_with_signals(tools.close)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # While it serves, the SDK has stdout lead to stderr, and back at the end: nothing may
        # be left in the buffer by then.
        sys.stdout.reconfigure(line_buffering=True)
    names = ", ".join(dict.fromkeys(escape_path(one.project) for one in projects))
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
    threading.Thread(target=tools.warm_up, daemon=True).start()
    try:
        server.run("stdio")
    except* BrokenPipeError:
        pass  # the client is gone, without closing our stdin first
    finally:
        _close(tools.close)


class _Server(MCPServer[Any]):
    """Says in a line what is wrong with arguments, and names those that are none."""

    async def call_tool(
        self,
        name: str,
        arguments: dict[str, Any],
        context: Context[Any, Any] | None = None,
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool by name."""
        for tool in await self.list_tools():
            known = tool.input_schema["properties"]
            if tool.name == name and (strange := arguments.keys() - known.keys()):
                has = f"it has {', '.join(known)}" if known else "it has none"
                return failed(f"{name} has no parameter {min(strange)!r}; {has}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                return failed("; ".join(_wrong(error.__cause__)))
            raise


def _wrong(error: ValidationError) -> list[str]:
    return [
        ": ".join([".".join(map(str, one["loc"])), one["msg"]])
        for one in error.errors(include_url=False)
    ]


def _end_with_signals(close: Callable[[], None]) -> None:
    """End at once when a signal comes.

    An exception could not: a thread of the SDK sits in a read of stdin, and nothing can end it
    but the client. What is open was only read, and is let go as far as that takes no time.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, lambda again, _: os._exit(128 + again))
        _close(close)
        os._exit(128 + number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, leave)


def _close(close: Callable[[], None]) -> None:
    """Close, but do not wait for a query that takes its time."""
    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
