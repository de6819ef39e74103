"""A Milvus that somebody else serves."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from indexer.address import Address
from indexer.errors import CodxIndexError, StoreUnavailableError
from indexer.milvus.client import Guard, open_client
from indexer.milvus.store import MakeStore, Store

if TYPE_CHECKING:
    from pymilvus import MilvusClient

CONNECT_ATTEMPTS = 4
CONNECT_PAUSE = 0.25  # seconds; doubles
CONNECT_TIMEOUT = 10.0  # seconds


class _Shared:
    """The clients that stores share, by address and token, and the number of blocks that share them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blocks = 0
        self.clients: dict[tuple[Address, str], MilvusClient] = {}


_shared = _Shared()


@contextlib.contextmanager
def shared_connections() -> Iterator[None]:
    """A block in which the stores of one address and token, one after another or at once, have
    one connection. It is closed at the end of the block."""
    with _shared.lock:
        _shared.blocks += 1
    try:
        yield
    finally:
        with _shared.lock:
            _shared.blocks -= 1
            left = {} if _shared.blocks else _shared.clients
            if left:
                _shared.clients = {}
        for (address, _), client in left.items():
            with contextlib.suppress(CodxIndexError), Guard(address)():
                client.close()


def connect(
    where: Address | str, token: str, name: str, make: MakeStore = Store
) -> Store:
    """The collection `name` of the Milvus at this address.

    Raises `StoreUnavailableError` after a few attempts, and `AccessError` if the token
    is refused.
    """
    address = where if isinstance(where, Address) else Address(where)
    address = address.with_secret(token)
    with _shared.lock:
        known = _shared.clients.get((address, token))
    if known is not None:
        return make(known, name, address, embedded=False, is_shared=True)
    reason = StoreUnavailableError()
    for attempt in range(CONNECT_ATTEMPTS):
        if attempt:
            time.sleep(CONNECT_PAUSE * 2 ** (attempt - 1))
        try:
            client = open_client(address, token=token, timeout=CONNECT_TIMEOUT)
        except StoreUnavailableError as error:
            reason = error
        else:
            is_shared = _share(client, address, token)
            return make(client, name, address, embedded=False, is_shared=is_shared)
    raise reason


def _share(client: MilvusClient, address: Address, token: str) -> bool:
    """Whether others use the client too, because this block shares connections."""
    with _shared.lock:
        if not _shared.blocks or (address, token) in _shared.clients:
            return False
        _shared.clients[address, token] = client
        return True
