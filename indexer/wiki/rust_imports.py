"""Finds the files that Rust's `mod` and `use` mean."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import basename, dirname, join

from indexer.wiki.places import Files, ancestors


class RustFinder:
    """Finds modules of the same crate, and of the project's other crates."""

    def __init__(self, files: Files, modules: Mapping[str, str]) -> None:
        self._files = files
        self._crates: dict[str, str] = {}  # source folders by the name of their crate
        for path, module in modules.items():
            if basename(path) == "Cargo.toml":
                self._crates.setdefault(module, join(dirname(path), "src"))

    def find(self, path: str, target: str) -> list[str]:
        """The files that `target` means in the file at `path`."""
        if target.startswith("mod "):
            return self._in(self._folder_of(path), [target[4:]])
        first, *rest = [part for part in target.split("::") if part] or [""]
        if first == "crate":
            crate = self._crate_folder(path)
            return self._in(crate, rest) or self._file_of(crate)
        folder = self._folder_of(path)
        if first in ("super", "self"):
            while first == "super":
                if not folder:
                    return []
                folder = dirname(folder)
                first, *rest = rest or [""]
            parts = rest if first == "self" else [first, *rest]
            return self._in(folder, parts) or self._file_of(folder)
        if found := self._in(folder, [first, *rest]):
            return found
        if first not in self._crates:
            return []
        crate = self._crates[first]
        return self._in(crate, rest) or self._file_of(crate)

    def _in(self, folder: str, parts: list[str]) -> list[str]:
        for count in range(len(parts), 0, -1):
            place = join(folder, *parts[:count])
            if found := self._files.first([f"{place}.rs", f"{place}/mod.rs"]):
                return found
        return []

    def _file_of(self, folder: str) -> list[str]:
        """The file of the module whose inner modules lie in a folder."""
        inner = (join(folder, name) for name in ("mod.rs", "lib.rs", "main.rs"))
        return self._files.first([f"{folder}.rs", *inner])

    def _folder_of(self, path: str) -> str:
        """The folder in which the inner modules of a file lie."""
        folder, name = dirname(path), basename(path)
        is_root = name in ("mod.rs", "lib.rs", "main.rs", "build.rs")
        return folder if is_root else join(folder, name.removesuffix(".rs"))

    def _crate_folder(self, path: str) -> str:
        for folder in ancestors(path):
            if self._files.first([join(folder, "lib.rs"), join(folder, "main.rs")]):
                return folder
        return dirname(path)
