"""The folders of a project, with what is in them."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field


class Folder(Struct):
    """A folder with indexed files in it or below it: the names of the folders and files that are
    directly in it, sorted, and the number of files in it and below it."""

    path: str
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    count: int = 0


def folders_of(paths: Iterable[str]) -> dict[str, Folder]:
    """The folders of some files by path, including that of the project, ""."""
    found = {"": Folder("")}
    for path in sorted(paths):
        parts = path.split("/")
        for depth in range(len(parts)):
            around = "/".join(parts[:depth])
            if around not in found:
                found[around] = Folder(around)
                found["/".join(parts[: depth - 1])].folders.append(parts[depth - 1])
            found[around].count += 1
        found["/".join(parts[:-1])].files.append(parts[-1])
    for folder in found.values():
        folder.folders.sort()
    return found


def inside(folder: str, name: str) -> str:
    """The path of a name in a folder; "" is the project."""
    return f"{folder}/{name}" if folder else name
