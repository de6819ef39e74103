"""`codx-index status`."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from indexer.cli.background import BackgroundRun
from indexer.cli.background_status import as_dict, told
from indexer.cli.boundary import locate, reporting
from indexer.cli.counter import Counter
from indexer.cli.first_look import confirm_size
from indexer.cli.plans import left_out_lines, plan_dict, plan_text
from indexer.cli.streams import is_closed
from indexer.cli.summary import growth_text, print_failures
from indexer.cli.texts import count_text, print_json, printable
from indexer.paths import escape_path
from indexer.report import KNEE, Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import StatusCommand
from indexer.settings.declarations import PLACE, TREE
from indexer.settings.options import options, path_argument
from indexer.settings.place import NOWHERE, Place
from indexer.settings.requests import CHECK, HERE, JSON, TRUST, VERBOSE, YES
from indexer.settings.values import Values

if TYPE_CHECKING:
    from indexer.run.plan import Plan


@click.command(cls=StatusCommand)
@path_argument
@options(HERE, TRUST, *PLACE, *TREE, CHECK, YES, JSON, VERBOSE)
def status(
    place: Place, values: Values, check: bool, yes: bool, as_json: bool, verbose: int
) -> int:
    """Show what a run would do, how big the index is, and which model it uses.

    If PATH is a part of a project, only the changes there are shown. Outside any project,
    options can name an address and a collection, whose size and model are shown.
    """
    report = Report()
    with reporting(report, as_json, verbose):
        if place == NOWHERE:
            from indexer.cli.collection_status import tell_status

            return tell_status(values, report, check=check, as_json=as_json)
        from indexer.run.plan import plan

        settings = place.limited(make_settings(place.folder, values))
        locate(report, settings)
        if not yes and not settings.has_state:
            confirm_size(settings, quiet=as_json)
        with closing(Counter(quiet=as_json)) as counter:
            planned = plan(settings, report, counter.count)
        if report.chunks.total >= KNEE:
            from indexer.run.growth import foretell

            foretell(settings, report)
        background = BackgroundRun(settings, {})
        is_current = planned.is_empty and not report.failures
        report.status = "unchanged" if is_current else "planned"
        if as_json:
            print_json(
                {
                    **report.as_dict(),
                    "exit_code": int(check and not is_current),
                    "up_to_date": is_current,
                    "model": planned.identity.backend.model.name,
                    "indexed_files": planned.indexed_files,
                    "background": as_dict(background),
                    **plan_dict(planned),
                }
            )
        elif not (check and is_closed(1)):  # the exit code is the answer
            _print_status(report, planned, background, verbose)
        print_failures(report)
    return int(check and not is_current)


def _print_status(
    report: Report, planned: Plan, background: BackgroundRun, verbose: int
) -> None:
    """Print a table: project, collection, model, size and state of the index, the last run.

    That is the last one in the background. If `verbose`, what is left out as a whole comes after it, and what is so by default.
    """
    backend = planned.identity.backend
    model = (
        f"{backend.model.name} ({backend.kind}, {backend.precision}, {backend.device})"
    )
    files = count_text(planned.indexed_files, "file")
    chunks = count_text(report.chunks.total, "chunk")
    embedded = ""
    if lacking := report.chunks.unembedded:
        with_vector = report.chunks.total - lacking - report.chunks.by_words
        embedded = f", {with_vector:,} of them embedded"
    if by_words := report.chunks.by_words:
        of_files = count_text(report.files.by_words, "file")
        embedded += f", {by_words:,} (of {of_files}) found by words alone on purpose"
    late = plan_text(planned)
    for name, text in (
        ("project", escape_path(report.project)),
        ("collection", f"{report.collection} at {escape_path(report.uri)}"),
        ("model", model),
        ("index", f"{files}, {chunks}{embedded}"),
        ("state", f"behind: {late}" if late else "up to date"),
    ):
        click.echo(f"{name:<11}{printable(text)}")
    if text := told(background):
        click.echo(f"{'background':<11}{printable(text)}")
    if report.growth:
        click.echo(f"{'growth':<11}{growth_text(report.growth)}")
    if verbose:
        for line in left_out_lines(planned):
            click.echo(f"{'left out':<11}{line}")
        if planned.default_excludes:
            click.echo(f"{'by default':<11}{', '.join(planned.default_excludes)}")
