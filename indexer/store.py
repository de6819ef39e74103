"""Milvus: the only importer of pymilvus and milvus-lite.

A collection `<name>` is an alias to the physical collection `<name>__<8 of fingerprint>`,
so that another model's index grows beside the old one until the alias moves.
A row never leaves before its successor is there, and rows go by primary key only.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import random
import re
import shutil
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from indexer.errors import (
    CodxIndexError,
    ForeignCollectionError,
    LockedError,
    NoIndexError,
    StateError,
    StoreError,
    StoreUnavailableError,
)
from indexer.faults import reach
from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymilvus import CollectionSchema, MilvusClient
    from pymilvus.milvus_client.index import IndexParams

SCHEMA_VERSION = 2

# Far under the servers' 64 MB a message, and small enough to answer a signal between two.
UPSERT_ROWS = 1_000
UPSERT_BYTES = 16 * 1024 * 1024
MOST_HITS = 16_384  # of a search
READ_ROWS = 10_000  # servers refuse more than 16,384 a query

CONNECT_ATTEMPTS = 4
CONNECT_PAUSE = 0.25  # seconds; doubles
READER_PATIENCE = 15.0  # seconds a run waits for a reader to close the database
GIVE_WAY = 0.5  # seconds that a reader leaves a free database to a run that may want it
CALL_TIMEOUT = 60.0  # seconds; pymilvus retries on its own within it
LEASE_TIMEOUT = 5.0

FINGERPRINT = "codx.fingerprint"
WRITER = "codx.writer"
LEASE = "codx.lease"
HAS_VECTORS = "codx.has-vectors"  # once a run embedded; until then, no row has one

# milvus-lite's own limits let 70,000 rows take 2 GB: it holds 128 MB of rows in Python
# objects before it writes a segment, and merges segments of up to 100,000 rows.
MEMTABLE_BYTES = 16 * 1024 * 1024
SEGMENT_ROWS = 20_000

DAMAGED = (
    " (if the database is damaged, codx-index clear removes it, and the next run builds it "
    "anew)"
)

SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit is 108 with the terminator


@dataclass(frozen=True, slots=True)
class RowKey:
    """What tells, without its text, whether a row is current."""

    id: str
    path: str
    file_hash: str
    chunk_no: int
    chunk_count: int
    embedded: bool = True


KEY_FIELDS = ["id", "path", "file_hash", "chunk_no", "chunk_count", "embedded"]
Row = dict[str, Any]


def row_id(path: str, chunk_no: int) -> str:
    """Primary key: sha256 of the path's bytes, NUL and the decimal chunk number."""
    return hashlib.sha256(os.fsencode(path) + b"\0%d" % chunk_no).hexdigest()


def physical_name(name: str, fingerprint: str) -> str:
    """The collection behind the alias `name` for this fingerprint."""
    return f"{name}__{fingerprint[:8]}"


