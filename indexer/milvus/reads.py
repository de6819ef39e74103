"""Reads a collection in arrays; `internals` puts this into milvus-lite.

For each read, milvus-lite looks at every row in Python: is it the newest with its id, is it deleted,
does it match. Here the newest rows are found once for each state of the segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from indexer.milvus.segments import Columns, MemoryColumns, SegmentColumns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Record = dict[str, Any]


# Further arguments that a read may get, with the values that change nothing.
_PLAIN = {
    **{"partition_names": None, "timezone": None, "order_by_pk": False},
    **{"group_by_field": None, "group_size": 1, "strict_group_size": False},
    **{"radius": None, "range_filter": None, "offset": 0, "ranker": None},
}


class Library(Struct, frozen=True):
    """What reads need of milvus-lite: its `evaluate_mask`, `build_projection_plan` and `project_record`."""

    mask: Callable[[Any, Any], NDArray[np.bool_]]
    plan: Callable[..., Any]
    project: Callable[[Record, Any, Any], Record]


class Newest:
    """The rows of segments that are the newest with their ids and not deleted.

    Rows are numbered through all segments. `deleted` has the sequence number at which an id was last
    deleted.
    """

    def __init__(
        self, segments: Sequence[SegmentColumns], deleted: Mapping[Any, int]
    ) -> None:
        import numpy as np

        self.segments = segments
        self.deleted = deleted
        self.seqs = np.concatenate([np.empty(0, "u8"), *(one.seqs for one in segments)])
        order = np.argsort(self.seqs, kind="stable")
        pks = np.fromiter(
            chain.from_iterable(one.pks for one in segments), object, len(order)
        )
        self.rows: dict[Any, int] = dict(zip(pks[order], order.tolist(), strict=True))
        for pk, seq in deleted.items():
            row = self.rows.get(pk)
            if row is not None and self.seqs[row] < seq:
                del self.rows[pk]
        self.live = np.zeros(len(order), bool)
        self.live[np.fromiter(self.rows.values(), np.intp, len(self.rows))] = True


class Snapshot(Struct, frozen=True):
    """What a read sees: rows in `parts`, numbered through all of them, of which some are `live`.

    The last part is the rows in memory; `in_memory` has their numbers by id.
    """

    parts: Sequence[Columns]
    live: NDArray[np.bool_]
    newest: Newest
    in_memory: Mapping[Any, int]

    def row(self, pk: Any) -> int | None:
        """The row with this id, if it is live."""
        row = self.in_memory.get(pk, self.newest.rows.get(pk))
        return row if row is not None and self.live[row] else None

    def matching(self, condition: Any, library: Library) -> NDArray[np.bool_]:
        """Which rows are live and meet milvus-lite's compiled condition, if there is one."""
        if condition is None:
            return self.live
        import numpy as np

        names = tuple(sorted(condition.fields))
        masks = [library.mask(condition, part.kept(names)) for part in self.parts]
        matching: NDArray[np.bool_] = self.live & np.concatenate(masks)
        return matching

    def best(
        self, query: Any, field: str, wanted: NDArray[np.bool_], most: int
    ) -> Iterator[tuple[int, float]]:
        """Yield the best of the wanted rows with their scores, best first; equals keep their order.

        The query is a vector of unit length, which ranks by cosine, or terms with weights, which rank by
        inner product. A row that has none of the terms is not found.
        """
        import numpy as np

        scores: list[NDArray[Any]]
        if isinstance(query, dict):
            scores = [part.inner_products(field, query) for part in self.parts]
        else:
            scores = [_cosines(part, field, query) for part in self.parts]
        points = np.where(wanted, np.concatenate(scores), -np.inf)
        lowest = np.nextafter(0, 1) if isinstance(query, dict) else -2.0
        if most < len(points):
            lowest = max(lowest, np.partition(points, -most)[-most])
        rows = np.flatnonzero(points >= lowest)
        for row in rows[np.argsort(-points[rows], kind="stable")][:most].tolist():
            yield row, float(points[row])

    def records(
        self, rows: Sequence[int], names: Sequence[str], *, keep: bool = False
    ) -> Iterator[Record]:
        """Yield these columns of some rows, in their order."""
        starts = list(accumulate((len(part.pks) for part in self.parts), initial=0))
        found: dict[int, Record] = {}
        for part, start, end in zip(self.parts, starts, starts[1:], strict=False):
            here = [row for row in rows if start <= row < end]
            if here:
                inner = [row - start for row in here]
                records = part.records(inner, names, keep=keep)
                found |= zip(here, records, strict=True)
        return map(found.__getitem__, rows)


