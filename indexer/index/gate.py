"""The gate before the state of a project: it is believed only if this user's runs wrote it.

Whoever may write the state folder could make us believe an index of theirs: the author of a
repository that was cloned, the packer of an archive, another user. So every command and every
interface passes here before it reads a byte of state; what is refused is named, with the remedy.

Ours is what no repository tracks, and what looks as if we had made it here: plain files and
folders of this user, in a folder that is closed to others. git never makes a folder like that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from indexer.config import Settings
from indexer.errors import GitError, StateError
from indexer.tree.git_process import find_git, run_git

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Entry = tuple[str, os.stat_result]


def admit(settings: Settings) -> None:
    """Return if the state of the project may be believed, or if there is none.

    Raises `StateError` for what others may have written, and `GitError` if git does not tell
    whether it tracks any of it.
    """
    if not settings.project:
        return  # a collection of a server is read, and no project is known
    state, made = settings.state_dir, _made_around(settings)
    entries = []
    try:
        for path, info in _entries(state, made):
            _refuse_odd(path, info)
            entries.append((path, info))
    except OSError as error:  # as a rule the folder of another user, closed to us
        raise StateError(
            f"cannot access {error.filename} ({error.strerror}): it may belong to another "
            f"user. Remove {state} or, if you trust it, make it yours (chown -R)"
        ) from error
    for place in _places(settings):
        is_inside = place.startswith(os.path.join(settings.project, ""))
        _refuse_tracked(place, must_know=settings.uses_git and is_inside)
    _refuse_foreign(state, made, entries)


def _made_around(settings: Settings) -> tuple[str, ...]:
    """The folders around the state folder that a run made, and nobody else: those below a
    state root."""
    if not settings.state_root:
        return ()
    return settings.state_home, os.path.dirname(settings.state_dir)


def _entries(state: str, made: tuple[str, ...]) -> Iterator[Entry]:
    """The parent of the state folder, the folder, and all that is in it, as far as they exist.

    Before them come the folders that were `made` around it.
    """
    for path in dict.fromkeys([*made, os.path.dirname(state), state]):
        with suppress(FileNotFoundError, NotADirectoryError):
            yield path, os.lstat(path)
    for folder, folders, files in os.walk(state):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            with suppress(FileNotFoundError):  # a run may be at work
                yield path, os.lstat(path)


def _refuse_odd(path: str, info: os.stat_result) -> None:
    """What a symlink or a hard link leads to would be written or cleared, and a FIFO hangs."""
    if stat.S_ISLNK(info.st_mode):
        problem = "is a symlink"
    elif stat.S_ISREG(info.st_mode) and info.st_nlink > 1:
        problem = "has another name elsewhere (a hard link)"
    elif stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
        return
    elif stat.S_ISSOCK(info.st_mode):  # the embedded database is served on one
        return
    else:
        problem = "is neither a file nor a folder"
    raise StateError(f"{path} {problem}: remove it to use this project")


def _places(settings: Settings) -> list[str]:
    """What a commit must not bring: the state, and a database or a cache in the project."""
    inside = os.path.join(settings.project, "")
    state = settings.state_dir
    places = [state, settings.database, settings.cache_dir]
    return [
        place
        for place in dict.fromkeys(places)
        if (place == state or place.startswith(inside))
        and not place.startswith(os.path.join(state, ""))
    ]


def _refuse_tracked(place: str, *, must_know: bool) -> None:
    """Raise `StateError` if a repository around the place tracks it, or files in it.

    Unless we `must_know`, a git that does not tell is left alone: what a checkout made is
    still open to others.
    """
    if find_git() is None:
        return  # what a checkout made is still open to others
    for number, top in enumerate(_repositories(place)):
        try:
            is_tracked = _is_tracked(top, place)
        except GitError:
            # Of a repository around the project's own, git may not be allowed to tell.
            if number == 0 and must_know:
                raise
            continue
        if is_tracked:
            from shlex import quote

            name = os.path.relpath(place, top)
            raise StateError(
                f"git tracks files in {name}, which only codx-index may write: whoever "
                "committed them could forge an index. Remove the folder, and run: "
                f"git -C {quote(top)} rm -r --cached {quote(name)}"
            )


def _repositories(place: str) -> Iterator[str]:
    """The tops of the repositories around a place, the innermost first."""
    folder = place
    while True:
        if os.path.lexists(os.path.join(folder, ".git")):
            yield folder
        folder, previous = os.path.dirname(folder), folder
        if folder == previous:
            return


# What git's index looked like in which a place had nothing. A process that stays asks often.
_empty_in: dict[tuple[str, str], tuple[int, ...]] = {}


def _is_tracked(top: str, place: str) -> bool:
    name = os.path.relpath(place, top)
    if name == ".":  # a repository of its own, as a submodule is
        return bool(run_git(top, "ls-files", "-z").stdout)
    index = _look_of_index(top)
    if index and _empty_in.get((top, place)) == index:
        return False
    # Where letters of either case are the same, `.CODX` is our folder as well.
    listed = run_git(top, "ls-files", "-z", "--", f":(icase,literal){name}").stdout
    if index and not listed:
        _empty_in[top, place] = index
    for path in filter(None, listed.split(b"\0")):
        if path.endswith((b"/.gitignore", b"/.gitkeep")):
            continue  # they hold nothing
        found = path[: len(os.fsencode(name))]
        if found == os.fsencode(name):
            return True
        with suppress(OSError):
            if os.path.samefile(os.path.join(os.fsencode(top), found), place):
                return True
    return False


def _look_of_index(top: str) -> tuple[int, ...]:
    """What git's index looks like, () where it is not in its usual place. Git never writes into it."""
    try:
        info = os.lstat(os.path.join(top, ".git", "index"))
    except OSError:
        return ()
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _refuse_foreign(state: str, made: tuple[str, ...], entries: list[Entry]) -> None:
    """Raise `StateError` for anything of another user, and for a folder that others may enter."""
    of_state = [one for one in entries if one[0].startswith(state)]
    users = _users()
    is_open = len(of_state) > 1 and bool(of_state[0][1].st_mode & _OTHERS)
    ours = [*of_state, *(one for one in entries if one[0] in made)]
    others = [one for one in ours if one[1].st_uid not in users]
    if not (is_open or others):
        return
    made_here = _made_beside(state)
    for path, info in others:
        if made_here is None or info.st_uid != made_here.st_uid:
            raise StateError(
                f"{path} belongs to {_user_name(info.st_uid)}, who could forge an index: "
                f"remove {state} or, if you trust it, make it yours (chown -R) or run as that "
                "user"
            )
    if is_open and (made_here is None or not made_here.st_mode & _OTHERS):
        from shlex import quote

        raise StateError(
            f"{state} is open to other users, which codx-index never allows: it may have come "
            "with the project and hold a forged index. Remove it or, if it is yours, run: "
            f"chmod 700 {quote(state)}"
        )


def _users() -> set[int]:
    """Who may have written the state: as for git, the user, and whoever became root by sudo."""
    users = {os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isascii() and caller.isdigit():
        users.add(int(caller))
    return users


def _made_beside(state: str) -> os.stat_result | None:
    """What a folder looks like that we make beside the state; None where we cannot.

    Some file systems keep no owners or modes: there, ours looks like all others.
    """
    from tempfile import mkdtemp

    try:
        made = mkdtemp(dir=os.path.dirname(state))
    except OSError:
        return None
    try:
        return os.lstat(made)
    finally:
        os.rmdir(made)


def _user_name(uid: int) -> str:
    from pwd import getpwuid

    try:
        return f"the user {getpwuid(uid).pw_name}"
    except KeyError:
        return f"another user ({uid})"
