"""What this program uses of the internals of pymilvus and milvus-lite.

We read them in the versions of `READ_IN`. A later version may change any of this without
notice; tests/milvus/test_milvus_internals.py fails when one does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from indexer.environment import hidden, is_process_ours, set_for_libraries
from indexer.errors import StateError

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from indexer.milvus.reads import Reads

_ARROW_POOLS = ("system", "jemalloc", "mimalloc")

READ_IN = {"pymilvus": "3.0.2", "milvus-lite": "3.2.2", "pyarrow": "26.0.1"}


# --- pymilvus -------------------------------------------------------------------------


def silence() -> None:
    """Import pymilvus so that it writes nothing, reads no `.env` and leaves scipy alone.

    pymilvus and milvus-lite log a whole traceback for an error that we report in one line.
    """
    set_variables()
    from indexer.milvus.kept_out import kept_out

    with hidden(_is_of_another_program), kept_out():
        import pymilvus  # noqa: F401  (it configures its loggers, silenced below)

    with contextlib.suppress(ImportError):  # it only saves time
        from pymilvus.client.utils import SciPyHelper

        # Otherwise the first sparse vector makes it import scipy, to see whether the vector
        # is one of scipy's.
        SciPyHelper._checked = True
    if is_process_ours():
        _pack_by_column()
    _silence_loggers("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc")


def _silence_loggers(*names: str) -> None:
    import logging

    for name in names:
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)


def set_variables() -> None:
    """Set the variables that the imports read, and those that another import here sets.

    With the C library, nobody may read the environment while another thread changes it: a process
    can die of that. So anyone who imports in a thread, beside other native code, calls this first.
    """
    set_for_libraries("TOKENIZERS_PARALLELISM", "false")
    if "GRPC_VERBOSITY" not in os.environ:
        set_for_libraries("GRPC_VERBOSITY", "NONE")
    # On import, pymilvus reads the first `.env` in a folder above its own. If the virtual
    # environment is in the project, that is the project's file.
    set_for_libraries("PYTHON_DOTENV_DISABLED", "1")
    # Arrow's own allocator would keep the memory that a merge of segments needed.
    if os.environ.get("ARROW_DEFAULT_MEMORY_POOL") not in _ARROW_POOLS:
        set_for_libraries("ARROW_DEFAULT_MEMORY_POOL", "system")
    # It is read once, on import.
    if not _is_budget(os.environ.get(_MEMTABLE_VARIABLE, "")):
        set_for_libraries(_MEMTABLE_VARIABLE, str(MEMTABLE_BYTES))


def can_import_in_thread() -> bool:
    """Whether the imports change nothing in the environment that `set_variables` has not set."""
    return not any(
        _is_of_another_program(name)
        or (name.startswith("MILVUS_LITE_") and _is_bad_budget(name))
        for name in os.environ
    )


def _pack_by_column() -> None:
    """Have pymilvus pack our rows column by column."""
    from pymilvus.client.prepare import Prepare

    from indexer.milvus.packing import by_column

    pack = getattr(Prepare, "_parse_upsert_row_request", None)
    if pack and pack.__module__ == Prepare.__module__:
        Prepare._parse_upsert_row_request = staticmethod(by_column(pack))


def _is_of_another_program(name: str) -> bool:
    """Whether a variable belongs to a program that uses pymilvus, such as its address.

    pymilvus would take MILVUS_URI for our address, and refuse the path of a database.
    """
    return name.startswith("MILVUS_") and not name.startswith("MILVUS_LITE_")


def is_unavailable(error: Exception) -> bool:
    """Whether this `MilvusException` means that no server answered.

    pymilvus has a class for that, but raises the plain one when its retries have run out and
    when it cannot connect.
    """
    return "UNAVAILABLE" in str(error) or "Fail connecting" in str(error)


def is_not_found(error: Exception) -> bool:
    """Whether this error means that there is no such collection or alias.

    Servers before 2.3.2 have only the code of unexpected errors for it.
    """
    from indexer.milvus.client_errors import COLLECTION_NOT_FOUND

    code = getattr(error, "code", 0)
    if not isinstance(code, int):  # gRPC's is a method
        return False
    return code == COLLECTION_NOT_FOUND or (
        code <= 1 and "can't find collection" in str(error)
    )


def description(
    client: MilvusClient, name: str, timeout: float
) -> dict[str, Any] | None:
    """Milvus's description of a collection or alias, None if there is none: in one call."""
    from indexer.milvus.client_errors import client_errors

    try:
        found: dict[str, Any] = client.describe_collection(name, timeout=timeout)
    except client_errors() as error:
        if is_not_found(error):
            return None
        raise
    return found


