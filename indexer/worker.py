"""What a worker runs: chunk files, embed texts.

A worker never sees the store. Its model and grammars load on first use, so that a run
whose vectors are all cached loads no model.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.types import ChunkedFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.chunking import Tokenizer
    from indexer.embedding import Backend, Embedder


@dataclass(frozen=True, slots=True)
class ChunkedBatch:
    """Files in the order of the task, and the CPU-bound seconds they took."""

    files: list[ChunkedFile]
    seconds: float


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Vectors of shape (texts, dimension), float32, in the order of the texts."""

    vectors: NDArray[np.float32]
    truncated: int
    seconds: float


class _Worker(threading.local):
    """Each thread has its own: neither an embedder nor a tokenizer is shared."""

    embedder: Embedder | None = None
    tokenizer: Tokenizer | None = None


_backend: Backend | None = None
_worker = _Worker()


def initialize(backend: Backend) -> None:
    """Say which backend this process uses; loads nothing yet."""
    global _backend
    _backend = backend
    _worker.__dict__.clear()


def initialize_process(backend: Backend) -> None:
    """`initialize`, for a process of the pool: the parent answers ctrl-C, and its death
    ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    initialize(backend)


def _die_with_parent() -> None:
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def chunk_files(files: Sequence[tuple[str, bytes]]) -> ChunkedBatch:
    """Chunk files given as (path, bytes). A file that fails does so alone."""
    started = time.perf_counter()
    chunked = [_chunk_file(path, data) for path, data in files]
    return ChunkedBatch(chunked, time.perf_counter() - started)


def embed_texts(texts: Sequence[str]) -> EmbeddedBatch:
    """Embed texts. Raises `ModelError` where the model gives no usable vector."""
    started = time.perf_counter()
    if _worker.embedder is None:
        from indexer.embedding import load_embedder

        _worker.embedder = load_embedder(_used_backend())
    encoding = _worker.embedder.encode(texts)
    seconds = time.perf_counter() - started
    return EmbeddedBatch(encoding.vectors, encoding.truncated, seconds)


def _chunk_file(path: str, data: bytes) -> ChunkedFile:
    from indexer.chunking import chunk_text
    from indexer.languages import language_of
    from indexer.text import read_text

    try:
        text, reason = read_text(path, data)
        if reason:
            return ChunkedFile(path, "", (), reason)
        language = language_of(path, text.partition("\n")[0])
        limit = _used_backend().model.max_tokens
        chunks = chunk_text(text, language, _tokenizer(), limit)
        return ChunkedFile(path, language or "", tuple(chunks))
    except Exception as error:  # a bug met by one file must not cost the others
        return ChunkedFile(path, "", (), error=f"{type(error).__name__}: {error}")


def _tokenizer() -> Tokenizer:
    if _worker.tokenizer is None:
        from indexer.embedding import load_tokenizer

        _worker.tokenizer = load_tokenizer(_used_backend().model)
    return _worker.tokenizer


def _used_backend() -> Backend:
    assert _backend is not None, "initialize() comes first"
    return _backend
