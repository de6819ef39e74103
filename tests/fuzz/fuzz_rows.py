"""The rows of an embedded database, read by milvus-lite alone from a copy of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from fuzz_oracle import lines_of

COLLECTION = "codx_index"
FIELDS = ["id", "path", "file_hash", "chunk_no", "chunk_count", "start_line", "end_line", "text",
          "embedded"]  # fmt: skip
Row = dict[str, Any]


def read_rows(root: Path) -> dict[str, list[Row]]:
    """The rows of each path, in the order of their chunks."""
    from milvus_lite import MilvusLite

    database = root / ".codx/index/milvus.db"
    if not database.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy.db")
        shutil.copytree(database, copy)
        with MilvusLite(copy) as lite:
            name = lite.resolve_collection_name(COLLECTION)
            if not lite.has_collection(name):  # a tree without files
                return {}
            collection = lite.get_collection(name)
            collection.load()
            found = collection.query('id != ""', output_fields=FIELDS)
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(found, key=lambda row: int(row["chunk_no"])):
        rows[row["path"]].append(dict(row))
    return dict(rows)


def shown_path(path: str) -> str:
    """A path as rows have it."""
    return path.replace("\\", "\\\\")


def fault_of(rows: list[Row], file_hash: str, data: bytes) -> str:
    """What is wrong with the rows of one file, "" if nothing is."""
    count = len(rows)
    if {row["file_hash"] for row in rows} != {file_hash}:
        return f"has {sorted({row['file_hash'] for row in rows})}, not {file_hash}"
    if [row["chunk_no"] for row in rows] != list(range(count)):
        return f"has the chunks {[row['chunk_no'] for row in rows]}"
    if {row["chunk_count"] for row in rows} != {count}:
        return f"says {rows[0]['chunk_count']} chunks, has {count}"
    if len({row["id"] for row in rows}) != count:
        return "has an id twice"
    lines = lines_of(data)
    for row in rows:
        span = lines[row["start_line"] - 1 : row["end_line"]]
        if [line.rstrip() for line in row["text"].split("\n")] != [
            line.rstrip() for line in span
        ]:
            return f"chunk {row['chunk_no']} is not of its lines"
    text = "\n".join(row["text"] for row in rows)
    if [line.strip() for line in text.split("\n") if line.strip()] != [
        line.strip() for line in lines if line.strip()
    ]:
        return "lacks lines, or has some twice"
    return ""


def faults(
    rows: dict[str, list[Row]], expected: dict[str, str], root: Path
) -> dict[str, str]:
    """What is wrong with the rows of each path."""
    wanted = {shown_path(path): path for path in expected}
    found = {path: "should not be there" for path in rows.keys() - wanted.keys()}
    for shown, path in wanted.items():
        if shown not in rows:
            found[shown] = "is missing"
        else:
            data = (root / path).read_bytes()
            if fault := fault_of(rows[shown], expected[path], data):
                found[shown] = fault
    return found
