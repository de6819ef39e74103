"""Commands on a project, whose files give the defaults of their options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from indexer.settings.files import indexed_project, project_files
from indexer.settings.options import SettingOption
from indexer.settings.requests import TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import Origin, Value, resolve

_ORIGINS = {
    ParameterSource.COMMANDLINE: Origin.OPTION,
    ParameterSource.ENVIRONMENT: Origin.ENVIRONMENT,
}


class ProjectCommand(click.Command):
    """A command on a project.

    Its function receives the settings as `values` (see `Values`). What is asked of this one run
    it receives by name, as click does it.
    """

    def path_of(self, given: Mapping[str, Any]) -> str:
        """The PATH among the parameters, the first if there are several."""
        return str(given["path"])

    def folder_of(self, path: str) -> str:
        """The folder with the files of the project that PATH means."""
        return path

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        options = {one.setting: one.name for one in setting_options(self)}
        files = project_files(self.folder_of(self.path_of(ctx.params)))
        values = resolve(options, given_values(ctx), files)
        for setting, name in options.items():
            del ctx.params[name]
            if setting.is_argument and setting is not TRUST:
                ctx.params[name] = values[setting]
        ctx.params["values"] = values
        return rest


class SearchCommand(ProjectCommand):
    """A command whose PATHs, of which the first counts, may be folders in a project."""

    def path_of(self, given: Mapping[str, Any]) -> str:
        paths: Sequence[str] = given["paths"]
        if given.get("like") and given.get("query"):
            return str(given["query"])  # there is no query then: this is the first PATH
        return paths[0] if paths else "."

    def folder_of(self, path: str) -> str:
        return indexed_project(os.path.realpath(path))


def setting_options(command: click.Command) -> Iterator[SettingOption]:
    """The options of a command that settings declare."""
    for parameter in command.params:
        if isinstance(parameter, SettingOption):
            yield parameter


def given_values(ctx: click.Context) -> dict[Setting, Value]:
    """The values that the command line and the environment gave to a command."""
    found = {}
    for option in setting_options(ctx.command):
        source = ctx.get_parameter_source(option.name)
        if source in _ORIGINS:
            origin = _ORIGINS[source]
            place = option.setting.variable if origin is Origin.ENVIRONMENT else ""
            found[option.setting] = Value(ctx.params[option.name], origin, place)
    return found
