"""`codx-index config`."""

from __future__ import annotations

from dataclasses import asdict

import click

from indexer.cli.boundary import reporting
from indexer.cli.texts import print_json, print_settings
from indexer.config import project_folder
from indexer.report import Report
from indexer.settings.options import options, path_argument
from indexer.settings.requests import JSON, VERBOSE
from indexer.settings.show import settings_of


@click.group("config")
def config_group() -> None:
    """Look at the settings of a project."""


@config_group.command("show")
@path_argument
@options(JSON, VERBOSE)
def config_show(path: str, as_json: bool, verbose: int) -> int:
    """Print each setting that a run in PATH would have, and where it comes from."""
    with reporting(Report(), as_json, verbose):
        found = list(settings_of(project_folder(path)))
        if as_json:
            print_json({"settings": {one.name: asdict(one) for one in found}})
        else:
            print_settings(found)
    return 0
