"""Finds the file that an import means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from posixpath import basename, commonprefix, dirname, join, normpath

_SCRIPT_ENDINGS = (
    *(".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts"),
    *(".vue", ".svelte", ".json"),
)


_COMPILED = {
    ".js": (".ts", ".tsx"),
    ".jsx": (".tsx",),
    ".mjs": (".mts",),
    ".cjs": (".cts",),
}


_PYTHON_ENDINGS = ("/__init__.py", "/__init__.pyi", ".py", ".pyi", ".pyx")


class Resolver:
    """Says which files of a project are meant by what `imports_of` has found.

    `files` are all paths, relative to the project, with `/`; `modules` is what
    `module_of` gave for each path, where it gave anything. It depends on nothing else.
    """

    def __init__(self, files: Collection[str], modules: Mapping[str, str]) -> None:
        self._files = frozenset(files)
        self._finders: dict[str, Callable[[str, str], Iterable[str]]] = {
            "python": self._python,
            **dict.fromkeys(
                "javascript typescript tsx vue svelte".split(), self._script
            ),
            **dict.fromkeys("c cpp cuda objc".split(), self._c),
            **dict.fromkeys("java kotlin".split(), self._java),
            "go": self._go,
            "rust": self._rust,
            "ruby": self._ruby,
            "php": self._php,
            "bash": self._shell,
        }
        # Files a folder (Go), a name (C), a package (Java, Kotlin), a namespace and a name (PHP).
        self._go_files: dict[str, list[str]] = defaultdict(list)
        self._headers: dict[str, list[str]] = defaultdict(list)
        self._packages: dict[str, list[str]] = defaultdict(list)
        self._classes: dict[str, list[str]] = defaultdict(list)
        # Folders a name: of top-level Python packages, Go modules, JavaScript packages, crates.
        self._python_roots: dict[str, list[str]] = defaultdict(list)
        # Python modules by path without ending; the names of their parts; what was found.
        self._modules: dict[str, str] = {}
        self._module_parts: set[str] = set()
        self._known: dict[tuple[str, str], list[str]] = {}
        self._go_modules: dict[str, str] = {}
        self._script_packages: dict[str, str] = {}
        self._crates: dict[str, str] = {}
        for path in sorted(self._files):
            self._learn_path(path)
            if module := modules.get(path):
                self._learn_module(path, module)

    def _learn_path(self, path: str) -> None:
        folder, name = dirname(path), basename(path)
        if name.endswith(".go") and not name.endswith("_test.go"):
            self._go_files[folder].append(path)
        for ending in _PYTHON_ENDINGS:
            if f"/{path}".endswith(ending):
                self._learn_module_path(
                    f"/{path}".removesuffix(ending).lstrip("/"), path
                )
                break
        if name == "__init__.py" and folder and not self._is_package(dirname(folder)):
            self._python_roots[basename(folder)].append(dirname(folder))
        if not name.endswith((".py", ".js", ".ts", ".go", ".java", ".md")):
            self._headers[name].append(path)

    def _learn_module_path(self, stem: str, path: str) -> None:
        self._module_parts.update(stem.split("/"))
        known = self._modules.setdefault(stem, path)
        if _rank(path) < _rank(known):
            self._modules[stem] = path

    def _learn_module(self, path: str, module: str) -> None:
        folder, name = dirname(path), basename(path)
        if name == "go.mod":
            self._go_modules.setdefault(module, folder)
        elif name == "package.json":
            self._script_packages.setdefault(module, folder)
        elif name == "Cargo.toml":
            self._crates.setdefault(module, join(folder, "src"))
        elif name.endswith((".java", ".kt", ".kts")):
            self._packages[module].append(path)
        else:
            stem = name.partition(".")[0]
            self._classes[f"{module}\\{stem}".lower()].append(path)

    def resolve(
        self, path: str, language: str, targets: Sequence[str]
    ) -> tuple[str, ...]:
        """The files that the file at `path` imports, sorted, without itself. Targets that
        mean no file of the project give none."""
        finder = self._finders.get(language)
        if finder is None:
            return ()
        found = {file for target in targets for file in finder(path, target)}
        return tuple(sorted(found - {path}))

    def _first(self, candidates: Iterable[str]) -> list[str]:
        for candidate in candidates:
            if candidate in self._files:
                return [candidate]
        return []

    # -- Python --

    def _is_package(self, folder: str) -> bool:
        return bool(folder) and f"{folder}/__init__.py" in self._files

    def _python(self, path: str, target: str) -> list[str]:
        module, _, name = target.partition(":")
        dots = len(module) - len(module.lstrip("."))
        parts = [part for part in module[dots:].split(".") if part]
        if dots:
            folder = dirname(path)
            for _ in range(dots - 1):
                if not folder:
                    return []
                folder = dirname(folder)
            return self._python_in(folder, parts, name, is_relative=True)
        if not parts or parts[0] not in self._module_parts:
            return []
        own = dirname(path)
        while self._is_package(own):
            own = dirname(own)
        key = own, target
        if key not in self._known:
            self._known[key] = self._python_from(own, parts, name)
        return self._known[key]

    def _python_from(self, own: str, parts: list[str], name: str) -> list[str]:
        """An absolute import by a file whose packages lie in the folder `own`."""
        for root in self._roots(own, parts[0]):
            if found := self._python_in(root, parts, name):
                return found
        return []

    def _python_in(
        self, root: str, parts: list[str], name: str, *, is_relative: bool = False
    ) -> list[str]:
        """The module `parts` below a folder, the submodule `name` of it, or the innermost
        package around."""
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
        """The folders in which a top-level name may lie, the likely ones first."""
        yield folder
        own = f"{folder}/-" if folder else "-"
        while folder:
            folder = dirname(folder)
            yield folder
            yield join(folder, "src")
        yield "src"
        yield "lib"
        roots = self._python_roots.get(name, [])
        yield from sorted(roots, key=lambda root: _distance(own, root))

    # -- JavaScript, TypeScript --

    def _script(self, path: str, target: str) -> list[str]:
        target = target.partition("?")[0]
        if target.startswith("."):
            return self._script_at(_joined(dirname(path), target))
        if target.startswith(("@/", "~/")):  # what bundlers are told to take for `src`
            for folder in _ancestors(path):
                if found := self._script_at(join(folder, "src", target[2:])):
                    return found
            return []
        parts = target.split("/")
        for count in (1, 2):
            folder_of = self._script_packages.get("/".join(parts[:count]))
            if folder_of is not None:
                inner = "/".join(parts[count:])
                for place in ("", "src"):
                    if found := self._script_at(_joined(folder_of, join(place, inner))):
                        return found
        return []

    def _script_at(self, place: str | None) -> list[str]:
        if place is None:
            return []
        stem, dot, ending = place.rpartition(".")
        compiled = [stem + other for other in _COMPILED.get(dot + ending, ())]
        inner = place + "/" if place else ""
        indexes = [f"{inner}index{ending}" for ending in _SCRIPT_ENDINGS[:-1]]
        named = [place + ending for ending in _SCRIPT_ENDINGS]
        return self._first([place, *compiled, *named, *indexes])

    # -- C, C++ --

    def _c(self, path: str, target: str) -> list[str]:
        is_system = target.startswith("<")
        name = target.strip("<>")
        if not is_system and (found := _joined(dirname(path), name)) in self._files:
            return [found] if found else []
        if is_system and "/" not in name:
            return []  # `<string.h>` is hardly ours, even where we have one
        wanted = "/" + normpath(name).lstrip("./")
        candidates = [
            file
            for file in self._headers.get(basename(name), ())
            if f"/{file}".endswith(wanted)
        ]
        return _nearest(path, candidates)

    # -- Java, Kotlin --

    def _java(self, path: str, target: str) -> list[str]:
        package, _, name = target.rpartition(".")
        if name == "*" and package in self._packages:
            return self._packages[package]
        while package:
            files = self._packages.get(package, [])
            named = [file for file in files if basename(file).partition(".")[0] == name]
            if files:
                return _nearest(path, named or (files if len(files) == 1 else []))
            package, _, name = package.rpartition(".")
        return []

    # -- Go --

    def _go(self, path: str, target: str) -> list[str]:
        if target.startswith("."):
            place = _joined(dirname(path), target)
            return self._go_files.get(place, []) if place is not None else []
        module = target
        while module:
            if module in self._go_modules:
                inner = target[len(module) :].strip("/")
                folder = join(self._go_modules[module], inner).rstrip("/")
                return self._go_files.get(folder, [])
            module = module.rpartition("/")[0]
        return []

    # -- Rust --

    def _rust(self, path: str, target: str) -> list[str]:
        if target.startswith("mod "):
            return self._rust_in(self._rust_folder(path), [target[4:]])
        first, *rest = [part for part in target.split("::") if part] or [""]
        if first == "crate":
            crate = self._crate_folder(path)
            return self._rust_in(crate, rest) or self._rust_file(crate)
        folder = self._rust_folder(path)
        if first in ("super", "self"):
            while first == "super":
                if not folder:
                    return []
                folder = dirname(folder)
                first, *rest = rest or [""]
            parts = rest if first == "self" else [first, *rest]
            return self._rust_in(folder, parts) or self._rust_file(folder)
        if found := self._rust_in(folder, [first, *rest]):
            return found
        if first not in self._crates:
            return []
        crate = self._crates[first]
        return self._rust_in(crate, rest) or self._rust_file(crate)

    def _rust_in(self, folder: str, parts: list[str]) -> list[str]:
        for count in range(len(parts), 0, -1):
            place = join(folder, *parts[:count])
            if found := self._first([f"{place}.rs", f"{place}/mod.rs"]):
                return found
        return []

    def _rust_file(self, folder: str) -> list[str]:
        """The file of the module whose modules lie in a folder."""
        inner = (join(folder, name) for name in ("mod.rs", "lib.rs", "main.rs"))
        return self._first([f"{folder}.rs", *inner])

    def _rust_folder(self, path: str) -> str:
        """Where the modules of a file's own lie."""
        folder, name = dirname(path), basename(path)
        is_root = name in ("mod.rs", "lib.rs", "main.rs", "build.rs")
        return folder if is_root else join(folder, name.removesuffix(".rs"))

    def _crate_folder(self, path: str) -> str:
        for folder in _ancestors(path):
            if {join(folder, "lib.rs"), join(folder, "main.rs")} & self._files:
                return folder
        return dirname(path)

    # -- Ruby, PHP, shell --

    def _ruby(self, path: str, target: str) -> list[str]:
        name = target if target.endswith(".rb") else f"{target}.rb"
        if target.startswith("."):
            return self._first(filter(None, [_joined(dirname(path), name)]))
        return self._first(
            join(folder, place, name)
            for folder in _ancestors(path)
            for place in ("lib", "app", "")
        )

    def _php(self, path: str, target: str) -> list[str]:
        if target.startswith("./"):
            return self._near(path, target[2:])
        return _nearest(path, self._classes.get(target.lower(), []))

    def _shell(self, path: str, target: str) -> list[str]:
        return self._near(path, target)

    def _near(self, path: str, name: str) -> list[str]:
        """A file relative to the importing one, or else to a folder around it."""
        places = (_joined(folder, name) for folder in _ancestors(path))
        return self._first(place for place in places if place)


def _rank(path: str) -> int:
    """Which of several files of one name Python would take: the least."""
    ranks = (n for n, end in enumerate(_PYTHON_ENDINGS) if f"/{path}".endswith(end))
    return next(ranks)


def _joined(folder: str, name: str) -> str | None:
    """The path of `name` as seen from `folder`; None for one outside of the project."""
    path = normpath(join(folder, name.rstrip("/"))) if name else normpath(folder or ".")
    if path.startswith(("../", "/")) or path == "..":
        return None
    return "" if path == "." else path


def _ancestors(path: str) -> Iterator[str]:
    """The folders around a file, from its own to the project's, which is ""."""
    folder = dirname(path)
    while folder:
        yield folder
        folder = dirname(folder)
    yield ""


def _distance(path: str, other: str) -> tuple[int, int, str]:
    """How far off a file or folder is: by the folders it shares, then by its depth."""
    shared = commonprefix([path.split("/")[:-1], other.split("/")])
    return -len(shared), other.count("/"), other


def _nearest(path: str, candidates: Sequence[str]) -> list[str]:
    if not candidates:
        return []
    return [min(candidates, key=lambda other: _distance(path, other))]
