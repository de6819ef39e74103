"""A reader's connection to the store, opened again when the index has changed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from indexer.config import Settings
from indexer.errors import (
    ForeignCollectionError,
    LockedError,
    NoIndexError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from indexer.milvus.embedded import read
from indexer.milvus.on_disk import is_locked, peek
from indexer.milvus.remote import connect
from indexer.milvus.store import Store
from indexer.search.answers import Properties, T

PATIENCE = 60.0  # seconds until a reader gives up on a database that others hold


REFUSALS = 4  # times that Milvus may refuse, where it was not just that its server left


PAUSE = 0.05  # seconds; doubles with each refusal


LOOK = 0.1  # seconds between two looks whether a run wants the database


class Connection:
    """The store of these settings, opened for each question or kept open.

    Not safe to share between threads. What is kept and serves the embedded database is let go
    of as soon as a run wants it.
    """

    def __init__(self, settings: Settings, *, keeps_open: bool = False) -> None:
        self._settings = settings
        self._keeps_open = keeps_open
        self._store: Store | None = None
        self._place = 0  # the inode of the embedded database that is open
        self._in_use = threading.RLock()
        self._ends = threading.Event()
        self._guard: threading.Thread | None = None

    def ask(self, question: Callable[[Store], T]) -> T:
        """What the question gives.

        Asked again where the answer was cut off, so the question must only read, and begin
        with `Store.open`. Raises what stopped the last attempt.
        """
        deadline = time.monotonic() + PATIENCE
        refusals = 0
        while True:
            pause = PAUSE
            with self._in_use:
                try:
                    store = self._open()
                except (
                    LockedError
                ):  # the holder opens or closes it now, and serves nobody
                    if time.monotonic() > deadline:
                        raise
                    continue
                is_good = False
                try:
                    answer = question(store)
                    is_good = True
                    return answer
                except UsageError:
                    is_good = True
                    raise
                except ForeignCollectionError:
                    raise
                except StoreUnavailableError:
                    if time.monotonic() > deadline:
                        raise
                except (StoreError, NoIndexError):
                    if refusals == REFUSALS:
                        raise
                    pause *= 2**refusals
                    refusals += 1
                finally:
                    if not (is_good and self._keeps_open):
                        self._let_go()
            time.sleep(pause)

    def close(self) -> None:
        """Let go of the store."""
        self._ends.set()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.join()
        with self._in_use:
            self._let_go()
        self._ends = threading.Event()

    def _open(self) -> Store:
        if self._store is not None and self._place != _inode(self._settings.database):
            self._let_go()  # it was removed, and may have been built anew
        if self._store is None:
            self._store = _reader(self._settings)
            self._place = _inode(self._settings.database)
            if self._keeps_open and self._settings.database and self._guard is None:
                self._guard = threading.Thread(
                    target=self._give_way, args=[self._ends], daemon=True
                )
                self._guard.start()
        return self._store

    def _let_go(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _give_way(self, ends: threading.Event) -> None:
        while not ends.wait(LOOK):
            store = self._store
            if store is None or not store.is_server:
                continue
            if is_locked(self._settings.lock_path):
                with self._in_use:
                    if self._store is store:
                        self._let_go()


def _inode(path: str) -> int:
    """0 where there is none."""
    try:
        return os.stat(path).st_ino if path else 0
    except OSError:
        return 0


def ask(settings: Settings, question: Callable[[Store], T]) -> T:
    """What the question gives, asked of the store of these settings; see `Connection`."""
    return Connection(settings).ask(question)


def _peek(settings: Settings) -> Properties:
    if not settings.database:
        return {}
    return peek(settings.database, settings.collection_name)


def _reader(settings: Settings) -> Store:
    name = settings.collection_name
    if not settings.database:
        return connect(settings.uri, settings.token, name)
    if not os.path.isdir(settings.database) or not os.path.isdir(settings.state_dir):
        raise NoIndexError(
            f"no index in {settings.project}: build it with codx-index run"
        )
    return read(settings.database, settings.state_dir, name)
