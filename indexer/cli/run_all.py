"""`codx-index run-all`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from indexer.address import is_cluster
from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.outlets import check_stdout
from indexer.cli.run import RUN_OPTIONS
from indexer.cli.signals import Signals, handled_signals
from indexer.cli.streams import read_list
from indexer.cli.summary import print_failed_files
from indexer.cli.texts import confirm, print_json, shown
from indexer.config import project_folder
from indexer.errors import ClusterUnavailableError, CodxIndexError, UsageError
from indexer.report import Report
from indexer.settings.command import given_values
from indexer.settings.declarations import COLLECTION, PROJECT_NAME, URI, WIKI_PATH
from indexer.settings.folders import cache_folder
from indexer.settings.kinds import FOLDER
from indexer.settings.options import GroupedCommand, options
from indexer.settings.requests import (
    FROM,
    NO_BACKOFF,
    PARALLEL,
    SCRATCH,
    SCRATCH_SIZE,
    TRUST,
)
from indexer.settings.setting import Setting
from indexer.settings.values import Value

if TYPE_CHECKING:
    from indexer.run.repositories import Repository
    from indexer.run.run_all import Result, Results


@click.command("run-all", cls=GroupedCommand)
@click.argument("roots", nargs=-1, type=FOLDER)
@options(FROM, *RUN_OPTIONS, SCRATCH, SCRATCH_SIZE, PARALLEL, NO_BACKOFF)
@click.pass_context
def run_all(
    context: click.Context,
    /,
    roots: tuple[str, ...],
    list_file: str,
    parallel: int,
    no_backoff: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    log_format: str,
    **others: Any,
) -> int:
    """Run for every watched project at or below the ROOTS.

    A project is a folder with a codx-index.toml, or with codx-junior's .codx/project.json
    where watching is true. The options apply to all of them. A project that fails does not
    stop the others; it is left alone for 1, 10, 30, then 120 minutes, until it succeeds or
    its settings change.

    \b
    Exit codes:
      0   every index equals its tree
      1   projects failed; if all failed with the same code, such as 2 or 69,
          that code
      3   a project could not be indexed completely, or is left alone for now
      4   stopped by --max-seconds; run again to go on
      75  another run is at work on a project
      128+n  stopped by signal n
    """
    report = Report()
    with reporting(report, as_json, 0 if quiet else verbose, log_format):
        from indexer.cli.project_run import run_project, scratch_of
        from indexer.run.run_all import Results, combined, run_projects

        started = time.monotonic()
        is_quiet, error = quiet or as_json, None
        check_stdout(others["events"], as_json=as_json)
        if others["metrics"]:
            raise UsageError(
                "--metrics is a file for one project: set metrics in the settings of each"
            )
        given = given_values(context)
        projects = _projects(roots, list_file, given)
        if sum(one.is_watched for one in projects) > 1:
            _refuse_what_is_one_projects(others)
        results = Results(
            partial(_print_result, quiet=is_quiet),
            cache_folder(others["cache_dir"]),
            waits=not no_backoff,
        )
        with handled_signals() as signals, signals.deferred():
            if is_cluster(others["executor"]):
                error = _on_cluster(projects, given, results, signals, is_quiet)
            else:
                run = partial(
                    run_project,
                    given=given,
                    scratch=scratch_of(given),
                    interrupts=signals,
                    shows_bar=parallel == 1 and not is_quiet,
                )
                run_projects(projects, run, results, parallel, lambda: signals.received)
        seconds = time.monotonic() - started
        total = combined(results.found, signals.received, seconds, error)
        if as_json:
            print_json(total)
    return int(total["exit_code"])


def _on_cluster(
    projects: Sequence[Repository],
    given: Mapping[Setting, Value],
    results: Results,
    signals: Signals,
    is_quiet: bool,
) -> CodxIndexError | None:
    """Run on the hosts of a cluster; the error is why not all of them could be reached to the end."""
    from indexer.cli.fleet import run_fleet

    try:
        run_fleet(projects, given, results, signals, quiet=is_quiet)
    except ClusterUnavailableError as error:
        log.error(str(error))
        return error
    return None


def _projects(
    roots: Sequence[str], source: str, given: Mapping[Setting, Value]
) -> list[Repository]:
    """The projects below the roots and the repositories of the list, each once."""
    from indexer.run.repositories import listed_repositories
    from indexer.run.run_all import watched_projects

    if not (roots or source):
        raise UsageError("no ROOTS, nor a list of repositories (--from FILE)")
    found = []
    if source:
        called = "stdin" if source == "-" else source
        found = listed_repositories(read_list(source), called)
    _refuse_without_server(found, given)
    named = {one.name for one in found}
    if roots:
        below = watched_projects([project_folder(root) for root in roots])
        found = [*(one for one in below if one.name not in named), *found]
    return found


def _refuse_without_server(
    found: Sequence[Repository], given: Mapping[Setting, Value]
) -> None:
    """Raise `UsageError` if a repository is to be cloned whose index would lie nowhere.

    With --trust, its own settings may say where.
    """
    from indexer.cli.project_run import NO_SERVER

    is_known = URI in given or (TRUST in given and given[TRUST].value)
    if not is_known and (cloned := [one.name for one in found if one.remote]):
        raise UsageError(f"{cloned[0]}: {NO_SERVER}")


def _refuse_what_is_one_projects(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for what each of several projects would take from the one before."""
    for option in (COLLECTION, PROJECT_NAME, WIKI_PATH):
        if given[option.option.replace("-", "_")]:
            raise UsageError(
                f"--{option.option} ({option.variable}) is for one project, and there are "
                f"several: set {option.name} in the settings of each"
            )


def _print_result(result: Result, *, quiet: bool) -> None:
    """Print what became of one project; with `quiet` only what went wrong."""
    if not quiet:
        confirm(f"{shown(result.project)}: {_result_line(result)}")
    if result.outcome:
        where = f"{shown(result.project)}: "
        print_failed_files(result.outcome.failures, where)
        if result.outcome.error:
            log.error(where + result.outcome.error)
    if result.until:
        log.error(
            f"{shown(result.project)}: left alone until {result.until} "
            f"(--no-backoff tries at once), because it failed: {result.reason}"
        )


def _result_line(result: Result) -> str:
    if result.outcome is None:
        return f"left alone until {result.until}" if result.until else "not watched"
    return result.outcome.line
