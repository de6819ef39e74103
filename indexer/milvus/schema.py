"""The schema of a physical collection: its name, fields and indexes, and conditions on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Set
from typing import TYPE_CHECKING, Any

from indexer.milvus.internals import silence

if TYPE_CHECKING:
    from pymilvus import CollectionSchema
    from pymilvus.milvus_client.index import IndexParams

SCHEMA_VERSION = 2  # part of the fingerprint
PROJECT_LENGTH = 32  # of a project's key, in hex digits
MOST_PATHS = 1_000  # that a condition names
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./ -]+")


def physical_name(name: str, fingerprint: str) -> str:
    """The collection behind the alias `name` for this fingerprint."""
    return f"{name}__{fingerprint[:8]}"


def collection_schema(
    dimension: int, *, sparse: bool, projects: bool = False, partitions: bool = False
) -> CollectionSchema:
    """The fields of a row, with vectors of `dimension` and perhaps sparse vectors.

    If `projects` share the collection, each row has the key of one. With `partitions`, Milvus keeps
    the rows apart by that key.
    """
    silence()
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    if projects:
        schema.add_field(
            "project",
            DataType.VARCHAR,
            max_length=PROJECT_LENGTH,
            is_partition_key=partitions,
        )
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


def vector_indexes(fields: Set[str], *, embedded: bool) -> IndexParams:
    """The indexes of the fields that hold vectors, among these fields.

    The embedded database compares every vector (FLAT); a server has a graph (HNSW).
    """
    silence()
    from pymilvus import MilvusClient

    indexes = MilvusClient.prepare_index_params()
    if "sparse" in fields:
        indexes.add_index(
            "sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="IP"
        )
    if "vector" in fields and embedded:
        indexes.add_index("vector", index_type="FLAT", metric_type="COSINE")
    elif "vector" in fields:
        indexes.add_index(
            "vector",
            index_type="HNSW",
            metric_type="COSINE",
            params={"M": 16, "efConstruction": 200},
        )
    return indexes


def knows_sparse(version: str) -> bool:
    """Whether a Milvus of this version has sparse vectors, which came with 2.4."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= (2, 4)


def field_names(description: dict[str, Any]) -> frozenset[str]:
    """The names of the fields in Milvus's description of a collection."""
    return frozenset(field["name"] for field in description["fields"])


def dimension_of(description: dict[str, Any]) -> int:
    """The length of the vectors in Milvus's description of a collection."""
    fields = {field["name"]: field for field in description["fields"]}
    return int(fields["vector"]["params"]["dim"])


def of_projects(keys: Collection[str]) -> str:
    """A filter for the rows of the projects with these keys, in a collection that they share.

    The keys become part of an expression in Milvus's own language, so they must be hashes.
    """
    assert keys and all(re.fullmatch(f"[0-9a-f]{{{PROJECT_LENGTH}}}", k) for k in keys)
    if len(keys) == 1:
        return f'project == "{next(iter(keys))}"'
    return "project in [" + ", ".join(f'"{key}"' for key in keys) + "]"


def condition(
    language: str = "", start: str = "", paths: Collection[str] | None = None
) -> str:
    """A filter for the rows of this language whose path begins with `start`, or is one of `paths`.

    All become part of an expression in Milvus's own language. So one that is not a plain
    name is left out, and the caller must compare it with the rows. The same goes for more paths
    than an expression should have.
    """
    parts = []
    if re.fullmatch(r"[a-z0-9_]+", language):
        parts.append(f'language == "{language}"')
    if _PLAIN_PATH.fullmatch(start):
        end = start[:-1] + chr(ord(start[-1]) + 1)
        parts.append(f'path >= "{start}" and path < "{end}"')
    if paths and len(paths) <= MOST_PATHS and all(map(_PLAIN_PATH.fullmatch, paths)):
        parts.append("path in [" + ", ".join(f'"{one}"' for one in sorted(paths)) + "]")
    return " and ".join(parts)
