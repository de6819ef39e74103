"""The folder in which repositories are cloned, within a bound.

Each has a folder of its own there, by its name: `tree` is the clone, and beside it lies the state
of the index. A clone that stays costs a fetch the next time, and one that went a whole one; what
is embedded, and what is known of the index, stay in any case.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct

from indexer.config import state_home
from indexer.errors import LockedError, StateError
from indexer.index.lock import run_lock
from indexer.index.state_folder import cannot_write
from indexer.run.repositories import Repository
from indexer.tree.clone import remove, size_of, update_clone

TREE, LOCK, SIZE = "tree", "clone.lock", "clone.size"
SLACK = 0.05  # of the bound: what may be added before all clones are looked at again


class _Clone(Struct, frozen=True):
    home: str
    used: float  # seconds since 1970
    size: int  # bytes


class Scratch:
    """Clones below the folder `root`, of `bound` bytes in all or of one, if that is larger.

    Several threads and processes may use one folder.
    """

    def __init__(self, root: str, bound: int) -> None:
        self.root = root
        self._bound = bound
        self._added = bound  # unknown at first: the next clone looks at all of them
        self._lock = threading.Lock()

    @contextmanager
    def checkout(
        self,
        repository: Repository,
        check: Callable[[], object] = lambda: None,
        wait: float = 0,
    ) -> Iterator[str]:
        """The work tree of a repository as it is now, which stays so while the block runs.

        `check` is called while git works, and may raise. Raises `RepositoryError`, `StateError`,
        and `LockedError` if another run still has the clone after `wait` seconds.
        """
        assert repository.remote is not None
        home = self._home(repository)
        lock, tree = os.path.join(home, LOCK), os.path.join(home, TREE)
        with run_lock(lock, time.monotonic() + wait, "clone"):
            if update_clone(tree, repository.remote, check):
                size = size_of(tree)
                with open(os.path.join(home, SIZE), "w", encoding="ascii") as file:
                    file.write(str(size))
                self._add(size, home)
            else:
                with suppress(FileNotFoundError):
                    os.utime(os.path.join(home, SIZE))
            yield tree

    def _home(self, repository: Repository) -> str:
        """The folder of a repository, which nobody else can have made."""
        home = state_home(repository.name, self.root)
        try:
            os.makedirs(self.root, mode=0o700, exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(home, mode=0o700)
            info = os.lstat(home)
        except OSError as error:
            raise cannot_write(f"the scratch folder {home}", error) from error
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise StateError(
                f"{home} is not a folder that belongs to this user: remove it, or choose "
                "another --scratch"
            )
        return home

    def _add(self, size: int, home: str) -> None:
        with self._lock:
            self._added += size
            if self._added < self._bound * SLACK:
                return
            self._added = 0
        clones = sorted(self._clones(), key=lambda one: one.used)
        total = sum(one.size for one in clones)
        for one in clones:
            if total <= self._bound:
                return
            if one.home != home and _removed(one.home):
                total -= one.size

    def _clones(self) -> Iterator[_Clone]:
        with os.scandir(self.root) as entries:
            homes = [entry.path for entry in entries]
        for home in homes:
            try:
                with open(os.path.join(home, SIZE), encoding="ascii") as file:
                    used = os.fstat(file.fileno()).st_mtime
                    yield _Clone(home, used, int(file.read()))
            except (OSError, ValueError):  # it was never complete
                if size := size_of(os.path.join(home, TREE)):
                    yield _Clone(home, 0, size)


def _removed(home: str) -> bool:
    """Remove a clone unless a run is at work on it, and tell whether it was."""
    try:
        with run_lock(os.path.join(home, LOCK), 0, "clone"):
            remove(os.path.join(home, TREE))
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(home, SIZE))
    except (LockedError, StateError):
        return False
    return True
