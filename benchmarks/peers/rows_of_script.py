"""Counts the rows in the collection of `script.py` or `sequential.py` by path; prints JSON.

    python rows_of_script.py DATABASE MARKER

`marked` counts only the rows whose text contains the marker.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from pymilvus import MilvusClient

COLLECTION = "code"
MANY = 1_000_000


def main() -> None:
    database, marker = sys.argv[1:]
    client = MilvusClient(database)
    client.load_collection(COLLECTION)
    rows = client.query(
        COLLECTION, filter="id >= 0", output_fields=["path", "text"], limit=MANY
    )
    client.close()
    marked = Counter(row["path"] for row in rows if marker and marker in row["text"])
    paths = Counter(row["path"] for row in rows)
    print(json.dumps({"paths": paths, "marked": marked}))


if __name__ == "__main__":
    main()
