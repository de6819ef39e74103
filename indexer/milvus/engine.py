"""milvus-lite's engine, called in this process like a client of pymilvus.

Importing pymilvus and gRPC and starting a server takes as long as the rest of a search. A process that
asks once and then ends needs none of them. Other processes wait meanwhile, because nothing serves the
database to them.

tests/milvus/test_engine.py compares the answers with those of pymilvus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from indexer.milvus.client_errors import COLLECTION_NOT_FOUND, EngineError
from indexer.milvus.internals import abandon_engine, finish_merges, open_engine
from indexer.milvus.rows import Row

if TYPE_CHECKING:
    from pymilvus import CollectionSchema
    from pymilvus.milvus_client.index import IndexParams

P = ParamSpec("P")
T = TypeVar("T")

COUNT = "count(*)"


def _call(
    method: Callable[Concatenate[EngineClient, P], T],
) -> Callable[Concatenate[EngineClient, P], T]:
    """The method, for one thread at a time, which raises nothing but `EngineError`."""

    @wraps(method)
    def call(client: EngineClient, /, *given: P.args, **options: P.kwargs) -> T:
        options.pop("timeout", None)  # nothing can be cut off here
        with client._in_use, _translated():
            return method(client, *given, **options)

    return call


_keeping = Lock()
_kept: dict[str, EngineClient] | None = None  # by the path of the database


@contextmanager
def kept_open() -> Iterator[None]:
    """A block in which a database that is closed stays open until this process opens it again, or the block ends.

    So a search after an update finds what the update has read. Others wait for as long.
    """
    global _kept
    with _keeping:
        _kept = {}
    try:
        yield
    finally:
        with _keeping:
            left, _kept = _kept or {}, None
        for client in left.values():
            with suppress(EngineError):  # nothing is left to be written
                client.close()


def is_kept_open(database: str) -> bool:
    """Whether this process has closed the database, and can open it again at once."""
    return bool(_kept and database in _kept)


class EngineClient:
    """The methods of `MilvusClient` that our store calls, with the same meaning.

    Threads may share it: they take turns. Every method raises `EngineError`.
    """

    def __init__(self, database: str) -> None:
        """Open the database. Raises `BlockingIOError` if another process has it open, and
        `StateError` if it cannot be opened."""
        self._in_use = RLock()
        self._kept_as = ""  # its path, if it may be kept open
        self._database = open_engine(database)

    @classmethod
    def open(cls, database: str) -> EngineClient:
        """The database, as it was kept open or opened now. Raises as `EngineClient` does."""
        with _keeping:
            kept = _kept.pop(database, None) if _kept else None
        client = kept or cls(database)
        client._kept_as = database
        return client

    @_call
    def close(self) -> None:
        """Close the database, which writes what is still only in memory, unless it is `kept_open`."""
        if _kept is not None and self._kept_as:
            finish_merges(self._database)  # which change what is on disk
            with _keeping:
                if _kept is not None:
                    _kept[self._kept_as] = self
                    return
        self._database.close()

    @_call
    def abandon(self) -> None:
        """Let go of the database as a kill would, without writing anything more."""
        abandon_engine(self._database)

    # --- collections ------------------------------------------------------------------

    @_call
    def list_collections(self) -> list[str]:
        """The names of all collections."""
        return list(self._database.list_collections())

    @_call
    def has_collection(self, name: str) -> bool:
        """Whether there is a collection, or an alias, of this name."""
        return bool(self._database.has_collection(name))

    @_call
    def describe_collection(self, name: str) -> dict[str, Any]:
        """A collection's name, fields and properties. An alias stands for its collection."""
        collection = self._collection(name)
        schema = collection.schema
        fields = [
            {
                "name": field.name,
                "params": {"dim": field.dim} if field.dim is not None else {},
            }
            for field in schema.fields
        ]
        properties = {str(key): str(value) for key, value in schema.properties.items()}
        return {
            "collection_name": collection.name,
            "fields": fields,
            "properties": properties,
        }

    @_call
    def create_collection(
        self,
        name: str,
        schema: CollectionSchema,
        consistency_level: str,
        properties: Mapping[str, str],
    ) -> None:
        """Create a collection. Within one process, every read is consistent."""
        from milvus_lite.schema import types

        given = schema.to_dict()
        fields = [
            types.FieldSchema(
                field["name"],
                types.DataType[field["type"].name],
                is_primary=bool(field.get("is_primary")),
                dim=field.get("params", {}).get("dim"),
                max_length=field.get("params", {}).get("max_length"),
            )
            for field in given["fields"]
        ]
        self._database.create_collection(
            name, types.CollectionSchema(fields), properties=dict(properties)
        )

    @_call
    def drop_collection(self, name: str) -> None:
        """Remove a collection, if there is one."""
        self._database.drop_collection(name)

    @_call
    def alter_collection_properties(
        self, name: str, properties: Mapping[str, str]
    ) -> None:
        """Set some properties; the others stay."""
        self._database.alter_collection_properties(name, properties=dict(properties))

    @_call
    def load_collection(self, name: str) -> None:
        """Make a collection ready to be read."""
        self._collection(name).load()

    @_call
    def flush(self, name: str) -> None:
        """Make what was written permanent."""
        self._collection(name).flush()

    @_call
    def create_alias(self, name: str, alias: str) -> None:
        """Give a collection another name, which must be free."""
        self._database.create_alias(name, alias)

    @_call
    def alter_alias(self, name: str, alias: str) -> None:
        """Move an alias to a collection."""
        self._database.alter_alias(name, alias)

    @_call
    def drop_alias(self, alias: str) -> None:
        """Remove an alias, if there is one."""
        self._database.drop_alias(alias)

    @_call
    def create_index(self, name: str, indexes: IndexParams, sync: bool = True) -> None:
        """Create these indexes, at once."""
        for index in indexes:
            about = index.to_dict()
            self._collection(name).create_index(
                about.pop("field_name"),
                {
                    "index_type": about["index_type"],
                    "metric_type": about["metric_type"],
                    "params": about.get("params", {}),
                },
            )

    @_call
    def list_indexes(self, name: str, field_name: str = "") -> list[str]:
        """The names of all indexes, or of those of a field."""
        found: list[str] = self._collection(name).list_indexes()
        return [one for one in found if one == field_name or not field_name]

    @_call
    def get_server_version(self) -> str:
        """The version of milvus-lite."""
        from milvus_lite._version import get_version

        return f"milvus_lite-{get_version()}"

    # --- rows -------------------------------------------------------------------------

    @_call
    def upsert(self, name: str, rows: Sequence[Row]) -> dict[str, int]:
        """Write rows; returns how many as `upsert_count`."""
        written = self._collection(name).upsert([_plain(row) for row in rows])
        return {"upsert_count": len(written)}

    @_call
    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Delete rows by primary key. An absent row is no error."""
        self._collection(name).delete(list(ids))

    @_call
    def get(
        self, name: str, ids: Sequence[str], output_fields: Sequence[str]
    ) -> list[Row]:
        """These fields of the rows with these ids, as far as they exist."""
        found = self._collection(name).get(list(ids), output_fields=[*output_fields])
        return [_shown(row) for row in found]

    @_call
    def query(
        self,
        name: str,
        filter: str = "",
        output_fields: Sequence[str] = (),
        limit: int | None = None,
        consistency_level: str = "Strong",
    ) -> list[Row]:
        """These fields of the rows that meet a condition, or how many there are."""
        collection = self._collection(name)
        if COUNT in output_fields:
            count = len(collection.query(filter)) if filter else collection.num_entities
            return [{COUNT: count}]
        found = collection.query(filter, output_fields=[*output_fields], limit=limit)
        return [_shown(row) for row in found]

    @_call
    def search(
        self,
        name: str,
        data: Sequence[Any],
        anns_field: str,
        limit: int,
        output_fields: Sequence[str],
        search_params: Mapping[str, Any],
        filter: str = "",
    ) -> list[list[Row]]:
        """The best rows of each query, best first, as `id`, `distance` and `entity`."""
        found = self._collection(name).search(
            query_vectors=[_as_sent(one) for one in data],
            top_k=limit,
            expr=filter or None,
            output_fields=[*output_fields],
            anns_field=anns_field,
            search_params=search_params.get("params", {}),
        )
        return [
            [{**hit, "distance": _single(hit["distance"])} for hit in hits]
            for hits in found
        ]

    def _collection(self, name: str) -> Any:
        return self._database.get_collection(name)


@contextmanager
def _translated() -> Iterator[None]:
    """A block whose errors become `EngineError`s, because from a server every error is an answer."""
    try:
        yield
    except Exception as error:
        kind = type(error).__name__
        code = COLLECTION_NOT_FOUND if kind == "CollectionNotFoundError" else 1
        raise EngineError(str(error), code) from error


def _plain(row: Row) -> Row:
    """The row as it would arrive in a message."""
    plain = {**row, "vector": [*map(float, row["vector"])]}
    return {**plain, "sparse": _as_sent(row["sparse"])} if "sparse" in row else plain


def _as_sent(given: Any) -> Any:
    """Terms as they would arrive in a message, with weights of single precision; a vector unchanged."""
    if isinstance(given, Mapping):
        return {int(term): _single(weight) for term, weight in given.items()}
    return given


def _single(number: float) -> float:
    import struct

    return float(struct.unpack("f", struct.pack("f", number))[0])


def _shown(row: Row) -> Row:
    """The row with its terms as numbers."""
    from milvus_lite.analyzer.sparse import bytes_to_sparse

    if isinstance(terms := row.get("sparse"), bytes):
        return {**row, "sparse": bytes_to_sparse(terms)}
    return row
