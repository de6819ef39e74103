"""One collection of one Milvus: an alias, and the physical collections that it moves among.

A collection `<name>` is an alias to the physical collection `<name>__<8 of fingerprint>`,
so that the index of another model grows beside the old one until the alias moves. A row
is never removed before its successor exists, and rows are removed by primary key only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from indexer.address import Address
from indexer.errors import ForeignCollectionError, NoIndexError
from indexer.faults import reach
from indexer.milvus.client import CALL_TIMEOUT, Guard
from indexer.milvus.internals import remove_torn_collection
from indexer.milvus.lease_board import LeaseBoard
from indexer.milvus.owner import OWN_DATABASE, Claim
from indexer.milvus.schema import (
    collection_schema,
    field_names,
    knows_sparse,
    physical_name,
    vector_indexes,
)
from indexer.milvus.table import Table

if TYPE_CHECKING:
    from pymilvus import MilvusClient

# Properties of a physical collection.
FINGERPRINT = "codx.fingerprint"
WRITER = "codx.writer"
HAS_VECTORS = "codx.has-vectors"  # since a run embedded; before, no row has a vector

DAMAGED = (
    " (if the database is damaged, codx-index clear removes it, and the next run builds it "
    "anew)"
)


class Store(Table):
    """One collection of one Milvus, and its rows.

    Every method raises `StoreError` (or `StoreUnavailableError`) for what Milvus refuses.
    After that nothing may be written, and `close` does nothing: the embedded database
    flushes when it is closed, which would make a loss permanent. `is_server` tells whether
    this process serves the embedded database; `release` lets go of what the client uses.
    """

    def __init__(
        self,
        client: MilvusClient,
        name: str,
        where: Address | str,
        *,
        embedded: bool,
        release: Callable[[], None] = lambda: None,
        is_server: bool = False,
    ) -> None:
        guard = Guard(where, DAMAGED if embedded else "")
        super().__init__(client, guard, embedded=embedded)
        self._release = release
        self.name = name
        self.is_server = is_server
        self.board = LeaseBoard(client, guard, name)

    def close(self) -> None:
        """Close the client and, where this process serves the database, the database."""
        if self._guard.is_broken:
            return
        with self._guard():
            self._client.close()
            self._release()

    def describe(self, name: str) -> dict[str, Any] | None:
        """Milvus's description of a collection or alias of ours; None if there is none.

        Raises `ForeignCollectionError` where something else made it.
        """
        with self._guard():
            if not self._client.has_collection(name, timeout=CALL_TIMEOUT):
                return None
            found: dict[str, Any] = self._client.describe_collection(
                name, timeout=CALL_TIMEOUT
            )
        is_ours = FINGERPRINT in found.get("properties", {})
        if not is_ours or found["collection_name"] == self.name:
            raise self._foreign(name, "was not made by codx-index")
        return found

    def open(self) -> dict[str, str]:
        """Open the collection behind the alias, for reading; returns its properties.

        Raises `NoIndexError` where there is none.
        """
        found = self.describe(self.name)
        if found is None:
            raise NoIndexError(
                f"no collection {self.name!r} at {self._guard.uri}: "
                "build it with codx-index run"
            )
        self.physical = found["collection_name"]
        self.fields = field_names(found)
        with self._guard():
            self._client.load_collection(self.physical, timeout=CALL_TIMEOUT)
        return dict(found["properties"])

    def prepare(
        self,
        fingerprint: str,
        dimension: int,
        properties: dict[str, str],
        claim: Claim = OWN_DATABASE,
    ) -> None:
        """Create or open the physical collection of this fingerprint, for writing.

        The first index gets the alias at once, so that it is searchable while it grows.
        Raises `ForeignCollectionError` for a collection that the `claim` does not allow.
        """
        current = self.describe(self.name)
        self.physical = physical_name(self.name, fingerprint)
        found = self.describe(self.physical)
        self._accept(claim, current)
        if found is None:
            properties = {**properties, **claim.properties}
            self._create(dimension, {**properties, FINGERPRINT: fingerprint})
            reach("created")
        elif found["properties"][FINGERPRINT] != fingerprint:
            raise self._foreign(self.physical, "holds another index")
        else:
            self.fields = field_names(found)
        self._add_missing_indexes()
        with self._guard():
            self._client.load_collection(self.physical, timeout=CALL_TIMEOUT)
            if current is None:
                if self.embedded:  # where an alias may outlive its collection
                    self._client.drop_alias(self.name, timeout=CALL_TIMEOUT)
                self._client.create_alias(
                    self.physical, self.name, timeout=CALL_TIMEOUT
                )
        reach("prepared")

    def _create(self, dimension: int, properties: dict[str, str]) -> None:
        if self.embedded:
            remove_torn_collection(self._guard.uri, self.physical)
        with self._guard():
            version = str(self._client.get_server_version(timeout=CALL_TIMEOUT))
            schema = collection_schema(dimension, sparse=knows_sparse(version))
            self.fields = frozenset(field.name for field in schema.fields)
            self._client.create_collection(
                self.physical,
                schema=schema,
                index_params=vector_indexes(self.fields, embedded=self.embedded),
                consistency_level="Strong",
                properties=properties,
                timeout=CALL_TIMEOUT,
            )

    def _add_missing_indexes(self) -> None:
        """A run may have been killed between the calls that create a collection."""
        for field in ["vector", *(["sparse"] if self.has_sparse else [])]:
            with self._guard():
                if not self._client.list_indexes(
                    self.physical, field_name=field, timeout=CALL_TIMEOUT
                ):
                    index = vector_indexes({field}, embedded=self.embedded)
                    self._client.create_index(
                        self.physical, index, timeout=CALL_TIMEOUT
                    )

    def claim(self, writer: str, *, embeds: bool = True) -> None:
        """Leave the mark of the run that is about to write, with vectors or without."""
        marks = {WRITER: writer, **({HAS_VECTORS: "yes"} if embeds else {})}
        with self._guard():
            self._client.alter_collection_properties(
                self.physical, marks, timeout=CALL_TIMEOUT
            )

    def flush(self) -> None:
        """Make what was written permanent, without moving the alias."""
        with self._guard():
            self._client.flush(self.physical, timeout=CALL_TIMEOUT)

    def finish(self) -> None:
        """Flush, move the alias here, and drop our other physical collections."""
        self.flush()
        reach("flushed")
        current = self.describe(self.name)
        if current is None or current["collection_name"] != self.physical:
            with self._guard():
                self._client.alter_alias(self.physical, self.name, timeout=CALL_TIMEOUT)
            reach("moved")
        for other in self._siblings():
            if other != self.physical:
                with self._guard():
                    self._client.drop_collection(other, timeout=CALL_TIMEOUT)
                reach("dropped")

    def drop(self, claim: Claim = OWN_DATABASE) -> bool:
        """Drop the alias, every physical collection of this name, and the lease's board.

        Returns whether there was an alias or a physical collection. Raises
        `ForeignCollectionError` for a collection that the `claim` does not allow.
        """
        found = self.describe(self.name)
        self._refuse(claim, self._with_siblings(claim, found))
        siblings = self._siblings()
        with self._guard():
            if found is not None:
                self._client.drop_alias(self.name, timeout=CALL_TIMEOUT)
            for name in siblings:
                self._client.drop_collection(name, timeout=CALL_TIMEOUT)
        self.board.drop()
        return bool(found or siblings)

    def _accept(self, claim: Claim, current: dict[str, Any] | None) -> None:
        """Check the claim, and let it stand on collections that do not name their project."""
        # Without an alias, a run may have been killed after it created its collection.
        found = [current] if current else self._with_siblings(claim, current)
        self._refuse(claim, found)
        for one in found:
            if not claim.is_settled(one):
                with self._guard():
                    self._client.alter_collection_properties(
                        one["collection_name"], claim.properties, timeout=CALL_TIMEOUT
                    )

    def _refuse(self, claim: Claim, found: list[dict[str, Any]]) -> None:
        for one in found:
            if problem := claim.problem(one):
                raise self._foreign(
                    self.name,
                    problem,
                    ", or say with --take-over that it is this project's",
                )

    def _with_siblings(
        self, claim: Claim, current: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        """Milvus's descriptions of all our collections of this name, where a claim matters."""
        if not claim.project:
            return []
        found = [current, *map(self.describe, self._siblings())]
        return [one for one in found if one]

    def _siblings(self) -> list[str]:
        """Our physical collections of this name, of any fingerprint."""
        with self._guard():
            names = self._client.list_collections(timeout=CALL_TIMEOUT)
        length = len(physical_name(self.name, "0" * 8))
        return [
            name
            for name in names
            if name.startswith(f"{self.name}__")
            and len(name) == length
            and self._is_ours(name)
        ]

    def _is_ours(self, name: str) -> bool:
        try:
            return self.describe(name) is not None
        except ForeignCollectionError:
            return False

    def _foreign(
        self, name: str, problem: str, remedy: str = ""
    ) -> ForeignCollectionError:
        return ForeignCollectionError(
            f"the collection {name!r} at {self._guard.uri} {problem}: "
            f"choose another name with --collection{remedy}"
        )
