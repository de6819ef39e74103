"""The process and its environment: what libraries do not see, and what is set for them alone.

docs/environment.md lists the variables that count, and those that belong to somebody else.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

# Another thread must not copy the environment while variables are hidden from a library.
_lock = threading.RLock()
_setting = threading.Lock()  # does not wait for a library's import
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
    with _lock:
        names = [name for name in os.environ if is_hidden(name)]
        kept = {name: os.environ.pop(name) for name in names}
        try:
            yield
        finally:
            os.environ.update(kept)


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
    with _setting:
        before = os.environ.get(name)
        if before != value:
            _set_by_us[name] = value, before
            os.environ[name] = value


def given() -> dict[str, str]:
    """The environment as it was given to this process, for the programs that it starts."""
    with _lock:
        found = dict(os.environ)
    with _setting:
        set_by_us = dict(_set_by_us)
    for name, (ours, before) in set_by_us.items():
        if found.get(name) == ours:
            del found[name]
            if before is not None:
                found[name] = before
    return found


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
