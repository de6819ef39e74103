"""`codx-index run-all`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, locate, recorded, reporting
from indexer.cli.log import log
from indexer.cli.outlets import Outlets, check_stdout
from indexer.cli.refresh import refresh
from indexer.cli.run import RUN_OPTIONS
from indexer.cli.signals import Signals, handled_signals
from indexer.cli.summary import print_failures, summary
from indexer.cli.texts import confirm, print_json, shown
from indexer.config import project_folder
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import given_values
from indexer.settings.declarations import COLLECTION, WIKI_PATH
from indexer.settings.files import project_files
from indexer.settings.folders import cache_folder
from indexer.settings.kinds import PATH
from indexer.settings.options import GroupedCommand, options
from indexer.settings.requests import NO_BACKOFF, PARALLEL
from indexer.settings.setting import Setting
from indexer.settings.values import Value, resolve

if TYPE_CHECKING:
    from indexer.run.run_all import Result
    from indexer.work.workshop import Workshop


@click.command("run-all", cls=GroupedCommand)
@click.argument("roots", nargs=-1, required=True, type=PATH)
@options(*RUN_OPTIONS, PARALLEL, NO_BACKOFF)
@click.pass_context
def run_all(
    context: click.Context,
    /,
    roots: tuple[str, ...],
    parallel: int,
    no_backoff: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    log_format: str,
    **others: Any,
) -> int:
    """Run for each watched project at or below the ROOTS.

    A project is a folder with a codx-index.toml, or with codx-junior's .codx/project.json in
    which watching is true. The options apply to all of them. A project that fails does not
    stop the others, and is left alone for 1, 10, 30, then 120 minutes, until it succeeds or
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
        from indexer.run.run_all import combined, run_projects, watched_projects

        started = time.monotonic()
        shows_bar = parallel == 1 and not (quiet or as_json)
        check_stdout(others["events"], as_json=as_json)
        if others["metrics"]:
            raise UsageError(
                "--metrics is a file for one project: set metrics in the settings of each"
            )
        given = given_values(context)
        projects = watched_projects([project_folder(root) for root in roots])
        if sum(is_watched for _, is_watched in projects) > 1:
            _refuse_what_is_one_projects(others)
        with handled_signals() as signals, signals.deferred():
            results = run_projects(
                projects,
                partial(_run_one, given=given, signals=signals, shows_bar=shows_bar),
                partial(_print_result, quiet=quiet or as_json),
                parallel,
                cache_folder(others["cache_dir"]),
                lambda: signals.received,
                waits=not no_backoff,
            )
        total = combined(results, signals.received, time.monotonic() - started)
        if as_json:
            print_json(total)
    return int(total["exit_code"])


def _refuse_what_is_one_projects(given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for what each of several projects would take from the one before."""
    for option in (COLLECTION, WIKI_PATH):
        if given[option.option.replace("-", "_")]:
            raise UsageError(
                f"--{option.option} ({option.variable}) is for one project, and these are "
                f"several: set {option.name} in the settings of each"
            )


def _run_one(
    folder: str,
    workshop: Workshop,
    *,
    given: Mapping[Setting, Value],
    signals: Signals,
    shows_bar: bool,
) -> Report:
    """Run for one project of many. Never raises a failure: the report says how it ended."""
    report = Report(project=folder)
    with suppress(Ended), recorded(report):
        values = resolve(RUN_OPTIONS, given, project_files(folder))
        outlets = Outlets.of(values)
        settings = make_settings(folder, values, outlets.files)
        locate(report, settings)
        bars = Bars(quiet=not shows_bar, about=shown(folder))
        with outlets.open(report, quiet=False), closing(bars):
            refresh(settings, report, bars, signals, workshop=workshop)
    return report


def _print_result(result: Result, *, quiet: bool) -> None:
    """Print what became of one project; with `quiet` only what went wrong."""
    if not quiet:
        confirm(f"{shown(result.project)}: {_result_line(result)}")
    if result.report:
        print_failures(result.report, result.project)
    if result.until:
        log.error(
            f"{shown(result.project)}: left alone until {result.until} "
            f"(--no-backoff tries at once), because it failed: {result.reason}"
        )


def _result_line(result: Result) -> str:
    if result.report is None:
        return f"left alone until {result.until}" if result.until else "not watched"
    if result.report.error:
        return f"{result.report.status} (exit code {result.report.exit_code})"
    return summary(result.report).partition("\n")[0]
