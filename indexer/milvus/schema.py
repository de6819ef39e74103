"""The schema of a collection, and conditions on its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymilvus import CollectionSchema


SCHEMA_VERSION = 2


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


def knows_sparse(version: str) -> bool:
    """Sparse vectors came with Milvus 2.4."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is None or (int(found[1]), int(found[2])) >= (2, 4)


def field_names(description: dict[str, Any]) -> frozenset[str]:
    """The names of the fields in Milvus's description of a collection."""
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
