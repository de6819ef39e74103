"""Commands on a project, whose files give the defaults of their options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from indexer.settings.declarations import PROJECT_NAME, STATE_DIR
from indexer.settings.files import project_files
from indexer.settings.folders import state_folder
from indexer.settings.options import GroupedCommand, SettingOption
from indexer.settings.place import Place, find_place
from indexer.settings.requests import HERE, TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import Origin, Value, resolve

_ORIGINS = {
    ParameterSource.COMMANDLINE: Origin.OPTION,
    ParameterSource.ENVIRONMENT: Origin.ENVIRONMENT,
}


class ProjectCommand(GroupedCommand):
    """A command on a project.

    Its function receives the settings as `values` (see `Values`), and what its PATH means as
    `place`. What is asked of this one run it receives by name, as click does it. `unseen` are
    settings of the project that are none of its options.
    """

    unseen: tuple[Setting, ...] = ()

    def place_of(self, given: dict[str, Any]) -> Place:
        """What the PATH among the parameters means, which is taken out of them."""
        path, is_here = str(given.pop("path")), bool(given.get(HERE.also[0]))
        return find_place(path, state_root_of(given), is_here=is_here)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        options = {one.setting: one.name for one in setting_options(self)}
        place = self.place_of(ctx.params)
        values = resolve(
            [*options, *self.unseen], given_values(ctx), project_files(place.folder)
        )
        for setting, name in options.items():
            del ctx.params[name]
            if setting.is_argument and setting not in (TRUST, HERE):
                ctx.params[name] = values[setting]
        ctx.params |= {"place": place, "values": values}
        return rest


class SearchCommand(ProjectCommand):
    """A command with several PATHs, of which the first says whose settings count.

    Its --project names projects to read. What the current one is called stands elsewhere.
    """

    unseen = (PROJECT_NAME,)

    def place_of(self, given: dict[str, Any]) -> Place:
        """What the first PATH means."""
        paths: Sequence[str] = given["paths"]
        if given.get("like") and given.get("query"):
            paths = (
                given["query"],
                *paths,
            )  # there is no query then: this is the first PATH
        return find_place(paths[0] if paths else "", state_root_of(given))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        del ctx.params["place"]  # there may be more of them
        return rest


def state_root_of(given: Mapping[str, Any]) -> str:
    """The folder below which the state of all projects lies, by the parameters of a command."""
    return state_folder(given[STATE_DIR.name.replace("-", "_")])


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
