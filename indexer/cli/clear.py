"""`codx-index clear`."""

from __future__ import annotations

import sys
from shlex import quote

import click

from indexer.cli.boundary import reporting
from indexer.cli.texts import confirm, shown
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE, WAIT
from indexer.settings.options import folder_argument, options
from indexer.settings.place import Place
from indexer.settings.requests import HERE, TAKE_OVER, TRUST, VERBOSE, YES
from indexer.settings.values import Values


@click.command(cls=ProjectCommand)
@folder_argument
@options(HERE, TRUST, *PLACE, TAKE_OVER, WAIT, YES, VERBOSE)
def clear(place: Place, values: Values, yes: bool, verbose: int) -> int:
    """Remove the index of a project: its collection and its state.

    The project is the one around PATH, or around the current folder."""
    with reporting(Report(), False, verbose):
        from indexer.index.clear import clear as clear_index

        if place.scope:
            raise UsageError(
                f"{shown(place.scope)} is part of the project {shown(place.folder)}, which "
                f"has one index: remove all of it with codx-index clear {quote(place.folder)}"
            )
        settings = make_settings(place.folder, values)
        what = f"{settings.collection_name} at {shown(settings.address)}"
        if settings.shared_collection:
            what = f"the rows of {shown(settings.project_label)} in {what}"
        if not yes and not (sys.stdin and sys.stdin.isatty()):
            raise UsageError(f"cannot ask without a terminal: --yes removes {what}")
        if not yes and not click.confirm(f"Remove {what}?", err=True):
            return 1
        removed = clear_index(settings)
        confirm("removed" if removed else "there was no index")
    return 0
