"""The data that passes between the modules: frozen, slotted, without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A candidate file as the scan saw it, not opened yet.

    `path` is relative to the project root, with `/`, decoded as `os.fsdecode` does
    (bytes that are not UTF-8 become lone surrogates). Times are nanoseconds.
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


ID_BYTES = 4  # of a token, a native uint32


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of whole lines of one file, small enough for the model.

    Lines are 1-based and inclusive. `text` is exactly these lines, without the line
    break that ends the last one; where a single line is too long for the model, several
    chunks share its number and their texts joined give the line. `ids` are the `tokens` of
    the `embedded_text`, special ones included, as native uint32.
    """

    start_line: int
    end_line: int
    symbol: str
    text: str
    tokens: int
    ids: bytes = field(default=b"", compare=False, repr=False)

    @property
    def embedded_text(self) -> str:
        """What the model sees: the dotted symbol, then the text. Never the path, so
        that a renamed file keeps its vectors."""
        return f"{self.symbol}\n{self.text}" if self.symbol else self.text


Weights = dict[int, float]
"""A sparse vector: the weight of each term, by its index (see `sparse.py`)."""

Stat = tuple[int, int, int, int]
"""(size, mtime_ns, ctime_ns, inode): what tells, without opening it, that a file is as it was."""


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the manifest knows of one file.

    `stat` is None where the fields may not be trusted: the file was touched within the
    clock's granularity of being read, or the record comes from an audit of the rows.
    `file_hash` is the blob id of the indexed bytes, "" where the rows are not right.
    `reason` says why a file has no rows ("binary", "empty", …), "" where it has some.
    So many of its rows are `unembedded`: found by their terms, but not by meaning yet.
    """

    path: str
    stat: Stat | None
    file_hash: str
    chunk_count: int
    reason: str = ""
    unembedded: int = 0


ANY_BYTES = ""  # in place of a blob id


@dataclass(frozen=True, slots=True)
class Failure:
    """The bytes (their blob id) of a file that could not be indexed, and why. With
    `ANY_BYTES` it was indexed, but a hook failed: all of it is to be done again."""

    file_hash: str
    error: str


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that must be indexed: the bytes that were hashed are the bytes that are
    chunked. `stat` as in `FileRecord`. Of a file that `is_indexed` these very bytes are in the
    index, and it only lacks vectors."""

    path: str
    data: bytes
    file_hash: str
    stat: Stat | None
    is_indexed: bool = False


@dataclass(frozen=True, slots=True)
class ChunkedFile:
    """One file as a worker returns it: its chunks, each with its sparse vector, or the reason
    why it has none, and how many secrets were masked in it."""

    path: str
    language: str
    chunks: tuple[Chunk, ...]
    weights: tuple[Weights, ...] = ()
    reason: str = ""
    error: str = ""
    masked: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """One file of `size` bytes, ready to be written, with so many secrets `masked`.

    `vectors` has one float32 row of unit length a chunk: shape (len(chunks), dimension);
    those of the `unembedded` chunks (their numbers) say nothing. `weights` are the sparse ones.
    `record` is what the manifest will say once Milvus has acknowledged the rows. The
    seconds are those of the workers; of a batch, a file has its share by tokens.
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


@dataclass(frozen=True, slots=True)
class Step:
    """How far a run has come: bytes of source that are `known` to need no embedding, that were
    `found` to need it, and that were `embedded`; chunks and files that are done."""

    known: float = 0
    found: float = 0
    embedded: float = 0
    chunks: int = 0
    files: int = 0


@dataclass(slots=True)
class FileCounts:
    """Files of a run or of a plan, by what happened (or would happen) to them; `embedded` are
    those that were indexed before and only got their vectors, `deferred` those that may have
    changed and were left to a later run."""

    scanned: int = 0
    unchanged: int = 0
    added: int = 0
    modified: int = 0
    renamed: int = 0
    deleted: int = 0
    embedded: int = 0
    failed: int = 0
    deferred: int = 0
    read: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """What a run has before it: files that are `unchanged`, files that may have `changed`,
    of so many `bytes` in all, and files that are `gone`."""

    unchanged: int
    changed: int = 0
    bytes: int = 0
    gone: int = 0


@dataclass(slots=True)
class ChunkCounts:
    """Chunks of a run. `total` is what the collection holds at its end, `unembedded` those of
    them that have no vector yet; `tokens` is what the model computed, special ones included,
    without the `padding` beside them."""

    total: int = 0
    unembedded: int = 0
    embedded: int = 0
    cached: int = 0
    upserted: int = 0
    deleted: int = 0
    truncated: int = 0
    tokens: int = 0
    padding: int = 0


@dataclass(slots=True)
class SecretCounts:
    """Secrets in the files of a run, apart from those that were not read for their name."""

    masked: int = 0


@dataclass(frozen=True, slots=True)
class Mention:
    """A text in a file that is meant for an assistant; `line` is 1-based."""

    path: str
    line: int
    text: str


@dataclass(slots=True)
class MentionCounts:
    """Mentions found in the changed files of a run, and how the command that was asked about
    these files ended, by file."""

    pending: list[Mention] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0


@dataclass(slots=True)
class EventCounts:
    """Events of a run; `undelivered` is summed over the places that should have had them."""

    emitted: int = 0
    undelivered: int = 0


@dataclass(slots=True)
class WikiCounts:
    """Pages of the wiki: all of them, and what this run did to them."""

    pages: int = 0
    written: int = 0
    deleted: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Audit:
    """`records` of the files that have rows; one whose rows are not right has no
    `file_hash`, and `stale` holds its rows' ids, to be deleted once it is rewritten."""

    records: dict[str, FileRecord]
    stale: dict[str, set[str]]

    def has_rows(self, path: str) -> bool:
        """Are there any rows of this file, right or wrong?"""
        record = self.records.get(path)
        return bool(record and record.chunk_count) or path in self.stale


class Change(Enum):
    """What happened to a file whose bytes were read."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    MODIFIED = "modified"
    RENAMED = "renamed"
    DELETED = "deleted"
    EMBEDDED = "embedded"  # the bytes are as they were, and get their vectors now


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a changed file, None where it has no rows and had none; of a renamed
    one `origin` is the old path."""

    change: Change | None
    origin: str = ""
