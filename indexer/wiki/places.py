"""Paths of a project, and where one is as seen from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from posixpath import commonprefix, dirname, join, normpath


class Files:
    """The paths of a project's files, relative to it, with `/`. Iteration is sorted."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._known = frozenset(paths)
        self._sorted = sorted(self._known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted)

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def first(self, candidates: Iterable[str]) -> list[str]:
        """The first candidate that is a file, in a list; none if there is none."""
        for candidate in candidates:
            if candidate in self._known:
                return [candidate]
        return []

    def near(self, path: str, name: str) -> list[str]:
        """The file called `name` as seen from the folder of `path`, or else from the nearest
        folder around it that has such a file."""
        places = (joined(folder, name) for folder in ancestors(path))
        return self.first(place for place in places if place)


def joined(folder: str, name: str) -> str | None:
    """The path of `name` as seen from `folder`; None if it is outside the project."""
    path = normpath(join(folder, name.rstrip("/"))) if name else normpath(folder or ".")
    if path.startswith(("../", "/")) or path == "..":
        return None
    return "" if path == "." else path


def linked(path: str, target: str) -> str | None:
    """The path that a link in the file `path` leads to; None if it leads out of the project."""
    if target.startswith("/"):
        return joined("", target.lstrip("/"))
    return joined(dirname(path), target)


def ancestors(path: str) -> Iterator[str]:
    """The folders around a file, from its own to the project's, which is ""."""
    folder = dirname(path)
    while folder:
        yield folder
        folder = dirname(folder)
    yield ""


def distance(path: str, other: str) -> tuple[int, int, str]:
    """A sort key for how far a file or folder is from `path`: the folders that they share come
    first, then its depth."""
    shared = commonprefix([path.split("/")[:-1], other.split("/")])
    return -len(shared), other.count("/"), other


def nearest(path: str, candidates: Sequence[str]) -> list[str]:
    """The candidate nearest to `path`, in a list; none if there is none."""
    if not candidates:
        return []
    return [min(candidates, key=lambda other: distance(path, other))]
