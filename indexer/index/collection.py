"""The collection of a project: opened on first use, leased, marked, closed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from indexer.config import Settings
from indexer.environment import is_process_ours
from indexer.index.identity import Identity
from indexer.index.lock import run_lock
from indexer.milvus.on_disk import peek, signature
from indexer.milvus.owner import OWN_DATABASE, Claim, refuse
from indexer.milvus.schema import physical_name
from indexer.paths import escape_path

# The store is imported where it is opened: a run with nothing to do only looks at the disk.
if TYPE_CHECKING:
    from indexer.milvus.lease import Lease
    from indexer.milvus.store import MakeStore, Store


EMBEDDED = "embedded"  # in a place, the project's own database


class Collection:
    """The collection of a project, opened on first use; one that `is_reader` never writes it.

    The `identity` may be replaced as long as the collection is not open.
    """

    def __init__(
        self, settings: Settings, identity: Identity, *, is_reader: bool = False
    ) -> None:
        self.settings = settings
        self.identity = identity
        self._is_reader = is_reader
        self._store: Store | None = None
        self._is_prepared = False
        self._lease: Lease | None = None
        self._imports: threading.Thread | None = None

    @property
    def physical(self) -> str:
        """The physical collection of this identity."""
        return physical_of(self.settings, self.identity.fingerprint)

    @property
    def place(self) -> str:
        """Where the index lies, see `place_of`."""
        return place_of(self.settings)

    def open(self) -> Store:
        """The store with our physical collection, which is created if it is missing."""
        store = self._connected()
        if not self._is_prepared:
            self._prepare(store)
            self._is_prepared = True
        return store

    def _prepare(self, store: Store) -> None:
        store.prepare(
            self.identity.fingerprint,
            self.identity.backend.model.dimension,
            self._properties,
            claim_of(self.settings),
        )

    @property
    def _properties(self) -> dict[str, str]:
        """What the collection says of itself."""
        if not self.settings.shared_collection:
            return self.identity.properties
        from indexer.index.sharing import told_settings

        return {**self.identity.properties, **told_settings(self.settings)}

    def expect_writes(self) -> None:
        """Import the embedded store in a thread, until the first write, beside what comes before.

        That takes as long as loading the model does.
        """
        if not self._store:
            self._imports = begin_import(self.settings)

    @contextmanager
    def lease(self, deadline: float) -> Iterator[None]:
        """Keep other runs from writing while the block runs, also those of other hosts.

        Raises `LockedError` if another run still has the lease at the `deadline` (monotonic).
        """
        if self.settings.database:
            with database_lock(self.settings, deadline):
                if self.settings.shared_collection:
                    from indexer.index.sharing import ledger_of

                    ledger_of(self.settings).begin()
                yield
            return
        from indexer.milvus.lease import Lease

        store = self._connected()
        if not self.settings.embeds:
            store.require_sparse()
        if self.settings.shared_collection:
            self._prepare(store)  # because the lease stands in there
        lease = Lease(store.board)
        with lease.hold(deadline):
            store.stay_within(lease.until)
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    @property
    def is_to_be_made_first(self) -> bool:
        """Whether the collection is made before the lease can be taken, which stands in it.

        It keeps its fingerprint, so it must be known then in which precision the model runs.
        """
        settings = self.settings
        if not settings.shared_collection or settings.database:
            return False
        return not self._connected().exists()

    def check_lease(self) -> None:
        """Raise `LeaseLostError` if the lease is lost. Called before each write."""
        if self._lease is not None:
            self._lease.check()

    def check_claim(self) -> None:
        """Raise `ForeignCollectionError` if the collection is seen to be another project's.

        Nothing is opened for that: of an embedded database, its files tell. Opening asks again.
        """
        settings, claim = self.settings, claim_of(self.settings)
        if not claim.project:
            return
        if not settings.database:
            self._connected().check(claim)
            return
        name = settings.collection_name
        properties = peek(settings.database, name)
        if settings.shared_collection:  # its rows say whose they are
            from indexer.index.sharing import refuse_others

            refuse_others(
                settings, properties, self.identity.fingerprint, self._properties
            )
            return
        refuse(claim, name, settings.database, [{"properties": properties}])

    @property
    def properties(self) -> Mapping[str, str]:
        """What the collection behind the alias says of itself, {} if there is none.

        An embedded database is not opened for that.
        """
        database, name = self.settings.database, self.settings.collection_name
        if database:
            return peek(database, name)
        found = self._connected().describe(name)
        return dict(found["properties"]) if found else {}

    @property
    def was_taken_over(self) -> bool:
        """Whether the last run on this collection ended without giving back its lease."""
        return self._lease is not None and self._lease.was_taken_over

    def open_existing(self) -> Store:
        """The store with the collection behind the alias. Raises `NoIndexError` if there is none."""
        store = self._connected()
        store.open()
        return store

    @property
    def is_absent(self) -> bool:
        """Whether it is known, without opening anything, that there are no rows."""
        database = self.settings.database
        return bool(database) and not os.path.lexists(database)

    @property
    def is_open(self) -> bool:
        """Whether the store is open, so that closing it may change what is on disk."""
        return self._store is not None

    def close(self) -> None:
        """Close the store. An embedded one stays as it is after a store error, see `Store`, and
        when the database was moved away: what is flushed then would begin another one.

        The connection to a server stays while there is a lease, which is given back over it.
        """
        if self._store is not None and self._lease is None:
            if not (self.settings.database and self.is_absent):
                self._store.close()
            self._store = None
            self._is_prepared = False

    def mark(self) -> str:
        """What a later run compares to tell whether anyone has written since.

        For the embedded database that is what it looks like on disk, which takes no import. For a
        server it is the mark that the last writer left, with the collection behind the alias: one
        that was restored or made again is another. "" if there is no mark, or another index.
        """
        if self.settings.database:
            return mark_on_disk(self.settings, self.identity.fingerprint)
        self.check_lease()  # without it the mark may be that of a run at work
        store = self._connected()
        if store.behind_alias != self.physical or not store.board.mark:
            return ""
        return f"{store.board.mark} {store.incarnation}"

    def _connected(self) -> Store:
        if self._imports is not None:
            self._imports.join()
            self._imports = None
        if self._store is None:
            self._store = connect_to(self.settings, is_reader=self._is_reader)
        return self._store


def begin_import(settings: Settings) -> threading.Thread | None:
    """A thread that imports the embedded store, None where that has to wait.

    Nothing of the database is touched.
    """
    if not settings.database or not is_process_ours():
        return None
    from indexer.milvus.internals import can_import_in_thread, set_variables

    set_variables()
    if not can_import_in_thread():
        return None
    from indexer.milvus.internals import import_engine, import_milvus_lite

    wanted = import_engine if settings.asks_once else import_milvus_lite
    thread = threading.Thread(target=_import, args=[wanted], name="codx-imports")
    thread.start()
    return thread


def _import(wanted: Callable[[], None]) -> None:
    with suppress(Exception):  # whatever it is, it is raised again on opening
        wanted()


def place_of(settings: Settings) -> str:
    """Where an index lies. A project's own embedded database may move along with it."""
    place = f"{settings.uri or EMBEDDED} {settings.collection_name}"
    if settings.shared_collection:
        place += f"\n{settings.project_label}"
    return place


