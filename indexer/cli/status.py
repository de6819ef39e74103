"""`codx-index status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from indexer.cli.boundary import locate, reporting
from indexer.cli.plans import plan_dict, plan_text
from indexer.cli.summary import print_failures
from indexer.cli.texts import count_text, print_json, shown
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

if TYPE_CHECKING:
    from indexer.run.plan import Plan


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
        locate(report, settings)
        planned = plan(settings, report)
        is_current = planned.is_empty and not report.failures
        report.status = "unchanged" if is_current else "updated"
        if as_json:
            print_json(
                {
                    **report.as_dict(),
                    "exit_code": int(check and not is_current),
                    "up_to_date": is_current,
                    "model": planned.identity.backend.model.name,
                    "indexed_files": planned.indexed_files,
                    **plan_dict(planned),
                }
            )
        else:
            _print_status(report, planned)
        print_failures(report)
    return int(check and not is_current)


def _print_status(report: Report, planned: Plan) -> None:
    """Print a table: project, collection, model, size and state of the index."""
    backend = planned.identity.backend
    model = (
        f"{backend.model.name} ({backend.kind}, {backend.precision}, {backend.device})"
    )
    files = count_text(planned.indexed_files, "file")
    chunks = count_text(report.chunks.total, "chunk")
    embedded = ""
    if lacking := report.chunks.unembedded:
        embedded = f", {report.chunks.total - lacking:,} of them embedded"
    late = plan_text(planned)
    for name, text in (
        ("project", shown(report.project)),
        ("collection", f"{report.collection} at {shown(report.uri)}"),
        ("model", model),
        ("index", f"{files}, {chunks}{embedded}"),
        ("state", f"behind: {late}" if late else "up to date"),
    ):
        click.echo(f"{name:<11}{text}")
