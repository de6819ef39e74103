"""Texts embedded by an endpoint, behind the interface of an executor."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, Future
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from indexer.address import Endpoint
from indexer.errors import RefusedTextError
from indexer.loop import LoopThread
from indexer.timeline import Span
from indexer.types import ID_BYTES
from indexer.vectors.delivery import BATCH_TEXTS, Delivered, Delivery
from indexer.vectors.endpoint import PROBES, check_alike, unpacked
from indexer.vectors.requests import REQUEST_SECONDS, Sender
from indexer.work import worker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
T = TypeVar("T")

CLOSING_SECONDS = 1.0  # that connections have to be closed


class RemoteEmbedders(Executor):
    """Answers tasks of `worker.embed_texts` by asking an endpoint, in an event loop of its own.

    Before the first text it asks for the `probes`, and takes nothing from another model than the
    one that they came from. A task with a text that the endpoint refuses fails with
    `RefusedTextError`; what came of its other texts is kept for the tasks that ask for them again.
    `shutdown` does not wait for requests at work.
    """

    TASK_TEXTS = BATCH_TEXTS  # a task is one request
    LEAST_TASK_TEXTS = (
        BATCH_TEXTS // 2
    )  # nothing is loaded first, and servers count requests

    def __init__(
        self, endpoint: Endpoint, probes: str, concurrency: int, task_timeout: float
    ) -> None:
        kept = unpacked(probes)
        assert kept is not None, "its acquaintance was made"
        seconds = min(task_timeout or REQUEST_SECONDS, REQUEST_SECONDS)
        self._endpoint, self._probes = endpoint, kept
        self._sender = Sender(endpoint, kept.shape[1], seconds)
        self._concurrency = concurrency
        self._loop = LoopThread()
        self._stack = AsyncExitStack()
        self._start: asyncio.Task[Delivery] | None = None
        self._pending: set[Future[Any]] = set()
        self._kept = Delivered()  # of tasks that failed

    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        assert fn is worker.embed_texts, "it does nothing else"
        embed: Callable[..., Coroutine[Any, Any, Any]] = self._embed
        future: Future[Any] = self._loop.submit(embed(*args, **kwargs))
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the requests at work, and the loop."""
        for future in [*self._pending]:
            future.cancel()
        with suppress(TimeoutError):
            self._loop.submit(self._stack.aclose()).result(CLOSING_SECONDS)
        self._loop.close()

    @property
    def leftovers(self) -> dict[str, NDArray[np.float32]]:
        """The vectors of shape (dimension,), by their texts, that came for tasks which then failed."""
        return self._kept.vectors

    async def _embed(
        self, texts: Sequence[str], ids: Sequence[bytes]
    ) -> worker.EmbeddedBatch:
        import numpy as np

        if self._start is None:
            self._start = asyncio.create_task(self._begin())
        delivery = await asyncio.shield(self._start)
        tokens = {
            text: len(one) // ID_BYTES for text, one in zip(texts, ids, strict=True)
        }
        spans: list[Span] = []

        def on_sent(slot: int, began: float, count: int) -> None:
            about = {"chunks": count}
            ended = time.monotonic()
            spans.append(Span("embed", began, ended, os.getpid(), slot, about))

        found = self._taken(texts)
        rest = [text for text in texts if text not in found.vectors]
        try:
            if not found.refused:
                counts = [tokens[text] for text in rest]
                await delivery.deliver(rest, counts, found, on_sent)
            if found.refused:
                raise RefusedTextError(next(iter(found.refused.values())))
        except BaseException:
            self._kept.vectors |= found.vectors
            self._kept.refused |= found.refused
            raise
        vectors: NDArray[np.float32] = np.stack([found.vectors[one] for one in texts])
        seconds = sum(span.seconds for span in spans)
        return worker.EmbeddedBatch(vectors, 0, sum(tokens.values()), 0, seconds, spans)

    def _taken(self, texts: Sequence[str]) -> Delivered:
        """What is kept of these texts, which is then kept no longer."""
        kept, taken = self._kept, Delivered()
        for text in texts:
            if text in kept.vectors:
                taken.vectors[text] = kept.vectors.pop(text)
            if text in kept.refused:
                taken.refused[text] = kept.refused[text]
        return taken

    async def _begin(self) -> Delivery:
        """The way to the endpoint, once it is known to have the right model."""
        await self._stack.enter_async_context(self._sender)
        delivery = Delivery(self._sender, self._concurrency)
        check_alike(self._endpoint, await delivery.greet(PROBES), self._probes)
        return delivery
