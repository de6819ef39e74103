"""One collection of one Milvus: an alias, and the physical collections that it moves between.

A collection `<name>` is an alias to the physical collection `<name>__<8 of fingerprint>`,
so that the index of another model grows beside the old one until the alias moves. A row
is never removed before its successor exists, and rows are removed only by primary key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from indexer.address import Address
from indexer.errors import (
    AccessError,
    CodxIndexError,
    ForeignCollectionError,
    UsageError,
)
from indexer.faults import reach
from indexer.milvus.board import Board
from indexer.milvus.client import PATIENCE, Guard
from indexer.milvus.engine import EngineClient
from indexer.milvus.internals import (
    begin_flush,
    description,
    is_flushed,
    is_loaded,
    remember_schema,
    remove_torn_collection,
)
from indexer.milvus.owner import OWN_DATABASE, Claim, foreign, refuse
from indexer.milvus.schema import (
    collection_schema,
    field_names,
    knows_sparse,
    physical_name,
    vector_indexes,
)
from indexer.milvus.table import Table

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

# Properties of a physical collection.
FINGERPRINT = "codx.fingerprint"
SHARED = "codx.shared"  # of a collection that projects share, see `shared.py`
WRITER = "codx.writer"  # of an embedded collection; on a server the mark is a row of the board
HAS_VECTORS = "codx.has-vectors"  # since a run embedded; a hint, which may be missing

# Seconds. A server takes about three for a flush, whatever the size; we ask it meanwhile.
FLUSH_TIMEOUT = 120.0
FIRST_LOOK = 0.5  # doubles, up to LAST_LOOK
LAST_LOOK = 2.0

DAMAGED = " (if the database is damaged, codx-index clear removes it, and the next run rebuilds it)"


MakeStore = Callable[..., "Store"]
"""Makes the store of an open client; the parameters are those of `Store`."""


class Store(Table):
    """One collection of one Milvus, and its rows.

    Every method raises `StoreError` (or `StoreUnavailableError`) for what Milvus refuses.
    After that nothing may be written, and `close` flushes nothing, because that would make a loss
    permanent: an embedded database that is served stays open until the process ends. A store that `only_reads` can
    lose nothing, so it lets go of everything in any case. `is_server` tells whether this
    process serves the embedded database; `release` lets go of what the client uses.
    `is_behind` tells whether the rows are out of date, which only a copy's can be. A
    client that `is_shared` stays open for others.
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
        only_reads: bool = False,
        is_behind: Callable[[], bool] = lambda: False,
        is_shared: bool = False,
    ) -> None:
        # A reader whose embedded database was closed by another process opens it again.
        patience = 0 if embedded else PATIENCE
        guard = Guard(where, DAMAGED if embedded else "", patience)
        super().__init__(client, guard, embedded=embedded)
        self._release = release
        self._only_reads = only_reads
        self.is_behind = is_behind
        self._close = (lambda: None) if is_shared else client.close
        self._looked: dict[str, Any] | None = None
        self._properties: dict[str, str] = {}
        self._loaded = ""  # the collection that is known to be loaded, and its number
        self.name = name
        self.is_server = is_server
        self.board = self._make_board(where, patience)

    def _make_board(self, where: Address | str, patience: float) -> Board:
        return Board(self._client, where, self.name, patience)

    def stay_within(self, until: Callable[[], float]) -> None:
        """Repeat no call after `until` (monotonic clock), when the lease expires."""
        self._guard.until = until

    def close(self) -> None:
        """Close the client and, if this process serves the database, the database."""
        if self._only_reads and self.embedded:
            for let_go in (self._client.close, self._release):
                with suppress(CodxIndexError), self._guard():
                    let_go()
            return
        if self._guard.is_broken and self.embedded:
            if isinstance(self._client, EngineClient):
                with suppress(CodxIndexError), self._guard():
                    self._client.abandon()  # for what this process asks next
            return
        with self._guard():
            self._close()
            self._release()

    def describe(self, name: str) -> dict[str, Any] | None:
        """Milvus's description of a collection or alias of ours; None if there is none.

        Raises `ForeignCollectionError` if something else made it.
        """
        found = self._description(name)
        if found is None:
            return None
        properties = found.get("properties", {})
        if SHARED in properties:
            raise foreign(
                name,
                self._guard.uri,
                "is a shared collection",
                f", or give --shared-collection {name}",
            )
        is_ours = FINGERPRINT in properties
        if not is_ours or found["collection_name"] == self.name:
            raise foreign(name, self._guard.uri, "was not made by codx-index")
        return found

    def _description(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._guard.call(description, self._client, name)
        return found

    def names(self, projects: Collection[str]) -> dict[str, str]:
        """The names under which the projects that share the collection are shown, by their keys."""
        return {}

    @property
    def behind_alias(self) -> str:
        """The physical collection behind the alias, "" if there is none.

        Milvus is asked once, because nobody else moves the alias while we hold the lease.
        """
        found = self._looked or self._look()
        return str(found["collection_name"]) if found else ""

    @property
    def incarnation(self) -> str:
        """What distinguishes the collection behind the alias from others that had or will have its name."""
        found = self._looked or self._look() or {}
        created = found.get("created_timestamp", 0)
        return f"{found.get('collection_id', 0)} {created}"

    def _look(self) -> dict[str, Any] | None:
        self._looked = self.describe(self.name)
        if self._looked is None and not self.embedded:
            # If the database is unknown, Milvus only says that the collection is.
            self._guard.call(self._client.list_collections)
        return self._looked

    def exists(self) -> bool:
        """Whether there is a collection."""
        return (self._looked or self._look()) is not None

    def require_sparse(self) -> None:
        """Raise `UsageError` on a server that cannot find anything by words."""
        version = self._version()
        if not knows_sparse(version):
            raise UsageError(
                f"--mode sparse: the Milvus at {self._guard.uri} ({version}) has no sparse "
                "vectors, so nothing could be found: leave it out, or use Milvus 2.4 or later"
            )

    def open(self) -> dict[str, str]:
        """Open the collection behind the alias, for reading; returns its properties.

        Raises `NoIndexError` if there is none.
        """
        from indexer.milvus.reading import load_to_read, no_collection

        found = self.describe(self.name)
        if found is None:
            names: list[str] = []
            with suppress(AccessError):
                names = self._guard.call(self._client.list_collections)
            raise no_collection(self.name, self._guard.uri, names)
        self._use(found)
        if self.embedded:
            self._guard.call(self._client.load_collection, self.physical)
        elif (which := f"{self.physical} {found['collection_id']}") != self._loaded:
            load_to_read(self._client, self._guard, self.physical)
            self._loaded = which
        self._choose()
        return dict(found["properties"])

    def _choose(self) -> None:
        """Choose the rows to read, if the collection has more than ours."""

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
        current = self._looked or self._look()
        self.physical = physical_name(self.name, fingerprint)
        # Then it has its indexes.
        is_whole = bool(current and current["collection_name"] == self.physical)
        found = current if is_whole else self.describe(self.physical)
        self._accept(claim, current)
        if found is None:
            properties = {**properties, **claim.properties}
            self._create(dimension, {**properties, FINGERPRINT: fingerprint})
            reach("created")
        elif found["properties"][FINGERPRINT] != fingerprint:
            raise foreign(self.physical, self._guard.uri, "holds a different index")
        else:
            self._use(found)
        if not is_whole:
            self._add_missing_indexes()
        self._load(is_whole)
        if current is None:
            self._create_alias()
        reach("prepared")

    def _use(self, found: dict[str, Any]) -> None:
        self.physical = found["collection_name"]
        self.fields = field_names(found)
        self._properties = dict(found["properties"])
        if not self.embedded:
            remember_schema(self._client, self.physical, found)

    def _create(self, dimension: int, properties: dict[str, str]) -> None:
        if self.embedded:
            remove_torn_collection(self._guard.uri, self.physical)
        schema = self._schema(dimension, sparse=knows_sparse(self._version()))
        self.fields = frozenset(field.name for field in schema.fields)
        self._properties = properties
        self._guard.call(
            self._client.create_collection,
            self.physical,
            schema=schema,
            consistency_level="Strong",
            properties=properties,
            is_done=self._is_made,
        )

    def _schema(self, dimension: int, *, sparse: bool) -> CollectionSchema:
        return collection_schema(dimension, sparse=sparse)

    def _version(self) -> str:
        return str(self._guard.call(self._client.get_server_version))

    def _is_made(self) -> bool:
        """Whether the collection exists although the call to create it was refused."""
        found = self.describe(self.physical)
        fingerprint = self._properties[FINGERPRINT]
        return found is not None and found["properties"][FINGERPRINT] == fingerprint

    def _add_missing_indexes(self) -> None:
        """Create the indexes that a run killed between the calls for a new collection left out.

        Nothing waits for an index. pymilvus would, for at least half a second, but an index of no
        rows is complete at once.
        """
        for field in ["vector", *(["sparse"] if self.has_sparse else [])]:
            if not self._has_index(field):
                self._guard.call(
                    self._client.create_index,
                    self.physical,
                    vector_indexes({field}, embedded=self.embedded),
                    sync=False,
                    is_done=partial(self._has_index, field),
                )

    def _has_index(self, field: str) -> bool:
        found = self._guard.call(
            self._client.list_indexes, self.physical, field_name=field
        )
        return bool(found)

    def _load(self, is_whole: bool) -> None:
        """Load the collection; if it `is_whole`, it most likely is loaded."""
        if is_whole and not self.embedded and self._is_loaded():
            return
        self._guard.call(self._client.load_collection, self.physical)

    def _is_loaded(self) -> bool:
        return bool(self._guard.call(is_loaded, self._client, self.physical))

    def _create_alias(self) -> None:
        # After a crash, and in the embedded database, the alias may have outlived its collection.
        self._guard.call(self._client.drop_alias, self.name)
        self._guard.call(
            self._client.create_alias,
            self.physical,
            self.name,
            is_done=self._has_alias,
        )

    def _has_alias(self) -> bool:
        found = self._look()
        return found is not None and found["collection_name"] == self.physical

    def claim(self, writer: str, *, embeds: bool = True) -> None:
        """Leave the mark of the run that is about to write, with vectors or without."""
        marks = {WRITER: writer} if self.embedded else {}
        if embeds and (self.embedded or HAS_VECTORS not in self._properties):
            marks[HAS_VECTORS] = "yes"
        if not self.embedded:
            self.board.write_mark(writer)
        if marks:
            self._guard.call(
                self._client.alter_collection_properties, self.physical, marks
            )

    def flush(self) -> None:
        """Make what was written permanent, without moving the alias."""
        if self.embedded:
            self._guard.call(self._client.flush, self.physical)
            return
        # With the mark, so that the rows never outlive it.
        names = [*dict.fromkeys((self.physical, self.board.place))]
        flushing = self._guard.call(begin_flush, self._client, names)
        deadline = time.monotonic() + FLUSH_TIMEOUT
        pause = FIRST_LOOK
        for name in names:
            while not self._guard.call(is_flushed, self._client, name, flushing):
                if time.monotonic() > deadline:
                    raise self._guard.fail(f"{name} was not flushed in time")
                time.sleep(pause)
                pause = min(2 * pause, LAST_LOOK)

    def finish(self, *, sweeps: bool = True) -> None:
        """Flush, move the alias here, and drop our other physical collections.

        On a server these are looked for only if the alias moved, or if the run `sweeps` because a
        killed run may have left some: the list covers all projects.
        """
        self.flush()
        reach("flushed")
        is_moved = not self._has_alias()
        if is_moved:
            self._guard.call(self._client.alter_alias, self.physical, self.name)
            self._looked = None
            reach("moved")
        if not (is_moved or sweeps or self.embedded):
            return
        for other in self._siblings():
            if other != self.physical:
                self._guard.call(self._client.drop_collection, other)
                reach("dropped")

    def drop(self, claim: Claim = OWN_DATABASE) -> bool:
        """Drop the alias, every physical collection of this name, and the board.

        Returns whether there was an alias or a physical collection. Raises
        `ForeignCollectionError` for a collection that the `claim` does not allow.
        """
        found = self.describe(self.name)
        refuse(claim, self.name, self._guard.uri, self._with_siblings(claim, found))
        siblings = self._siblings()
        if found is not None:
            self._guard.call(self._client.drop_alias, self.name)
        for name in siblings:
            self._guard.call(self._client.drop_collection, name)
        self._looked = None
        self.board.drop()
        return bool(found or siblings)

    def check(self, claim: Claim) -> None:
        """Raise `ForeignCollectionError` for a collection that the claim does not allow."""
        current = self._looked or self._look()
        refuse(claim, self.name, self._guard.uri, self._claimed(claim, current))

    def _accept(self, claim: Claim, current: dict[str, Any] | None) -> None:
        """Check the claim, and write it to collections that do not name their project."""
        found = self._claimed(claim, current)
        refuse(claim, self.name, self._guard.uri, found)
        for one in found:
            if not claim.is_settled(one):
                self._guard.call(
                    self._client.alter_collection_properties,
                    one["collection_name"],
                    claim.properties,
                )

    def _claimed(
        self, claim: Claim, current: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        """The collections that a run with this claim would write, as Milvus describes them."""
        # Without an alias, a run may have been killed after it created its collection.
        return [current] if current else self._with_siblings(claim, current)

    def _with_siblings(
        self, claim: Claim, current: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        """Milvus's descriptions of all our collections of this name, if a claim matters."""
        if not claim.project:
            return []
        found = [current, *map(self.describe, self._siblings())]
        return [one for one in found if one]

    def _siblings(self) -> list[str]:
        """Our physical collections of this name, of any fingerprint."""
        names = self._guard.call(self._client.list_collections)
        length = len(physical_name(self.name, "0" * 8))
        return [
            name
            for name in names
            if name.startswith(f"{self.name}__")
            and len(name) == length
            and (name == self.physical or self._is_ours(name))
        ]

    def _is_ours(self, name: str) -> bool:
        try:
            return self.describe(name) is not None
        except ForeignCollectionError:
            return False
