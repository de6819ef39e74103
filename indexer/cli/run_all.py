"""`codx-index run-all`."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, locate, recorded, reporting
from indexer.cli.log import log
from indexer.cli.outlets import Outlets, check_stdout
from indexer.cli.refresh import refresh
from indexer.cli.run import run, run_options
from indexer.cli.signals import Signals, handled_signals
from indexer.cli.summary import print_failures, summary
from indexer.cli.texts import print_json, shown
from indexer.config import project_folder
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.options import option
from indexer.settings.settings import cache_folder, given_arguments, make_settings

if TYPE_CHECKING:
    from indexer.run.run_all import Result
    from indexer.work.workers import Workshop

_ABOUT_ONE_RUN = (
    "path files files_from null dry_run profile trace as_json quiet verbose log_format"
).split()
"""The parameters of `run` that make no settings."""


@click.command("run-all")
@click.argument("roots", nargs=-1, required=True, type=click.Path(readable=False))
@run_options
@option(
    "--parallel",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Number of projects to work on at the same time.",
)
@option(
    "--no-backoff", is_flag=True, help="Also try projects that failed a moment ago."
)
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
    **options: Any,
) -> int:
    """Run for each watched project at or below the ROOTS.

    A project is a folder with a codx-index.toml, or with codx-junior's .codx/project.json in
    which watching is true. The options apply to all of them. A project that fails does not
    stop the others, and is left alone for 1, 10, 30, then 120 minutes, until it succeeds or
    its settings change.

    \b
    Exit codes:
      0   every index equals its tree
      1   projects failed; if all failed with the same code, such as 2 or 69, that code
      3   a project could not be indexed completely, or is left alone for now
      4   stopped by --max-seconds; run again to go on
      75  another run is at work on a project
      128+n  stopped by signal n
    """
    report = Report()
    with reporting(report, as_json, verbose, log_format):
        from indexer.run.run_all import combined, run_projects, watched_projects

        started = time.monotonic()
        check_stdout(options["events"], as_json=as_json)
        if options["metrics"]:
            raise UsageError(
                "--metrics is a file for one project: set metrics in the settings of each"
            )
        arguments = given_arguments(context, but={"parallel", "no_backoff", "as_json"})
        projects = watched_projects([project_folder(root) for root in roots])
        with handled_signals() as signals, signals.deferred():
            results = run_projects(
                projects,
                partial(_run_one, arguments=arguments, signals=signals),
                partial(_print_result, quiet=quiet or as_json),
                parallel,
                cache_folder(options["cache_dir"]),
                lambda: signals.received,
                waits=not no_backoff,
            )
        total = combined(results, signals.received, time.monotonic() - started)
        if as_json:
            print_json(total)
    return int(total["exit_code"])


def _run_one(
    folder: str, workshop: Workshop, *, arguments: list[str], signals: Signals
) -> Report:
    """Run for one project of many. Never raises a failure: the report says how it ended."""
    report = Report(project=folder)
    with suppress(Ended), recorded(report):
        try:
            context = run.make_context("run", [*arguments, "--", folder])
        except click.ClickException as error:
            raise UsageError(error.format_message()) from error
        options = context.params
        for name in _ABOUT_ONE_RUN:
            options.pop(name)
        with context.scope():
            outlets = Outlets.take(options)
            settings = make_settings(folder, **options, own_files=outlets.files)
        locate(report, settings)
        with outlets.open(report, quiet=False), closing(Bars(quiet=True)) as bars:
            refresh(settings, report, bars, signals, workshop=workshop)
    return report


def _print_result(result: Result, *, quiet: bool) -> None:
    """Print what became of one project; with `quiet` only what went wrong."""
    if not quiet:
        click.echo(f"{shown(result.project)}: {_result_line(result)}")
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
