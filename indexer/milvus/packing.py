"""Packs rows for Milvus column by column.

pymilvus packs value by value, looks up the type of each, and goes through every character of a
text. That takes as long as writing the rows.

Read in the versions of `internals.READ_IN`; tests/milvus/test_packing.py compares the requests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from indexer.types import Weights

# The types of our fields, as the protocol numbers them.
_BOOL, _INT32, _VARCHAR, _FLOAT_VECTOR, _SPARSE = 1, 4, 21, 101, 104
_SCALARS = {_BOOL: "bool_data", _INT32: "int_data", _VARCHAR: "string_data"}
_OURS = frozenset({*_SCALARS, _FLOAT_VECTOR, _SPARSE})


def by_column(pack: Callable[..., Any]) -> Callable[..., Any]:
    """A function that packs our rows faster than `pack`, which is `Prepare._parse_upsert_row_request`,
    and leaves all others to it."""

    def packed(
        request: Any,
        fields: list[dict[str, Any]],
        structs: Any,
        dynamic: bool,
        rows: list[Any],
        partial_update: bool = False,
    ) -> Any:
        if structs or dynamic or partial_update or not _are_ours(fields, rows):
            return pack(request, fields, structs, dynamic, rows, partial_update)
        for field in fields:
            name = field["name"]
            _add_column(request, field, [row[name] for row in rows])
        return request

    return packed


def _are_ours(fields: list[dict[str, Any]], rows: list[Any]) -> bool:
    """Whether each row has every field and no other, and all fields are of kinds that we write."""
    names = {field["name"] for field in fields}
    return all(
        field["type"] in _OURS
        and not any(map(field.get, ("nullable", "default_value", "auto_id")))
        and not field.get("is_function_output")
        for field in fields
    ) and all(type(row) is dict and row.keys() == names for row in rows)


def _add_column(request: Any, field: dict[str, Any], values: Sequence[Any]) -> None:
    import numpy as np

    column = request.fields_data.add(field_name=field["name"], type=field["type"])
    if attribute := _SCALARS.get(field["type"]):
        getattr(column.scalars, attribute).data.extend(values)
    elif field["type"] == _SPARSE:
        column.vectors.sparse_float_vector.contents.extend(map(_sparse, values))
    else:
        matrix = np.asarray(values, "<f4")
        column.vectors.dim = matrix.shape[1]
        # As it stands in the message: a tag, the size, and the numbers.
        data = matrix.tobytes()
        column.vectors.float_vector.MergeFromString(b"\n" + _varint(len(data)) + data)


def _sparse(weights: Weights) -> bytes:
    """Pairs of an index and a weight, in the order of the indexes."""
    return struct.pack(
        f"<{'If' * len(weights)}", *chain.from_iterable(sorted(weights.items()))
    )


def _varint(number: int) -> bytes:
    """A number as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
