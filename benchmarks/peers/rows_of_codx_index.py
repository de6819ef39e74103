"""Counts the rows of a codx-index index by path; prints JSON.

    python rows_of_codx_index.py STATE MARKER

`marked` counts only the rows whose text contains the marker.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from indexer.milvus.embedded import serve


def main() -> None:
    state, marker = sys.argv[1:]
    database = str(Path(state, "milvus.db"))
    store = serve(database, state, "codx_index", patience=60)
    store.open()
    rows = list(store.fetch([key.id for key in store.keys()]))
    store.close()
    marked = Counter(row["path"] for row in rows if marker and marker in row["text"])
    paths = Counter(row["path"] for row in rows)
    print(json.dumps({"paths": paths, "marked": marked}))


if __name__ == "__main__":
    main()