def is_loaded(client: MilvusClient, name: str, timeout: float) -> bool:
    """Whether the collection is loaded, completely."""
    from pymilvus.client.types import LoadState

    found = client.get_load_state(name, timeout=timeout)["state"]
    return bool(found == LoadState.Loaded)


def says_try_again(error: Exception) -> bool:
    """Whether the server itself says that the reason for this `MilvusException` will pass."""
    return bool(getattr(error, "retriable", False))


def remember_schema(client: MilvusClient, name: str, found: dict[str, Any]) -> None:
    """Tell pymilvus a schema that is already known, so that it need not ask.

    It asks once for each collection before it writes rows or reads them by id. `found` is
    Milvus's description of the collection, or what `CollectionSchema.to_dict` returns.
    """
    from pymilvus.client.cache import GlobalCache

    database = client._generate_call_context().get_db_name()
    address = client._get_connection().server_address
    GlobalCache.schema.set(address, database, name, found)


Flushing = dict[str, tuple[Sequence[int], int]]
"""The segments of each collection, and the time up to which they hold what was written."""


def begin_flush(client: MilvusClient, names: Sequence[str], timeout: float) -> Flushing:
    """Have these collections flushed, in one call that does not wait for the flush."""
    flushing = client._get_connection().flush(
        [*names],
        timeout=timeout,
        context=client._generate_call_context(),
        _async=True,
    )
    answer = flushing._future.result()
    return {
        name: (answer.coll_segIDs[name].data, answer.coll_flush_ts[name])
        for name in names
    }


def is_flushed(
    client: MilvusClient, name: str, flushing: Flushing, timeout: float
) -> bool:
    """Whether the flush of a collection has ended."""
    segments, until = flushing[name]
    return bool(
        client._get_connection().get_flush_state(
            segments,
            name,
            until,
            timeout=timeout,
            context=client._generate_call_context(),
        )
    )


# --- milvus-lite: its memory and its speed --------------------------------------------

# By default milvus-lite holds 128 MB of rows in Python objects before it writes a segment,
# and merges segments of up to 100,000 rows. With that, 70,000 rows take 2 GB of memory.
MEMTABLE_BYTES = 16 * 1024 * 1024
SEGMENT_ROWS = 20_000


def import_milvus_lite() -> None:
    """Import milvus-lite with its server, as `import_engine` does."""
    silence()
    import_engine()
    from indexer.milvus.kept_out import kept_out

    with _importing(), kept_out():
        from milvus_lite.adapter.grpc import server  # noqa: F401


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    try:
        with hidden(_is_bad_budget):
            yield
    except ImportError as error:
        raise StateError(f"the embedded Milvus cannot be used here: {error}") from error


def import_engine() -> None:
    """Import milvus-lite's engine, silent, with our bounds on memory, our reads and checksums.

    It imports neither pymilvus nor gRPC. Raises `StateError` if milvus-lite cannot be imported.
    """
    from indexer.milvus.kept_out import (
        keep_pandas_out_of_pyarrow,
        kept_out,
        version_kept_out,
    )

    set_variables()
    _silence_loggers("milvus_lite")
    with _importing(), kept_out(), version_kept_out():
        from milvus_lite import db  # noqa: F401
        from milvus_lite.engine import compaction
    keep_pandas_out_of_pyarrow()
    compaction.MAX_SEGMENT_ROWS = SEGMENT_ROWS
    _write_what_is_read_quickly()
    _read_segments_by_column()
    _read_in_arrays()
    _upsert_whole_rows()
    _write_by_column()


_MEMTABLE_VARIABLE = "MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES"


def _is_budget(text: str) -> bool:
    """Whether milvus-lite accepts the text as a number of bytes. It raises for any other."""
    return text.isascii() and text.isdigit() and int(text[:30]) > 0


def _is_bad_budget(name: str) -> bool:
    return name.startswith("MILVUS_LITE_") and not _is_budget(os.environ[name])


def _write_what_is_read_quickly() -> None:
    """Have segments written for quick reading, and all pages with checksums.

    Reading compares the checksums. Segments of earlier versions have none.
    """
    from functools import partial
    from importlib import import_module
    from types import SimpleNamespace

    from milvus_lite.storage import data_file, delta_file

    from indexer.milvus.segments import write_segment

    parquet = import_module("pyarrow.parquet")  # which has no types
    read_table = partial(parquet.read_table, page_checksum_verification=True)
    data_file.pq = SimpleNamespace(write_table=write_segment, read_table=read_table)
    delta_file.pq = SimpleNamespace(
        write_table=partial(parquet.write_table, write_page_checksum=True),
        read_table=read_table,
    )


