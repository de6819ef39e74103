"""The projects whose indexes `search` and `mcp` read."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import TYPE_CHECKING, Any

from indexer.config import Settings, project_folder
from indexer.settings.settings import given_arguments, make_settings, settings_for

if TYPE_CHECKING:
    import click


def settings_of_all(
    context: click.Context,
    paths: Sequence[str],
    options: dict[str, Any],
    own: Set[str],
) -> list[Settings]:
    """The settings of the projects that hold the `paths`; without a path, of the current one.

    `options` are the values of the options that make settings, for the first project. The
    others get those that stand on the command line, all except the command's `own`. Raises
    `UsageError` and `ProjectError`.
    """
    from indexer.settings.files import indexed_project

    folder = indexed_project(project_folder(paths[0] if paths else "."))
    arguments = given_arguments(context, but=own)
    return [
        make_settings(folder, **options),
        *(settings_for(arguments, path) for path in paths[1:]),
    ]
