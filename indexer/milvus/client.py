"""Calls to a Milvus through pymilvus: their time limit, and how often they are repeated."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from indexer.address import Address
from indexer.errors import CodxIndexError, StoreError, StoreUnavailableError
from indexer.milvus.client_errors import client_errors
from indexer.milvus.internals import silence
from indexer.milvus.refusals import cannot_connect, our_error

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CALL_TIMEOUT = 60.0  # seconds
PATIENCE = 20.0  # seconds in which a call that was cut off is repeated
FIRST_PAUSE = 0.1  # seconds before that; doubles, up to LAST_PAUSE, and varies
LAST_PAUSE = 3.0
LEAST_TIMEOUT = 1.0  # seconds


def open_client(
    address: Address | str, *, token: str = "", timeout: float | None = None
) -> MilvusClient:
    """A client with a connection of its own, made within `timeout` seconds.

    Raises `StoreUnavailableError`, or `AccessError` if the token is refused.
    """
    silence()
    from pymilvus import MilvusClient

    address = address if isinstance(address, Address) else Address(address)
    uri = address.reveal()
    # A proxy is for other machines: it would look for the loopback address on its own.
    options = {"grpc.enable_http_proxy": 0} if address.is_loopback else {}
    try:
        # Clients of one address share a channel unless told otherwise.
        return MilvusClient(
            uri, token=token, timeout=timeout, dedicated=True, grpc_options=options
        )
    except client_errors() as error:
        raise cannot_connect(error, address, has_token=bool(token)) from (
            address.hide_in(error)
        )


class Guard:
    """Makes calls, raises our errors for what pymilvus and gRPC raise, and remembers that it did.

    `hint` is added to each message, unless the disk is full. A call that was cut off is
    repeated for `patience` seconds, but not after `until` (monotonic clock), because a
    run must not write without its lease.
    """

    def __init__(
        self, where: Address | str, hint: str = "", patience: float = 0
    ) -> None:
        self._address = where if isinstance(where, Address) else Address(where)
        self.uri = str(where)
        self.is_broken = False
        self.patience = patience
        self.until: Callable[[], float] = lambda: math.inf
        self._hint = hint

    def call(
        self,
        method: Callable[..., Any],
        *arguments: Any,
        timeout: float = CALL_TIMEOUT,
        is_done: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> Any:
        """What a method of the client returns, if need be on a later attempt.

        So the method must mean the same when it is called twice. If the second call
        would be refused, `is_done` says whether the first one, whose answer was lost, has
        done it. Raises `StoreError` or, if nobody answers, `StoreUnavailableError`.
        """

        def attempt() -> Any:
            left = max(self.until() - time.monotonic(), LEAST_TIMEOUT)
            with self._translated():
                return method(*arguments, timeout=min(timeout, left), **options)

        try:
            return self._repeatedly(attempt) if self.patience else attempt()
        except StoreUnavailableError:
            self.is_broken = True
            raise
        except StoreError:
            if is_done():
                return None
            self.is_broken = True
            raise

    def _repeatedly(self, attempt: Callable[[], Any]) -> Any:
        """What the attempt returns, as soon as one is not cut off.

        pymilvus itself repeats a call whose answer was lost, but only if it can reconnect
        at once.
        """
        from tenacity import (
            Retrying,
            retry_if_exception_type,
            stop_before_delay,
            wait_random_exponential,
        )

        attempts = Retrying(
            retry=retry_if_exception_type(StoreUnavailableError),
            stop=stop_before_delay(min(self.patience, self.until() - time.monotonic())),
            wait=wait_random_exponential(FIRST_PAUSE, max=LAST_PAUSE),
            reraise=True,
        )
        return attempts(attempt)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Enter this around what is done only once, such as closing the client.

        Raises `StoreError` or, if nobody answers, `StoreUnavailableError`.
        """
        try:
            with self._translated():
                yield
        except CodxIndexError:
            self.is_broken = True
            raise

    def fail(self, message: str) -> StoreError:
        """Break the guard; returns the error to raise."""
        self.is_broken = True
        return StoreError(f"Milvus at {self.uri}: {message}{self._hint}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except client_errors() as error:
            raise our_error(
                error, self._address, self._hint
            ) from self._address.hide_in(error)
