"""An entry of the embedding cache: its key, its source, and whether it is sound."""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from msgspec import Struct

from indexer.types import Chunk

Key = bytes
"""The sha256 of the text that the model sees."""

Entry = tuple[Key, bytes, int, int]
"""(key, vector, checksum, day of the last use)."""


def key_of(chunk: Chunk) -> Key:
    """The cache's key of a chunk. The same text has the same vector, wherever it is."""
    return key_of_text(chunk.embedded_text)


def key_of_text(text: str) -> Key:
    """The cache's key of a text that the model sees."""
    return hashlib.sha256(text.encode()).digest()


class Source(Struct, frozen=True):
    """What decides the vectors of a file.

    `identity` is the hex sha256 of everything that decides them. The vectors have shape
    (dimension,). `model` and `precision` are only shown.
    """

    identity: str
    dimension: int
    model: str = ""
    precision: str = ""


def checked_source(
    identity: object, dimension: object, model: object, precision: object
) -> Source | None:
    """A source made of values from a file, None where they cannot be right: they name files."""
    if not (isinstance(identity, str) and isinstance(dimension, int)):
        return None
    is_name = len(identity) == 64 and identity.isascii() and identity.isalnum()
    if not is_name or dimension < 1:
        return None
    return Source(identity, dimension, str(model), str(precision))


def checksum(source: Source, key: Key, blob: bytes) -> int:
    """The checksum of an entry. It differs between sources."""
    return zlib.crc32(blob, zlib.crc32(key, zlib.crc32(source.identity.encode())))


def is_sound(source: Source, key: Any, blob: Any, crc: Any) -> bool:
    """Whether this is an entry as it was written. A damaged file can give anything."""
    return (
        isinstance(key, bytes)
        and isinstance(blob, bytes)
        and len(blob) == 4 * source.dimension
        and bool(checksum(source, key, blob) == crc)
    )
