"""`codx-index search`."""

from __future__ import annotations

from dataclasses import replace

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.projects import settings_of_all
from indexer.cli.texts import print_json, printable
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.command import SearchCommand
from indexer.settings.declarations import READ_PLACE
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.place import Place
from indexer.settings.requests import (
    ALL_PROJECTS,
    CHANGED,
    CONTEXT,
    EXPLAIN,
    FILES_WITH_MATCHES,
    GREP,
    IGNORE_CASE,
    JSON,
    LANGUAGE,
    LIKE,
    LIMIT,
    MAX_COLUMNS,
    NULL_AFTER_PATHS,
    PATTERN,
    PROJECTS,
    REFRESH,
    SEARCH_MODE,
    TRUST,
    VERBOSE,
)
from indexer.settings.values import Values

LINES_AROUND = 3  # the best line of a hit, at a terminal
NOTHING_FOUND = 1  # the exit code, as of grep


@click.command(cls=SearchCommand)
@click.argument("query", required=False)
@click.argument("paths", nargs=-1, type=PATH)
@options(TRUST, *READ_PLACE, PROJECTS, ALL_PROJECTS)
@options(LIMIT, SEARCH_MODE, LANGUAGE, PATTERN, CHANGED, GREP, IGNORE_CASE, LIKE)
@options(CONTEXT, MAX_COLUMNS, FILES_WITH_MATCHES, NULL_AFTER_PATHS)
@options(REFRESH, EXPLAIN, JSON, VERBOSE)
def search(
    query: str | None,
    places: list[Place],
    values: Values,
    all_projects: bool,
    limit: int,
    mode: str,
    language: str,
    patterns: tuple[str, ...],
    changed: str | None,
    grep: str,
    ignore_case: bool,
    like: str,
    context: int | None,
    max_columns: int,
    files_with_matches: bool,
    null: bool,
    refresh: bool | None,
    explain: bool,
    as_json: bool,
    verbose: int,
) -> int:
    """Find the files that answer QUERY, by meaning and by words.

    PATH is the folder of a project, or a part of it to search. Without PATH, the project is
    the one around the current folder; if options name an address and a collection, that
    collection is searched, and no folder is needed. With --like FILE:LINE there is no QUERY.
    At a terminal, each file is shown with its best lines; elsewhere as one line
    path:line:text, like grep's.
    """
    with reporting(Report(), as_json, verbose):
        from indexer.cli.hits import (
            View,
            explained,
            grep_lines,
            hit_dict,
            is_for_person,
            name_of,
            page,
            path_line,
        )
        from indexer.search.answers import CHANGED_SINCE, NO_GOOD_MATCH, Wanted
        from indexer.search.best_rows import NOT_ALL
        from indexer.search.connection import opened_once
        from indexer.search.finding import find
        from indexer.search.freshness import UNTOLD, Freshness, lacks_index
        from indexer.search.scope import line_pattern, make_scope
        from indexer.search.searcher import clean

        query = clean(query or "")
        if not like and not query.strip():
            narrows = "; --grep only narrows its hits" if grep else ""
            raise UsageError(f"the query is empty: say what to look for{narrows}")
        if null and not files_with_matches:
            raise UsageError("-0 ends the paths that -l prints, so it needs -l")
        projects = settings_of_all(places, values, all_projects=all_projects)
        if len(projects) == 1:
            projects = [replace(projects[0], asks_once=True)]
        several = len(projects) > 1 or projects[0].searched != ()
        is_seen = is_for_person() and not as_json
        around = LINES_AROUND if context is None and is_seen else context or 0
        with values.naming(LANGUAGE if language else PATTERN):
            scope = make_scope(language, patterns)
        with values.naming(GREP):
            pattern = line_pattern(grep, ignores_case=ignore_case)
        wanted = Wanted(limit, mode, scope, around, pattern, changed)
        view = View(query, around, max_columns, pattern)
        fresh = Freshness()
        with opened_once(projects):
            if refresh or (refresh is None and any(map(lacks_index, projects))):
                from indexer.cli.fresh import refresh_for_search

                fresh = refresh_for_search(
                    projects, values.given, refreshes=refresh, quiet=as_json
                )
            answer, remarks = find(projects, query, like, wanted, fresh)
        for line in answer.missing:
            log.warn(line)
        for note in answer.notes:
            is_told = note in (NO_GOOD_MATCH, NOT_ALL) or not answer.hits
            (log.warn if is_told and not as_json else log.info)(note)
        if as_json:
            asked = {"like": like} if like else {"query": query}
            asked |= {"grep": grep} if grep else {}
            asked |= {} if changed is None else {"changed": changed}
            kind = {"explain": explain, "is_path_alone": files_with_matches}
            hits = [hit_dict(hit, view, **kind) for hit in answer.hits]
            notes = [*answer.missing, *answer.notes, *remarks]
            told = {"good_match": answer.is_good and bool(hits), "hits": hits}
            print_json({**asked, "mode": mode, **told, "notes": notes})
            return 0 if hits else NOTHING_FOUND
        for remark in remarks:
            (log.info if remark == UNTOLD else log.warn)(remark)
        for hit in answer.hits:
            name = name_of(hit, several=several)
            if hit.stale and (not is_seen or files_with_matches):
                log.warn(f"{name} {CHANGED_SINCE}")
            if files_with_matches:
                click.echo(path_line(hit, several=several, has_nul=null), nl=False)
                continue
            show = page if is_seen else grep_lines
            lines = [*show(hit, view, name)]
            if explain:
                lines += [
                    f"    {printable(line)}" for line in explained(hit.explanation)
                ]
            click.echo("\n".join([*lines, *([""] if is_seen else [])]))
        if not answer.hits:
            log.warn("no hits")
    return 0 if answer.hits else NOTHING_FOUND
