"""What a shared collection holds, read by pymilvus and nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from indexer.milvus.embedded import serve

Rows = dict[str, dict[str, Any]]


@contextmanager
def open_database(database: Path) -> Iterator[Any]:
    """pymilvus's client of a database that projects share."""
    store = serve(str(database), str(database.parent), "none", patience=20)
    try:
        yield store._client
    finally:
        store.close()


def all_rows(database: Path, name: str) -> Rows:
    """Every row of the projects, all fields, by id; a doubled one fails."""
    with open_database(database) as client:
        if not client.has_collection(name):
            return {}
        return rows_of(client, name)


def rows_of(client: Any, name: str) -> Rows:
    """The same, of a Milvus that is open."""
    client.load_collection(name)
    rows = []
    iterator = client.query_iterator(
        name, filter='project != "board"', batch_size=1000, output_fields=["*"]
    )
    while page := iterator.next():
        rows += page
    iterator.close()
    found = {row["id"]: dict(row) for row in rows}
    assert len(found) == len(rows), "a row is there twice"
    return found


def of_project(rows: Rows, key: str) -> Rows:
    """The rows of one project."""
    return {id_: row for id_, row in rows.items() if row["project"] == key}
