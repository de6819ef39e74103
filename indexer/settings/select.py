"""The files that a run is limited to, as paths in the project."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from indexer.errors import UsageError


def selected(
    project: str, files: Sequence[str], listed: Iterable[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """All selected paths, and among them those that a person named, relative to the project.

    Raises `UsageError` for a path that is not in the project.
    """
    named = frozenset(_relative(project, path) for path in files)
    return named | {_relative(project, path) for path in listed}, named


def _relative(project: str, path: str) -> str:
    # The last part may be a symlink of the project, or gone: only its folder is resolved.
    folder, name = os.path.split(os.path.abspath(path))
    whole = os.path.join(os.path.realpath(folder), name)
    if whole == project:
        return ""
    if not whole.startswith(os.path.join(project, "")):
        raise UsageError(
            f"{path} is not in the project {project} (it is relative to {os.getcwd()})"
        )
    return os.path.relpath(whole, project)
