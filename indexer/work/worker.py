"""What a worker runs: chunk files, embed texts.

A worker never sees the store. Its model and grammars load on first use, so a run whose vectors
are all cached loads no model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.config import AS_USUAL, Reading
from indexer.errors import OUT_OF_MEMORY, OutOfMemoryError
from indexer.faults import reach
from indexer.paths import escape_path
from indexer.text.source import Source, read_source
from indexer.timeline import Span, Spans
from indexer.types import ChunkedFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.pool.process import Slots
    from indexer.text.chunks import Tokenizer
    from indexer.vectors.backend import Backend
    from indexer.vectors.embedders import Embedder


class ChunkedBatch(Struct, frozen=True):
    """Files in the order of the task, the seconds that each took, and the worker's spans since
    its last task."""

    files: list[ChunkedFile]
    seconds: list[float]
    spans: list[Span]


class EmbeddedBatch(Struct, frozen=True):
    """Vectors of shape (texts, dimension), float32, in the order of the texts, and the worker's
    spans since its last task. `truncated`, `tokens` and `padding` are as in `Encoding`.
    """

    vectors: NDArray[np.float32]
    truncated: int
    tokens: int
    padding: int
    seconds: float
    spans: list[Span]


class ReadFile(Struct, frozen=True):
    """A file that was read where it lies: its text, in which secrets are masked already. By the
    rule of `text/meaning.py` it `is_plain` or not. `error` says why it could not be read.
    """

    source: Source = Source()
    is_plain: bool = False
    error: str = ""


class _Worker(threading.local):
    """What a thread works with. Threads share neither an embedder nor a tokenizer.

    A thread without a `backend` or `reading` of its own uses those of the process. `beside`
    begins what is to be done beside compiling the model.
    """

    backend: Backend | None = None
    reading: Reading | None = None
    embedder: Embedder | None = None
    tokenizer: Tokenizer | None = None
    beside: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self) -> None:
        self.spans = Spans()


_backend: Backend | None = None
_reading = AS_USUAL
_worker = _Worker()


def initialize(backend: Backend, reading: Reading = AS_USUAL) -> None:
    """Set the backend of this thread and of those to come, and how they read files.

    Loads nothing yet, and keeps what was loaded for the same backend.
    """
    global _backend, _reading
    _backend, _reading = backend, reading
    if _worker.backend != backend:
        _worker.embedder = _worker.tokenizer = None
    _worker.backend, _worker.reading = backend, reading


def initialize_process(
    slots: Slots, backend: Backend, reading: Reading = AS_USUAL
) -> None:
    """`initialize` for a process of the pool, which becomes a worker."""
    from indexer.pool.process import become_worker

    become_worker(slots)
    initialize(backend, reading)
    _worker.spans.begin("start")


@contextmanager
def beside_compiling(begin: Callable[[], None]) -> Iterator[None]:
    """A block in which this thread, where it compiles a model, calls `begin` before.

    Compiling leaves Python to other threads, so the call may start one.
    """
    _worker.beside = begin
    try:
        yield
    finally:
        del _worker.beside


def read_file(path: str, data: bytes, reading: Reading) -> ReadFile:
    """Read a file as its chunker would. Whatever fails is told by the result."""
    from indexer.text.meaning import kind_of_plain

    try:
        source = read_source(path, data, reading)
        return ReadFile(source, bool(not source.reason and kind_of_plain(path, data)))
    except MemoryError:
        return ReadFile(error=OUT_OF_MEMORY)
    except Exception as error:  # a bug met by one file must not cost the others
        return ReadFile(error=f"{type(error).__name__}: {error}")


def chunk_files(
    files: Sequence[tuple[str, bytes | ReadFile]], *, with_syntax: bool = True
) -> ChunkedBatch:
    """Chunk files that are given as (path, bytes), or were read already. A file that fails does
    not affect the others.

    Unless `with_syntax`, no grammar sees them: blank lines alone decide where they are cut.
    """
    chunked, seconds = [], []
    about = {"path": escape_path(files[0][0])} if len(files) == 1 else {}
    with _worker.spans.span("chunk", files=len(files), **about):
        for path, data in files:
            started = time.monotonic()
            chunked.append(_chunk_file(path, data, with_syntax))
            seconds.append(time.monotonic() - started)
    return ChunkedBatch(chunked, seconds, _worker.spans.take())


def embed_texts(
    texts: Sequence[str], ids: Sequence[bytes] | None = None
) -> EmbeddedBatch:
    """Embed texts. `ids` are their tokens, if these are known.

    Raises `ModelError` where the model gives no usable vector, and `OutOfMemoryError`.
    """
    reach("embedding", texts)
    if _worker.embedder is None:
        with _worker.spans.span("load"), _told_of_memory():
            from indexer.vectors.embedders import load_embedder

            _worker.embedder = load_embedder(
                _used_backend(), before_compiling=_worker.beside
            )
    with _worker.spans.span("embed", chunks=len(texts)) as about:
        started = time.monotonic()
        with _told_of_memory():
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


def _chunk_file(path: str, data: bytes | ReadFile, with_syntax: bool) -> ChunkedFile:
    from indexer.text.parts import chunk_parts
    from indexer.text.terms import row_weights

    reach("chunking", [path])
    try:
        if isinstance(data, bytes):
            data = read_file(path, data, _worker.reading or _reading)
        source = data.source
        if data.error:
            return ChunkedFile(path, "", (), error=data.error)
        if source.reason:
            return ChunkedFile(path, "", (), reason=source.reason)
        limit = _used_backend().model.max_tokens
        chunks = tuple(
            chunk_parts(source.parts, _tokenizer(), limit, with_syntax=with_syntax)
        )
        shown = escape_path(path)
        weights = tuple(row_weights(shown, one.symbol, one.text) for one in chunks)
        return ChunkedFile(
            path,
            source.language,
            chunks,
            weights,
            masked=source.masked,
            is_plain=data.is_plain,
        )
    except MemoryError:
        return ChunkedFile(path, "", (), error=OUT_OF_MEMORY)
    except Exception as error:  # a bug met by one file must not cost the others
        return ChunkedFile(path, "", (), error=f"{type(error).__name__}: {error}")


@contextmanager
def _told_of_memory() -> Iterator[None]:
    """Raise `OutOfMemoryError` for what Python, numpy and OpenVINO raise then."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        from indexer.vectors.library import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(OUT_OF_MEMORY) from error


def _tokenizer() -> Tokenizer:
    if _worker.tokenizer is None:
        from indexer.vectors.tokenizer import load_tokenizer

        _worker.tokenizer = load_tokenizer(_used_backend().model)
    return _worker.tokenizer


def _used_backend() -> Backend:
    backend = _worker.backend or _backend
    assert backend is not None, "initialize() comes first"
    return backend
