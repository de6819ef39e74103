"""Calls to a Milvus through pymilvus: their time limit, and our errors in place of its."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from indexer.address import Address
from indexer.errors import CodxIndexError, StoreError, StoreUnavailableError
from indexer.milvus.internals import is_unavailable, one_line, silence

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CALL_TIMEOUT = 60.0  # seconds; pymilvus retries on its own within it


def open_client(
    address: Address | str, *, token: str = "", timeout: float | None = None
) -> MilvusClient:
    """A client with a connection of its own, made within `timeout` seconds.

    Raises `StoreUnavailableError`.
    """
    silence()
    import grpc
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    address = address if isinstance(address, Address) else Address(address)
    uri = address.reveal()
    try:
        # Clients of one address share a channel unless told otherwise.
        return MilvusClient(uri, token=token, timeout=timeout, dedicated=True)
    except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
        message = address.hide(one_line(error))
        raise StoreUnavailableError(message) from address.hide_in(error)


class Guard:
    """Turns what pymilvus and gRPC raise into our errors, and remembers that one came.

    `hint` is added to each message, unless the disk is full.
    """

    def __init__(self, where: Address | str, hint: str = "") -> None:
        self._address = where if isinstance(where, Address) else Address(where)
        self.uri = str(where)
        self.is_broken = False
        self._hint = hint

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Enter this around each call of the client.

        Raises `StoreError` or, where nobody answers, `StoreUnavailableError`.
        """
        import grpc
        from pymilvus.exceptions import MilvusException, MilvusUnavailableException

        try:
            yield
        except (MilvusUnavailableException, grpc.RpcError) as error:
            raise self.fail(
                one_line(error), StoreUnavailableError
            ) from self._address.hide_in(error)
        except MilvusException as error:
            kind = StoreUnavailableError if is_unavailable(error) else StoreError
            raise self.fail(one_line(error), kind) from self._address.hide_in(error)
        except (OSError, ValueError) as error:
            raise self.fail(one_line(error)) from self._address.hide_in(error)

    def fail(
        self, message: str, kind: type[CodxIndexError] = StoreError
    ) -> CodxIndexError:
        """Break the guard; returns the error to raise."""
        self.is_broken = True
        message = self._address.hide(message)
        is_full = os.strerror(errno.ENOSPC) in message
        return kind(f"Milvus at {self.uri}: {message}{'' if is_full else self._hint}")
