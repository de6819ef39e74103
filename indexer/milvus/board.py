"""What writers tell each other on a server: rows of a small collection beside the index.

They are rows because a server that crashes can roll back the properties of its collections, and
restored collections come without them. A row that was acknowledged stays.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from indexer.address import Address
from indexer.errors import AccessError, StoreError
from indexer.milvus.client import CALL_TIMEOUT, Guard
from indexer.milvus.internals import remember_schema
from indexer.milvus.schema import collection_schema, vector_indexes

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

    from indexer.milvus.rows import Row

LEASE, MARK = "lease", "mark"  # the kinds of texts, and the ids of their rows
BOARD_TIMEOUT = 5.0  # seconds; a lease that takes longer to write is useless
VECTOR = [1.0, 0.0]  # Milvus has no collection without vectors


class Board:
    """Two texts for all physical collections of one name: the lease, and the last writer's mark.

    Every method raises `StoreError` or `StoreUnavailableError`.
    """

    kinds: tuple[str, ...] = (LEASE, MARK)

    def __init__(
        self,
        client: MilvusClient,
        where: Address | str,
        name: str,
        patience: float = 0,
    ) -> None:
        self._client = client
        # Its own guard, because the lease is given back after an error elsewhere, too.
        self._guard = Guard(where, patience=min(patience, BOARD_TIMEOUT))
        self.place = f"{name}__lease"
        self._mark: str | None = None
        self._is_ours = False
        self._is_unfinished = False

    def read(self) -> str:
        """The text of the lease, "" if there is none."""
        return self._read().get(LEASE, "")

    @property
    def mark(self) -> str:
        """The mark that the last writer left, "" if there is none.

        It is the one that we left ourselves, or else the one that stood there when the lease was last read.
        """
        if self._mark is None:
            self._read()
        return self._mark or ""

    def write(self, text: str) -> None:
        """Replace the text of the lease. An empty text creates no collection."""
        self._write(LEASE, text)

    def write_mark(self, mark: str) -> None:
        """Leave the mark of the run that is about to write."""
        self._is_ours = True
        self._write(MARK, mark)
        self._mark = mark

    def drop(self) -> None:
        """Remove the board and what is on it."""
        self._guard.call(self._client.drop_collection, self.place)

    def _read(self) -> dict[str, str]:
        texts = self._texts()
        if not self._is_ours:
            self._mark = texts.get(MARK, "")
        return texts

    def _texts(self) -> dict[str, str]:
        try:
            return self._query()
        except AccessError:
            raise
        except StoreError:
            # We must be certain that nothing is there, because then we write.
            if not self._exists():
                return {}
            if not self._is_indexed():
                self._is_unfinished = True  # rows can be written there, but not read
                return {}
            self._load()
            return self._query()

    def _query(self) -> dict[str, str]:
        ids = {self._id(kind): kind for kind in self.kinds}
        rows: list[Row] = self._guard.call(
            self._client.query,
            self.place,
            filter=f"id in {json.dumps([*ids])}",
            output_fields=["text"],
            consistency_level="Strong",
            timeout=BOARD_TIMEOUT,
        )
        return {ids[row["id"]]: row["text"] for row in rows}

    def _id(self, kind: str) -> str:
        """The primary key of the row with the text of this kind."""
        return kind

    def _write(self, kind: str, text: str) -> None:
        if self._is_unfinished and text:
            self._make()
            self._is_unfinished = False
        try:
            self._upsert(kind, text)
        except AccessError:
            raise
        except StoreError:
            if not text and not self._exists():
                return  # it was dropped together with the index
            self._make()
            self._upsert(kind, text)

    def _upsert(self, kind: str, text: str) -> None:
        row = self._row(kind, text)
        self._remember_schema()
        self._guard.call(self._client.upsert, self.place, [row], timeout=BOARD_TIMEOUT)

    def _row(self, kind: str, text: str) -> Row:
        return {
            **dict.fromkeys(("path", "file_hash", "language", "symbol"), ""),
            **dict.fromkeys(("chunk_no", "chunk_count", "start_line", "end_line"), 0),
            **{"id": self._id(kind), "text": text},
            **{"embedded": False, "vector": VECTOR},
        }

    def _remember_schema(self) -> None:
        remember_schema(self._client, self.place, _schema().to_dict())

    def _make(self) -> None:
        """Create the collection, or the parts of it that are missing.

        An earlier version's collection has neither rows nor an index.
        """
        if not self._exists():
            self._guard.call(
                self._client.create_collection,
                self.place,
                schema=_schema(),
                consistency_level="Strong",
                is_done=self._exists,
            )
        if not self._is_indexed():
            self._guard.call(
                self._client.create_index,
                self.place,
                vector_indexes({"vector"}, embedded=True),
                sync=False,
                is_done=self._is_indexed,
            )
        self._load()

    def _exists(self) -> bool:
        return bool(self._guard.call(self._client.has_collection, self.place))

    def _is_indexed(self) -> bool:
        return bool(self._guard.call(self._client.list_indexes, self.place))

    def _load(self) -> None:
        self._guard.call(self._client.load_collection, self.place, timeout=CALL_TIMEOUT)


def _schema() -> CollectionSchema:
    return collection_schema(len(VECTOR), sparse=False)
