"""A chunk that may answer a query."""

from __future__ import annotations

from msgspec import Struct


class Candidate(Struct, frozen=True):
    """A chunk that at least one of the two searches found.

    `dense` is its rank (the first is 1) and its cosine in the search by vectors, `sparse` its
    rank and its inner product in the search by terms; None if that search did not find it.
    Without a vector (`has_vector`) only the search by terms can find it. If several indexes are searched, `index` is the number of the one that it comes from. In an index that projects share, `project` is the key of one.
    `file_hash` is the blob id of the bytes that the text is from.
    """

    path: str
    chunk_no: int
    start_line: int
    end_line: int
    language: str
    symbol: str
    text: str
    index: int = 0
    dense: tuple[int, float] | None = None
    sparse: tuple[int, float] | None = None
    has_vector: bool = True
    project: str = ""
    file_hash: str = ""
