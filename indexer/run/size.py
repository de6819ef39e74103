"""Whether a folder may be indexed without asking: a home or a whole disk is seldom meant."""

from __future__ import annotations

import os
from collections.abc import Callable

from indexer.config import Settings
from indexer.settings.files import CODX_JUNIOR, OWN_FILE, PYPROJECT
from indexer.tree.project import has_more_files
from indexer.tree.repository import repository_around

MOST_FILES_UNASKED = 20_000

_SETTINGS = (OWN_FILE, CODX_JUNIOR)
_MANIFESTS = (
    PYPROJECT,
    *"""
    .hg .jj .svn
    BUILD BUILD.bazel MODULE.bazel WORKSPACE WORKSPACE.bazel
    CMakeLists.txt GNUmakefile Makefile configure configure.ac meson.build
    Cargo.toml Gemfile Package.swift Pipfile Podfile Rakefile
    PKG-INFO DESCRIPTION build.gradle build.gradle.kts build.sbt cabal.project composer.json
    deno.json dune-project flake.nix go.mod go.work mix.exs package.json pom.xml project.clj
    pubspec.yaml requirements.txt settings.gradle settings.gradle.kts setup.cfg setup.py
    stack.yaml tox.ini
    """.split(),
)
_MANIFEST_ENDINGS = (".cabal", ".csproj", ".gemspec", ".nimble", ".sln", ".xcodeproj")


def is_doubtful(settings: Settings, on_count: Callable[[int], None]) -> bool:
    """Whether a person should be asked before this folder is indexed for the first time.

    It has more than `MOST_FILES_UNASKED` files, and nothing says that it is a project. No more
    files than that are counted; `on_count` is told how many, again and again.
    """
    if is_project(settings.project):
        return False
    return has_more_files(settings, MOST_FILES_UNASKED, on_count)


def is_project(folder: str) -> bool:
    """Whether a folder is one that somebody works on, or lies in one.

    A manifest in a home or at the root of the disk says nothing: such files get there by
    accident.
    """
    if repository_around(os.fsencode(folder)) is not None:
        return True
    nowhere = {os.path.sep, os.path.realpath(os.path.expanduser("~"))}
    if folder not in nowhere and _has_ending(folder, _MANIFEST_ENDINGS):
        return True
    while True:
        if _has_any(folder, _SETTINGS):
            return True
        if folder not in nowhere and _has_any(folder, _MANIFESTS):
            return True
        folder, previous = os.path.dirname(folder), folder
        if folder == previous:
            return False


def _has_any(folder: str, names: tuple[str, ...]) -> bool:
    return any(os.path.lexists(os.path.join(folder, name)) for name in names)


def _has_ending(folder: str, endings: tuple[str, ...]) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(endings) for entry in entries)
    except OSError:
        return False
