"""The indexes that `search` and `mcp` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from indexer.config import Settings
from indexer.settings.assembly import make_settings, settings_for
from indexer.settings.place import Place
from indexer.settings.values import Values


def settings_of_all(places: Sequence[Place], values: Values) -> list[Settings]:
    """The settings of the projects at these places.

    Each project is there once, limited to those of the places that are parts of it. `values` are
    those of the first project. The others get what was given on the command line. Raises
    `UsageError` and `ProjectError`.
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
    return list(found.values())
