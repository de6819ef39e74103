"""What a worker runs: chunk files, embed texts.

A worker never sees the store. Its model and grammars load on first use, so that a run
whose vectors are all cached loads no model.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from indexer.config import MASK_SECRETS
from indexer.faults import reach
from indexer.paths import escape_path
from indexer.text.source import read_source
from indexer.timeline import Span, Spans
from indexer.types import ChunkedFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.embedding import Backend, Embedder
    from indexer.text.chunks import Tokenizer


T = TypeVar("T")

_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True, slots=True)
class ChunkedBatch:
    """Files in the order of the task, the seconds that each took, and this worker's spans
    since its last task."""

    files: list[ChunkedFile]
    seconds: list[float]
    spans: list[Span]


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Vectors of shape (texts, dimension), float32, in the order of the texts, and this
    worker's spans since its last task. The rest as in `Encoding`."""

    vectors: NDArray[np.float32]
    truncated: int
    tokens: int
    padding: int
    seconds: float
    spans: list[Span]


class _Worker(threading.local):
    """Each thread has its own: neither an embedder nor a tokenizer is shared."""

    backend: Backend | None = (
        None  # that of the process, unless this thread has its own
    )
    secrets: str = ""
    embedder: Embedder | None = None
    tokenizer: Tokenizer | None = None

    def __init__(self) -> None:
        self.spans = Spans()


Slots = Any
"""A shared array of doubles, two a task in flight: since when a worker is at it (seconds
of the monotonic clock, which all processes share; 0 while none is), and that worker's pid."""

_backend: Backend | None = None
_secrets = MASK_SECRETS
_worker = _Worker()
_slots: Slots = None


def initialize(backend: Backend, secrets: str = MASK_SECRETS) -> None:
    """Say which backend this thread, and others to come, use and what is done about secrets.

    Loads nothing yet, and keeps what was loaded for the same backend.
    """
    global _backend, _secrets
    _backend, _secrets = backend, secrets
    if _worker.backend != backend:
        _worker.embedder = _worker.tokenizer = None
    _worker.backend, _worker.secrets = backend, secrets


def initialize_process(
    slots: Slots, backend: Backend, secrets: str = MASK_SECRETS
) -> None:
    """`initialize`, for a process of the pool: the parent answers ctrl-C, and its death
    ends this process."""
    global _slots
    _slots = slots
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _die_by_kernel()
    initialize(backend, secrets)
    _worker.spans.begin("start")


def run_task(slot: int, call: Callable[[], T]) -> T:
    """Run a task, and say meanwhile that it is this process that has it."""
    _slots[2 * slot + 1] = os.getpid()
    _slots[2 * slot] = time.monotonic()
    try:
        return call()
    finally:
        _slots[2 * slot] = 0


def _die_with_parent() -> None:
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _die_by_kernel() -> None:
    """Let Linux end this process with the parent's: a thread of Python's does not get its
    turn while a hanging grammar has the interpreter."""
    import ctypes

    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def chunk_files(files: Sequence[tuple[str, bytes]]) -> ChunkedBatch:
    """Chunk files given as (path, bytes). A file that fails does so alone."""
    chunked, seconds = [], []
    about = {"path": escape_path(files[0][0])} if len(files) == 1 else {}
    with _worker.spans.span("chunk", files=len(files), **about):
        for path, data in files:
            started = time.monotonic()
            chunked.append(_chunk_file(path, data))
            seconds.append(time.monotonic() - started)
    return ChunkedBatch(chunked, seconds, _worker.spans.take())


def embed_texts(
    texts: Sequence[str], ids: Sequence[bytes] | None = None
) -> EmbeddedBatch:
    """Embed texts, whose tokens are `ids` if they are known.

    Raises `ModelError` where the model gives no usable vector.
    """
    reach("embedding", texts)
    if _worker.embedder is None:
        with _worker.spans.span("load"):
            from indexer.embedding import load_embedder

            _worker.embedder = load_embedder(_used_backend())
    with _worker.spans.span("embed", chunks=len(texts)) as about:
        started = time.monotonic()
        encoding = _worker.embedder.encode(texts, ids)
        seconds = time.monotonic() - started
        about.update(tokens=encoding.tokens, padding=encoding.padding)
    return EmbeddedBatch(
        encoding.vectors,
        encoding.truncated,
        encoding.tokens,
        encoding.padding,
        seconds,
        _worker.spans.take(),
    )


def _chunk_file(path: str, data: bytes) -> ChunkedFile:
    from indexer.text.chunks import chunk_text
    from indexer.text.languages import language_of
    from indexer.text.terms import row_weights

    reach("chunking", [path])
    try:
        text, reason, masked = read_source(path, data, _worker.secrets or _secrets)
        if reason:
            return ChunkedFile(path, "", (), reason=reason)
        language = language_of(path, text.partition("\n")[0])
        limit = _used_backend().model.max_tokens
        chunks = chunk_text(text, language, _tokenizer(), limit)
        shown = escape_path(path)
        weights = tuple(row_weights(shown, one.symbol, one.text) for one in chunks)
        return ChunkedFile(path, language or "", tuple(chunks), weights, masked=masked)
    except Exception as error:  # a bug met by one file must not cost the others
        return ChunkedFile(path, "", (), error=f"{type(error).__name__}: {error}")


def _tokenizer() -> Tokenizer:
    if _worker.tokenizer is None:
        from indexer.embedding import load_tokenizer

        _worker.tokenizer = load_tokenizer(_used_backend().model)
    return _worker.tokenizer


def _used_backend() -> Backend:
    backend = _worker.backend or _backend
    assert backend is not None, "initialize() comes first"
    return backend
