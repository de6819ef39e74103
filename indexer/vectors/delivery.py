"""Texts embedded by an endpoint that is busy, fails at times, or refuses some of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field

from indexer.errors import ModelError, ModelUnavailableError
from indexer.vectors.requests import RefusedError, Sender, TryAgainError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import numpy as np
    from numpy.typing import NDArray
    from tenacity import RetryCallState

# Of a request. TEI takes 32 texts unless told otherwise.
BATCH_TEXTS = 32
BATCH_TOKENS = 16_384
BATCH_BYTES = 262_144

TRIES = 8  # of a request, in half a minute: a server that is started anew is waited for
FIRST_TRIES = 4  # before anything was answered, when it is more likely that nobody will
FIRST_PAUSE = 0.25  # seconds before the second try; doubles before each further one
LONGEST_PAUSE = 16.0  # seconds
LONGEST_ADVICE = 60.0  # seconds that a Retry-After may ask for
PATIENCE = 300.0  # seconds, after which no other try of a request begins

SIGN_OF_LIFE = "Is anybody there?"


class Delivered(Struct):
    """The vectors of shape (dimension,) that came, and why others did not, by their texts."""

    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Sends texts, at most `concurrency` requests at a time. Used within one event loop.

    What fails for a moment is tried again. What is too much for one request is halved, and so is a
    batch with a text that the endpoint refuses, until that one is alone. A text is only to blame
    if the endpoint takes another one.
    """

    def __init__(self, sender: Sender, concurrency: int) -> None:
        self._sender = sender
        self._slots = asyncio.LifoQueue[int]()
        for slot in reversed(range(concurrency)):
            self._slots.put_nowait(slot)
        self._most = BATCH_TEXTS
        self._not_before = (
            0.0  # monotonic: until then the server wants to be left alone
        )

    async def greet(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of the first texts, shape (texts, dimension).

        Raises `ModelError` where the endpoint refuses them, and `ModelUnavailableError`.
        """
        try:
            return await self._persist(
                lambda: self._sender.settle_encoding(texts), FIRST_TRIES
            )
        except RefusedError as error:
            raise ModelError(str(error)) from None
        except TryAgainError as error:
            raise self._unavailable(error) from None

    async def deliver(
        self,
        texts: Sequence[str],
        tokens: Sequence[int],
        found: Delivered,
        on_sent: Callable[[int, float, int], None] = lambda slot, began, texts: None,
    ) -> None:
        """Embed texts, which have so many `tokens`, and put what becomes of them into `found`.

        `on_sent` is told of each request that went well: its slot, when it began (monotonic), and
        how many texts it had. Raises `ModelError` and `ModelUnavailableError`, once no request is
        at work any more.
        """
        batches = packed(texts, tokens, self._most)
        ends = await asyncio.gather(
            *(self._batch(one, found, on_sent) for one in batches),
            return_exceptions=True,
        )
        for error in filter(None, ends):
            raise error

    async def _batch(
        self,
        texts: Sequence[str],
        found: Delivered,
        on_sent: Callable[[int, float, int], None],
        tries: int = TRIES,
    ) -> None:
        try:
            async with self._slot() as slot:
                began = time.monotonic()
                vectors = await self._persist(lambda: self._sender.send(texts), tries)
        except RefusedError as error:
            reason = str(error)
        except TryAgainError as error:
            if not await self._is_alive():
                raise self._unavailable(error) from None
            reason = f"{self._sender.endpoint.origin} fails on it: {error}"
            tries = FIRST_TRIES
        else:
            found.vectors.update(zip(texts, vectors, strict=True))
            on_sent(slot, began, len(texts))
            return
        if len(texts) > 1:
            half = len(texts) // 2
            for part in (texts[:half], texts[half:]):
                await self._batch(part, found, on_sent, tries)
            if found.vectors.keys() >= {*texts}:  # it was the size alone
                self._most = min(self._most, half)
        else:
            await self.greet([SIGN_OF_LIFE])
            found.refused[texts[0]] = reason

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[int]:
        """A block that is one of the requests at work. It holds its slot while it waits for a
        busy server, which so gets fewer of them."""
        slot = await self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put_nowait(slot)

    async def _persist(
        self, send: Callable[[], Awaitable[NDArray[np.float32]]], tries: int
    ) -> NDArray[np.float32]:
        """What `send` returns at last. Raises what it raised at the last of so many tries."""
        from tenacity import (
            AsyncRetrying,
            retry_if_exception_type,
            stop_after_attempt,
            stop_after_delay,
        )

        async def once() -> NDArray[np.float32]:
            while (pause := self._not_before - time.monotonic()) > 0:
                await asyncio.sleep(pause)
            try:
                return await send()
            except TryAgainError as error:
                until = time.monotonic() + min(error.pause, LONGEST_ADVICE)
                self._not_before = max(self._not_before, until)
                raise

        trying = AsyncRetrying(
            retry=retry_if_exception_type(TryAgainError),
            stop=stop_after_attempt(tries) | stop_after_delay(PATIENCE),
            wait=_pause,
            sleep=asyncio.sleep,
            reraise=True,
        )
        vectors: NDArray[np.float32] = await trying(once)
        return vectors

    async def _is_alive(self) -> bool:
        """Whether the endpoint embeds another text."""
        try:
            await self.greet([SIGN_OF_LIFE])
        except ModelUnavailableError:
            return False
        return True

    def _unavailable(self, error: TryAgainError) -> ModelUnavailableError:
        return ModelUnavailableError(
            f"the endpoint {self._sender.endpoint.base} cannot embed: {error}"
        )


def packed(
    texts: Sequence[str], tokens: Sequence[int], most: int
) -> Iterator[list[str]]:
    """Yield the texts in batches for one request each: of at most `most` of them, of as many tokens
    and bytes as a server will take, and of one text at least."""
    batch: list[str] = []
    size = cost = 0
    for text, count in zip(texts, tokens, strict=True):
        length = len(text.encode())
        is_over = size + length > BATCH_BYTES or cost + count > BATCH_TOKENS
        if batch and (len(batch) == most or is_over):
            yield batch
            batch, size, cost = [], 0, 0
        batch.append(text)
        size += length
        cost += count
    if batch:
        yield batch


def _pause(state: RetryCallState) -> float:
    from tenacity import wait_exponential, wait_random

    growing = wait_exponential(multiplier=FIRST_PAUSE, max=LONGEST_PAUSE)
    return (growing + wait_random(0, FIRST_PAUSE))(state)
