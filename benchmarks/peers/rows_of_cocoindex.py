"""Counts the rows of a cocoindex-code index by path; prints JSON.

    python rows_of_cocoindex.py DATABASE MARKER

`marked` counts only the rows whose text contains the marker.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from contextlib import closing

import sqlite_vec  # type: ignore[import-not-found]


def main() -> None:
    database, marker = sys.argv[1:]
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        rows = connection.execute(
            "SELECT file_path, content FROM code_chunks_vec"
        ).fetchall()
    marked = Counter(path for path, text in rows if marker and marker in text)
    paths = Counter(path for path, _ in rows)
    print(json.dumps({"paths": paths, "marked": marked}))


if __name__ == "__main__":
    main()
