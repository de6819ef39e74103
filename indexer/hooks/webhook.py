"""Events posted to an HTTP server of the user's: batched, in order, signed, with retries."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct

import indexer
from indexer.address import public_part
from indexer.errors import UsageError
from indexer.hooks.sink import Sink
from indexer.http_client import new_session, reason_of
from indexer.loop import LoopThread

if TYPE_CHECKING:
    from aiohttp import ClientSession
    from tenacity import RetryCallState

BATCH = 100  # events in a request
DELAY = 0.5  # seconds that an event waits for others
TIMEOUT = 5.0  # seconds for a whole request
TRIES = (
    10  # for a batch: a server that fails every second request loses 1 batch in 1,000
)
FIRST_PAUSE = 0.05  # seconds before the second try; doubles before each further one
LONGEST_PAUSE = 1.0  # seconds
LAST_PAUSE = 0.2  # seconds; the longest pause once the run has ended
LONGEST_ADVICE = 10.0  # seconds that a Retry-After may ask for
MAX_LOST = 3  # batches lost in a row, after which nothing more is sent


def check_webhook(url: str) -> str:
    """Return an http or https URL with a host as given. Raises `UsageError`, whose message
    repeats no part of the URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        host.encode("idna")
    except ValueError:
        raise UsageError("the webhook is no valid URL") from None
    if not url.isprintable() or " " in url:
        raise UsageError("the webhook is no valid URL")
    if parts.scheme not in ("http", "https") or not host or "%" in host:
        raise UsageError("the webhook must be an http or https URL with a host")
    try:
        has_port = parts.port != 0
    except ValueError:
        has_port = False
    if not has_port:
        raise UsageError("the webhook has a port that does not exist")
    return url


class _Answer(Struct, frozen=True):
    """The outcome of a request: why it failed ("" if it did not), whether to try `again`, and
    for how many seconds the server wants us to wait first (0 if it does not say)."""

    reason: str = ""
    again: bool = False
    pause: float = 0.0


class WebhookSink(Sink):
    """Posts batches one request at a time, so that they arrive in order.

    `schema.json` describes the body as `delivery`. All tries of a batch carry the same
    `X-Codx-Delivery`. With a secret, `X-Codx-Signature-256` is the body's HMAC in the form of
    GitHub's webhooks. Redirects are not followed, and only the head of a response is read.
    """

    def __init__(self, url: str, secret: str, run: str, loop: LoopThread) -> None:
        super().__init__(f"webhook {public_part(url)}")
        self._url = url
        self._secret = os.fsencode(secret)
        self._run = run
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sending = loop.submit(self._send_all())

    def join(self, deadline: float) -> None:
        """Wait until the queued events are acknowledged, then cancel the rest."""
        wait([self._sending], max(0.0, deadline - time.monotonic()))
        if not self._sending.done():
            self._sending.cancel()
        elif not self._sending.cancelled() and (error := self._sending.exception()):
            self.reason = type(error).__name__
        self._ended = True

    def _wake(self) -> None:
        # With any other queue length the sender is busy or waits for a fuller batch. Until it
        # has a loop no call is needed: it looks at the queue when it starts.
        if self._loop and (self._stopping or len(self._queue) in (1, BATCH)):
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    async def _send_all(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with new_session(self._url, {}) as session:
                await self._send_batches(session)
        except (ImportError, OSError, ValueError) as error:
            # Usually a proxy from the environment, whose URL may hold a password.
            self.reason = f"cannot create an HTTP client: {type(error).__name__}"
        finally:
            self._ended = True
            self._queue.clear()

    async def _send_batches(self, session: ClientSession) -> None:
        lost = 0
        while lost < MAX_LOST and (batch := await self._next_batch()):
            if await self._post_until_taken(session, batch):
                self.delivered += len(batch)
                lost = 0
            else:
                self._failed += len(batch)
                lost += 1

    async def _next_batch(self) -> list[bytes]:
        """The next events, as soon as a batch is full or its first event has waited for
        `DELAY`; none after the last event."""
        await self._wait_for(1)
        with suppress(TimeoutError):
            async with asyncio.timeout(DELAY):
                await self._wait_for(BATCH)
        count = min(BATCH, len(self._queue))
        return [self._queue.popleft() for _ in range(count)]

    async def _wait_for(self, count: int) -> None:
        while len(self._queue) < count and not self._stopping:
            self._news.clear()
            # Checked again, because the event may have been set just before it was cleared.
            if len(self._queue) < count and not self._stopping:
                await self._news.wait()

    async def _post_until_taken(
        self, session: ClientSession, batch: list[bytes]
    ) -> bool:
        from tenacity import AsyncRetrying, retry_if_result, stop_after_attempt

        head = f'{{"version": 1, "run": "{self._run}", "events": ['
        body = head.encode() + b", ".join(batch) + b"]}"
        headers = self._headers(body)

        async def post() -> _Answer:
            return await self._post(session, body, headers)

        def last(state: RetryCallState) -> _Answer:
            assert state.outcome
            answer: _Answer = state.outcome.result()
            return answer

        trying = AsyncRetrying(
            retry=retry_if_result(lambda answer: answer.again),
            stop=stop_after_attempt(TRIES),
            wait=self._pause,
            retry_error_callback=last,
        )
        answer: _Answer = await trying(post)
        return not answer.reason

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"codx-index/{indexer.__version__}",
            "X-Codx-Delivery": str(uuid.uuid4()),
        }
        if self._secret:
            digest = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers["X-Codx-Signature-256"] = f"sha256={digest}"
        return headers

    async def _post(
        self, session: ClientSession, body: bytes, headers: Mapping[str, str]
    ) -> _Answer:
        import aiohttp

        try:
            async with (
                asyncio.timeout(TIMEOUT),
                session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                answer = _judge(response.status, response.headers)
        except aiohttp.ClientError as error:
            answer = _Answer(reason_of(error), again=True)
        except TimeoutError:
            answer = _Answer(f"no answer within {TIMEOUT:g} s", again=True)
        self.reason = answer.reason or self.reason
        return answer

    def _pause(self, state: RetryCallState) -> float:
        from tenacity import wait_exponential, wait_random

        assert state.outcome
        answer: _Answer = state.outcome.result()
        if answer.pause:
            return answer.pause
        longest = LAST_PAUSE if self._stopping else LONGEST_PAUSE
        growing = wait_exponential(multiplier=FIRST_PAUSE, max=longest)
        return (growing + wait_random(0, FIRST_PAUSE))(state)


_TRY_AGAIN = frozenset({408, 425, 429})  # and 500 to 599


def _judge(status: int, headers: Mapping[str, str]) -> _Answer:
    if 200 <= status < 300:
        return _Answer()
    again = status in _TRY_AGAIN or 500 <= status < 600
    advice = headers.get("retry-after", "")
    seconds = float(advice) if advice.isdecimal() else 0.0  # a date is ignored
    return _Answer(f"HTTP {status}", again, min(seconds, LONGEST_ADVICE))
