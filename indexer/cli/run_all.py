"""`codx-index run-all`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, place, recorded, reporting
from indexer.cli.log import log, shown
from indexer.cli.outlets import Outlets
from indexer.cli.run import BOTH_WANT_STDOUT, RUN_OPTIONS, run_with
from indexer.cli.signals import Signals
from indexer.cli.texts import print_failures, print_json, result_line
from indexer.config import project_folder
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.assembly import cache_folder, make_settings
from indexer.settings.command import given_values
from indexer.settings.files import project_files
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.requests import NO_BACKOFF, PARALLEL
from indexer.settings.setting import Setting
from indexer.settings.values import Value, resolve

if TYPE_CHECKING:
    from indexer.work.workers import Workshop


@click.command("run-all")
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
    """Run for each project at or below the ROOTS that is watched.

    A project is a folder with a codx-index.toml, or with codx-junior's .codx/project.json in
    which watching is true. The options count for all of them. One that fails does not stop
    the others, and is left alone for 1, 10, 30, then 120 minutes, until it succeeds or its
    settings are changed.

    \b
    Exit codes:
      0   every index equals its tree
      1   projects failed; where all did so with the same code, such as 2 or 69, that one
      3   a project could not be indexed in all, or is left alone for now
      4   stopped by --max-seconds; run again to go on
      75  another run is at work on a project
      128+n  stopped by signal n
    """
    report = Report()
    with reporting(report, as_json, verbose, log_format):
        from indexer.run.run_all import Result, combined, run_projects, watched_projects

        started = time.monotonic()
        if as_json and others["events"] == "-":
            raise UsageError(BOTH_WANT_STDOUT)
        if others["metrics"]:
            raise UsageError(
                "--metrics is a file for one project: set metrics in the settings of each"
            )
        given = given_values(context)

        def run_one(folder: str, workshop: Workshop) -> Report:
            return _run_one(folder, given, signals, workshop)

        def tell(result: Result) -> None:
            if not quiet and not as_json:
                click.echo(f"{shown(result.project)}: {result_line(result)}")
            if result.report:
                print_failures(result.report, result.project)
            if result.until:
                log.error(
                    f"{shown(result.project)}: left alone until {result.until} "
                    f"(--no-backoff tries at once), for it failed: {result.reason}"
                )

        projects = watched_projects([project_folder(root) for root in roots])
        with Signals() as signals, signals.deferred():
            results = run_projects(
                projects,
                run_one,
                tell,
                parallel,
                cache_folder(others["cache_dir"]),
                lambda: signals.received,
                waits=not no_backoff,
            )
        total = combined(results, signals.received, time.monotonic() - started)
        if as_json:
            print_json(total)
    return int(total["exit_code"])


def _run_one(
    folder: str,
    given: Mapping[Setting, Value],
    signals: Signals,
    workshop: Workshop,
) -> Report:
    """One project of many; what becomes of it stands in the report."""
    report = Report(project=folder)
    with suppress(Ended), recorded(report):
        values = resolve(RUN_OPTIONS, given, project_files(folder))
        outlets = Outlets.of(values)
        settings = make_settings(folder, values, outlets.files)
        place(report, settings)
        with outlets.open(report, quiet=False), Bars(quiet=True) as bars:
            run_with(settings, report, bars, signals, workshop=workshop)
    return report
