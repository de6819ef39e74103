"""Whether a git that does not end is still at work, and what it may be waiting for.

git opens a named pipe like any ignore file, and then waits for somebody to write to it.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from itertools import chain

SEARCH_SECONDS = 5.0  # for what git may be waiting for

_IN_THE_TREE = (".gitignore", ".gitattributes", ".gitmodules")
_OF_THE_USER = ("git/ignore", "git/config", "git/attributes")


def work_done(pid: int) -> tuple[int, ...] | None:
    """What grows while a process does anything, None where the system does not tell.

    Even one that only waits for a slow disk is switched to each time that the disk answers.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        switches = 0
        for thread in os.listdir(f"/proc/{pid}/task"):
            name = f"/proc/{pid}/task/{thread}/status"
            with open(name, encoding="ascii", errors="replace") as file:
                switches += sum(
                    int(line.split()[1]) for line in file if "_ctxt_switches:" in line
                )
    except (OSError, ValueError, IndexError):
        return None
    # Page faults of two kinds, and the time in user and in kernel mode: proc(5).
    return (switches, *(int(fields[at]) for at in (7, 9, 11, 12)))


def find_obstacle(
    folder: str | bytes, named: Iterable[str], seconds: float = SEARCH_SECONDS
) -> str:
    """The path of something that is no file, where git looks for one; "" if none is found.

    Looks at the files that settings of git have `named`, at the repository around `folder`,
    at the user's files, and at each folder from `folder` down. Takes about `seconds` at most.
    """
    deadline = time.monotonic() + seconds
    for path in chain(named, _places(os.path.realpath(os.fsdecode(folder)))):
        if _blocks(path):
            return path
        if time.monotonic() > deadline:
            break
    return ""


def _places(folder: str) -> Iterator[str]:
    """Where git may look for a file, the likeliest first."""
    above = folder
    while above != os.path.dirname(above):
        yield from (os.path.join(above, name) for name in _IN_THE_TREE)
        place = os.path.join(above, ".git")
        if os.path.lexists(place):
            yield place
            for where in _repository(place):
                yield from _files_in(where)
                yield from _files_in(os.path.join(where, "info"))
                yield from _files_in(os.path.join(where, "objects", "info"))
            break
        above = os.path.dirname(above)
    home = os.path.expanduser("~")
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    yield from (os.path.join(settings, name) for name in _OF_THE_USER)
    yield from _files_in(os.path.join(settings, "git"))
    yield from (os.path.join(home, ".gitconfig"), "/etc/gitconfig")
    for variable in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        yield os.environ.get(variable, "")
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        yield from (os.path.join(where, name) for name in _IN_THE_TREE if name in names)


def _repository(place: str) -> Iterator[str]:
    """The folder of a repository and, in a linked work tree, that of the main one."""
    if not os.path.isdir(place):
        place = os.path.join(
            os.path.dirname(place), _line(place).removeprefix("gitdir: ")
        )
    yield place
    if common := _line(os.path.join(place, "commondir")):
        yield os.path.join(place, common)


def _line(path: str) -> str:
    """The first line of a file, "" if there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.fsdecode(os.read(handle, 4096)).partition("\n")[0]
    except OSError:
        return ""
    finally:
        os.close(handle)


def _files_in(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(entry.path for entry in entries)
    except OSError:
        return


def _blocks(path: str) -> bool:
    """Whether opening or reading the path may take for ever."""
    try:
        info = os.stat(path)
    except OSError:
        return False
    is_device = stat.S_ISCHR(info.st_mode) and not os.path.samefile(path, os.devnull)
    return stat.S_ISFIFO(info.st_mode) or is_device
