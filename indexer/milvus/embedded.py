"""The embedded database: one process opens it and serves it to the others of its user."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from indexer.errors import (
    LockedError,
    NoIndexError,
    StateError,
    StoreUnavailableError,
)
from indexer.milvus.client import open_client
from indexer.milvus.copied import can_be_written, copy_database, look_at
from indexer.milvus.engine import EngineClient, is_kept_open
from indexer.milvus.internals import (
    import_engine,
    import_milvus_lite,
    lock_file,
    remove_foreign_index_files,
    socket_path,
    start_server,
)
from indexer.milvus.meeting_place import (
    make_meeting_place,
    meeting_place,
    run_lock_path,
    short_path,
)
from indexer.milvus.on_disk import is_locked, missing_part
from indexer.milvus.store import DAMAGED, MakeStore, Store

if TYPE_CHECKING:
    from pymilvus import MilvusClient

T = TypeVar("T")

READER_PATIENCE = 15.0  # seconds that a run waits for a reader to close the database
GIVE_WAY = 0.5  # seconds that a reader leaves a free database to a run that may want it
SOCKET_TIMEOUT = 5.0  # seconds to connect to a process that serves the database

_REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM)


def serve(
    database: str,
    state_dir: str,
    name: str,
    *,
    patience: float,
    make: MakeStore = Store,
    only_reads: bool = False,
    is_alone: bool = False,
) -> Store:
    """Open the embedded database and serve it on a private Unix socket.

    The socket is in the `meeting_place` (0700): nobody else can connect, nothing listens
    on a port, and other processes of this user can read meanwhile. A process that `is_alone` serves
    nothing: the database is open sooner, and the others wait. Waits `patience` seconds for another process to
    close the database, then raises `LockedError`. Raises `StateError` if the database cannot be
    opened.
    """
    (import_engine if is_alone else import_milvus_lite)()
    place = make_meeting_place(database, state_dir)
    folder, release_folder = short_path(place)
    # milvus-lite rejects a path that is not UTF-8. One through the handle is always valid.
    is_own = place == state_dir
    path = os.path.join(folder, os.path.basename(database)) if is_own else database
    with contextlib.ExitStack() as stack:
        stack.callback(release_folder)
        start = partial(_start, path, folder, stack)
        if is_alone:
            # A path through a handle is no name for later.
            start = partial(
                EngineClient.open if path == database else EngineClient, path
            )
        with _named(database):
            _make(path)
            client = _patiently(start, database, patience)
        remove_foreign_index_files(database)
        release = stack.pop_all().close
    return make(
        client,
        name,
        database,
        embedded=True,
        release=release,
        is_server=True,
        only_reads=only_reads,
    )


def open_to_read(
    database: str,
    state_dir: str,
    name: str,
    *,
    patience: float,
    make: MakeStore = Store,
    is_alone: bool = False,
) -> Store:
    """The embedded database, opened here by a reader; as a copy if it cannot be written.

    Raises `LockedError` and `StateError` as `serve` does.
    """
    place = meeting_place(database, state_dir)
    if can_be_written(database, place):
        try:
            return serve(
                database,
                state_dir,
                name,
                patience=patience,
                make=make,
                only_reads=True,
                is_alone=is_alone,
            )
        except StateError as error:
            # In a sandbox, the system may promise more than it keeps when it is asked beforehand.
            if not _is_refusal(error):
                raise
    return _open_copy(database, name, patience, make)


def _open_copy(database: str, name: str, patience: float, make: MakeStore) -> Store:
    """A copy of the database, which nobody else can find."""
    import_engine()
    copy = _patiently(lambda: copy_database(database), database, patience)
    with contextlib.ExitStack() as stack:
        stack.callback(copy.close)
        with _named(database):
            client = EngineClient(copy.database)
        release = stack.pop_all().close
    return make(
        client,
        name,
        database,
        embedded=True,
        release=release,
        is_server=True,
        only_reads=True,
        is_behind=lambda: look_at(database) != copy.look,
    )


def _start(path: str, folder: str, stack: contextlib.ExitStack) -> MilvusClient:
    """A client of the database, which is served on a socket in `folder` until the stack is closed.

    Raises as `open_engine` does.
    """
    stack.callback(start_server(path, folder))
    return open_client(f"unix:{socket_path(folder)}")


def _patiently(start: Callable[[], T], database: str, patience: float) -> T:
    """What `start` returns. Raises `LockedError` if others have the database open for `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return start()
        except (BlockingIOError, LockedError):
            if time.monotonic() > deadline:
                raise _in_use(database) from None
        time.sleep(0.05)


@contextlib.contextmanager
def _named(database: str) -> Iterator[None]:
    """A block whose errors name the database, and say what to do if it is damaged."""
    try:
        yield
    except StateError as error:
        raise StateError(f"cannot open {database}: {error}{DAMAGED}") from error


def _is_refusal(error: BaseException | None) -> bool:
    """Whether an error comes from a system that lets nothing be written there."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            return True
        error = error.__cause__
    return False


def _make(path: str) -> None:
    """Make the folder of a database if it does not exist, but none of the folders around it.

    milvus-lite would make these too, in the old place of a project that has moved.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        pass
    except OSError as error:
        raise StateError(str(error.strerror)) from error


def read(
    database: str,
    state_dir: str,
    name: str,
    *,
    make: MakeStore = Store,
    is_alone: bool = False,
) -> Store:
    """The embedded database, for a reader.

    It is read through the socket of the process that has it open, or else opened here, as by
    `serve`. Raises `NoIndexError` if there is no database, `LockedError` if another process
    has it open for `READER_PATIENCE` seconds without serving it, and `StateError` if it
    cannot be opened, or only without some of its rows.
    """
    if not os.path.isdir(database):
        raise NoIndexError(f"no database at {database}")
    started = free_since = time.monotonic()
    while True:
        store = _through_socket(database, state_dir, name, make)
        if store is not None:
            return store
        now = time.monotonic()
        if is_locked(lock_file(database)):
            free_since = now
        is_ours = is_kept_open(database)  # and until this process ends, nobody else's
        is_run_at_work = not is_ours and is_wanted(database, state_dir)
        if not is_run_at_work or now - free_since > GIVE_WAY:
            with contextlib.suppress(LockedError):
                return _open_whole(database, state_dir, name, make, is_alone=is_alone)
        if now - started > READER_PATIENCE:
            raise _in_use(database)
        time.sleep(random.uniform(0.02, 0.08))


def is_wanted(database: str, state_dir: str) -> bool:
    """Whether a run uses the database, or will as soon as it is free."""
    paths = {run_lock_path(database, state_dir)}
    if state_dir:
        paths.add(os.path.join(state_dir, "lock"))
    return any(map(is_locked, paths))


def _open_whole(
    database: str, state_dir: str, name: str, make: MakeStore, *, is_alone: bool
) -> Store:
    store = open_to_read(
        database, state_dir, name, patience=0, make=make, is_alone=is_alone
    )
    # Checked while nobody else can write, and before milvus-lite opens the collection.
    if path := missing_part(database, name):
        store.close()
        raise StateError(
            f"the database is damaged ({path} is missing or cannot be read): codx-index run "
            "rewrites what was lost"
        )
    return store


def _through_socket(
    database: str, state_dir: str, name: str, make: MakeStore
) -> Store | None:
    import socket

    place = meeting_place(database, state_dir)
    if not os.path.isdir(place) or os.path.islink(place):
        return None
    folder, release_folder = short_path(place)
    path = socket_path(folder)
    try:
        # A plain connect fails at once where gRPC would retry for seconds.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)
        client = open_client(f"unix:{path}", timeout=SOCKET_TIMEOUT)
    except (OSError, StoreUnavailableError):  # also if it was closed between the two
        release_folder()
        return None
    return make(
        client,
        name,
        database,
        embedded=True,
        release=release_folder,
        only_reads=True,
    )


def _in_use(database: str) -> LockedError:
    return LockedError(f"the database {database} is in use by another process")
