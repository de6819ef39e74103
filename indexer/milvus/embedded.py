"""The embedded database: milvus-lite, served to this process and read by others."""

from __future__ import annotations

import contextlib
import glob
import os
import random
import re
import struct
import time
from collections.abc import Callable

from indexer.errors import CodxIndexError, LockedError, NoIndexError, StateError
from indexer.milvus.on_disk import is_locked
from indexer.milvus.server import silence
from indexer.milvus.store import DAMAGED, Store, one_line

READER_PATIENCE = 15.0  # seconds a run waits for a reader to close the database


GIVE_WAY = 0.5  # seconds that a reader leaves a free database to a run that may want it


# milvus-lite's own limits let 70,000 rows take 2 GB: it holds 128 MB of rows in Python
# objects before it writes a segment, and merges segments of up to 100,000 rows.
MEMTABLE_BYTES = 16 * 1024 * 1024


SEGMENT_ROWS = 20_000


SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit is 108 with the terminator


def serve(
    database: str,
    state_dir: str,
    name: str,
    *,
    patience: float,
    kind: type[Store] = Store,
) -> Store:
    """Open the embedded database and serve it on a private Unix socket.

    The socket lies in the state folder (0700), so nobody else can connect and nothing
    listens on a port; other processes of this user read through it meanwhile.
    `patience` (seconds) is how long to wait for another process to close the database.
    milvus-lite's `start_server_in_thread` is an inner interface: its version is pinned.
    """
    silence()
    _bound_memory()
    _speed_up_sparse()
    try:
        from milvus_lite.adapter.grpc.server import start_server_in_thread
        from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
    except ImportError as error:
        raise StateError(f"the embedded Milvus is not usable here: {error}") from error
    from pymilvus import MilvusClient

    folder, release_folder = _socket_folder(state_dir)
    inside, file = os.path.split(database)
    # Not by its own path, which milvus-lite cannot take where it is not UTF-8.
    path = os.path.join(folder, file) if inside == state_dir else database
    deadline = time.monotonic() + patience
    while True:
        try:
            # One thread: with more, its first look at a collection races with a write, and
            # can undo it, and reads race with flushes.
            server, db, _ = start_server_in_thread(
                path, host=f"unix:{folder}/s", port=0, max_workers=1
            )
            break
        except DataDirLockedError:
            if time.monotonic() > deadline:
                release_folder()
                raise LockedError(
                    f"the database {database} is in use by another process"
                ) from None
            time.sleep(0.05)
        except (MilvusLiteError, OSError, RuntimeError, ValueError) as error:
            release_folder()
            raise StateError(
                f"cannot open {database}: {one_line(error)}{DAMAGED}"
            ) from error

    _remove_torn_indexes(database)
    socket_inode = os.stat(f"{folder}/s:0").st_ino

    def release() -> None:
        server.stop(grace=1).wait()  # seconds, for what readers have under way
        # Before the database is free: the next process binds this very path. Ours is gone
        # where the index was cleared, and another process may serve there by now.
        with contextlib.suppress(OSError):
            if os.stat(f"{folder}/s:0").st_ino == socket_inode:
                os.unlink(f"{folder}/s:0")
        db.close()
        release_folder()

    client = MilvusClient(f"unix:{folder}/s:0", dedicated=True)
    return kind(client, name, database, embedded=True, release=release, is_server=True)


def _remove_torn_indexes(database: str) -> None:
    """milvus-lite writes vector indexes in place, and afterwards cannot load a collection
    whose index was cut short by a kill. Without the file it builds it anew."""
    import numpy as np

    folder = os.path.join(glob.escape(database), "collections", "*", "partitions")
    for path in glob.glob(os.path.join(folder, "*", "indexes", "*.idx")):
        try:
            np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError):  # it is short, or empty
            with contextlib.suppress(OSError):
                os.unlink(path)


def read(database: str, state_dir: str, name: str) -> Store:
    """The embedded database for a reader: through the socket of whoever has it open,
    else opened here."""
    if not os.path.isdir(database):
        raise NoIndexError(f"no database at {database}")
    started = free_since = time.monotonic()
    while True:
        store = _through_socket(database, state_dir, name)
        if store is not None:
            return store
        now = time.monotonic()
        if is_locked(os.path.join(database, "LOCK")):
            free_since = now
        is_at_work = is_locked(os.path.join(state_dir, "lock"))
        if not is_at_work or now - free_since > GIVE_WAY:
            with contextlib.suppress(LockedError):
                return serve(database, state_dir, name, patience=0, kind=_ReadStore)
        if now - started > READER_PATIENCE:
            raise LockedError(f"the database {database} is in use by another process")
        time.sleep(random.uniform(0.02, 0.08))


class _ReadStore(Store):
    """Was only read from, so that there is nothing to lose: it lets go of the database,
    or of the socket, after an error too."""

    def close(self) -> None:
        with contextlib.suppress(CodxIndexError), self._guard():
            self._client.close()
        with contextlib.suppress(CodxIndexError), self._guard():
            self._release()


def _through_socket(database: str, state_dir: str, name: str) -> Store | None:
    import socket

    folder, release_folder = _socket_folder(state_dir)
    try:
        # gRPC would retry for seconds where a plain connect knows at once.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"{folder}/s:0")
        silence()
        import grpc
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException

        try:
            client = MilvusClient(f"unix:{folder}/s:0", timeout=5, dedicated=True)
        except (MilvusException, grpc.RpcError, ValueError) as error:
            # It was closed between the two.
            raise ConnectionError from error
    except OSError:
        release_folder()
        return None
    return _ReadStore(client, name, database, embedded=True, release=release_folder)


def _socket_folder(state_dir: str) -> tuple[str, Callable[[], None]]:
    """A path of the state folder that gRPC takes for a socket, and how to let go of it.

    Too long a path, or one with characters that mean something in a URI, is reached
    through a handle.
    """
    is_short = len(os.fsencode(state_dir)) + len("/s:0") <= SOCKET_PATH_LIMIT
    if is_short and re.fullmatch(r"[\w/.~+@=-]+", state_dir, re.ASCII):
        return state_dir, lambda: None
    try:
        handle = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(
            f"cannot open the state folder {state_dir}: {error.strerror}"
        ) from error
    short = f"/proc/self/fd/{handle}"
    if not os.path.isdir(short):
        os.close(handle)
        raise StateError(f"no socket can be made in the state folder {state_dir}")
    return short, lambda: os.close(handle)


def _bound_memory() -> None:
    """Keep the embedded database small; read once, when it is imported."""
    os.environ.setdefault(
        "MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", str(MEMTABLE_BYTES)
    )
    # Arrow's own allocator keeps what a merge of segments needed.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with contextlib.suppress(ImportError):
        from milvus_lite.engine import compaction

        compaction.MAX_SEGMENT_ROWS = SEGMENT_ROWS


def _speed_up_sparse() -> None:
    """Exchange milvus-lite's index of sparse vectors, which it builds in memory at the first
    search of each process, for one of arrays: 0.1 s instead of 0.7 for 20,000 rows."""
    with contextlib.suppress(ImportError):
        from milvus_lite.analyzer import sparse
        from milvus_lite.index import sparse_factory

        from indexer.milvus.sparse_index import SparseIndex

        pairs = struct.Struct("<If")
        sparse.bytes_to_sparse = lambda data: dict(pairs.iter_unpack(data))
        sparse_factory.SparseIpIndex = SparseIndex
