"""Chunked files on their way to embedded files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Key, key_of
from indexer.config import Embedding
from indexer.text.by_words import is_by_words
from indexer.types import (
    ChangedFile,
    Chunk,
    ChunkedFile,
    EmbeddedFile,
    FileRecord,
    Step,
)
from indexer.work.feedback import Feedback
from indexer.work.worker import EmbeddedBatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Lend(Protocol):
    """What else may know vectors of a file."""

    def __call__(
        self, change: ChangedFile, chunked: ChunkedFile, keys: Set[Key]
    ) -> dict[Key, NDArray[np.float32]]:
        """Those of the vectors with these keys that it knows."""


class _OpenFile(Struct):
    """A file whose vectors are filled in as they come; `missing` is how many are still to come."""

    file: EmbeddedFile
    tokens: int
    missing: int = 0
    embed_seconds: float = 0.0
    has_failed: bool = False

    def share(self, tokens: int) -> float:
        """The bytes of the file that chunks with this many tokens stand for."""
        size = self.file.size
        return size * tokens / self.tokens if self.tokens else size

    def step(self, number: int, *, chunks: int = 0, files: int = 0) -> Step:
        """The step that nothing more has to be done for this chunk."""
        tokens = self.file.chunks[number].tokens
        return Step(
            embedded=self.share(tokens),
            embedded_tokens=tokens,
            chunks=chunks,
            files=files,
        )


class Assembly:
    """Puts the vectors of chunked files in their places, from the cache and from workers.

    A text that several files or chunks have is embedded once. Unless the assembly `embeds`,
    only what the cache knows gets a vector. A file that is found by words alone, as `embedding`
    says, gets none, whatever the cache knows. `lend` is asked for what the cache lacks.
    """

    def __init__(
        self,
        cache: EmbeddingCache,
        feedback: Feedback,
        *,
        embeds: bool,
        embedding: Embedding,
        lend: Lend | None = None,
    ) -> None:
        self._cache = cache
        self._lend = lend
        self._feedback = feedback
        self._counts = feedback.counts
        self._embeds = embeds
        self._embedding = embedding
        # The files that wait for each vector, with the number of the chunk that it belongs to.
        self._waiting: defaultdict[Key, list[tuple[_OpenFile, int]]] = defaultdict(list)
        self._ready: list[EmbeddedFile] = []

    @property
    def awaited(self) -> int:
        """The number of vectors that files wait for."""
        return len(self._waiting)

    def open(
        self, change: ChangedFile, chunked: ChunkedFile, seconds: float
    ) -> dict[Key, Chunk]:
        """Take what the cache has, and return the chunks that are to be embedded.

        These are in order. Chunks whose vectors others already wait for are not among them.
        """
        if is_by_words(change.path, chunked.is_plain, self._embedding):
            self._open_by_words(change, chunked, seconds)
            return {}
        keys = [key_of(chunk) for chunk in chunked.chunks]
        known = self._cache.get(keys)
        if self._lend and (lacking := set(keys) - known.keys()):
            lent = self._lend(change, chunked, lacking)
            self._cache.put(lent)
            known |= lent
        unknown = [number for number, key in enumerate(keys) if key not in known]
        unembedded = frozenset(() if self._embeds else unknown)
        opened = _OpenFile(
            self._blank(change, chunked, seconds, unembedded),
            sum(chunk.tokens for chunk in chunked.chunks),
        )
        for number, key in enumerate(keys):
            if key in known:
                opened.file.vectors[number] = known[key]
        self._counts.cached += len(keys) - len(unknown)
        new: dict[Key, Chunk] = {}
        settled = opened.tokens  # tokens of chunks that need no embedding
        for number in unknown if self._embeds else ():
            key, chunk = keys[number], chunked.chunks[number]
            if key in self._waiting:
                self._counts.cached += 1
            else:
                new[key] = chunk
            self._waiting[key].append((opened, number))
            opened.missing += 1
            settled -= chunk.tokens
        known_bytes = opened.share(settled)
        self._feedback.on_progress(
            Step(
                known_bytes,
                opened.file.size - known_bytes,
                found_tokens=opened.tokens - settled,
                chunks=len(keys) - opened.missing,
            )
        )
        if not opened.missing:
            self._close(opened)
        return new

    def _open_by_words(
        self, change: ChangedFile, chunked: ChunkedFile, seconds: float
    ) -> None:
        everything = frozenset(range(len(chunked.chunks)))
        file = self._blank(change, chunked, seconds, everything)
        record = replace(file.record, unembedded=0, by_words=len(everything))
        opened = _OpenFile(replace(file, record=record), 0)
        self._feedback.on_progress(Step(file.size, chunks=len(everything)))
        self._close(opened)

    def deliver(self, keys: list[Key], batch: EmbeddedBatch) -> None:
        """Give the vectors of a batch to the cache and to the files that wait for them."""
        self._counts.embedded += len(keys)
        self._counts.truncated += batch.truncated
        self._counts.tokens += batch.tokens
        self._counts.padding += batch.padding
        self._cache.put(dict(zip(keys, batch.vectors, strict=True)))
        for key, vector in zip(keys, batch.vectors, strict=True):
            waiting = self._waiting.pop(key)
            first, number = waiting[0]
            share = first.file.chunks[number].tokens / batch.tokens
            first.embed_seconds += share * batch.seconds
            for opened, number in waiting:
                opened.file.vectors[number] = vector
                opened.missing -= 1
                self._feedback.on_progress(opened.step(number, chunks=1))
                if not opened.missing and not opened.has_failed:
                    self._close(opened)

    def give_up(self, key: Key, error: str) -> None:
        """Fail every file that waits for this vector, unless it has failed already."""
        for opened, number in self._waiting.pop(key):
            step = opened.step(number, files=not opened.has_failed)
            self._feedback.on_progress(step)
            if not opened.has_failed:
                opened.has_failed = True
                record = opened.file.record
                self._feedback.on_failure(record.path, record.file_hash, error)

    def take_ready(self) -> list[EmbeddedFile]:
        """The files that have become complete since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def _blank(
        self,
        change: ChangedFile,
        chunked: ChunkedFile,
        seconds: float,
        unembedded: frozenset[int],
    ) -> EmbeddedFile:
        """The file with room for its vectors, and a unit vector in place of each unembedded one."""
        import numpy as np

        vectors = np.empty((len(chunked.chunks), self._cache.dimension), np.float32)
        vectors[sorted(unembedded)] = np.eye(1, self._cache.dimension, dtype=np.float32)
        record = FileRecord(
            change.path,
            change.stat,
            change.file_hash,
            len(chunked.chunks),
            chunked.reason,
            len(unembedded),
            is_plain=chunked.is_plain,
        )
        return EmbeddedFile(
            record,
            len(change.data),
            chunked.language,
            chunked.chunks,
            chunked.weights,
            vectors,
            unembedded,
            chunked.masked,
            seconds,
        )

    def _close(self, opened: _OpenFile) -> None:
        self._feedback.on_progress(Step(files=1))
        self._ready.append(replace(opened.file, embed_seconds=opened.embed_seconds))