class Store:
    """One collection of one Milvus, by its alias.

    Every method raises `StoreError` (or `StoreUnavailableError`) for what Milvus refuses;
    after that nothing may be written and the store must not be closed in order: the
    embedded database flushes on closing, which would make a loss permanent.
    """

    def __init__(
        self,
        client: MilvusClient,
        name: str,
        uri: str,
        *,
        embedded: bool,
        release: Callable[[], None] = lambda: None,
        is_server: bool = False,
    ) -> None:
        self._client = client
        self._release = release
        self._uri = uri
        self._broken = False
        self.name = name
        self.embedded = embedded
        self.is_server = is_server
        self.physical = ""
        self.fields: frozenset[str] = frozenset()

    def close(self) -> None:
        """Close the client and, when it is ours, the embedded server."""
        if self._broken:
            return
        with self._guard():
            self._client.close()
            self._release()

    # --- the collection ------------------------------------------------------------

    def describe(self, name: str) -> dict[str, Any] | None:
        """Milvus's description of a collection or alias of ours; None if there is none.

        Raises `ForeignCollectionError` where something else made it.
        """
        with self._guard():
            if not self._client.has_collection(name, timeout=CALL_TIMEOUT):
                return None
            found: dict[str, Any] = self._client.describe_collection(
                name, timeout=CALL_TIMEOUT
            )
        ours = FINGERPRINT in found.get("properties", {})
        if not ours or found["collection_name"] == self.name:
            raise ForeignCollectionError(
                f"the collection {name!r} at {self._uri} was not made by codx-index: "
                "choose another name with --collection"
            )
        return found

    def prepare(
        self, fingerprint: str, dimension: int, properties: dict[str, str]
    ) -> None:
        """Create or open the physical collection of this fingerprint, for writing."""
        current = self.describe(self.name)
        self.physical = physical_name(self.name, fingerprint)
        found = self.describe(self.physical)
        if found is None:
            self._remove_torn()
            self._create(dimension, {**properties, FINGERPRINT: fingerprint})
            reach("created")
        elif found["properties"][FINGERPRINT] != fingerprint:
            raise ForeignCollectionError(
                f"the collection {self.physical!r} at {self._uri} holds another index: "
                "choose another name with --collection"
            )
        else:
            self.fields = _field_names(found)
        with self._guard():
            for field in self._vector_fields():
                if not self._client.list_indexes(
                    self.physical, field_name=field, timeout=CALL_TIMEOUT
                ):
                    # A run was killed between the calls that create a collection.
                    self._client.create_index(
                        self.physical, self._index_params([field]), timeout=CALL_TIMEOUT
                    )
            self._client.load_collection(self.physical, timeout=CALL_TIMEOUT)
            if current is None:
                if self.embedded:  # whose alias may outlive its collection
                    self._client.drop_alias(self.name, timeout=CALL_TIMEOUT)
                # The first index is searchable while it grows.
                self._client.create_alias(
                    self.physical, self.name, timeout=CALL_TIMEOUT
                )
        reach("prepared")

    def _create(self, dimension: int, properties: dict[str, str]) -> None:
        with self._guard():
            version = str(self._client.get_server_version(timeout=CALL_TIMEOUT))
            schema = _schema(dimension, sparse=_knows_sparse(version))
            self.fields = frozenset(field.name for field in schema.fields)
            self._client.create_collection(
                self.physical,
                schema=schema,
                index_params=self._index_params(self._vector_fields()),
                consistency_level="Strong",
                properties=properties,
                timeout=CALL_TIMEOUT,
            )

    def _vector_fields(self) -> list[str]:
        return ["vector", *(["sparse"] if self.has_sparse else [])]

    def _index_params(self, fields: Sequence[str]) -> IndexParams:
        index = self._client.prepare_index_params()
        if "sparse" in fields:
            index.add_index(
                "sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP"
            )
        if "vector" not in fields:
            return index
        if self.embedded:
            index.add_index("vector", index_type="FLAT", metric_type="COSINE")
        else:
            index.add_index(
                "vector",
                index_type="HNSW",
                metric_type="COSINE",
                params={"M": 16, "efConstruction": 200},
            )
        return index

    def _remove_torn(self) -> None:
        """milvus-lite refuses to create a collection whose folder is there, and leaves
        one without a schema when it is killed, or the disk is full, while it creates it.
        """
        folder = os.path.join(self._uri, "collections", self.physical)
        if self.embedded and not os.path.exists(os.path.join(folder, "schema.json")):
            shutil.rmtree(folder, ignore_errors=True)

    def open(self) -> dict[str, str]:
        """Open the collection behind the alias, for reading; returns its properties.

        Raises `NoIndexError` where there is none.
        """
        found = self.describe(self.name)
        if found is None:
            raise NoIndexError(f"no collection {self.name!r} at {self._uri}")
        self.physical = found["collection_name"]
        self.fields = _field_names(found)
        with self._guard():
            self._client.load_collection(self.physical, timeout=CALL_TIMEOUT)
        return dict(found["properties"])

    @property
    def has_sparse(self) -> bool:
        """Does the collection have sparse vectors? Servers before 2.4 know none."""
        return "sparse" in self.fields

    def claim(self, writer: str, *, embeds: bool = True) -> None:
        """Leave the mark of the run that is about to write, with vectors or without."""
        marks = {WRITER: writer, **({HAS_VECTORS: "yes"} if embeds else {})}
        with self._guard():
            self._client.alter_collection_properties(
                self.physical, marks, timeout=CALL_TIMEOUT
            )

    @property
    def _board(self) -> str:
        """The collection, without rows, whose properties hold the lease."""
        return f"{self.name}__lease"

    def read_lease(self) -> str:
        """The text of the lease of all physical collections of this name, or ""."""
        with self._guard():
            if not self._client.has_collection(self._board, timeout=LEASE_TIMEOUT):
                return ""
            found = self._client.describe_collection(self._board, timeout=LEASE_TIMEOUT)
        return str(found.get("properties", {}).get(LEASE, ""))

    def write_lease(self, text: str) -> None:
        """Replace the text of the lease."""
        with self._guard():
            if not self._client.has_collection(self._board, timeout=LEASE_TIMEOUT):
                if not text:
                    return
                self._client.create_collection(
                    self._board, schema=_schema(2, sparse=False), timeout=CALL_TIMEOUT
                )
            self._client.alter_collection_properties(
                self._board, {LEASE: text}, timeout=LEASE_TIMEOUT
            )

    def finish(self) -> None:
        """Flush, move the alias here, and drop what it pointed to before."""
        self.flush()
        reach("flushed")
        current = self.describe(self.name)
        if current is None or current["collection_name"] != self.physical:
            with self._guard():
                self._client.alter_alias(self.physical, self.name, timeout=CALL_TIMEOUT)
            reach("moved")
        for other in self._siblings():
            if other != self.physical:
                with self._guard():
                    self._client.drop_collection(other, timeout=CALL_TIMEOUT)
                reach("dropped")

    def flush(self) -> None:
        """Make what was written permanent, without moving the alias."""
        with self._guard():
            self._client.flush(self.physical, timeout=CALL_TIMEOUT)

    def drop(self) -> bool:
        """Drop the alias and every physical collection of this name; was there any?"""
        found = self.describe(self.name)
        siblings = self._siblings()
        with self._guard():
            if found is not None:
                self._client.drop_alias(self.name, timeout=CALL_TIMEOUT)
            for name in siblings:
                self._client.drop_collection(name, timeout=CALL_TIMEOUT)
            self._client.drop_collection(self._board, timeout=CALL_TIMEOUT)
        return bool(found or siblings)

    def _siblings(self) -> list[str]:
        """Our physical collections of this name, of any fingerprint."""
        with self._guard():
            names = self._client.list_collections(timeout=CALL_TIMEOUT)
        prefix = f"{self.name}__"
        return [
            name
            for name in names
            if name.startswith(prefix)
            and len(name) == len(prefix) + 8
            and self._is_ours(name)
        ]

    def _is_ours(self, name: str) -> bool:
        try:
            return self.describe(name) is not None
        except ForeignCollectionError:
            return False

    # --- rows ------------------------------------------------------------------------

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each with all of its fields; ids must differ."""
        if not self.has_sparse:
            rows = [{k: v for k, v in row.items() if k != "sparse"} for row in rows]
        for batch in _batches(rows):
            with self._guard():
                answer = self._client.upsert(self.physical, batch, timeout=CALL_TIMEOUT)
            if answer["upsert_count"] != len(batch):
                raise self._break(
                    f"Milvus acknowledged {answer['upsert_count']} of {len(batch)} rows"
                )

    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows by primary key; absent ones are no error."""
        for start in range(0, len(ids), UPSERT_ROWS):
            with self._guard():
                self._client.delete(
                    self.physical,
                    ids=list(ids[start : start + UPSERT_ROWS]),
                    timeout=CALL_TIMEOUT,
                )

    def count(self, *, embedded: bool = False) -> int:
        """How many rows the collection holds, doubled ones counted twice; or how many of
        them are embedded."""
        narrows = embedded and "embedded" in self.fields
        with self._guard():
            answer = self._client.query(
                self.physical,
                filter="embedded == true" if narrows else "",
                output_fields=["count(*)"],
                timeout=CALL_TIMEOUT,
            )
        return int(answer[0]["count(*)"])

    def keys(self) -> Iterator[RowKey]:
        """The key of every row, in no order, doubled ones twice."""
        with self._guard():
            if self.embedded:
                # milvus-lite's iterator scans again for each page.
                rows: Iterable[Row] = self._client.query(
                    self.physical, filter='id != ""', output_fields=KEY_FIELDS
                )
            else:
                rows = self._paged()
            for row in rows:
                yield RowKey(*(row[field] for field in KEY_FIELDS))

    def _paged(self) -> Iterator[Row]:
        iterator = self._client.query_iterator(
            self.physical, batch_size=READ_ROWS, output_fields=KEY_FIELDS
        )
        try:
            while page := iterator.next():
                yield from page
        finally:
            iterator.close()

    def fetch(self, ids: Sequence[str], fields: Sequence[str] = ("*",)) -> list[Row]:
        """The rows with these ids, those that are there, with these fields and their id."""
        rows: list[Row] = []
        for start in range(0, len(ids), UPSERT_ROWS):
            with self._guard():
                rows += self._client.get(
                    self.physical,
                    ids=list(ids[start : start + UPSERT_ROWS]),
                    output_fields=list(fields),
                    timeout=CALL_TIMEOUT,
                )
        return rows

    def search(
        self,
        field: str,
        query: NDArray[np.float32] | Weights,
        limit: int,
        where: str = "",
    ) -> list[Row]:
        """The best rows by "vector" (cosine) or "sparse" (inner product), best first,
        without their vectors; only those that meet the condition (see `condition`).

        Each has `score` beside the fields. Servers take a `limit` of up to 16,384.
        """
        params = {"params": {"ef": max(64, 2 * limit)}} if field == "vector" else {}
        if field == "vector" and "embedded" in self.fields:
            where = f"{where} and embedded == true" if where else "embedded == true"
        with self._guard():
            hits = self._client.search(
                self.physical,
                data=[query],
                anns_field=field,
                filter=where,
                limit=limit,
                output_fields=SHOWN_FIELDS,
                search_params=params,
                timeout=CALL_TIMEOUT,
            )
        return [
            {"id": hit["id"], **hit["entity"], "score": float(hit["distance"])}
            for hit in hits[0]
        ]

    def has_vectors(self) -> bool:
        """Is any row embedded?"""
        if "embedded" not in self.fields:
            return True
        with self._guard():
            found = self._client.query(
                self.physical,
                filter="embedded == true",
                output_fields=["chunk_no"],
                limit=1,
                timeout=CALL_TIMEOUT,
            )
        return bool(found)

    # --- errors ----------------------------------------------------------------------

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn what pymilvus and gRPC raise into our errors."""
        import grpc
        from pymilvus.exceptions import MilvusException, MilvusUnavailableException

        try:
            yield
        except (MilvusUnavailableException, grpc.RpcError) as error:
            raise self._break(_one_line(error), StoreUnavailableError) from error
        except MilvusException as error:
            lost = "UNAVAILABLE" in str(error) or "Fail connecting" in str(error)
            kind = StoreUnavailableError if lost else StoreError
            raise self._break(_one_line(error), kind) from error
        except (OSError, ValueError) as error:
            raise self._break(_one_line(error)) from error

    def _break(
        self, message: str, kind: type[CodxIndexError] = StoreError
    ) -> CodxIndexError:
        self._broken = True
        is_full = os.strerror(errno.ENOSPC) in message
        hint = DAMAGED if self.embedded and not is_full else ""
        return kind(f"Milvus at {self._uri}: {message}{hint}")


FIELDS = [
    *KEY_FIELDS[:-1],
    *("start_line", "end_line", "language", "symbol", "text"),
    *("embedded", "vector", "sparse"),
]
SHOWN_FIELDS = [
    *("path", "chunk_no", "chunk_count", "start_line", "end_line"),
    *("language", "symbol", "text"),
]


def condition(language: str = "", start: str = "") -> str:
    """A filter for rows of this language whose path begins like `start`.

    Both go into an expression of Milvus's own language: what is no plain name narrows
    nothing, and is for the caller to compare.
    """
    parts = []
    if re.fullmatch(r"[a-z0-9_]+", language):
        parts.append(f'language == "{language}"')
    if re.fullmatch(r"[A-Za-z0-9_./ -]+", start):
        end = start[:-1] + chr(ord(start[-1]) + 1)
        parts.append(f'path >= "{start}" and path < "{end}"')
    return " and ".join(parts)


def _knows_sparse(version: str) -> bool:
    """Sparse vectors came with Milvus 2.4."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= (2, 4)


