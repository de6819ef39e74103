"""`codx-index verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from indexer.cli.boundary import locate, reporting
from indexer.cli.refresh import refresh_alone
from indexer.cli.summary import print_failures, summary
from indexer.cli.texts import confirm, count_text, print_json, printable, shown
from indexer.config import Settings
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE, TREE, WAIT, WORK
from indexer.settings.options import options, path_argument
from indexer.settings.place import Place
from indexer.settings.requests import HERE, JSON, REPAIR, TAKE_OVER, TRUST, VERBOSE
from indexer.settings.values import Values

if TYPE_CHECKING:
    from indexer.run.verify import Difference

SHOWN_DIFFERENCES = 50


@click.command(cls=ProjectCommand)
@path_argument
@options(HERE, TRUST, *PLACE, TAKE_OVER, *TREE, *WORK, WAIT, REPAIR, JSON, VERBOSE)
def verify(
    place: Place, values: Values, repair: bool, as_json: bool, verbose: int
) -> int:
    """Compare every row of the index with its file as it is now.

    Reads every file and every row. Exits with 0 if they agree; otherwise lists the
    differences and exits with 1. A repair (--repair) exits as a run does: with 0
    if nothing differs afterwards.
    """
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.run.verify import verify as find_differences

        settings = place.limited(make_settings(place.folder, values))
        locate(report, settings)
        differences = find_differences(settings, report)
        if repair and differences:
            return _repair(settings, differences, as_json=as_json, verbose=verbose)
        report.status = "failed" if differences else "unchanged"
        if as_json:
            found = _differences_list(differences)
            print_json({**report.as_dict(), "differences": found})
        elif differences:
            _print_differences(differences)
            click.echo(
                f"the index differs from the tree in {count_text(len(differences), 'place')}: "
                "codx-index verify --repair fixes them",
                err=True,
            )
        else:
            confirm(
                f"verified: {count_text(report.chunks.total, 'row')} of "
                f"{count_text(report.files.unchanged, 'file')} equal the tree"
            )
    return report.exit_code


def _repair(
    settings: Settings, differences: list[Difference], *, as_json: bool, verbose: int
) -> int:
    """Run with the files that differ in doubt, then compare again."""
    from indexer.run.verify import verify as find_differences

    report = Report()
    locate(report, settings)
    with reporting(report, as_json, verbose):
        doubted = {difference.path for difference in differences}
        refresh_alone(settings, report, quiet=as_json, doubted=doubted)
        left = [] if report.exit_code else find_differences(settings, Report())
        if left:
            report.status = "failed"
            report.error = f"{left[0].path}: {left[0].problem}, even after the repair"
        if as_json:
            found = _differences_list(differences)
            print_json({**report.as_dict(), "differences": found})
        else:
            _print_differences(differences)
            confirm(
                f"repaired; {summary(report)}" if not left else printable(report.error)
            )
        print_failures(report)
    return report.exit_code


def _print_differences(differences: list[Difference]) -> None:
    """Print the first of the differences, one per line."""
    for difference in differences[:SHOWN_DIFFERENCES]:
        click.echo(
            f"{shown(difference.path) or 'index'}: {printable(difference.problem)}"
        )
    if len(differences) > SHOWN_DIFFERENCES:
        click.echo(f"… and {len(differences) - SHOWN_DIFFERENCES:,} more")


def _differences_list(differences: list[Difference]) -> list[dict[str, str]]:
    """All of the differences, as JSON-ready values."""
    from indexer.paths import escape_path

    return [
        {"path": escape_path(difference.path), "problem": difference.problem}
        for difference in differences
    ]
