"""Where the lease of a collection stands: in the properties of another, empty collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexer.milvus.client import CALL_TIMEOUT, Guard
from indexer.milvus.schema import collection_schema

if TYPE_CHECKING:
    from pymilvus import MilvusClient

LEASE = "codx.lease"  # the property
LEASE_TIMEOUT = 5.0  # seconds; a lease that takes longer to write is of no use


class LeaseBoard:
    """The text of the lease for all physical collections of one name.

    It stands in a collection without rows, which the first lease creates. Every method
    raises `StoreError` or `StoreUnavailableError`.
    """

    def __init__(self, client: MilvusClient, guard: Guard, name: str) -> None:
        self._client = client
        self._guard = guard
        self._place = f"{name}__lease"

    def read(self) -> str:
        """The text, "" if there is none."""
        with self._guard():
            if not self._client.has_collection(self._place, timeout=LEASE_TIMEOUT):
                return ""
            found = self._client.describe_collection(self._place, timeout=LEASE_TIMEOUT)
        return str(found.get("properties", {}).get(LEASE, ""))

    def write(self, text: str) -> None:
        """Replace the text."""
        with self._guard():
            if not self._client.has_collection(self._place, timeout=LEASE_TIMEOUT):
                if not text:
                    return
                self._client.create_collection(
                    self._place,
                    schema=collection_schema(2, sparse=False),
                    timeout=CALL_TIMEOUT,
                )
            self._client.alter_collection_properties(
                self._place, {LEASE: text}, timeout=LEASE_TIMEOUT
            )

    def drop(self) -> None:
        """Remove the board and the lease on it."""
        with self._guard():
            self._client.drop_collection(self._place, timeout=CALL_TIMEOUT)