def physical_of(settings: Settings, fingerprint: str) -> str:
    """The physical collection that a project's rows are in if they have this fingerprint."""
    if settings.shared_collection:
        return settings.shared_collection
    return physical_name(settings.collection_name, fingerprint)


def mark_on_disk(settings: Settings, fingerprint: str) -> str:
    """The mark of an embedded database, see `Collection.mark`."""
    if settings.shared_collection:
        from indexer.index.sharing import ledger_of

        return ledger_of(settings).mark(settings.project_key)
    return signature(settings.database, physical_of(settings, fingerprint))


def agreed(settings: Settings) -> Settings:
    """The settings with what the project must have in common with others of its collection."""
    if not settings.shared_collection:
        return settings
    from indexer.index.sharing import with_precision

    name = settings.collection_name
    if settings.database:
        properties = peek(settings.database, name)
    else:
        with closing(connect_to(settings)) as store:
            properties = (store.describe(name) or {}).get("properties", {})
    return with_precision(settings, properties.get("codx.precision", ""))


def claim_of(settings: Settings) -> Claim:
    """What the project may say of its collection. In its own database there is no other's."""
    if not settings.uri:
        return OWN_DATABASE
    return Claim(
        escape_path(settings.subject),
        settings.takes_over,
        is_foreign_name=settings.has_name_of_another_folder,
    )


def connect_to(settings: Settings, *, is_reader: bool = False) -> Store:
    """The store of a project, by its alias; no collection is opened yet."""
    name, make = settings.collection_name, store_maker(settings)
    if not settings.database:
        from indexer.milvus.remote import connect

        return connect(settings.uri, settings.token, name, make)
    from indexer.milvus.embedded import READER_PATIENCE, open_to_read, serve

    patience = max(READER_PATIENCE, settings.wait)
    start = open_to_read if is_reader else serve
    return start(
        settings.database,
        settings.state_dir,
        name,
        patience=patience,
        make=make,
        is_alone=settings.asks_once,
    )


def store_maker(settings: Settings) -> MakeStore:
    """What makes the store of a project when its client is open."""
    if settings.shared_collection:
        from indexer.index.sharing import shared_store_maker

        return shared_store_maker(settings)
    from indexer.milvus.store import Store

    return Store


@contextmanager
def database_lock(
    settings: Settings, deadline: float, *, is_reader: bool = False
) -> Iterator[None]:
    """Keep the runs of other projects from an embedded database that they share.

    One that lies in the project's state folder is guarded by the project's lock. One that
    `is_reader` makes nothing that is not there. Raises
    `LockedError` if another run still holds the database at the `deadline` (monotonic).
    """
    from indexer.milvus.meeting_place import make_meeting_place, run_lock_path

    database, state_dir = settings.database, settings.state_dir
    if run_lock_path(database, state_dir) == settings.lock_path:
        yield
        return
    if not is_reader:
        make_meeting_place(database, state_dir)
    path = run_lock_path(database, state_dir)
    with run_lock(path, deadline, "database", is_reader=is_reader):
        yield
