"""Prints as JSON which probes an index holds for each path: {path: [probe, …]}.

    python probes_in.py cocoindex-code DATABASE
    python probes_in.py chunkhound DATABASE

It runs in the environment of the program whose index it reads.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing

PROBE = re.compile(r"\bprobe[a-z]{8}\b")
Row = tuple[str, str]  # path, text


def main() -> None:
    program, place = sys.argv[1:]
    read = {"cocoindex-code": cocoindex, "chunkhound": chunkhound}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path, text in read[program](place):
        found[path] |= set(PROBE.findall(text))
    print(json.dumps({path: sorted(probes) for path, probes in found.items()}))


def cocoindex(database: str) -> Iterator[Row]:
    import sqlite_vec  # type: ignore[import-not-found]

    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        yield from connection.execute("SELECT file_path, content FROM code_chunks_vec")


def chunkhound(database: str) -> Iterator[Row]:
    import duckdb  # type: ignore[import-not-found]

    with closing(duckdb.connect(database, read_only=True)) as connection:
        yield from connection.execute(
            "SELECT files.path, chunks.code FROM chunks JOIN files ON files.id = chunks.file_id"
        ).fetchall()


if __name__ == "__main__":
    main()