def _read_segments_by_column() -> None:
    """Have each column of a segment read only when it is needed."""
    from milvus_lite.engine import collection
    from milvus_lite.storage.segment import Segment

    from indexer.milvus.segments import SegmentColumns

    if collection.Segment is not Segment:
        return  # that is done already
    collection.Segment = type("Segment", (SegmentColumns, Segment), {})
    close = collection.Collection.close

    def close_with_segments(self: Any) -> None:
        close(self)
        for segment in self._segment_cache.values():
            segment.close()
        if self._reads is not None:
            self._reads.close()
            self._reads = None  # which refers to the collection

    collection.Collection.close = close_with_segments


def _read_in_arrays() -> None:
    """Have `Reads` answer our reads."""
    from milvus_lite.engine import projection
    from milvus_lite.engine.collection import Collection
    from milvus_lite.search.filter import evaluate_mask

    from indexer.milvus.reads import Library, Reads

    if hasattr(Collection, "_reads"):
        return  # that is done already
    library = Library(
        evaluate_mask, projection.build_projection_plan, projection.project_record
    )

    def reads_of(collection: Any) -> Reads:
        if collection._reads is None:
            collection._reads = Reads(collection, library)
        found: Reads = collection._reads
        return found

    _merge_segments(reads_of)

    def instead_of(otherwise: Callable[..., Any], answer: Callable[..., Any]) -> Any:
        @wraps(otherwise)
        def read(collection: Any, *arguments: Any, **given: Any) -> Any:
            found = answer(reads_of(collection), *arguments, **given)
            return (
                otherwise(collection, *arguments, **given) if found is None else found
            )

        return read

    Collection._reads = None
    Collection.search = instead_of(Collection.search, Reads.search)
    Collection.query = instead_of(Collection.query, Reads.query)
    Collection.get = instead_of(Collection.get, Reads.get)
    Collection._num_entities = instead_of(Collection._num_entities, Reads.count)


def _merge_segments(reads_of: Callable[[Any], Reads]) -> None:
    """Have `Merge` merge segments after each flush, in milvus-lite's own thread for that."""
    from milvus_lite.constants import DEFAULT_PARTITION
    from milvus_lite.engine.collection import Collection
    from milvus_lite.schema.arrow_builder import build_delta_schema
    from milvus_lite.storage import data_file, delta_file, snapshots

    from indexer.milvus.merging import Files, Merge, remove

    files = Files(
        data_file.write_data_file, delta_file.write_delta_file, build_delta_schema
    )
    flush = Collection._trigger_flush
    otherwise = Collection._bg_compact_and_index

    def flush_and_remember(collection: Any) -> None:
        collection._has_flushed = True
        flush(collection)

    def merge(collection: Any) -> None:
        has_others = collection.list_partitions() != [DEFAULT_PARTITION]
        if has_others or any(snapshots.snapshot_references(collection.data_dir)):
            otherwise(collection)
            return
        if not collection._has_flushed:
            return  # a reader has opened it
        # Only this thread removes segments, so readers need not wait while it writes.
        newest = reads_of(collection).newest()
        merge = Merge(collection, DEFAULT_PARTITION, newest, files)
        if not merge.is_due:
            return
        written = merge.write()
        with collection._maintenance_lock:
            is_current = reads_of(collection).newest() is newest
            old = merge.replace(written, is_current=is_current)
            collection._refresh_segment_cache()
        remove(old)

    Collection._has_flushed = False
    Collection._trigger_flush = flush_and_remember
    Collection._bg_compact_and_index = merge


def _upsert_whole_rows() -> None:
    """Have rows overwritten without reading the old ones first.

    milvus-lite takes from an old row what the new one leaves out. Ours have every field.
    """
    from milvus_lite.engine import collection

    collection.Collection.upsert = collection.Collection.insert


def _write_by_column() -> None:
    """Have milvus-lite look at columns instead of each number of each row."""
    from milvus_lite.engine import collection
    from milvus_lite.schema.validation import validate_record
    from milvus_lite.storage.memtable import MemTable

    from indexer.milvus.written import by_size, data_table

    collection.validate_record = by_size(validate_record)
    MemTable._build_data_table = data_table


# --- milvus-lite: its engine and its server -------------------------------------------


def open_engine(database: str) -> Any:
    """Open the database in this process, for its threads alone.

    Raises `BlockingIOError` if another process has it open, and `StateError` if it cannot
    be opened. Call `import_engine` first.
    """
    from milvus_lite.db import MilvusLite

    with _opening():
        return MilvusLite(database)


def finish_merges(database: Any) -> None:
    """Wait until nothing merges segments of an open database any more, as closing it does."""
    for collection in database._collections.values():
        collection._wait_for_bg()


