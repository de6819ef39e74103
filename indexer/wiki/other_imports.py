"""Finds the files that imports mean in languages where that takes a few lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from posixpath import basename, dirname, join, normpath

from indexer.wiki.places import Files, ancestors, joined, linked, nearest

_JVM_ENDINGS = (".java", ".kt", ".kts")


class CFinder:
    """C, C++ and the like."""

    # A header may have any ending; these are common and never included.
    _NO_HEADERS = (".py", ".js", ".ts", ".go", ".java", ".md")

    def __init__(self, files: Files) -> None:
        self._files = files
        self._headers: dict[str, list[str]] = defaultdict(list)  # by file name
        for path in files:
            if not path.endswith(self._NO_HEADERS):
                self._headers[basename(path)].append(path)

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        is_system = target.startswith("<")
        name = target.strip("<>")
        if not is_system and (found := joined(dirname(path), name)) in self._files:
            return [found] if found else []
        if is_system and "/" not in name:
            return []  # `<string.h>` is the system's, even if the project has one too
        wanted = "/" + normpath(name).lstrip("./")
        candidates = [
            file
            for file in self._headers.get(basename(name), ())
            if f"/{file}".endswith(wanted)
        ]
        return nearest(path, candidates)


class JavaFinder:
    """Java and Kotlin."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._packages: dict[str, list[str]] = defaultdict(list)  # files by package
        for path, module in modules.items():
            if path.endswith(_JVM_ENDINGS):
                self._packages[module].append(path)

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        package, _, name = target.rpartition(".")
        if name == "*" and package in self._packages:
            return self._packages[package]
        while package:
            files = self._packages.get(package, [])
            named = [file for file in files if basename(file).partition(".")[0] == name]
            if files:
                return nearest(path, named or (files if len(files) == 1 else []))
            package, _, name = package.rpartition(".")
        return []


class GoFinder:
    """Go, where an import means all files of a folder except its tests."""

    def __init__(self, files: Files, modules: Mapping[str, str]) -> None:
        self._packages: dict[str, list[str]] = defaultdict(list)  # files by folder
        for path in files:
            if path.endswith(".go") and not path.endswith("_test.go"):
                self._packages[dirname(path)].append(path)
        self._modules: dict[str, str] = {}  # folders by the name of their module
        for path, module in modules.items():
            if basename(path) == "go.mod":
                self._modules.setdefault(module, dirname(path))

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        if target.startswith("."):
            place = joined(dirname(path), target)
            return self._packages.get(place, []) if place is not None else []
        module = target
        while module:
            if module in self._modules:
                inner = target[len(module) :].strip("/")
                folder = join(self._modules[module], inner).rstrip("/")
                return self._packages.get(folder, [])
            module = module.rpartition("/")[0]
        return []


class RubyFinder:
    """Ruby."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        name = target if target.endswith(".rb") else f"{target}.rb"
        if target.startswith("."):
            return self._files.first(filter(None, [joined(dirname(path), name)]))
        return self._files.first(
            join(folder, place, name)
            for folder in ancestors(path)
            for place in ("lib", "app", "")
        )


class PhpFinder:
    """PHP, whose classes are in files of their name, as PSR-4 has them."""

    # Files that declare a name which is no namespace: see `modules.module_of`.
    _OTHERS = ("go.mod", "package.json", "Cargo.toml", *_JVM_ENDINGS)

    def __init__(self, files: Files, modules: Mapping[str, str]) -> None:
        self._files = files
        self._classes: dict[str, list[str]] = defaultdict(list)  # by qualified name
        for path, module in modules.items():
            if not path.endswith(self._OTHERS):
                stem = basename(path).partition(".")[0]
                self._classes[f"{module}\\{stem}".lower()].append(path)

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        if target.startswith("./"):
            return self._files.near(path, target[2:])
        return nearest(path, self._classes.get(target.lower(), []))


class ShellFinder:
    """Shell scripts."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        return self._files.near(path, target)


class LinkFinder:
    """Finds the files that a document in Markdown links to."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def find(self, path: str, target: str) -> Sequence[str]:
        """The file that a target leads to, in a list; none if it leads elsewhere."""
        found = linked(path, target)
        return self._files.first([found] if found else ())
