"""The tools of the MCP server: their parameters, and what they ask of the indexes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from indexer.cli.boundary import Ended, recorded
from indexer.cli.mcp_answers import (
    Hits,
    Statuses,
    answer_result,
    outcome,
    status_of,
    statuses_result,
)
from indexer.cli.texts import with_controls
from indexer.config import HYBRID, Settings
from indexer.errors import (
    GitError,
    NoIndexError,
    StateError,
    UsageError,
)
from indexer.paths import escape_path, unescape_path
from indexer.report import Report
from indexer.search.answers import Answer, Wanted
from indexer.search.finding import distinct_of
from indexer.search.freshness import remark
from indexer.search.query import shared_embedders
from indexer.search.scope import make_scope
from indexer.search.searcher import Searcher, search, similar

MOST_FILES = 50
MOST_CONTEXT = 100

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
    """The tools, for the indexes of some projects. Threads may share them.

    The model and the collections stay open between calls. `tell` is called with a line about
    each call.
    """

    def __init__(
        self, projects: Sequence[Settings], tell: Callable[[str], None]
    ) -> None:
        distinct = distinct_of(projects)
        self._searchers = [
            Searcher(one, keeps_open=True, embedder=embedder)
            for one, embedder in zip(distinct, shared_embedders(distinct), strict=True)
        ]
        self._tell = tell

    def warm_up(self) -> None:
        """Load the model and open the collections, to make the first query quick."""
        for searcher in self._searchers:
            with suppress(Ended), recorded(Report()):  # the first query will report it
                search([searcher], "warm up", Wanted(limit=1))

    def close(self) -> None:
        """Close the collections."""
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
        paths: Paths = [],  # noqa: B006  (never changed, and shown in the schema)
        context: ContextLines = 0,
    ) -> Annotated[CallToolResult, Hits]:
        """Find the files that answer a question, best first, each by its best lines.

        Matches meaning ("where are payments retried") as well as words and identifiers
        (RetryPolicy). A hit brings its lines in full, so often no file need be read.
        """
        self._tell(f"search {query!r}")

        def found() -> Answer:
            wanted = Wanted(limit, mode, make_scope(language, paths), context)
            return search(self._searchers, query, wanted)

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
        path = with_controls(path)

        def found() -> Answer:
            wanted = Wanted(limit, HYBRID, make_scope(language, paths), context)
            answers, misses = [], []
            for searcher in self._searchers:
                name = _name_in(searcher.project, path)
                try:
                    answers.append(similar(searcher, name, line, wanted))
                except (UsageError, NoIndexError, StateError, GitError) as error:
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

        return outcome(
            lambda: statuses_result([status_of(one) for one in self._searchers])
        )

    def _hits(self, found: Callable[[], Answer]) -> CallToolResult:
        """What `found` returns, with remarks on the indexes that are behind their files."""

        def answer() -> CallToolResult:
            with ThreadPoolExecutor(len(self._searchers)) as pool:
                looks = [
                    (one.settings.title, pool.submit(remark, one.settings))
                    for one in self._searchers
                ]
                result = found()
                remarks = [(name, look.result()) for name, look in looks]
                return answer_result(result, remarks)

        return outcome(answer)


def _name_in(project: str, path: str) -> str:
    """The name that rows of this project have for a file.

    `path` is as in hits, or absolute.
    """
    if not os.path.isabs(path):
        return os.path.normpath(path)
    folder, name = os.path.split(unescape_path(path))
    whole = os.path.join(os.path.realpath(folder), name)
    start = os.path.join(project, "")
    # A file of an external folder has an absolute path in its rows too.
    return escape_path(whole.removeprefix(start))