def abandon_engine(database: Any) -> None:
    """Let go of an open database without writing what is still only in memory.

    That is in the log as well, which the next process reads.
    """
    for collection in database._collections.values():
        collection._bg_closed = True  # it merges no more segments
        collection._bg_executor.shutdown(wait=True)
        for sink in (collection._wal._data_sink, collection._wal._delta_sink):
            if sink is not None:
                sink.close()
    database._release_lock()
    database._closed = True


@contextlib.contextmanager
def _opening() -> Iterator[None]:
    from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

    try:
        yield
    except DataDirLockedError as error:
        raise BlockingIOError(str(error)) from error
    except (MilvusLiteError, OSError, RuntimeError, ValueError) as error:
        raise StateError(one_line(error)) from error


STOP_SECONDS = 10.0  # until a server that does not stop is left to itself


def socket_path(folder: str) -> str:
    """The socket that a server in this folder listens on.

    milvus-lite only knows hosts and ports, and joins them with a colon.
    """
    return f"{folder}/s:0"


def start_server(database: str, folder: str) -> Callable[[], None]:
    """Open the database and serve it on a socket in `folder`.

    Returns what stops the server and closes the database. Raises as `open_engine` does. Call
    `import_milvus_lite` first.
    """
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    with _opening():
        # One thread. With more, the first look at a collection races with a write and can
        # undo it, and reads race with flushes.
        server, opened, _ = start_server_in_thread(
            database, host=f"unix:{folder}/s", port=0, max_workers=1
        )
    path = socket_path(folder)
    inode = os.stat(path).st_ino

    def stop() -> None:
        server.stop(grace=1).wait(
            STOP_SECONDS
        )  # with a second for requests that are under way
        # Before the database is closed, because the next process binds this very path. If
        # the index was cleared, our socket is gone and another process may serve there.
        with contextlib.suppress(OSError):
            if os.stat(path).st_ino == inode:
                os.unlink(path)
        opened.close()

    return stop


def one_line(error: BaseException) -> str:
    """The message of an error in one line of at most 300 characters.

    Errors of pymilvus and milvus-lite have the message in `message`; their text adds a code.
    """
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    return " ".join(str(message).split())[:300]


# --- milvus-lite: its files -----------------------------------------------------------

# Of a collection.
SCHEMA = "schema.json"
MANIFEST = "manifest.json"  # the list of segments; its backup has a longer name
SEGMENT = ".parquet"  # the ending of a file with rows, or with deleted ids
VECTORS = ".idx"  # the ending of a file with the vectors of a segment, which a search reads whole
INDEXES = "indexes"  # the folder of what follows from a partition's segments


def lock_file(database: str) -> str:
    """The file that the process with the database open has locked (`flock`)."""
    return os.path.join(database, "LOCK")


def aliases_file(database: str) -> str:
    """The file of a JSON object, alias to collection."""
    return os.path.join(database, "aliases.json")


def collection_folder(database: str, physical: str) -> str:
    """The folder of a physical collection."""
    return os.path.join(database, "collections", physical)


def check_segments(database: str, physical: str) -> None:
    """Read every page of a collection's segments, even if nobody asked for its content.

    Raises `ValueError` or `OSError` if a page is not what was written.
    """
    import glob
    from importlib import import_module

    parquet = import_module("pyarrow.parquet")  # which has no types
    folder = collection_folder(glob.escape(database), glob.escape(physical))
    for path in glob.glob(os.path.join(folder, "partitions", "*", "*", f"*{SEGMENT}")):
        # Opened here, because Arrow takes no path that is not UTF-8.
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
            segment = parquet.ParquetFile(file, page_checksum_verification=True)
            for _ in segment.iter_batches():
                pass


def remove_foreign_index_files(database: str) -> None:
    """Remove the copies of vectors that milvus-lite itself has written beside the segments.

    If a kill cut one short, milvus-lite cannot load the collection.
    """
    import glob
    import shutil

    from indexer.milvus.vector_file import is_marked

    partitions = os.path.join(
        collection_folder(glob.escape(database), "*"), "partitions", "*"
    )
    for pattern in (INDEXES, os.path.join(INDEXES, "*")):
        for path in glob.glob(os.path.join(partitions, pattern)):
            is_folder = os.path.isdir(path)
            if is_folder and pattern != INDEXES:
                shutil.rmtree(path, ignore_errors=True)
            elif not is_folder and not is_marked(path):
                with contextlib.suppress(OSError):
                    os.unlink(path)


def remove_torn_collection(database: str, physical: str) -> None:
    """Remove the folder of a collection whose creation was never completed.

    If milvus-lite is killed or the disk is full while it creates a collection, it leaves
    a folder without a schema, and later refuses to create a collection in its place.
    """
    import shutil

    folder = collection_folder(database, physical)
    if not os.path.exists(os.path.join(folder, SCHEMA)):
        shutil.rmtree(folder, ignore_errors=True)
