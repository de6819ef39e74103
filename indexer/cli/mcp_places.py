"""How the MCP server names the files of its projects, and which file a name stands for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

from indexer.cli.texts import with_controls
from indexer.paths import escape_path, unescape_path


def labels_of(projects: Collection[str]) -> dict[str, str]:
    """A short name for each of these folders: the shortest end of its path that is unique."""
    parts = {one: one.rstrip("/").split("/") for one in projects}
    most = max((len(one) for one in parts.values()), default=0)
    found: dict[str, str] = {}
    for length in range(1, most + 1):
        ends = {one: "/".join(path[-length:]) for one, path in parts.items()}
        for one, end in ends.items():
            is_only = list(ends.values()).count(end) == 1
            if one not in found and (is_only or length == most):
                found[one] = escape_path(end)
    return found


def names_in(
    path: str, labels: Mapping[str, str], folders: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the projects that may have the file, each with the name that its rows have for it.

    `path` is as in answers or absolute. `labels` has the short names of the projects, and
    `folders` their real paths. A path that begins with a short name means that project alone.
    """
    path = with_controls(path)
    if not os.path.isabs(path) and len(labels) > 1:
        for project, label in labels.items():
            if path == label or path.startswith(f"{label}/"):
                yield project, _relative(path.removeprefix(label).lstrip("/"))
                return
    for project, folder in folders.items():
        yield project, _name_in(folder, path)


def _name_in(folder: str, path: str) -> str:
    if not os.path.isabs(path):
        return _relative(path)
    parent, name = os.path.split(os.path.normpath(unescape_path(path)))
    whole = os.path.join(os.path.realpath(parent), name)
    if whole == folder:
        return ""
    # A file of an external folder has an absolute path in its rows too.
    return escape_path(whole.removeprefix(os.path.join(folder, "")))


def _relative(path: str) -> str:
    found = os.path.normpath(path) if path else ""
    return "" if found == "." else found
