"""Finds the files that JavaScript and TypeScript imports mean."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import basename, dirname, join

from indexer.wiki.places import Files, ancestors, joined

_ENDINGS = (
    *(".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts"),
    *(".vue", ".svelte", ".json"),
)
# What a file may be compiled from, by its ending.
_COMPILED = {
    ".js": (".ts", ".tsx"),
    ".jsx": (".tsx",),
    ".mjs": (".mts",),
    ".cjs": (".cts",),
}


class ScriptFinder:
    """Finds relative imports, and those of packages of the project."""

    def __init__(self, files: Files, modules: Mapping[str, str]) -> None:
        self._files = files
        self._packages: dict[str, str] = {}  # folders by the name of their package
        for path, module in modules.items():
            if basename(path) == "package.json":
                self._packages.setdefault(module, dirname(path))

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        target = target.partition("?")[0]
        if target.startswith("."):
            return self._at(joined(dirname(path), target))
        if target.startswith(("@/", "~/")):  # the usual alias of `src` for bundlers
            for folder in ancestors(path):
                if found := self._at(join(folder, "src", target[2:])):
                    return found
            return []
        parts = target.split("/")
        for count in (1, 2):
            folder_of = self._packages.get("/".join(parts[:count]))
            if folder_of is not None:
                inner = "/".join(parts[count:])
                for place in ("", "src"):
                    if found := self._at(joined(folder_of, join(place, inner))):
                        return found
        return []

    def _at(self, place: str | None) -> list[str]:
        if place is None:
            return []
        stem, dot, ending = place.rpartition(".")
        compiled = [stem + other for other in _COMPILED.get(dot + ending, ())]
        inner = place + "/" if place else ""
        indexes = [f"{inner}index{ending}" for ending in _ENDINGS[:-1]]
        named = [place + ending for ending in _ENDINGS]
        return self._files.first([place, *compiled, *named, *indexes])
