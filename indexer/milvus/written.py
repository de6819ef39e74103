"""What milvus-lite does with the rows that it gets, without looking at every number.

milvus-lite compares the type of each number of a vector, and copies each value of a segment into a
Python object and back. Both take longer than writing the segment.

Read in the versions of `internals.READ_IN`; tests/milvus/test_written.py compares the results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from indexer.milvus.segments import picked

_OURS = frozenset({"VARCHAR", "INT32", "BOOL", "FLOAT_VECTOR", "SPARSE_FLOAT_VECTOR"})


def by_size(validate: Callable[..., None]) -> Callable[..., None]:
    """A function that checks our rows faster than `validate`, and leaves all others to it.

    A message can only have the types of its fields, so only sizes are left to check.
    """

    def validated(
        record: dict[str, Any], schema: Any, default_properties: Any = None
    ) -> None:
        if not _fits(record, schema):
            validate(record, schema, default_properties=default_properties)

    return validated


def _fits(record: dict[str, Any], schema: Any) -> bool:
    """Whether the record has all fields and no other, each of the right kind and size."""
    if len(record) != len(schema.fields) or schema.enable_dynamic_field:
        return False
    for field in schema.fields:
        value, kind = record.get(field.name), field.dtype.name
        if value is None or kind not in _OURS or field.is_function_output:
            return False
        if kind == "VARCHAR" and len(value) > (field.max_length or len(value)):
            return False
        if kind == "FLOAT_VECTOR" and len(value) != field.dim:
            return False
    return True


def data_table(memtable: Any, rows: list[tuple[int, int]]) -> Any:
    """The rows of a memtable, each given as (number of its batch, number in the batch), as an Arrow
    table."""
    import pyarrow as pa

    schema, batches = memtable._data_schema, memtable._insert_batches
    starts, size = [], 0
    for batch in batches:
        starts.append(size)
        size += batch.num_rows
    whole = pa.Table.from_batches(batches).select(schema.names)
    found = picked(whole, [starts[batch] + row for batch, row in rows])
    found = found.combine_chunks()
    return found if found.schema.equals(schema) else found.cast(schema)