class _Records(Sequence[Record]):
    """Records that are not read if only their number is asked for."""

    def __init__(
        self, snapshot: Snapshot, rows: Sequence[int], names: Sequence[str]
    ) -> None:
        self._snapshot, self._rows, self._names = snapshot, rows, names

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Record]:
        return self._snapshot.records(self._rows, self._names)

    def __getitem__(self, place: Any) -> Any:
        return [*self][place]


class Reads:
    """The reads of one of milvus-lite's collections.

    Each takes the arguments of milvus-lite's own, and returns None if that one must answer: for partitions,
    groups, pages by id, other metrics. Rows in memory are taken before the segments, so that a flush in
    between hides none.
    """

    def __init__(self, collection: Any, library: Library) -> None:
        self._collection = collection
        self._library = library
        self._version = -1
        self._newest: Newest | None = None

    def close(self) -> None:
        """Close the segments that were read last. A merge may have replaced some of them since."""
        for segment in self._newest.segments if self._newest else ():
            segment.close()
        self._newest = None

    def search(
        self, query_vectors: list[Any], top_k: int = 10, **given: Any
    ) -> list[list[Record]] | None:
        """The best rows of each query, best first, as `id`, `distance` and `entity`."""
        collection = self._collection
        field = collection._resolve_anns_field(given.get("anns_field"))
        metric = collection.resolve_search_metric(field, given.get("metric_type"))
        is_sparse = self._is_sparse(field)
        if metric != ("IP" if is_sparse else "COSINE") or not self._is_plain(given):
            return None
        collection._require_loaded()
        if is_sparse:
            options = given.get("search_params") or {}
            collection._validate_sparse_tuning(field, metric, options)
            queries = collection._prepare_sparse_queries(query_vectors, field)
        else:
            queries = _unit_vectors(query_vectors)
        snapshot = self._snapshot()
        wanted = self._matching(snapshot, given.get("expr"))
        plan, names = self._projection(given.get("output_fields"), "search")
        project = self._library.project
        answers = []
        for query in queries:
            best = dict(snapshot.best(query, field, wanted, top_k))
            records = snapshot.records(list(best), names, keep=True)
            answers.append(
                [
                    {"id": record[collection._pk_name], "distance": score}
                    | {"entity": project(record, collection.schema, plan)}
                    for record, score in zip(records, best.values(), strict=True)
                ]
            )
        return answers

    def query(
        self, expr: str | None = None, limit: int | None = None, **given: Any
    ) -> Sequence[Record] | None:
        """The rows that meet a condition."""
        import numpy as np

        if not self._is_plain(given):
            return None
        self._collection._require_loaded()
        snapshot = self._snapshot()
        rows = np.flatnonzero(self._matching(snapshot, expr))[:limit]
        wanted = given.get("output_fields")
        _, names = self._projection(wanted, "query")
        found = _Records(snapshot, rows.tolist(), names)
        # A caller that names no fields may only want the number of rows: milvus-lite counts like that.
        return found if wanted is None else list(found)

    def get(self, pks: list[Any], **given: Any) -> list[Record] | None:
        """The rows with these ids, as far as they exist, in the order of `pks`."""
        if not self._is_plain(given) or given.get("expr"):
            return None
        self._collection._require_loaded()
        snapshot = self._snapshot()
        rows = [row for row in map(snapshot.row, pks) if row is not None]
        _, names = self._projection(given.get("output_fields"), "get")
        return list(snapshot.records(rows, names))

    def count(self, partition_names: list[str] | None) -> int | None:
        """The number of live rows."""
        return None if partition_names else int(self._snapshot().live.sum())

    def _is_plain(self, given: Mapping[str, Any]) -> bool:
        return not self._collection.schema.enable_dynamic_field and all(
            given.get(name) == usual or not given.get(name)
            for name, usual in _PLAIN.items()
        )

    def _is_sparse(self, field: str) -> bool:
        fields = self._collection.schema.fields
        found = next(one for one in fields if one.name == field)
        return bool(found.dtype.name == "SPARSE_FLOAT_VECTOR")

    def _matching(self, snapshot: Snapshot, expr: str | None) -> NDArray[np.bool_]:
        condition = self._collection._compile_filter(expr) if expr else None
        return snapshot.matching(condition, self._library)

    def _projection(self, fields: list[str] | None, kind: str) -> tuple[Any, list[str]]:
        """What milvus-lite makes of the wanted fields, and which fields must be read for that."""
        collection = self._collection
        plan = self._library.plan(fields, collection.schema, api_kind=kind)
        return plan, list(
            dict.fromkeys([collection._pk_name, *plan.response_schema_fields])
        )

    def _snapshot(self) -> Snapshot:
        collection = self._collection
        memtable = collection._memtable
        memory = MemoryColumns(memtable.to_arrow_table(), collection._pk_name)
        deleted = memtable.delete_index_snapshot()
        return snapshot(
            self.newest(), memory, {pk: seq for pk, (seq, _) in deleted.items()}
        )

    def newest(self) -> Newest:
        """The newest rows of the segments: the same object as long as the segments do not change."""
        collection = self._collection
        with collection._maintenance_lock:
            # Each change of the list of segments, or of deletions, has a version of its own.
            version = collection._manifest.version
            if self._newest is None or self._version != version:
                segments, deleted = collection._read_snapshot()
                self._newest = Newest(segments, deleted.snapshot)
                self._version = version
            return self._newest


