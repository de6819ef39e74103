"""`codx-index config`."""

from __future__ import annotations

from dataclasses import asdict

import click

from indexer.cli.boundary import reporting
from indexer.cli.run import run
from indexer.cli.texts import print_json, print_settings
from indexer.config import project_folder
from indexer.report import Report
from indexer.settings.options import json_option, path_argument, verbose_option
from indexer.settings.show import settings_of


@click.group("config")
def config_group() -> None:
    """Look at the settings of a project."""


@config_group.command("show")
@path_argument
@json_option
@verbose_option
def config_show(path: str, as_json: bool, verbose: int) -> int:
    """Print each setting that a run in PATH would have, and where it comes from."""
    with reporting(Report(), as_json, verbose):
        found = list(settings_of(run, project_folder(path)))
        if as_json:
            print_json({"settings": {one.name: asdict(one) for one in found}})
        else:
            print_settings(found)
    return 0
