"""The tools of the MCP server: their parameters, and what they ask the indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import repeat
from typing import Annotated, Literal, TypeVar

from mcp.types import CallToolResult, TextContent
from msgspec.structs import replace
from pydantic import Field

from indexer.cli.boundary import Ended, recorded
from indexer.cli.fresh import Refresher
from indexer.cli.mcp_answers import hits_page, outlines_page, uses_page
from indexer.cli.mcp_page import (
    LEAST_TOKENS,
    MOST_TOKENS,
    USUAL_TOKENS,
    Block,
    Page,
    one_line,
    shortened,
)
from indexer.cli.mcp_places import labels_of, names_in
from indexer.cli.mcp_status import progress, status_page
from indexer.config import HYBRID, Settings
from indexer.errors import GitError, NoIndexError, StateError, UsageError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.search.answers import Answer, Wanted
from indexer.search.finding import distinct_of, explain
from indexer.search.freshness import Freshness, remark
from indexer.search.query import shared_embedders
from indexer.search.scope import line_pattern, make_scope
from indexer.search.searcher import (
    UNREADABLE,
    Searcher,
    search,
    similar,
    similar_to,
)
from indexer.search.symbols import outline
from indexer.search.tokens import token_counter
from indexer.search.uses import uses

MOST_FILES = 50
MOST_CONTEXT = 100
MOST_CODE = 20_000  # characters
MOST_CHUNKS = 4_000  # looked at for the uses of a name
MOST_USED_FILES = 500

Limit = Annotated[int, Field(description="Most files to return", ge=1, le=MOST_FILES)]
Language = Annotated[
    str, Field(description="Only this language, such as python or .py; empty: all")
]
Paths = Annotated[
    list[str],
    Field(
        description="Only files that match one of these .gitignore patterns, such as src/ or *.md; "
        "patterns after them that begin with ! exclude: !*_test.py, !vendor/**"
    ),
]
ContextLines = Annotated[
    int, Field(description="Lines to show around each hit", ge=0, le=MOST_CONTEXT)
]
Grep = Annotated[
    str,
    Field(
        description="Only where a line matches this RE2 regular expression; begin with (?i) to ignore "
        "case"
    ),
]
Changed = Annotated[
    str,
    Field(
        description="Only files changed since a commit: HEAD for uncommitted changes, or a branch, "
        "since this one left it"
    ),
]
MaxTokens = Annotated[
    int,
    Field(
        description="Most tokens in the answer, which says what it leaves out",
        ge=LEAST_TOKENS,
        le=MOST_TOKENS,
    ),
]

T = TypeVar("T")

_REMARKS: ContextVar[Sequence[str]] = ContextVar("remarks", default=())


@contextmanager
def remarking(notes: Sequence[str]) -> Iterator[None]:
    """Let the answers of this context begin with these notes on the call."""
    token = _REMARKS.set(notes)
    try:
        yield
    finally:
        _REMARKS.reset(token)


class Projects:
    """The indexes of some projects. Threads and sessions share them.

    The model and the collections stay open between calls. If it `refreshes`, what changed is
    indexed before an answer.
    """

    def __init__(
        self,
        projects: Sequence[Settings],
        refresher: Refresher,
        *,
        refreshes: bool = True,
    ) -> None:
        distinct = distinct_of(projects)
        self.searchers = [
            Searcher(one, keeps_open=True, embedder=embedder)
            for one, embedder in zip(distinct, shared_embedders(distinct), strict=True)
        ]
        self.refresher = refresher
        self.refreshes = refreshes
        self.cache_dir = distinct[0].cache_dir

    def warm_up(self) -> None:
        """Load the model and open the collections, to make the first query quick."""
        for searcher in self.searchers:
            with suppress(Ended), recorded(Report()):  # the first query will report it
                search([searcher], "warm up", Wanted(limit=1))
        with suppress(Ended), recorded(Report()):
            token_counter(self.cache_dir)

    def close(self) -> None:
        """Close the collections."""
        for searcher in self.searchers:
            searcher.close()


def named(searchers: Sequence[Searcher]) -> dict[str, Searcher]:
    """Each index by the folder of its project, or if none is known by its collection."""
    found: dict[str, Searcher] = {}
    for one in searchers:
        name = one.settings.project or one.settings.collection_name
        found[one.settings.title if name in found else name] = one
    return found


def labelled(searchers: Sequence[Searcher]) -> dict[str, Searcher]:
    """The index of each project, by the short name that distinguishes it from the others."""
    by_name = named(searchers)
    labels = labels_of(by_name)
    return {labels[name]: one for name, one in by_name.items()}


class Tools:
    """The tools, for some of the indexes. Threads may share them.

    `tell` is called with a line about each call.
    """

    def __init__(
        self,
        projects: Projects,
        searchers: Sequence[Searcher],
        tell: Callable[[str], None],
    ) -> None:
        self._searchers = list(searchers)
        self._named = named(searchers)
        self._refresher = projects.refresher
        self._refreshes = projects.refreshes
        self._cache_dir = projects.cache_dir
        self._tell = tell

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
        grep: Grep = "",
        changed: Changed = "",
        context: ContextLines = 0,
        max_tokens: MaxTokens = USUAL_TOKENS,
    ) -> CallToolResult:
        """Find the files that answer a question, best first, each with its best lines.

        Matches meaning ("where are payments retried") as well as words and identifiers
        (RetryPolicy). A hit has its lines in full, so often no file needs to be read.
        """
        self._tell(f"search {query!r}")

        def found() -> Answer:
            scope, pattern = make_scope(language, paths), line_pattern(grep)
            wanted = Wanted(limit, mode, scope, context, pattern, changed or None)
            answer = search(self._searchers, query, wanted)
            explain(answer, [one.settings for one in self._searchers], wanted)
            return answer

        return self._hits(found, max_tokens)

    def similar(
        self,
        path: Annotated[
            str,
            Field(description="A file, named as in answers or absolute; or give code"),
        ] = "",
        line: Annotated[int, Field(description="Its line", ge=0)] = 0,
        code: Annotated[
            str,
            Field(
                description="A piece of code to compare with, instead of a place",
                max_length=MOST_CODE,
            ),
        ] = "",
        limit: Limit = 10,
        language: Language = "",
        paths: Paths = [],  # noqa: B006
        context: ContextLines = 0,
        max_tokens: MaxTokens = USUAL_TOKENS,
    ) -> CallToolResult:
        """Find other places whose code is like that at a line of a file, or like a piece of code.

        Use it for other implementations, similar callers, copies that need the same change, or
        tests to follow. `path` and `line` search the project of the file, `code` all projects.
        """
        self._tell(f"similar {path!r}:{line}" if path else "similar to some code")

        def found() -> Answer:
            wanted = Wanted(limit, HYBRID, make_scope(language, paths), context)
            if code and (path or line):
                raise UsageError("give a path and a line, or code, but not both")
            if code:
                return similar_to(self._searchers, code, wanted)
            if not path or not line:
                raise UsageError("give a path and a line (from 1), or code")
            ask = partial(_similar_in, line=line, wanted=wanted)
            ((_, answer),) = self._where(path, ask, is_only=True)
            return answer

        return self._hits(found, max_tokens)

    def outline(
        self,
        path: Annotated[
            str,
            Field(
                description="A file or folder, named as in answers or absolute; empty: the root"
            ),
        ] = "",
        max_tokens: MaxTokens = USUAL_TOKENS,
    ) -> CallToolResult:
        """List the symbols of a file with their lines, or what is in a folder.

        For a folder: its subfolders with their number of files, and its files with their
        top-level symbols. Read it before a long file.
        """
        self._tell(f"outline {path!r}")

        def page(fresh: Freshness) -> Page:
            found = dict(self._where(path, outline, is_only=False))
            return outlines_page(found, [*self._named], self._remarks(fresh))

        return self._page(page, max_tokens)

    def uses(
        self,
        name: Annotated[
            str,
            Field(description="An identifier as it appears in the code; case counts"),
        ],
        language: Language = "",
        paths: Paths = [],  # noqa: B006
        max_tokens: MaxTokens = USUAL_TOKENS,
    ) -> CallToolResult:
        """List every line that contains an identifier as a whole word, grouped by file.

        Files that define it come first. All indexed text counts, including comments and documents.
        """
        self._tell(f"uses {name!r}")

        def page(fresh: Freshness) -> Page:
            scope = make_scope(language, paths)
            found, missing = [], []
            for project, searcher in self._named.items():
                try:
                    one = uses(searcher, name, scope, MOST_CHUNKS, MOST_USED_FILES)
                    found.append(replace(one, project=project))
                except UNREADABLE as error:
                    missing.append(error)
            if not found:
                raise missing[0]
            said = list(dict.fromkeys(map(str, missing)))
            remarks = self._remarks(fresh)
            return uses_page(name, found, said, [*self._named], remarks)

        return self._page(page, max_tokens)

    def index(
        self,
        project: Annotated[
            str, Field(description="Its short name or folder; empty if there is one")
        ] = "",
    ) -> CallToolResult:
        """Start to bring the index of a project up to date, in the background.

        Returns at once. Meanwhile the other tools answer from what is already indexed; `status`
        shows the progress.
        """
        self._tell(f"index {project!r}")

        def page(fresh: Freshness) -> Page:
            searcher = self._meant(project)
            settings, refresher = searcher.settings, self._refresher
            if not settings.project or settings.searched != ():
                raise UsageError(f"{settings.title} has no folder here to index")
            began = refresher.begin(settings)
            said = f"indexing of {settings.project} has begun"
            if not began:
                said = progress(searcher, refresher)
            return Page([], [Block(said, [])])

        return self._page(page, USUAL_TOKENS, updates=False)

    def status(self) -> CallToolResult:
        """Say which projects are searched, how big their indexes are, and whether files have
        changed since they were built, or are being indexed."""
        self._tell("status")
        return self._page(
            lambda fresh: status_page(self._searchers, self._refresher),
            USUAL_TOKENS,
            updates=False,
        )

    def _hits(self, found: Callable[[], Answer], max_tokens: int) -> CallToolResult:
        """What `found` returns, with remarks on the indexes that are behind their files."""

        def page(fresh: Freshness) -> Page:
            with ThreadPoolExecutor(1) as pool:
                remarks = pool.submit(self._remarks, fresh)
                answer = found()
                # If no folder is known, the collection itself says where it comes from.
                names = {one.project: name for name, one in self._named.items()}
                hits = [
                    replace(hit, project=names.get(hit.project, hit.project))
                    for hit in answer.hits
                ]
                answer = replace(answer, hits=hits)
                return hits_page(answer, [*self._named], remarks.result())

        return self._page(page, max_tokens)

    def _remarks(self, fresh: Freshness) -> dict[str, str]:
        """What to know about the age of each index, "" if nothing."""
        with ThreadPoolExecutor(len(self._searchers)) as pool:
            settings = [one.settings for one in self._named.values()]
            found = pool.map(remark, settings, repeat(fresh))
            return dict(zip(self._named, found, strict=True))

    def _update(self) -> Freshness:
        """Bring the indexes up to date, as far as that can be done quickly."""
        if not self._refreshes:
            return Freshness()
        folders = {one.settings.project for one in self._searchers}
        return self._refresher.update(among=folders, builds=True)

    def _page(
        self,
        page: Callable[[Freshness], Page],
        max_tokens: int,
        *,
        updates: bool = True,
    ) -> CallToolResult:
        """The text of a page, or one line about the error raised while making it.

        Before the page is made, the indexes are brought up to date, unless the page does without.
        """
        report, fresh = Report(), Freshness()
        try:
            with recorded(report):
                count = token_counter(self._cache_dir)
                fresh = self._update() if updates else fresh
                found = page(fresh)
                found = replace(found, notes=[*_REMARKS.get(), *found.notes])
                return _result(found.text(max_tokens, count))
        except Ended:
            said = [report.error, *fresh.notes.values(), *_REMARKS.get()]
            error = one_line("; ".join(said))
        with suppress(Ended), recorded(Report()):
            error = shortened(error, max_tokens, token_counter(self._cache_dir))
        return failed(error)

    def _meant(self, project: str) -> Searcher:
        """The index of the named project, or the only one."""
        labels = labelled(self._searchers)
        for label, searcher in labels.items():
            names = (label, escape_path(searcher.settings.project))
            if project.rstrip("/") in names or not project and len(labels) == 1:
                return searcher
        what = (
            f"there is no project {project}"
            if project
            else "there are several projects"
        )
        raise UsageError(f"{what}: name one of {', '.join(labels)}")

    def _where(
        self, path: str, ask: Callable[[Searcher, str], T], *, is_only: bool
    ) -> list[tuple[str, T]]:
        """What `ask` says about a file or folder in each project that has it.

        If `is_only`, only one may have it. Raises `UsageError` if several do, and if none does.
        """
        folders = {name: one.project for name, one in self._named.items()}
        found, misses = [], []
        for project, name in names_in(path, labels_of(self._named), folders):
            try:
                found.append((project, ask(self._named[project], name)))
            except (UsageError, NoIndexError, StateError, GitError) as error:
                misses.append(str(error))
        if not found:
            raise UsageError("; ".join(dict.fromkeys(misses)))
        if is_only and len(found) > 1:
            raise UsageError(f"several projects have {path}: give an absolute path")
        return found


def _similar_in(searcher: Searcher, path: str, line: int, wanted: Wanted) -> Answer:
    return similar(searcher, path, line, wanted)


def failed(message: str) -> CallToolResult:
    """The result of a tool that failed."""
    return CallToolResult(content=[TextContent(text=message)], is_error=True)


def _result(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)])
