"""What milvus-lite makes of our rows is the same with and without our shortcuts."""

from __future__ import annotations

from typing import Any

import pytest

from indexer.milvus.written import by_size, data_table

DIMENSION = 4


def schema(**changes: Any) -> Any:
    from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema

    return CollectionSchema(
        fields=[
            FieldSchema("id", DataType.VARCHAR, is_primary=True, max_length=64),
            FieldSchema("chunk_no", DataType.INT32),
            FieldSchema("text", DataType.VARCHAR, max_length=20),
            FieldSchema("embedded", DataType.BOOL),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMENSION),
            FieldSchema("sparse", DataType.SPARSE_FLOAT_VECTOR),
        ],
        **changes,
    )


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"{number:x}",
        "chunk_no": number,
        "text": "a ü 🎈",
        "embedded": bool(number % 2),
        "vector": [number / 7] * DIMENSION,
        "sparse": {5: 0.5, 7: 0.25},
        **changes,
    }


WRONG = [
    record(text="a" * 21),
    record(vector=[0.5] * (DIMENSION + 1)),
    record(vector=None),
    record(more=1),
    {name: value for name, value in record().items() if name != "chunk_no"},
    {**{n: v for n, v in record().items() if n != "text"}, "other": ""},
]


def test_right_rows_are_not_looked_at() -> None:
    seen: list[Any] = []
    validate = by_size(lambda *given, **more: seen.append(given))
    validate(record(), schema())
    assert not seen
    validate(record(), schema(enable_dynamic_field=True))
    assert len(seen) == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_rows_are_refused(wrong: dict[str, Any]) -> None:
    from milvus_lite.exceptions import SchemaValidationError
    from milvus_lite.schema.validation import validate_record

    with pytest.raises(SchemaValidationError):
        by_size(validate_record)(wrong, schema())


def test_a_segment_is_the_same() -> None:
    import pyarrow as pa
    from milvus_lite.schema.arrow_builder import build_wal_data_schema
    from milvus_lite.storage.memtable import MemTable

    memtable = MemTable(schema())
    wal = build_wal_data_schema(schema())
    for start in (0, 3, 10):
        rows = [
            {
                **record(number, sparse=b"\5\0\0\0\0\0\0\x3f"),
                "_seq": number,
                "_partition": "_default",
            }
            for number in range(start, start + 5)  # some of them twice
        ]
        memtable.apply_insert(pa.RecordBatch.from_pylist(rows, schema=wal))
    ((table, _),) = memtable.flush().values()
    assert table.schema == memtable._data_schema
    live = [(batch, row) for batch, row, _ in memtable._pk_index.values()]
    assert len(live) == 13
    ours = data_table(memtable, live)
    columns = {name: [] for name in table.schema.names}  # type: dict[str, list[Any]]
    for batch, row in live:
        for name in columns:
            columns[name].append(
                memtable._insert_batches[batch].column(name)[row].as_py()
            )
    assert ours == pa.Table.from_pydict(columns, schema=table.schema) == table
    assert ours.schema == table.schema
