"""`codx-index status`."""

from __future__ import annotations

from typing import Any

import click

from indexer.cli.boundary import place, reporting
from indexer.cli.texts import plan_dict, print_failures, print_json, print_status
from indexer.report import Report
from indexer.settings.options import (
    json_option,
    option,
    path_argument,
    place_options,
    tree_options,
    trust_option,
    verbose_option,
)
from indexer.settings.settings import ProjectCommand, make_settings


@click.command(cls=ProjectCommand)
@path_argument
@trust_option
@place_options
@tree_options
@option("--check", is_flag=True, help="Exit 1 when the index is not up to date.")
@json_option
@verbose_option
def status(
    path: str,
    check: bool,
    as_json: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Say what a run would do, how big the index is, and which model it uses."""
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.run.plan import plan

        settings = make_settings(path, **options)
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
