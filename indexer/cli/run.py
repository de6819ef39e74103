"""`codx-index run`."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from indexer.cli.bars import Bars
from indexer.cli.boundary import place, reporting
from indexer.cli.outlets import Outlets, traced
from indexer.cli.signals import Signals
from indexer.cli.texts import (
    behind,
    plan_dict,
    print_failures,
    print_json,
    print_plan,
    profile_table,
    summary,
)
from indexer.config import Settings
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import (
    AROUND,
    CHANGED_WITHIN,
    LOG_FORMAT,
    MAX_SECONDS,
    PLACE,
    SETTLE,
    SPARSE_FIRST,
    TREE,
    WAIT,
    WORK,
)
from indexer.settings.options import options, path_argument
from indexer.settings.requests import (
    DRY_RUN,
    FILE,
    FILES_FROM,
    FORCE,
    JSON,
    NULL,
    PROFILE,
    QUIET,
    RETRY_FAILED,
    TRACE,
    TRUST,
    VERBOSE,
)
from indexer.settings.select import selected
from indexer.settings.values import Values

if TYPE_CHECKING:
    from collections.abc import Set

    from indexer.work.workers import Workshop


BOTH_WANT_STDOUT = "--json and --events - both want stdout: give one a file"


RUN_OPTIONS = (
    TRUST,
    *PLACE,
    *TREE,
    *WORK,
    *AROUND,
    FORCE,
    SPARSE_FIRST,
    RETRY_FAILED,
    WAIT,
    CHANGED_WITHIN,
    SETTLE,
    MAX_SECONDS,
    JSON,
    QUIET,
    VERBOSE,
    LOG_FORMAT,
)
"""What `run` and `run-all` can be told."""


@click.command(cls=ProjectCommand)
@path_argument
@options(*RUN_OPTIONS, FILE, FILES_FROM, NULL, DRY_RUN, PROFILE, TRACE)
def run(
    path: str,
    values: Values,
    files: tuple[str, ...],
    files_from: str,
    null: bool,
    dry_run: bool,
    profile: bool,
    trace: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Make the index of the project in PATH equal to its files.

    PATH is the folder of the project; the current one by default. Only what changed since
    the last run is read, embedded and written.

    \b
    Exit codes:
      0   the index equals the tree, but for what was left for later (said)
      1   failed; the message says why
      2   wrong usage
      3   done, but some files could not be indexed, or a hook failed (listed)
      4   stopped by --max-seconds; run again to go on
      69  Milvus cannot be reached
      75  another run is at work on this index
      128+n  stopped by signal n (130: ctrl-C); what was done is kept
    """
    report = Report()
    with reporting(report, as_json, verbose, values[LOG_FORMAT]):
        outlets = Outlets.of(values)
        if as_json and outlets.events == "-":
            raise UsageError(BOTH_WANT_STDOUT)
        settings = make_settings(path, values, outlets.files)
        settings = _select(settings, files, files_from, null)
        place(report, settings)
        if dry_run:
            return _dry_run(settings, report, as_json=as_json, quiet=quiet)
        is_quiet = quiet or as_json
        with outlets.open(report, is_quiet), traced(trace, report):
            _run(settings, report, quiet=is_quiet)
        if as_json:
            about = {"profile": report.profile()} if profile else {}
            print_json({**report.as_dict(), **about})
        elif not quiet:
            # Where stdout has the events, nothing else belongs there.
            click.echo(summary(report), err=outlets.events == "-")
            if profile:
                click.echo(profile_table(report), err=outlets.events == "-")
        print_failures(report)
    return report.exit_code


def _select(
    settings: Settings, files: tuple[str, ...], files_from: str, null: bool
) -> Settings:
    """The settings for the files that were named, or for all."""
    if not files and not files_from:
        if null:
            raise UsageError(
                "-z is about the paths of --files-from, which is not given"
            )
        return settings
    listed = _listed(files_from, null) if files_from else []
    only, named = selected(settings.project, files, listed)
    return replace(settings, only=only, named=named)


def _listed(source: str, null: bool) -> list[str]:
    """The paths in a file, or on stdin, one a line or each with a NUL behind it."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read() if sys.stdin else b""
        else:
            with open(source, "rb") as file:
                data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    paths = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(path) for path in paths if path]


def _dry_run(settings: Settings, report: Report, *, as_json: bool, quiet: bool) -> int:
    from indexer.run.plan import plan

    planned = plan(settings, report)
    report.status = "unchanged" if planned.is_empty else "updated"
    report.status = "partial" if report.failures else report.status
    if as_json:
        print_json({**report.as_dict(), "dry_run": True, **plan_dict(planned)})
    elif not quiet:
        print_plan(planned)
        click.echo(behind(planned) or "nothing to do")
    print_failures(report)
    return report.exit_code


def _run(
    settings: Settings,
    report: Report,
    *,
    quiet: bool,
    doubted: Set[str] = frozenset(),
) -> None:
    report.spans.begin("start")
    with Bars(quiet=quiet) as bars, Signals() as signals:
        run_with(settings, report, bars, signals, doubted)


def run_with(
    settings: Settings,
    report: Report,
    bars: Bars,
    signals: Signals,
    doubted: Set[str] = frozenset(),
    workshop: Workshop | None = None,
) -> None:
    """Run the pipeline, unless the stamp tells that nothing has changed."""
    from indexer.index.stamp import is_unchanged
    from indexer.report import RUN

    with report.spans.span(RUN):
        has_all = not (settings.force or doubted) and settings.only is None
        if not has_all or not is_unchanged(settings, report):
            from indexer.pipeline import run as run_pipeline

            run_pipeline(settings, report, bars, signals, doubted, workshop)
