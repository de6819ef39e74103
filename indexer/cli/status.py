"""`codx-index status`."""

from __future__ import annotations

import click

from indexer.cli.boundary import place, reporting
from indexer.cli.texts import plan_dict, print_failures, print_json, print_status
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE, TREE
from indexer.settings.options import options, path_argument
from indexer.settings.requests import CHECK, JSON, TRUST, VERBOSE
from indexer.settings.values import Values


@click.command(cls=ProjectCommand)
@path_argument
@options(TRUST, *PLACE, *TREE, CHECK, JSON, VERBOSE)
def status(path: str, values: Values, check: bool, as_json: bool, verbose: int) -> int:
    """Say what a run would do, how big the index is, and which model it uses."""
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.run.plan import plan

        settings = make_settings(path, values)
        place(report, settings)
        planned = plan(settings, report)
        current = planned.is_empty and not report.failures
        report.status = "unchanged" if current else "updated"
        if as_json:
            print_json(
                {
                    **report.as_dict(),
                    "exit_code": int(check and not current),
                    "up_to_date": current,
                    "model": planned.identity.backend.model.name,
                    "indexed_files": planned.indexed_files,
                    **plan_dict(planned),
                }
            )
        else:
            print_status(report, planned)
        print_failures(report)
    return int(check and not current)
