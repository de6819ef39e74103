"""The rows of one physical collection: written, read and searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from indexer.milvus.client import Guard
from indexer.milvus.internals import check_segments
from indexer.milvus.rows import (
    KEY_FIELDS,
    PROJECT,
    SHOWN_FIELDS,
    UPSERT_ROWS,
    Row,
    RowKey,
    batches,
)
from indexer.types import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymilvus import MilvusClient

MOST_HITS = 16_384  # of a search; a limit of servers
READ_TIMEOUT = 600.0  # seconds; to read the keys of all rows of a large database
READ_ROWS = 10_000  # per page; servers refuse more than 16,384 a query
READ_TEXTS = 2_000  # per page, with their texts: a message has 64 MB at most
IS_EMBEDDED = "embedded == true"


class Table:
    """The rows of the physical collection `physical`, which has these `fields`.

    In a collection that projects share, other projects' rows are neither read nor counted. Every method raises
    `StoreError` or `StoreUnavailableError`.
    """

    def __init__(self, client: MilvusClient, guard: Guard, *, embedded: bool) -> None:
        self._client = client
        self._guard = guard
        self.embedded = embedded
        self.physical = ""
        self.fields: frozenset[str] = frozenset()
        # The condition that our rows meet, in a collection that projects share.
        self.ours = ""

    @property
    def has_sparse(self) -> bool:
        """Whether the rows have sparse vectors. Servers before 2.4 do not know them."""
        return "sparse" in self.fields

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each with all of its fields; their ids must differ."""
        if not self.has_sparse:
            rows = [{k: v for k, v in row.items() if k != "sparse"} for row in rows]
        for batch in batches(rows):
            answer = self._guard.call(self._client.upsert, self.physical, batch)
            if answer["upsert_count"] != len(batch):
                raise self._guard.fail(
                    f"Milvus acknowledged {answer['upsert_count']} of {len(batch)} rows"
                )

    def copy(self, ids: Mapping[str, str]) -> None:
        """Write the rows with these ids once more, each under the id that it is mapped to."""
        import numpy as np

        for some in _slices(list(ids)):
            rows = self.fetch(some, sorted(self.fields))
            for row in rows:
                row["id"] = ids[row["id"]]
                row["vector"] = np.asarray(row["vector"], np.float32)
            self.upsert(rows)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete rows by primary key. An absent row is no error."""
        for some in _slices(ids):
            self._guard.call(self._client.delete, self.physical, ids=some)

    def count(self, *, embedded: bool = False) -> int:
        """How many rows there are, or how many embedded ones.

        A row that exists twice counts twice.
        """
        narrows = embedded and "embedded" in self.fields
        answer = self._guard.call(
            self._client.query,
            self.physical,
            filter=_all_of(self.ours, IS_EMBEDDED if narrows else ""),
            output_fields=["count(*)"],
        )
        return int(answer[0]["count(*)"])

    def has_vectors(self) -> bool:
        """Whether any row is embedded."""
        if "embedded" not in self.fields:
            return True
        found = self._guard.call(
            self._client.query,
            self.physical,
            filter=_all_of(self.ours, IS_EMBEDDED),
            output_fields=["chunk_no"],
            limit=1,
        )
        return bool(found)

    def keys(self) -> Iterator[RowKey]:
        """The key of every row, in no order.

        A row that exists twice comes twice.
        """

        def check(timeout: float) -> None:
            check_segments(self._guard.uri, self.physical)

        # Anyone who wants every key has doubts, so pages that the answer does not need are read as
        # well. But other projects' pages are not ours to read.
        if self.embedded and not self.ours:
            self._guard.call(check)
        for row in self.rows("", KEY_FIELDS):
            yield RowKey(*(row[field] for field in KEY_FIELDS))

    def rows(self, where: str, fields: Sequence[str], most: int = 0) -> Iterator[Row]:
        """These fields of every row that meets a condition (see `schema.condition`), in no order.

        With `most`, there may be no more rows than that.
        """
        where = _all_of(self.ours, where)
        if self.embedded:
            yield from self._all_at_once(where, fields, most)
        else:
            yield from self._by_page(where, fields)

    def _all_at_once(
        self, where: str, fields: Sequence[str], most: int
    ) -> Iterable[Row]:
        """milvus-lite's iterator would scan all rows again for each page."""
        limits: dict[str, Any] = {"limit": most} if most else {}
        rows: list[Row] = self._guard.call(
            self._client.query,
            self.physical,
            filter=where or 'id != ""',
            output_fields=list(fields),
            timeout=READ_TIMEOUT,
            **limits,
        )
        return rows

    def _by_page(self, where: str, fields: Sequence[str]) -> Iterator[Row]:
        iterator = self._guard.call(
            self._client.query_iterator,
            self.physical,
            batch_size=READ_TEXTS if "text" in fields else READ_ROWS,
            filter=where,
            output_fields=list(fields),
        )

        def next_page(timeout: float) -> list[Row]:
            page: list[Row] = iterator.next()  # after an error, the same page again
            return page

        try:
            while page := self._guard.call(next_page):
                yield from page
        finally:
            iterator.close()

    def fetch(
        self,
        ids: Sequence[str],
        fields: Sequence[str] = ("*",),
        at_once: int = UPSERT_ROWS,
    ) -> list[Row]:
        """The rows with these ids, as far as they exist, with these fields and their id.

        `at_once` is the number of ids in a call; its answer must be below 64 MB.
        """
        rows: list[Row] = []
        for some in _slices(ids, at_once):
            rows += self._guard.call(
                self._client.get,
                self.physical,
                ids=some,
                output_fields=list(fields),
            )
        return rows

    def search(
        self,
        field: str,
        query: NDArray[np.float32] | Weights,
        limit: int,
        where: str = "",
    ) -> list[Row]:
        """The best rows, best first, at most `limit` (up to `MOST_HITS`) of them.

        `field` is "vector", which ranks by cosine (`query` of shape (dimension,)), or
        "sparse", which ranks by inner product. `where` is a condition that the rows meet,
        see `schema.condition`. Rows have `score` in addition to their fields, but no vectors.
        """
        options: dict[str, Any] = {}
        if field == "vector":
            options = {"params": {"ef": max(64, 2 * limit)}}
            if "embedded" in self.fields:
                where = _all_of(where, IS_EMBEDDED)
        hits = self._guard.call(
            self._client.search,
            self.physical,
            data=[query],
            anns_field=field,
            filter=_all_of(self.ours, where),
            limit=limit,
            output_fields=[*SHOWN_FIELDS, *({"embedded", PROJECT} & self.fields)],
            search_params=options,
        )
        return [
            {"id": hit["id"], **hit["entity"], "score": float(hit["distance"])}
            for hit in hits[0]
        ]


def _all_of(*conditions: str) -> str:
    """The filter for rows that meet all of these conditions; some of these may be empty."""
    return " and ".join(filter(None, conditions))


def _slices(ids: Sequence[str], size: int = UPSERT_ROWS) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield list(ids[start : start + size])
