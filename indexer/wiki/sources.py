"""What a page is made of, and how a wiki gets at it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from indexer.errors import CodxIndexError
from indexer.types import FileRecord
from indexer.wiki.describe import Description
from indexer.wiki.pages import DOCS, Folder
from indexer.wiki.related import Related, cosine
from indexer.wiki.state import KnownFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


T = TypeVar("T")


RENDERER_VERSION = 1
"""Raise it whenever the same material may give another page."""


class WikiError(CodxIndexError):
    """The wiki's folder is not ours to write."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the wiki has its material from.

    `records` are those of the manifest; files with chunks have pages. `read` gives a file's
    bytes, None where it is gone or cannot be read. `describe` is
    `describe.describe_files`, through the pool, for as many files as come; one that is
    left out is tried again by the next update. `vectors` gives a path and its chunks'
    vectors, of shape (chunks, dimension). `summarize` gives a path and a paragraph, where it has one,
    for files that have none of `summary_key` (what stands for the command). With another
    `key` (the index's fingerprint: what vectors and masking hang on) all is begun afresh.
    """

    records: Mapping[str, FileRecord]
    read: Callable[[str], bytes | None]
    describe: Callable[[Iterable[tuple[str, str, bytes]]], Iterator[Description]]
    vectors: Callable[[Sequence[FileRecord]], Iterator[tuple[str, NDArray[np.float32]]]]
    summarize: Callable[[Sequence[Description]], Iterator[tuple[str, str]]] | None = (
        None
    )
    summary_key: str = ""
    key: str = ""


@dataclass(slots=True)
class Material:
    """All that pages are made of, but for definitions and texts."""

    files: dict[str, KnownFile]
    folders: dict[str, Folder]
    imports: dict[str, tuple[str, ...]]
    importers: dict[str, list[str]]
    related: dict[str, Related]
    summaries: dict[str, str] = field(default_factory=dict)

    def key(self, path: str) -> str:
        """Changes with the page of a file. Definitions and text hang on the bytes."""
        file = self.files[path]
        about = [
            *(RENDERER_VERSION, path, file.file_hash),
            *(self.imports[path], self.importers.get(path, ())),
            self.cosines(path),
            self.summaries.get(file.file_hash, ""),
        ]
        return hash(json.dumps(about))

    def cosines(self, path: str) -> list[tuple[str, float]]:
        """What is related, as it is shown."""
        return [(other, round(cosine(n), 2)) for other, n in self.related[path]]


def _name(page: str) -> str:
    return f"{DOCS}/{page}"


def hash(data: str | bytes) -> str:
    """The SHA-256 of a text or of some bytes, in hex."""
    data = data.encode() if isinstance(data, str) else data
    return hashlib.sha256(data).hexdigest()


def valid(text: str) -> str:
    """Without lone surrogates, which JSON can bring."""
    return text.encode("utf-8", "replace").decode()


def batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    while batch := list(islice(items, size)):
        yield batch