def _field_names(description: dict[str, Any]) -> frozenset[str]:
    return frozenset(field["name"] for field in description["fields"])


def _schema(dimension: int, *, sparse: bool) -> CollectionSchema:
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("path", DataType.VARCHAR, max_length=4096)
    schema.add_field("file_hash", DataType.VARCHAR, max_length=64)
    for name in ("chunk_no", "chunk_count", "start_line", "end_line"):
        schema.add_field(name, DataType.INT32)
    schema.add_field("language", DataType.VARCHAR, max_length=64)
    schema.add_field("symbol", DataType.VARCHAR, max_length=4096)
    schema.add_field("text", DataType.VARCHAR, max_length=65535)
    schema.add_field("embedded", DataType.BOOL)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    if sparse:
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
    return schema


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        cost = (
            len(row["text"].encode())
            + row["vector"].nbytes
            + 8 * len(row.get("sparse", ()))
            + 512
        )
        if batch and (len(batch) == UPSERT_ROWS or size + cost > UPSERT_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += cost
    if batch:
        yield batch


def _one_line(error: BaseException) -> str:
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    return " ".join(str(message).split())[:300]


# --- opening -------------------------------------------------------------------------


def connect(uri: str, token: str, name: str) -> Store:
    """A Milvus that somebody else serves.

    Raises `StoreUnavailableError` after a few attempts: pymilvus tells a dead server, a
    wrong token and a wrong certificate apart no better than this.
    """
    _silence()
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    pause = CONNECT_PAUSE
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            # Clients of one address share a channel unless told otherwise.
            client = MilvusClient(uri, token=token, timeout=10, dedicated=True)
            return Store(client, name, uri, embedded=False)
        except (MilvusException, OSError, ValueError) as error:
            if attempt + 1 == CONNECT_ATTEMPTS:
                raise StoreUnavailableError(
                    f"no Milvus answers at {uri}: is it running, is the token right, "
                    "and does the scheme (http or https) match its certificate?"
                ) from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


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
    _silence()
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
                f"cannot open {database}: {_one_line(error)}{DAMAGED}"
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


def is_locked(path: str) -> bool:
    """Has a process locked this file? As the kernel tells: who tried the lock could turn
    a run away that begins just then. False where the kernel does not tell."""
    try:
        inode = f":{os.stat(path).st_ino}"
        with open("/proc/locks", encoding="ascii") as file:
            return any(
                " FLOCK " in line and line.split()[5].endswith(inode) for line in file
            )
    except OSError:
        return False


def peek(database: str, name: str) -> dict[str, str]:
    """What the collection behind the alias says of itself, read from disk without opening
    the embedded database; {} where that does not work, which proves nothing."""
    try:
        with open(os.path.join(database, "aliases.json"), encoding="utf-8") as file:
            physical = json.load(file)[name]
        schema = os.path.join(database, "collections", physical, "schema.json")
        with open(schema, encoding="utf-8") as file:
            return dict(json.load(file)["properties"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


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
        _silence()
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

        from indexer.sparse_index import SparseIndex

        pairs = struct.Struct("<If")
        sparse.bytes_to_sparse = lambda data: dict(pairs.iter_unpack(data))
        sparse_factory.SparseIpIndex = SparseIndex


def _silence() -> None:
    """pymilvus and milvus-lite log whole tracebacks of what we report in one line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Or it reads, when it is imported, the `.env` of any folder above itself: of the project,
    # where that has the virtual environment.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    import logging

    import pymilvus  # noqa: F401  (it sets its loggers up when it is imported)

    with contextlib.suppress(ImportError):
        from pymilvus.client.utils import SciPyHelper

        # Or it imports scipy, to see whether a sparse vector is one of scipy's.
        SciPyHelper._checked = True
    for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)


def signature(database: str, physical: str) -> str:
    """What the embedded database looks like on disk, without opening it as one.

    "" where the collection is not there. Reading leaves it as it is; any write changes
    the collection's `manifest.json`, its list of segments or its log. Index files are
    left out: they follow from the segments.
    """
    root = os.path.join(database, "collections", physical)
    digest = hashlib.sha256()
    try:
        for name in ("schema.json", "manifest.json"):
            with open(os.path.join(root, name), "rb") as file:
                digest.update(file.read() + b"\0")
        with open(os.path.join(database, "aliases.json"), "rb") as file:
            digest.update(json.dumps(json.load(file), sort_keys=True).encode())
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {"indexes"})
            for name in sorted(names):
                found = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(found.st_mode) and not name.startswith("manifest.json"):
                    where = os.path.relpath(os.path.join(folder, name), root)
                    digest.update(f"{where}\0{found.st_size}\0".encode())
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
