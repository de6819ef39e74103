"""What `codx-index search` does: it searches, and meanwhile checks whether the index is behind."""

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
from indexer.search.freshness import UNTOUCHED, Freshness, remark
from indexer.search.nothing import why_nothing
from indexer.search.query import shared_embedders
from indexer.search.searcher import Searcher, search, similar

_PLACE = re.compile(r"(?P<path>.+):(?P<line>[0-9]+)", re.DOTALL)


def find(
    projects: Sequence[Settings],
    query: str,
    like: str,
    wanted: Wanted,
    fresh: Freshness = UNTOUCHED,
) -> tuple[Answer, list[str]]:
    """The answer, and a remark on each project whose index is older than its tree.

    It answers the query, unless `like` is a place FILE:LINE. Then it has the files with
    code like that in the first project. What is known to be `fresh` is not checked again. Raises
    `UsageError`, and what `search` raises.
    """
    distinct = distinct_of(projects)
    with ThreadPoolExecutor(len(distinct)) as pool, ExitStack() as stack:
        looks = [(one, pool.submit(remark, one, fresh)) for one in distinct]
        # They stay open until the lines around the hits have been read as well.
        searchers = [
            stack.enter_context(
                closing(Searcher(one, keeps_open=True, embedder=embedder))
            )
            for one, embedder in zip(distinct, shared_embedders(distinct), strict=True)
        ]
        if like:
            answer = similar(searchers[0], *_place(like, distinct[0].project), wanted)
        else:
            answer = search(searchers, query, wanted)
        found = [(one, look.result()) for one, look in looks]
        several = len(distinct) > 1
        explain(answer, distinct, wanted)
    remarks = [
        line
        for one, text in found
        if text
        for line in _named(one, [text], several=several)
    ]
    return answer, remarks


def explain(answer: Answer, projects: Sequence[Settings], wanted: Wanted) -> None:
    """Add notes to an answer without good hits: what it did not cover, and what is not indexed."""
    if answer.hits and answer.is_good:
        return
    for one in projects:
        notes = why_nothing(one, wanted.scope)
        answer.notes.extend(_named(one, notes, several=len(projects) > 1))


def _named(settings: Settings, texts: list[str], *, several: bool) -> list[str]:
    """The texts about a project, with its name if there are `several`."""
    return [f"{settings.title}: {text}" if several else text for text in texts]


def distinct_of(projects: Sequence[Settings]) -> list[Settings]:
    """The settings of each index that is meant, once."""
    found = {(one.project, one.address, one.collection_name): one for one in projects}
    return [*found.values()]


def _place(text: str, project: str) -> tuple[str, int]:
    """The file, as rows name it, and the line (1-based) that FILE:LINE means.

    FILE is relative to the current folder if it exists there in the project, and otherwise as in
    hits. Raises `UsageError`.
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a place like src/main.py:120")
    path, line = match["path"], int(match["line"])
    if not project:  # the folder is not known
        return os.path.normpath(path), line
    folder, name = os.path.split(os.path.abspath(path))
    whole = os.path.join(os.path.realpath(folder), name)
    start = os.path.join(project, "")
    if whole.startswith(start) and os.path.lexists(whole):
        return escape_path(whole.removeprefix(start)), line
    return os.path.normpath(path), line
