"""Milvus: the only importer of pymilvus and milvus-lite.

A collection `<name>` is an alias to the physical collection `<name>__<8 of fingerprint>`,
so that another model's index grows beside the old one until the alias moves.
A row never leaves before its successor is there, and rows go by primary key only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from indexer.errors import (
    CodxIndexError,
    ForeignCollectionError,
    NoIndexError,
    StoreError,
    StoreUnavailableError,
)
from indexer.faults import reach
from indexer.milvus.on_disk import physical_name
from indexer.milvus.rows import KEY_FIELDS, SHOWN_FIELDS, Row, RowKey
from indexer.milvus.schema import _schema, field_names, knows_sparse
from indexer.milvus.table import UPSERT_ROWS, batches
from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymilvus import MilvusClient
    from pymilvus.milvus_client.index import IndexParams


MOST_HITS = 16_384  # of a search
READ_ROWS = 10_000  # servers refuse more than 16,384 a query

CALL_TIMEOUT = 60.0  # seconds; pymilvus retries on its own within it
LEASE_TIMEOUT = 5.0

FINGERPRINT = "codx.fingerprint"
WRITER = "codx.writer"
LEASE = "codx.lease"
HAS_VECTORS = "codx.has-vectors"  # once a run embedded; until then, no row has one


DAMAGED = (
    " (if the database is damaged, codx-index clear removes it, and the next run builds it "
    "anew)"
)


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
            self.fields = field_names(found)
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
            schema = _schema(dimension, sparse=knows_sparse(version))
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
        self.fields = field_names(found)
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
        for batch in batches(rows):
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
            raise self._break(one_line(error), StoreUnavailableError) from error
        except MilvusException as error:
            lost = "UNAVAILABLE" in str(error) or "Fail connecting" in str(error)
            kind = StoreUnavailableError if lost else StoreError
            raise self._break(one_line(error), kind) from error
        except (OSError, ValueError) as error:
            raise self._break(one_line(error)) from error

    def _break(
        self, message: str, kind: type[CodxIndexError] = StoreError
    ) -> CodxIndexError:
        self._broken = True
        is_full = os.strerror(errno.ENOSPC) in message
        hint = DAMAGED if self.embedded and not is_full else ""
        return kind(f"Milvus at {self._uri}: {message}{hint}")


def one_line(error: BaseException) -> str:
    """The message of an error in one line of at most 300 characters."""
    message = getattr(error, "message", "") or str(error) or type(error).__name__
    return " ".join(str(message).split())[:300]
