"""Compares the rows of two indexes."""

from __future__ import annotations

from typing import Any


def comparable(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {id_: {**row, "vector": tuple(row["vector"])} for id_, row in rows.items()}
