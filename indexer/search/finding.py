"""What `codx-index search` does: find, and look meanwhile whether the index is behind."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from indexer.config import Settings
from indexer.errors import UsageError
from indexer.paths import escape_path
from indexer.search.answers import Answer, Wanted
from indexer.search.freshness import remark
from indexer.search.query import QueryEmbedder
from indexer.search.searcher import Searcher, search, similar

_PLACE = re.compile(r"(?P<path>.+):(?P<line>[0-9]+)", re.DOTALL)


def find(
    projects: Sequence[Settings], query: str, like: str, wanted: Wanted
) -> tuple[Answer, list[str]]:
    """The answer to the query, or what is like the place FILE:LINE; and a remark on each
    project whose index is not as new as its tree."""
    distinct = list({one.project + one.address: one for one in projects}.values())
    with ThreadPoolExecutor(len(distinct)) as pool, ExitStack() as stack:
        looks = [(one, pool.submit(remark, one)) for one in distinct]
        embedder = QueryEmbedder(distinct[0])
        # Open until the lines around the hits are there as well.
        searchers = [
            stack.enter_context(
                closing(Searcher(one, keeps_open=True, embedder=embedder))
            )
            for one in distinct
        ]
        if like:
            answer = similar(searchers[0], *place(like, distinct[0].project), wanted)
        else:
            answer = search(searchers, query, wanted)
        found = [(one, look.result()) for one, look in looks]
    several = len(distinct) > 1
    return answer, [
        f"{one.project}: {text}" if several else text for one, text in found if text
    ]


def place(text: str, project: str) -> tuple[str, int]:
    """The file, as rows name it, and the line that FILE:LINE means.

    FILE is relative to the current folder; else it is taken as hits have it. Raises
    `UsageError`.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a place like src/main.py:120")
    path, line = match["path"], int(match["line"])
    folder, name = os.path.split(os.path.abspath(path))
    whole = os.path.join(os.path.realpath(folder), name)
    start = os.path.join(project, "")
    if whole.startswith(start) and os.path.lexists(whole):
        return escape_path(whole.removeprefix(start)), line
    return os.path.normpath(path), line
