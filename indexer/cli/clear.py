"""`codx-index clear`."""

from __future__ import annotations

from typing import Any

import click

from indexer.cli.boundary import reporting
from indexer.cli.texts import shown
from indexer.report import Report
from indexer.settings.options import (
    option,
    path_argument,
    place_options,
    trust_option,
    verbose_option,
)
from indexer.settings.settings import ProjectCommand, make_settings


@click.command(cls=ProjectCommand)
@path_argument
@trust_option
@place_options
@option("--yes", also=("-y",), is_flag=True, help="Do not ask.")
@verbose_option
def clear(path: str, yes: bool, verbose: int, **options: Any) -> int:
    """Remove the index of the project in PATH: its collection and its state."""
    with reporting(Report(), False, verbose):
        from indexer.index.clear import clear as clear_index

        settings = make_settings(path, **options)
        question = f"Remove {settings.collection_name} at {shown(settings.address)}?"
        if not yes and not click.confirm(question, err=True):
            return 1
        removed = clear_index(settings)
        click.echo("removed" if removed else "there was no index")
    return 0
