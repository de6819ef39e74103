"""The projects whose indexes `search` and `mcp` read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from indexer.config import Settings
from indexer.settings.assembly import make_settings, settings_for
from indexer.settings.declarations import STATE_DIR
from indexer.settings.folders import state_folder
from indexer.settings.place import find_place
from indexer.settings.values import Values


def settings_of_all(paths: Sequence[str], values: Values) -> list[Settings]:
    """The settings of the projects around the `paths`; without a path, of the current one.

    Each project is there once, limited to those of the paths that are parts of it. `values` are
    those of the first project. The others get what was given on the command line. Raises
    `UsageError` and `ProjectError`.
    """
    found: dict[str, Settings] = {}
    root = state_folder(values[STATE_DIR])
    for path in paths or [""]:
        place = find_place(path, root)
        if not found:
            settings = make_settings(place.folder, values)
        else:
            settings = settings_for(place.folder, values.given)
        settings = place.limited(settings)
        before = found.setdefault(settings.project, settings)
        only = before.only and settings.only and before.only | settings.only
        found[settings.project] = replace(before, only=only)
    return list(found.values())
