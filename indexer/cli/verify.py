"""`codx-index verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from indexer.cli.boundary import place, reporting
from indexer.cli.log import shown
from indexer.cli.run import _run
from indexer.cli.texts import (
    count_text,
    differences_dict,
    print_differences,
    print_failures,
    print_json,
    summary,
)
from indexer.config import Settings
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE, TREE, WORK
from indexer.settings.options import options, path_argument
from indexer.settings.requests import JSON, REPAIR, TRUST, VERBOSE
from indexer.settings.values import Values

if TYPE_CHECKING:
    from indexer.run.verify import Difference


@click.command(cls=ProjectCommand)
@path_argument
@options(TRUST, *PLACE, *TREE, *WORK, REPAIR, JSON, VERBOSE)
def verify(path: str, values: Values, repair: bool, as_json: bool, verbose: int) -> int:
    """Compare every row of the collection with what its file gives now.

    Reads every file and every row; exits 1 and lists what differs, 0 when nothing does.
    With --repair it exits like a run: 0 when, after it, nothing differs.
    """
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.run.verify import verify as find_differences

        settings = make_settings(path, values)
        place(report, settings)
        differences = find_differences(settings, report)
        if repair and differences:
            return _repair(settings, differences, as_json=as_json, verbose=verbose)
        report.status = "failed" if differences else "unchanged"
        if as_json:
            found = differences_dict(differences)
            print_json({**report.as_dict(), "differences": found})
        elif differences:
            print_differences(differences)
            click.echo(
                f"the index differs from the tree in {count_text(len(differences), 'place')}: "
                "codx-index verify --repair rewrites what does",
                err=True,
            )
        else:
            click.echo(
                f"verified: {count_text(report.chunks.total, 'row')} of "
                f"{count_text(report.files.unchanged, 'file')} equal the tree"
            )
    return report.exit_code


def _repair(
    settings: Settings, differences: list[Difference], *, as_json: bool, verbose: int
) -> int:
    """Run with the differing files in doubt, then look again."""
    from indexer.run.verify import verify as find_differences

    report = Report()
    place(report, settings)
    with reporting(report, as_json, verbose):
        doubted = {difference.path for difference in differences}
        _run(settings, report, quiet=as_json, doubted=doubted)
        left = [] if report.exit_code else find_differences(settings, Report())
        if left:
            report.status = "failed"
            report.error = f"{shown(left[0].path)}: {left[0].problem}, still"
        if as_json:
            found = differences_dict(differences)
            print_json({**report.as_dict(), "differences": found})
        else:
            print_differences(differences)
            click.echo(f"repaired; {summary(report)}" if not left else report.error)
        print_failures(report)
    return report.exit_code
