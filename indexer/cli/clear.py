"""`codx-index clear`."""

from __future__ import annotations

import click

from indexer.cli.boundary import reporting
from indexer.cli.texts import confirm, shown
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE, WAIT
from indexer.settings.options import options, path_argument
from indexer.settings.requests import TAKE_OVER, TRUST, VERBOSE, YES
from indexer.settings.values import Values


@click.command(cls=ProjectCommand)
@path_argument
@options(TRUST, *PLACE, TAKE_OVER, WAIT, YES, VERBOSE)
def clear(path: str, values: Values, yes: bool, verbose: int) -> int:
    """Remove the index of the project in PATH: its collection and its state."""
    with reporting(Report(), False, verbose):
        from indexer.index.clear import clear as clear_index

        settings = make_settings(path, values)
        question = f"Remove {settings.collection_name} at {shown(settings.address)}?"
        if not yes and not click.confirm(question, err=True):
            return 1
        removed = clear_index(settings)
        confirm("removed" if removed else "there was no index")
    return 0
