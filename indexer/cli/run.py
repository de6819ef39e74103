"""`codx-index run`."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import replace

import click

from indexer.cli.boundary import locate, reporting
from indexer.cli.log import log
from indexer.cli.outlets import Outlets, check_stdout, traced
from indexer.cli.refresh import refresh_alone
from indexer.cli.streams import read_list
from indexer.cli.summary import growth_text, print_failures, summary
from indexer.cli.texts import confirm, print_json, shown
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
from indexer.settings.place import Place
from indexer.settings.requests import (
    DRY_RUN,
    FILE,
    FILES_FROM,
    FORCE,
    HERE,
    JSON,
    NULL,
    PROFILE,
    QUIET,
    RETRY_FAILED,
    TAKE_OVER,
    TRACE,
    TRUST,
    VERBOSE,
    YES,
)
from indexer.settings.values import Values

SHOWN_FILES = 10  # the slowest ones, with --profile


RUN_OPTIONS = (
    TRUST,
    *PLACE,
    TAKE_OVER,
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
@options(HERE, FILE, FILES_FROM, NULL, DRY_RUN, YES, *RUN_OPTIONS, PROFILE, TRACE)
def run(
    place: Place,
    values: Values,
    files: tuple[str, ...],
    files_from: str,
    null: bool,
    dry_run: bool,
    yes: bool,
    profile: bool,
    trace: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
) -> int:
    """Make the index of a project equal to its files.

    PATH is the folder of the project, or a folder or file in it: then only that part is
    indexed. Without PATH, the project is the one around the current folder. Only what has
    changed since the last run is read, embedded and written.

    \b
    Exit codes:
      0   the index equals the tree, except for files left for later (reported)
      1   failed; the message says why
      2   wrong usage
      3   done, but some files could not be indexed, or a hook failed (listed)
      4   stopped by --max-seconds; run again to go on
      69  Milvus, the endpoint of the model or the cluster cannot be reached
      75  another run is at work on this index
      128+n  stopped by signal n (130: ctrl-C); what was done is kept
    """
    report = Report()
    with reporting(report, as_json, 0 if quiet else verbose, values[LOG_FORMAT]):
        outlets = Outlets.of(values)
        check_stdout(outlets.events, as_json=as_json)
        settings = make_settings(place.folder, values, outlets.files)
        settings = _select(settings, place, files, files_from, null)
        locate(report, settings)
        is_first = not settings.has_state
        if is_first and not yes:
            from indexer.cli.first_look import confirm_size

            confirm_size(settings, quiet=quiet or as_json)
        if dry_run:
            return _dry_run(settings, report, as_json=as_json, quiet=quiet)
        is_quiet = quiet or as_json
        with outlets.open(report, is_quiet), traced(trace, report):
            refresh_alone(settings, report, quiet=is_quiet)
        if as_json:
            about = {"profile": report.profile()} if profile else {}
            print_json({**report.as_dict(), **about})
        elif not quiet:
            if is_first:
                _say_where(settings)
            # If the events go to stdout, nothing else may.
            confirm(summary(report), err=outlets.events == "-")
            if report.growth and report.status != "unchanged":
                log.warn(growth_text(report.growth))
            if profile:
                click.echo(_profile_table(report), err=outlets.events == "-")
        print_failures(report)
    return report.exit_code


def _say_where(settings: Settings) -> None:
    """Say which project got its first index, if that is more than the current folder."""
    with suppress(FileNotFoundError):  # the current folder was removed
        if os.getcwd().startswith(os.path.join(settings.project, "")):
            log.warn(
                f"this was the first index of the project {shown(settings.project)}, which "
                "contains this folder (--here makes this folder a project of its own)"
            )


def _select(
    settings: Settings,
    place: Place,
    files: tuple[str, ...],
    files_from: str,
    null: bool,
) -> Settings:
    """The settings, limited to the files that were named, or else to the PATH in the project.

    Raises `UsageError`.
    """
    if not files and not files_from:
        if null:
            raise UsageError("-z needs --files-from")
        return place.limited(settings)
    from indexer.settings.select import listed_paths, selected

    listed = listed_paths(read_list(files_from), null) if files_from else []
    return replace(settings, only=selected(settings.project, [*files, *listed]))


def _dry_run(settings: Settings, report: Report, *, as_json: bool, quiet: bool) -> int:
    from indexer.cli.counter import Counter
    from indexer.cli.plans import costs, plan_dict, plan_text, print_plan
    from indexer.run.plan import plan

    with closing(Counter(quiet=quiet or as_json)) as counter:
        planned = plan(settings, report, counter.count)
    report.status = "unchanged" if planned.is_empty else "planned"
    report.status = "partial" if report.failures else report.status
    if as_json:
        print_json({**report.as_dict(), "dry_run": True, **plan_dict(planned)})
    elif not quiet:
        print_plan(planned)
        click.echo("; ".join([plan_text(planned) or "nothing to do", *costs(planned)]))
    print_failures(report)
    return report.exit_code


def _profile_table(report: Report) -> str:
    """Two tables: the stages, and the slowest files."""
    from collections import Counter

    seconds = report.seconds
    total = max(seconds.pop("total"), 1e-9)
    counts = Counter(span.name for span in report.spans.found)
    lines = [f"{'stage':8}{'seconds':>9}{'of run':>8}{'times':>8}"]
    for stage, spent in seconds.items():
        if counts[stage]:
            lines.append(f"{stage:8}{spent:9.3f}{spent / total:8.0%}{counts[stage]:8,}")
    slowest = report.slowest()[:SHOWN_FILES]
    if slowest:
        lines.append(f"{'chunk s':>9}{'embed s':>9}{'chunks':>8}  slowest files")
    for file in slowest:
        lines.append(
            f"{file.chunk:9.3f}{file.embed:9.3f}{file.chunks:8,}  {shown(file.path)}"
        )
    return "\n".join(lines)
