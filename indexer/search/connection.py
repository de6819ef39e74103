"""A reader's connection to the store, which is opened again when the index has changed.

The process that has the embedded database open may close it at any moment, and a run may move the alias
and drop the collection behind it. Neither is an error for a reader: it asks again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from indexer.config import Settings, no_index
from indexer.errors import (
    AccessError,
    ForeignCollectionError,
    LockedError,
    NoIndexError,
    StoreError,
    StoreUnavailableError,
    UsageError,
)
from indexer.index.collection import store_maker
from indexer.index.gate import admit
from indexer.milvus.embedded import is_wanted, read
from indexer.milvus.engine import kept_open
from indexer.milvus.on_disk import peek
from indexer.milvus.remote import connect
from indexer.milvus.store import Store

PATIENCE = (
    60.0  # seconds until a reader gives up waiting for a database that others hold
)
REFUSALS = (
    4  # times that Milvus may refuse for other reasons than a server that has gone
)
PAUSE = 0.05  # seconds; doubles with each refusal
LOOK = 0.1  # seconds between two checks whether a run wants the database

T = TypeVar("T")
Properties = Mapping[str, str]
"""What a collection says about itself, as `Store.open` returns it."""


def opened_once(projects: Sequence[Settings]) -> AbstractContextManager[None]:
    """A block in which a process that asks once about one project opens its database once: to update and to read it."""
    first, *others = projects
    # What projects share is signed by how it was closed.
    is_once = first.asks_once and not others and not first.shared_collection
    return kept_open() if is_once else nullcontext()


class Connection:
    """The store that these settings name, opened for each question or kept open.

    Threads must not share it. A store that is kept open and serves the embedded database is
    closed as soon as a run wants the database.
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
        """What `question` returns when it is called with the store.

        It is called again if the answer was cut off, so it must only read, and begin with
        `Store.open`. Raises what stopped the last attempt.
        """
        deadline = time.monotonic() + PATIENCE
        refusals = 0
        while True:
            pause = PAUSE
            with self._in_use:
                try:
                    store = self._open()
                except LockedError:
                    # The holder is opening or closing the database, and serves nobody yet.
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
                except (ForeignCollectionError, AccessError):
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
                        self._close_store()
            time.sleep(pause)

    def close(self) -> None:
        """Close the store. The connection can still be used, and opens it again."""
        self._ends.set()
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.join()
        with self._in_use:
            self._close_store()
        self._ends = threading.Event()

    def _open(self) -> Store:
        store = self._store
        if store and (
            store.is_behind() or self._place != _inode(self._settings.database)
        ):
            self._close_store()  # or it was removed, and may have been built again
        if self._store is None:
            self._store = _open_store(self._settings)
            self._place = _inode(self._settings.database)
            if self._keeps_open and self._settings.database and self._guard is None:
                self._guard = threading.Thread(
                    target=self._give_way, args=[self._ends], daemon=True
                )
                self._guard.start()
        return self._store

    def _close_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _give_way(self, ends: threading.Event) -> None:
        """Close the store whenever a run wants the database that it serves, until `ends`."""
        while not ends.wait(LOOK):
            store = self._store
            if store is None or not store.is_server:
                continue
            if is_wanted(self._settings.database, self._settings.state_dir):
                with self._in_use:
                    if self._store is store:
                        self._close_store()


def peek_properties(settings: Settings) -> Properties:
    """The properties of the collection, read without opening it; {} if that is impossible."""
    if not settings.database:
        return {}
    admit(settings)
    return peek(settings.database, settings.collection_name)


def _open_store(settings: Settings) -> Store:
    admit(settings)
    name, make = settings.collection_name, store_maker(settings)
    if not settings.database:
        return connect(settings.uri, settings.token, name, make)
    needs_state = settings.searched == ()  # what others wrote has no state here
    is_there = os.path.isdir(settings.database) and (
        not needs_state or os.path.isdir(settings.state_dir)
    )
    if settings.project and not is_there:
        raise no_index(settings)
    where = settings.database, settings.state_dir, name
    return read(*where, make=make, is_alone=settings.asks_once)


def _inode(path: str) -> int:
    """The inode of a file, 0 if there is none."""
    try:
        return os.stat(path).st_ino if path else 0
    except OSError:
        return 0
