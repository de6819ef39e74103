"""A Milvus that somebody else serves."""

from __future__ import annotations

import time

from indexer.address import Address
from indexer.errors import StoreUnavailableError
from indexer.milvus.client import open_client
from indexer.milvus.store import MakeStore, Store

CONNECT_ATTEMPTS = 4
CONNECT_PAUSE = 0.25  # seconds; doubles
CONNECT_TIMEOUT = 10.0  # seconds


def connect(
    where: Address | str, token: str, name: str, make: MakeStore = Store
) -> Store:
    """The collection `name` of the Milvus at this address.

    Raises `StoreUnavailableError` after a few attempts, and `AccessError` where the token
    is refused.
    """
    address = where if isinstance(where, Address) else Address(where)
    address = address.with_secret(token)
    reason = StoreUnavailableError()
    for attempt in range(CONNECT_ATTEMPTS):
        if attempt:
            time.sleep(CONNECT_PAUSE * 2 ** (attempt - 1))
        try:
            client = open_client(address, token=token, timeout=CONNECT_TIMEOUT)
        except StoreUnavailableError as error:
            reason = error
        else:
            return make(client, name, address, embedded=False)
    raise reason
