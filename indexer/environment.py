"""The process and its environment: what libraries do not see, and what is set for them alone.

docs/reference/environment.md lists the variables that count, and those that belong to somebody else.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

_hiding = threading.RLock()  # one library is imported at a time
_changing = threading.Lock()  # of what follows; does not wait for a library's import
_hidden: dict[str, str] = {}  # the variables that are hidden now
_set_by_us: dict[str, tuple[str, str | None]] = {}  # our value, and the one before it
_is_ours = False


# Python's own bound is 700 objects. Importing makes far more, hardly any of which is garbage.
_GARBAGE = 50_000


def claim_process() -> None:
    """Say that this process runs our command and nothing else. It looks for garbage less often."""
    global _is_ours
    _is_ours = True
    gc.set_threshold(_GARBAGE)


def is_process_ours() -> bool:
    """Whether nobody else's code runs in this process, as it may where we are a library."""
    return _is_ours


@contextmanager
def hidden(is_hidden: Callable[[str], bool]) -> Iterator[None]:
    """A block in which the variables with these names are not there.

    It is for libraries that read, when they are imported, what is meant for other programs.
    """
    with _hiding:
        with _changing:
            names = [name for name in os.environ if is_hidden(name)]
            kept = {name: os.environ.pop(name) for name in names}
            _hidden.update(kept)
        try:
            yield
        finally:
            with _changing:
                os.environ.update(kept)
                for name in kept:
                    del _hidden[name]


@contextmanager
def standing_in(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """A block in which other modules stand for those of these names, or None for a missing one.

    What was imported before stays what it is, and afterwards all can be imported as usual.
    """
    absent = {name: one for name, one in modules.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def is_for_bars(name: str) -> bool:
    """Whether a variable is about the bars of other programs: tqdm reads it on import."""
    return name.startswith("TQDM_")


def set_for_libraries(name: str, value: str) -> None:
    """Set a variable that libraries read. The programs that we start do not get it."""
    with _changing:
        before = os.environ.get(name)
        if before != value:
            _set_by_us[name] = value, before
            os.environ[name] = value


def given() -> dict[str, str]:
    """The environment as it was given to this process, for the programs that it starts.

    It does not wait for a library that is being imported.
    """
    with _changing:
        found = _copied() | _hidden
        set_by_us = dict(_set_by_us)
    for name, (ours, before) in set_by_us.items():
        if found.get(name) == ours:
            del found[name]
            if before is not None:
                found[name] = before
    return found


def _copied() -> dict[str, str]:
    while True:
        try:
            return dict(os.environ)
        except RuntimeError:  # a library has just set a variable in another thread
            continue


# What `git rev-parse --local-env-vars` lists, and what one call of git was given with -c.
_OF_ONE_REPOSITORY = frozenset("""
    GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_COMMON_DIR GIT_CONFIG GIT_CONFIG_PARAMETERS GIT_DIR
    GIT_GRAFT_FILE GIT_IMPLICIT_WORK_TREE GIT_INDEX_FILE GIT_INTERNAL_SUPER_PREFIX GIT_NAMESPACE
    GIT_NO_REPLACE_OBJECTS GIT_OBJECT_DIRECTORY GIT_PREFIX GIT_QUARANTINE_PATH
    GIT_REPLACE_REF_BASE GIT_SHALLOW_FILE GIT_WORK_TREE
    """.split())


def leave_git() -> None:
    """Take out the variables that the git which called us set for this one call.

    What we start may work on other repositories, and with another index of git.
    """
    with _changing:
        for name in _OF_ONE_REPOSITORY & os.environ.keys():
            del os.environ[name]


def git_ceilings() -> set[str]:
    """The folders, above the one that it starts in, where the user has git stop its search.

    As in git: what follows an empty entry is taken as it is, without following symlinks.
    """
    found: set[str] = set()
    follows_links = True
    entries = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    for entry in entries:
        if not entry:
            follows_links = False
        elif os.path.isabs(entry):
            resolve = os.path.realpath if follows_links else os.path.normpath
            found.add(resolve(entry))
    return found
