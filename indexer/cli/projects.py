"""The indexes that `search` and `mcp` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from indexer.config import Settings
from indexer.errors import UsageError
from indexer.settings.assembly import make_settings, settings_for
from indexer.settings.place import Place
from indexer.settings.requests import PROJECTS
from indexer.settings.values import Values


def settings_of_all(
    places: Sequence[Place], values: Values, *, all_projects: bool = False
) -> list[Settings]:
    """The settings of the projects at these places.

    Each project is there once, limited to those of the places that are parts of it. `values` are
    those of the first project. The others get what was given on the command line. In a shared
    collection, other projects may be meant, or `all_projects`: then there is one connection.
    Raises `UsageError` and `ProjectError`.
    """
    found: dict[str, Settings] = {}
    for place in places:
        if not found:
            settings = make_settings(place.folder, values)
        else:
            settings = settings_for(place.folder, values.given)
        settings = place.limited(settings)
        before = found.setdefault(settings.project, settings)
        only = before.only and settings.only and before.only | settings.only
        found[settings.project] = replace(before, only=only)
    of_all = list(found.values())
    if all_projects or values[PROJECTS]:
        return [_of_others(of_all, all_projects=all_projects)]
    return of_all


def _of_others(of_all: list[Settings], *, all_projects: bool) -> Settings:
    """The settings of a search in a shared collection for what --project or --all-projects names."""
    settings = of_all[0]
    option = "--all-projects" if all_projects else "--project"
    if all_projects and settings.searched:
        raise UsageError(
            "--project names some projects, --all-projects means all: give only one"
        )
    if not settings.shared_collection:
        raise UsageError(
            f"{option} needs a shared collection: name it with --shared-collection"
        )
    if len(of_all) > 1 or settings.only is not None:
        raise UsageError(f"{option} and a PATH both say what to search: give only one")
    return replace(settings, searched=None) if all_projects else settings
