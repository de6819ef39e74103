"""`codx-index search`."""

from __future__ import annotations

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log, shown
from indexer.cli.texts import print_json
from indexer.config import project_folder
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.assembly import make_settings, settings_for
from indexer.settings.command import SearchCommand
from indexer.settings.declarations import PLACE
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.requests import (
    CONTEXT,
    EXPLAIN,
    JSON,
    LANGUAGE,
    LIKE,
    LIMIT,
    PATTERN,
    SEARCH_MODE,
    TRUST,
    VERBOSE,
)
from indexer.settings.values import Values

LINES_AROUND = 3  # the best line of a hit, at a terminal


@click.command(cls=SearchCommand)
@click.argument("query", required=False)
@click.argument("paths", nargs=-1, type=PATH)
@options(TRUST, *PLACE)
@options(LIMIT, SEARCH_MODE, LANGUAGE, PATTERN, LIKE, CONTEXT, EXPLAIN, JSON, VERBOSE)
def search(
    query: str | None,
    paths: tuple[str, ...],
    values: Values,
    limit: int,
    mode: str,
    language: str,
    patterns: tuple[str, ...],
    like: str,
    context: int | None,
    explain: bool,
    as_json: bool,
    verbose: int,
) -> int:
    """Find the files of the projects in the PATHS that answer QUERY.

    PATH is the folder of a project, or one in it; the current one by default. With --like
    FILE:LINE there is no QUERY. At a terminal each file is shown by its best lines; where
    a program reads, a line is path:line:text as grep writes it.
    """
    with reporting(Report(), as_json, verbose):
        from indexer.cli.hits import explained, grep_lines, is_for_person, page
        from indexer.search.answers import Wanted
        from indexer.search.finding import find, hit_dict
        from indexer.search.scope import make_scope
        from indexer.search.searcher import clean
        from indexer.settings.files import indexed_project

        if like and query:  # what stands in the place of the query is the first PATH
            query, paths = "", (query, *paths)
        query = clean(query or "")
        if not like and not query.strip():
            raise UsageError("the query is empty: say what to look for")
        folder = indexed_project(project_folder(paths[0] if paths else "."))
        projects = [make_settings(folder, values)]
        projects += [settings_for(path, values.given) for path in paths[1:]]
        is_seen = is_for_person() and not as_json
        around = LINES_AROUND if context is None and is_seen else context or 0
        scope = make_scope(language, patterns)
        wanted = Wanted(limit, mode, scope, around)
        answer, remarks = find(projects, query, like, wanted)
        for note in answer.notes:
            (log.info if answer.hits or as_json else log.warn)(note)
        for remark in remarks if not as_json else []:
            log.warn(remark)
        if as_json:
            hits = [hit_dict(hit, explain=explain) for hit in answer.hits]
            asked = {"like": like} if like else {"query": query}
            notes = [*answer.notes, *remarks]
            print_json({**asked, "mode": mode, "hits": hits, "notes": notes})
        for hit in [] if as_json else answer.hits:
            prefix = shown(hit.project) + "/" if len(projects) > 1 else ""
            show = page if is_seen else grep_lines
            lines = [*show(hit, query, around, prefix)]
            if explain:
                lines += [f"    {line}" for line in explained(hit.explanation)]
            click.echo("\n".join([*lines, *([""] if is_seen else [])]))
        if not answer.hits and not as_json:
            log.warn("no hits")
    return 0
