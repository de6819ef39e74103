"""`codx-index config`."""

from __future__ import annotations

import click
from msgspec.structs import asdict

from indexer.cli.boundary import reporting
from indexer.cli.texts import print_json, printable, shown
from indexer.config import project_folder
from indexer.report import Report
from indexer.settings.folders import state_root
from indexer.settings.options import folder_argument, options
from indexer.settings.place import find_place
from indexer.settings.requests import HERE, JSON, VERBOSE
from indexer.settings.show import Found, settings_of


@click.group("config")
def config_group() -> None:
    """Show the settings of a project."""


@config_group.command("show")
@folder_argument
@options(HERE, JSON, VERBOSE)
def config_show(path: str, is_here: bool, as_json: bool, verbose: int) -> int:
    """Print each setting of a project, and where it comes from.

    The settings are those that a run of the project around PATH would use."""
    with reporting(Report(), as_json, verbose):
        place = find_place(path, state_root({}), is_here=is_here)
        found = list(settings_of(project_folder(place.folder)))
        if as_json:
            print_json({"settings": {one.name: asdict(one) for one in found}})
        else:
            _print_settings(found)
    return 0


def _print_settings(settings: list[Found]) -> None:
    """Print a table: name, value, and where it comes from."""
    for one in settings:
        value = (
            " ".join(one.written)
            if isinstance(one.written, tuple | list)
            else one.written
        )
        place = f"{one.source}: {shown(one.place)}" if one.place else one.source
        trust = " (needs --trust)" if one.needs_trust else ""
        click.echo(f"{one.name:<24}{printable(str(value)):<24}  {place}{trust}")
