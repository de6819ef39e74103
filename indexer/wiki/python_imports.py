"""Finds the files that Python imports mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from posixpath import basename, dirname, join

from indexer.wiki.places import Files, distance

_ENDINGS = ("/__init__.py", "/__init__.pyi", ".py", ".pyi", ".pyx")


class PythonFinder:
    """Finds modules by the rules of packages, without a `sys.path`: any folder may be a root."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._modules: dict[str, str] = {}  # files by path without ending
        self._module_parts: set[str] = set()  # all names in these paths
        self._package_roots: dict[str, list[str]] = defaultdict(list)  # by package
        self._found: dict[tuple[str, str], list[str]] = {}  # by root and target
        for path in files:
            self._learn(path)

    def _learn(self, path: str) -> None:
        for ending in _ENDINGS:
            if f"/{path}".endswith(ending):
                stem = f"/{path}".removesuffix(ending).lstrip("/")
                self._learn_module(stem, path)
                break
        folder, name = dirname(path), basename(path)
        if name == "__init__.py" and folder and not self._is_package(dirname(folder)):
            self._package_roots[basename(folder)].append(dirname(folder))

    def _learn_module(self, stem: str, path: str) -> None:
        self._module_parts.update(stem.split("/"))
        known = self._modules.setdefault(stem, path)
        if _rank(path) < _rank(known):
            self._modules[stem] = path

    def _is_package(self, folder: str) -> bool:
        return bool(folder) and f"{folder}/__init__.py" in self._files

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        module, _, name = target.partition(":")
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module[dots:].split(".") if part]
        if dots:
            folder = dirname(path)
            for _ in range(dots - 1):
                if not folder:
                    return []
                folder = dirname(folder)
            return self._below(folder, parts, name, is_relative=True)
        if not parts or parts[0] not in self._module_parts:
            return []
        own = dirname(path)
        while self._is_package(own):
            own = dirname(own)
        key = own, target
        if key not in self._found:
            self._found[key] = self._absolute(own, parts, name)
        return self._found[key]

    def _absolute(self, own: str, parts: list[str], name: str) -> list[str]:
        """What an absolute import means in a file whose packages are in the folder `own`."""
        for root in self._roots(own, parts[0]):
            if found := self._below(root, parts, name):
                return found
        return []

    def _below(
        self, root: str, parts: list[str], name: str, *, is_relative: bool = False
    ) -> list[str]:
        """The submodule `name` of the module `parts` below a folder, or else the module, or else
        the innermost package around it."""
        if name and name != "*":
            if found := self._module(root, [*parts, name]):
                return found
        for count in range(len(parts), -1 if is_relative else 0, -1):
            if found := self._module(root, parts[:count]):
                return found
        return []

    def _module(self, root: str, parts: list[str]) -> list[str]:
        found = self._modules.get("/".join([root, *parts] if root else parts))
        if found is None or (not parts and not basename(found).startswith("__init__.")):
            return []
        return [found]

    def _roots(self, folder: str, name: str) -> Iterator[str]:
        """The folders in which a top-level name may be, the likeliest first."""
        yield folder
        own = f"{folder}/-" if folder else "-"
        while folder:
            folder = dirname(folder)
            yield folder
            yield join(folder, "src")
        yield "src"
        yield "lib"
        roots = self._package_roots.get(name, [])
        yield from sorted(roots, key=lambda root: distance(own, root))


def _rank(path: str) -> int:
    """Of several files of one module Python takes the one with the lowest rank."""
    ranks = (n for n, end in enumerate(_ENDINGS) if f"/{path}".endswith(end))
    return next(ranks)
