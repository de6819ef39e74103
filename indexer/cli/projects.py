"""The projects whose indexes `search` and `mcp` read."""

from __future__ import annotations

from collections.abc import Sequence

from indexer.config import Settings, project_folder
from indexer.settings.assembly import make_settings, settings_for
from indexer.settings.files import indexed_project
from indexer.settings.values import Values


def settings_of_all(paths: Sequence[str], values: Values) -> list[Settings]:
    """The settings of the projects that hold the `paths`; without a path, of the current one.

    `values` are those of the first project. The others get the values that stand on the command
    line. Raises `UsageError` and `ProjectError`.
    """
    folder = indexed_project(project_folder(paths[0] if paths else "."))
    return [
        make_settings(folder, values),
        *(settings_for(path, values.given) for path in paths[1:]),
    ]
