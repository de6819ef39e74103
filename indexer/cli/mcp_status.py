"""What the MCP server says about the indexes that it serves."""

from __future__ import annotations

from collections.abc import Iterator

from indexer.api import Index
from indexer.cli.fresh import Refresher
from indexer.cli.mcp_page import Block, Page
from indexer.errors import CodxIndexError
from indexer.paths import escape_path
from indexer.search.searcher import Searcher


def status_page(searchers: list[Searcher], refresher: Refresher) -> Page:
    """A line about each index, and lines about the run at work on it. Failures are lines as well."""
    return Page([], [Block(*_status(one, refresher)) for one in searchers])


def _status(searcher: Searcher, refresher: Refresher) -> tuple[str, list[str]]:
    settings = searcher.settings
    title = settings.title
    try:
        found = Index(searcher).status()
    except CodxIndexError as failure:
        about = str(failure)
    else:
        title = found["project"]
        lacking = found["chunks"] - found["embedded"]
        embedded = f", {found['embedded']:,} of them embedded" if lacking else ""
        remark = found["remark"] or "up to date"
        about = f"{found['chunks']:,} chunks{embedded}, {found['model']}; {remark}"
    head = f"{escape_path(title)}: collection {settings.collection_name}, {about}"
    return head, [*_of_run(searcher, refresher)]


def _of_run(searcher: Searcher, refresher: Refresher) -> Iterator[str]:
    """Yield what the run in the background has done so far, or why the last one failed."""
    settings = searcher.settings
    if refresher.at_work(settings):
        yield progress(searcher, refresher)
    elif problem := refresher.problem(settings):
        yield f"the last run in the background failed: {problem}"


def progress(searcher: Searcher, refresher: Refresher) -> str:
    """How far the run in the background has come."""
    known = refresher.coverage(searcher.settings)
    vectors = f"{known.chunks - known.unembedded:,} of {known.chunks:,} chunks embedded"
    return f"a run is in progress: {known.files:,} files indexed so far, {vectors}"
