"""`codx-index status` of a collection that is read without a checkout."""

from __future__ import annotations

import click

from indexer.api import Index
from indexer.cli.boundary import locate
from indexer.cli.texts import count_text, print_json, printable
from indexer.errors import UsageError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.search.searcher import Searcher
from indexer.settings.assembly import make_settings
from indexer.settings.place import NOWHERE
from indexer.settings.values import Values


def tell_status(values: Values, report: Report, *, check: bool, as_json: bool) -> int:
    """Print what the collection is, and that its age cannot be told. Returns the exit code."""
    if check:
        raise UsageError("--check compares an index with its files: give their folder")
    settings = make_settings(NOWHERE.folder, values)
    locate(report, settings)
    with Index(Searcher(settings)) as index:
        about = index.status()
    report.project, report.fingerprint = about["project"], about["fingerprint"]
    report.status = "untold"
    report.chunks.total = about["chunks"]
    if as_json:
        more = {"up_to_date": None, "model": about["model"], "remark": about["remark"]}
        embedded = {"embedded_chunks": about["embedded"]}
        print_json({**report.as_dict(), "exit_code": 0, **more, **embedded})
        return 0
    size = count_text(about["chunks"], "chunk")
    if about["embedded"] < about["chunks"]:
        size += f", {about['embedded']:,} of them embedded"
    for name, text in (
        ("project", escape_path(report.project)),
        ("collection", f"{report.collection} at {escape_path(report.uri)}"),
        ("model", about["model"]),
        ("index", size),
        ("state", about["remark"]),
    ):
        click.echo(f"{name:<11}{printable(text)}")
    return 0
