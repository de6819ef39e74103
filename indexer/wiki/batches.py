"""Batches of items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`, like `itertools.batched` of Python 3.12."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
