"""Finds the files of a project that imports mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from indexer.wiki.other_imports import (
    CFinder,
    GoFinder,
    JavaFinder,
    LinkFinder,
    PhpFinder,
    RubyFinder,
    ShellFinder,
)
from indexer.wiki.places import Files
from indexer.wiki.python_imports import PythonFinder
from indexer.wiki.rust_imports import RustFinder
from indexer.wiki.script_imports import ScriptFinder


class Finder(Protocol):
    """Knows how one language finds files."""

    def find(self, path: str, target: str) -> Sequence[str]:
        """The files that `target` means in the file at `path`; none if it means no file of the
        project."""


class Resolver:
    """Says which files of a project the targets of `imports_of` mean.

    `files` are all paths, relative to the project, with `/`; `modules` holds what `module_of`
    returned for a path, unless that was "". Nothing else matters, not even what is in the files.
    """

    def __init__(self, files: Collection[str], modules: Mapping[str, str]) -> None:
        known = Files(files)
        named = {path: modules[path] for path in known if modules.get(path)}
        script = ScriptFinder(known, named)
        c = CFinder(known)
        java = JavaFinder(named)
        self._finders: dict[str, Finder] = {
            "python": PythonFinder(known),
            **dict.fromkeys("javascript typescript tsx vue svelte".split(), script),
            **dict.fromkeys("c cpp cuda objc".split(), c),
            **dict.fromkeys("java kotlin".split(), java),
            "go": GoFinder(known, named),
            "rust": RustFinder(known, named),
            "ruby": RubyFinder(known),
            "php": PhpFinder(known, named),
            "bash": ShellFinder(known),
            "markdown": LinkFinder(known),
        }

    def resolve(
        self, path: str, language: str, targets: Sequence[str]
    ) -> tuple[str, ...]:
        """The files that the file at `path` imports, sorted, without itself."""
        finder = self._finders.get(language)
        if finder is None:
            return ()
        found = {file for target in targets for file in finder.find(path, target)}
        return tuple(sorted(found - {path}))
