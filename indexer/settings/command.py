"""Commands on a project, whose files give the defaults of their options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from indexer.errors import UsageError
from indexer.settings.declarations import COLLECTION, PROJECT_NAME, STATE_DIR, URI
from indexer.settings.files import project_files
from indexer.settings.folders import state_folder
from indexer.settings.options import GroupedCommand, SettingOption
from indexer.settings.place import NOWHERE, Place, find_place, is_in_project
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
        if ctx.resilient_parsing:  # a line that is being typed is no mistake yet
            return rest
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


class StatusCommand(ProjectCommand):
    """A command on a project, or without PATH, where there is none, on a collection."""

    def place_of(self, given: dict[str, Any]) -> Place:
        """What PATH means: no project where a collection is named, and no project around."""
        is_about_tree = given["path"] or is_in_project(state_root_of(given))
        if names_collection(given) and not is_about_tree:
            del given["path"]
            return NOWHERE
        return super().place_of(given)


class SearchCommand(ProjectCommand):
    """A command with several PATHs, of which the first says whose settings count.

    Its function receives what they mean as `places`. Without PATH that is the project around the
    current folder, unless options or variables name a collection: then it is that, as it is.
    Its --project names projects to read. What the current one is called stands elsewhere.
    """

    unseen = (PROJECT_NAME,)

    def place_of(self, given: dict[str, Any]) -> Place:
        """What the first PATH means. All of them are replaced by `places`."""
        paths: Sequence[str] = given.pop("paths")
        if given.get("like") and given.get("query"):
            # There is no query then: this is the first PATH.
            paths, given["query"] = (given["query"], *paths), ""
        _explain_absent(paths, given)
        root = state_root_of(given)
        given["places"] = [find_place(path, root) for path in paths or [""]]
        if not paths and names_collection(given):
            given["places"] = [NOWHERE]
        first: Place = given["places"][0]
        return first

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        ctx.params.pop("place", None)
        return rest


def _explain_absent(paths: Sequence[str], given: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a PATH that is not there, if it may be meant for an option."""
    hints = {
        "changed": "a REF needs an equals sign, as in --changed=main",
        "files_with_matches": "-l lists files; the language is -t",
    }
    told = [
        hint for name, hint in hints.items() if given.get(name) not in (None, False)
    ]
    absent = [path for path in paths if path and not os.path.exists(path)]
    if absent and told:
        raise UsageError(f"there is no {absent[0]}: {'; '.join(told)}")


def names_collection(given: Mapping[str, Any]) -> bool:
    """Whether options or variables say where a collection is, and which: no project need be known.

    In one that projects share, that is so where they also say which projects are meant.
    """
    is_shared = given.get("shared_collection") and (
        given.get("projects") or given.get("all_projects")
    )
    return bool(given[URI.name] and (given[COLLECTION.name] or is_shared))


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