def snapshot(
    newest: Newest, memory: MemoryColumns, deleted: Mapping[Any, int]
) -> Snapshot:
    """What a read sees: rows and deletions in memory take precedence over the segments."""
    import numpy as np

    start = len(newest.live)
    live = np.concatenate([newest.live, np.ones(len(memory.pks), bool)])
    in_memory = {pk: start + place for place, pk in enumerate(memory.pks)}
    for pk, seq in zip(memory.pks, memory.seqs.tolist(), strict=True):
        row = newest.rows.get(pk)
        # A replayed log has rows that are already in a segment.
        if row is not None:
            live[row if newest.seqs[row] <= seq else in_memory[pk]] = False
        if newest.deleted.get(pk, -1) > seq:
            live[in_memory[pk]] = False
    for pk, seq in deleted.items():
        row = newest.rows.get(pk)
        if row is not None and newest.seqs[row] < seq:
            live[row] = False
    return Snapshot([*newest.segments, memory], live, newest, in_memory)


def _cosines(
    part: Columns, field: str, query: NDArray[np.float32]
) -> NDArray[np.float32]:
    import numpy as np

    if not part.pks:
        return np.empty(0, np.float32)
    vectors, lengths = part.vectors_of(field)
    # A product of matrices would wake the threads of BLAS, which wait for each other.
    cosines: NDArray[np.float32] = np.vecdot(vectors, query) / lengths
    return np.minimum(cosines, 1)


def _unit_vectors(vectors: list[Any]) -> list[NDArray[np.float32]]:
    import numpy as np

    found = np.asarray(vectors, np.float32)
    if found.ndim != 2:
        raise ValueError(f"query_vectors must be a 2-D list, got {found.ndim} axes")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return list(found / np.where(lengths == 0, 1, lengths))
