"""The rows of one indexed file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from indexer.languages import NOTEBOOK
from indexer.milvus.rows import Row, row_id
from indexer.milvus.store import Store
from indexer.paths import unescape_path
from indexer.search.candidates import Candidate


def rows_of(
    store: Store,
    path: str,
    numbers: Iterable[int],
    extra: Sequence[str] = (),
    project: str = "",
) -> list[Row]:
    """The rows of a file with these chunk numbers, as far as they exist, in order.

    `extra` are fields to fetch besides the usual ones, if the collection has them. `project` is
    as in `row_id`.
    """
    name = unescape_path(path)
    try:
        ids = [row_id(name, number, project) for number in numbers]
    except UnicodeEncodeError:
        return []  # no file has such a name
    fields = [
        *("path", "chunk_no", "start_line", "end_line", "language", "symbol", "text"),
        *(name for name in extra if name in store.fields),
    ]
    return sorted(store.fetch(ids, fields), key=lambda row: int(row["chunk_no"]))


def lines_around(best: Candidate, context: int, store: Store) -> tuple[str, str]:
    """At most `context` lines before and after a chunk, taken from the chunks near it."""
    store.open()
    first, last = best.start_line, best.end_line
    reach = context + 1  # every chunk has at least one line
    numbers = range(max(0, best.chunk_no - reach), best.chunk_no + reach + 1)
    lines: dict[int, str] = {}
    for row in rows_of(store, best.path, numbers, ["file_hash"], best.project):
        if row["file_hash"] != best.file_hash:
            continue  # a run has written it since the chunk was found
        for number, text in enumerate(row["text"].split("\n"), row["start_line"]):
            if number <= row["end_line"]:  # a cell can be on one line of a notebook
                lines.setdefault(number, text)
    last_known = min(last + context, max(lines, default=last))
    # Lines between chunks are blank.
    before = [lines.get(n, "") for n in range(max(1, first - context), first)]
    after = [lines.get(n, "") for n in range(last + 1, last_known + 1)]
    if best.language == NOTEBOOK:  # a cell is surrounded by JSON, which no row has
        return "\n".join(before).lstrip("\n"), "\n".join(after).rstrip("\n")
    return "\n".join(before), "\n".join(after)
