"""Compares every row of the collection with what chunking the tree gives now."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from contextlib import ExitStack, closing

from msgspec import Struct

from indexer.address import is_cluster
from indexer.config import Settings, require_state
from indexer.index.audit import row_path
from indexer.index.collection import Collection, agreed, database_lock
from indexer.index.gate import admit
from indexer.index.identity import identify
from indexer.index.known import Known
from indexer.index.lock import run_lock
from indexer.milvus.rows import UPSERT_BYTES, Row, chunk_rows, row_bytes
from indexer.milvus.store import Store
from indexer.paths import is_within
from indexer.pool.cpus import available_cpus
from indexer.report import Report
from indexer.run.changes import find_changes
from indexer.run.sight import Sight
from indexer.text.by_words import is_by_words
from indexer.tree.files import open_roots
from indexer.tree.project import scan_project
from indexer.tree.reader import Reader
from indexer.types import ChangedFile, ChunkedFile, Weights
from indexer.work.tasks import chunked_files
from indexer.work.workshop import open_anywhere

UNIT_TOLERANCE = 1e-3
READ_ROWS = 4_000  # in a call


class Difference(Struct, frozen=True):
    """The path of a file, or of a row, and what is wrong with its rows; "" means the whole index."""

    path: str
    problem: str


class Expected(Struct, frozen=True):
    """The rows that a file should have, without their vectors, and whether the file `is_plain`."""

    path: str
    rows: list[Row]
    is_plain: bool = False


def verify(settings: Settings, report: Report) -> list[Difference]:
    """Every difference between tree and collection, sorted by path; [] if they are equal.

    Holds the lock and reads every file and every row. Nothing is embedded: a vector is only
    checked to be there and to have unit length. Raises `NoIndexError` if there is no index.
    """
    admit(settings)
    require_state(settings)
    settings = agreed(settings)
    identity = identify(settings)
    report.fingerprint = identity.fingerprint
    with ExitStack() as stack:
        deadline = time.monotonic() + settings.wait
        lock = run_lock(settings.lock_path, deadline, is_reader=True)
        stack.enter_context(lock)
        if settings.database:
            lock = database_lock(settings, deadline, is_reader=True)
            stack.enter_context(lock)
        index = Collection(settings, identity, is_reader=True)
        stack.enter_context(closing(index))
        roots = stack.enter_context(open_roots(settings))
        store = index.open_existing()
        if store.physical != index.physical:
            return [Difference("", "the index was built with other settings")]
        sight = Sight(scan_project(settings, report))
        changes = find_changes(settings, sight, Known(), report)
        reader = Reader(changes, roots, settings, report)
        jobs = settings.jobs
        if not is_cluster(settings.executor):
            jobs = jobs or available_cpus()
        workers = stack.enter_context(
            open_anywhere(
                settings.executor,
                jobs,
                identity.backend,
                reading=settings.reading,
                task_timeout=settings.task_timeout,
            )
        )
        dimension = identity.backend.model.dimension
        pairs = chunked_files(reader, workers.chunkers, workers.jobs)
        differences = list(
            _compare(
                store,
                expected_groups(pairs, report, dimension, settings.project_key),
                report,
                reader.left_out,
                settings,
            )
        )
    differences += [Difference(*failure) for failure in report.failures.items()]
    return sorted(differences, key=lambda difference: difference.path)


def expected_groups(
    pairs: Iterable[tuple[ChangedFile, ChunkedFile]],
    report: Report,
    dimension: int,
    project: str = "",
) -> Iterator[list[Expected]]:
    """What the files should have, in groups that one call reads: many rows, but few bytes.

    Files that could not be chunked go to the report. `project` is as in `chunk_rows`.
    """
    group: list[Expected] = []
    number = size = 0
    for change, file in pairs:
        if file.error:
            report.fail(change.path, file.error)
            continue
        rows = chunk_rows(
            change.path,
            change.file_hash,
            file.language,
            file.chunks,
            file.weights,
            project,
        )
        cost = sum(row_bytes(row, 4 * dimension) for row in rows)
        if group and (number + len(rows) > READ_ROWS or size + cost > UPSERT_BYTES):
            yield group
            group, number, size = [], 0, 0
        group.append(Expected(change.path, rows, file.is_plain))
        number += len(rows)
        size += cost
    if group:
        yield group


def _compare(
    store: Store,
    groups: Iterable[list[Expected]],
    report: Report,
    left_out: Set[str],
    settings: Settings,
) -> Iterator[Difference]:
    """Compare rows with files. `left_out` fills while groups are read: those keep their rows."""
    rows = Counter[str]()
    paths: dict[str, str] = {}
    wrong: set[str] = set()  # listed already: their surplus rows need no second line
    for key in store.keys():
        rows[key.id] += 1
        paths[key.id] = row_path(key)
    report.chunks.total = rows.total()
    for group in groups:
        ids = [row["id"] for file in group for row in file.rows]
        found = {row["id"]: row for row in store.fetch(ids, at_once=READ_ROWS)}
        for file in group:
            by_words = is_by_words(file.path, file.is_plain, settings.embedding)
            # What is to have vectors may have some without a run that embeds.
            embedded = False if by_words else (True if settings.embeds else None)
            problem = _first_problem(file.rows, found, rows, embedded)
            if problem:
                yield Difference(file.path, problem)
                wrong.add(file.path)
            report.files.unchanged += not problem and bool(file.rows)
        for row_id in ids:
            paths.pop(row_id, None)
    for path in sorted(set(paths.values()) - wrong - left_out):
        if settings.only is None or is_within(path, settings.only):
            yield Difference(path, "rows that belong to no current file")


def _first_problem(
    expected: list[Row],
    found: dict[str, Row],
    rows: Counter[str],
    embedded: bool | None,
) -> str:
    """What is wrong with the rows of a file, "" if nothing is. They are to be `embedded`, or not, or
    may be either."""
    for row in expected:
        number, there = row["chunk_no"], found.get(row["id"])
        if there is None:
            return f"row {number} is missing"
        if rows[row["id"]] != 1:
            return f"row {number} occurs {rows[row['id']]} times"
        for field, value in row.items():
            if field != "sparse" and there[field] != value:
                return f"row {number} has a different {field}"
        if "sparse" in there and not _are_alike(there["sparse"], row["sparse"]):
            return f"row {number} has a different sparse vector"
        if embedded and not there["embedded"]:
            return f"row {number} has no vector yet"
        if embedded is False and there["embedded"]:
            return f"row {number} has a vector, but should be found by its words alone"
        length = math.sqrt(sum(float(x) ** 2 for x in there["vector"]))
        if not abs(length - 1) <= UNIT_TOLERANCE:
            return f"the vector of row {number} has length {length:.4f}"
    return ""


def _are_alike(one: Weights, other: Weights) -> bool:
    """Whether two sparse vectors are equal up to what float32 leaves of their weights."""
    return one.keys() == other.keys() and all(
        math.isclose(weight, other[term], rel_tol=1e-6) for term, weight in one.items()
    )
