"""The data that passes between rooms: frozen, slotted, without behaviour."""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SourceFile(Struct, frozen=True):
    """A candidate file as the scan saw it, not opened yet.

    `path` is relative to the project root, with `/`, decoded as `os.fsdecode` does
    (bytes that are not UTF-8 become lone surrogates). Times are nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


ID_BYTES = 4  # a token id is a native uint32


class Chunk(Struct, frozen=True):
    """A span of whole lines of one file, small enough for the model.

    Lines are 1-based and inclusive. `text` is exactly these lines, without the line break
    that ends the last one; runs of data in it are placeholders (see `text/shown.py`). If a
    single line is too long for the model, several chunks share its number, and their texts
    joined give the line. `tokens` is the number of tokens of `embedded_text`, special ones
    included, and `ids` are those tokens as native uint32. `place` names the part of the file
    that the chunk is from, such as a cell of a notebook.
    """

    start_line: int
    end_line: int
    symbol: str
    text: str
    tokens: int
    ids: bytes = b""
    place: str = ""

    @property
    def full_symbol(self) -> str:
        """What a person sees: the place, then the symbol."""
        return ".".join(filter(None, (self.place, self.symbol)))

    @property
    def embedded_text(self) -> str:
        """What the model sees: the dotted symbol, then the text. Path and place are left out, so
        that a renamed file, and a cell behind a new one, keep their vectors."""
        return f"{self.symbol}\n{self.text}" if self.symbol else self.text


Weights = dict[int, float]
"""A sparse vector: the weight of each term, by its index (see `text/terms.py`)."""

Stat = tuple[int, int, int, int]
"""(size, mtime_ns, ctime_ns, inode): equal fields mean that a file was not touched."""


def stat_fields(info: os.stat_result) -> Stat:
    """The fields of a stat call that tell whether a file was touched."""
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


class FileRecord(Struct, frozen=True):
    """What the manifest knows of one file.

    `stat` is None if the fields cannot be trusted: the file was touched within the clock's
    granularity of being read, or the record comes from an audit of the rows. `file_hash` is
    the blob id of the indexed bytes, "" if the rows are not right. `reason` says why the file
    has no rows ("binary", "empty", …), "" if it has some. A search finds rows without a vector by
    their words only: as many as `unembedded` are still to get one, and those counted in `by_words`
    are to have none. The rule of `text/meaning.py` says whether the content `is_plain`, which is
    not known without `stat`.
    """

    path: str
    stat: Stat | None
    file_hash: str
    chunk_count: int
    reason: str = ""
    unembedded: int = 0
    by_words: int = 0
    is_plain: bool = False


ANY_BYTES = ""  # in place of a blob id


class Failure(Struct, frozen=True):
    """Why a file could not be indexed, and the blob id of the bytes that it had.

    If `file_hash` is `ANY_BYTES`, the file was indexed but a hook on it failed, so that the
    next run does all of it again.
    """

    file_hash: str
    error: str


class ChangedFile(Struct, frozen=True):
    """A file that must be indexed: the bytes that were hashed are the bytes that are chunked.

    `stat` is as in `FileRecord`. If it `is_indexed`, the index has these very bytes already
    and only its vectors come or go.
    """

    path: str
    data: bytes
    file_hash: str
    stat: Stat | None
    is_indexed: bool = False


class ChunkedFile(Struct, frozen=True):
    """One file as a worker returns it: its chunks, each with its sparse vector in `weights`, or
    the reason why it has none. `masked` counts the secrets that were masked in it. By the rule of
    `text/meaning.py` it `is_plain` or not."""

    path: str
    language: str
    chunks: tuple[Chunk, ...]
    weights: tuple[Weights, ...] = ()
    reason: str = ""
    error: str = ""
    masked: int = 0
    is_plain: bool = False


class EmbeddedFile(Struct, frozen=True):
    """One file of `size` bytes, ready to be written; `masked` secrets were masked in it.

    `vectors` is float32 of shape (len(chunks), dimension), each row of unit length. Rows of
    the chunks whose numbers are in `unembedded` have no meaning. `weights` are the sparse
    vectors. `record` is what the manifest will say once Milvus has acknowledged the rows. The
    seconds were spent by workers; a file's share of a batch goes by its tokens.
    """

    record: FileRecord
    size: int
    language: str
    chunks: tuple[Chunk, ...]
    weights: tuple[Weights, ...]
    vectors: NDArray[np.float32]
    unembedded: frozenset[int] = frozenset()
    masked: int = 0
    chunk_seconds: float = 0.0
    embed_seconds: float = 0.0


class Step(Struct, frozen=True):
    """How much further a run has come.

    `known`, `found` and `embedded` are bytes of source: those known to need no embedding,
    those found to need it, and those embedded, or given up. The tokens are those of the chunks
    that were found or embedded. `chunks` and `files` are done. A step of nothing says that
    time goes by.
    """

    known: float = 0
    found: float = 0
    embedded: float = 0
    found_tokens: int = 0
    embedded_tokens: int = 0
    chunks: int = 0
    files: int = 0


class Mention(Struct, frozen=True):
    """A text in a file that addresses an assistant; `line` is 1-based."""

    path: str
    line: int
    text: str


class Audit(Struct, frozen=True):
    """What the rows of a collection say about its files.

    `records` are those of the files that have rows, by path. A file whose rows are not right
    has no `file_hash`, and `stale` holds the ids of its rows, which are deleted once it has
    been written again. `doubted` has the records of such files whose rows are those of one
    whole content, which somebody doubts. `aside` holds the ids of rows that were put aside by
    a run that did not come to its end, by the blob id of their content.
    """

    records: dict[str, FileRecord]
    stale: dict[str, set[str]]
    doubted: dict[str, FileRecord] = field(default_factory=dict)
    aside: dict[str, set[str]] = field(default_factory=dict)

    def has_rows(self, path: str) -> bool:
        """Whether the file has any rows, right or wrong."""
        record = self.records.get(path)
        return bool(record and record.chunk_count) or path in self.stale


class Change(Enum):
    """What happened to a file whose bytes were read."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    MODIFIED = "modified"
    RENAMED = "renamed"
    DELETED = "deleted"
    EMBEDDED = "embedded"  # the bytes are unchanged, and now get their vectors
    STRIPPED = "stripped"  # the bytes are unchanged, and now lose their vectors


class Outcome(Struct, frozen=True):
    """What became of a changed file. `change` is None if it has no rows and had none before;
    `origin` is the old path of a renamed file."""

    change: Change | None
    origin: str = ""


class Premises(Struct, frozen=True):
    """What a function learns of the host of a cluster that calls it: how many processes it may use, where the
    host keeps its cache, and whether somebody still wants the result."""

    jobs: int
    cache_dir: str
    is_wanted: Callable[[], bool]
