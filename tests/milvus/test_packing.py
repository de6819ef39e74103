"""Our own packing of rows gives pymilvus's own requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from indexer.milvus.internals import silence
from indexer.milvus.packing import by_column
from indexer.milvus.schema import collection_schema


def row(number: int, sparse: bool = True) -> dict[str, Any]:
    about = {
        "id": f"{number:064x}",
        "path": f"a/ü{number}.py",
        "file_hash": "f" * 40,
        "chunk_no": number,
        "chunk_count": 9,
        "start_line": 1,
        "end_line": 2**31 - 1,
        "language": "python",
        "symbol": "",
        "text": "x = '🎈'\n" * number,
        "embedded": bool(number % 2),
        "vector": np.linspace(-1, 1, 100, dtype=np.float32) + number,
    }
    if sparse:
        about["sparse"] = {7: 0.5, 3 + number: 1.25, 2**31 - 1: 2.0 / 3}
    return about


def requests(rows: list[Any], *, sparse: bool = True) -> tuple[Any, Any]:
    """What pymilvus makes of the rows, and what we make of them."""
    silence()
    from pymilvus.client.prepare import Prepare
    from pymilvus.grpc_gen.milvus_pb2 import UpsertRequest

    fields = collection_schema(100, sparse=sparse).to_dict()["fields"]
    theirs = Prepare._parse_upsert_row_request
    return (
        theirs(UpsertRequest(), fields, [], False, rows),
        by_column(theirs)(UpsertRequest(), fields, [], False, rows),
    )


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_request_is_the_same(count: int, sparse: bool) -> None:
    theirs, ours = requests([row(n, sparse) for n in range(count)], sparse=sparse)
    named = {one.field_name: one for one in ours.fields_data}
    assert named == {one.field_name: one for one in theirs.fields_data}
    assert len(ours.fields_data) == len(theirs.fields_data) == len(row(0, sparse))


def test_rows_that_are_not_ours_are_left_to_pymilvus() -> None:
    seen: list[Any] = []
    silence()
    pack = by_column(lambda *given: seen.append(given))
    fields = collection_schema(100, sparse=True).to_dict()["fields"]
    whole = row(1)
    less = {name: value for name, value in whole.items() if name != "text"}
    nullable = [{**fields[0], "nullable": True}, *fields[1:]]
    others: list[tuple[Any, ...]] = [
        (fields, [], False, [whole, less]),
        (fields, [], False, [{**whole, "more": 1}]),
        (fields, [], True, [whole]),
        (fields, [{"name": "struct"}], False, [whole]),
        (fields, [], False, [whole], True),
        (nullable, [], False, [whole]),
    ]
    for given in others:
        pack(None, *given)
        assert seen.pop()[1:5] == given[:4]
