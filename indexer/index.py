"""Which index belongs to the settings, what it holds, and whether that may be believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Set
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass

from indexer.audit import audit
from indexer.config import SECRETS_VERSION, Settings, check_state_dir, fingerprint
from indexer.embedding import Backend, choose_backend, resolve_model
from indexer.errors import ModelError
from indexer.faults import reach
from indexer.lease import Lease
from indexer.lock import run_lock
from indexer.manifest import COMPLETE, DIRTY, PARTIAL, Manifest
from indexer.store import (
    READER_PATIENCE,
    SCHEMA_VERSION,
    WRITER,
    Store,
    connect,
    physical_name,
    serve,
    signature,
)
from indexer.text.chunks import CHUNKER_VERSION
from indexer.text.terms import SPARSE_VERSION
from indexer.types import Audit


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides whether an index may be used as it is.

    `vectors` is the part of the fingerprint that decides the vectors alone: it names the
    embedding cache, which outlives a new chunker or schema.
    """

    backend: Backend
    vectors: str
    fingerprint: str

    @property
    def properties(self) -> dict[str, str]:
        """What the collection says of itself, for readers."""
        return {
            "codx.model": self.backend.model.name,
            "codx.precision": self.backend.precision,
            "codx.vectors": self.vectors,
            "codx.chunker": str(CHUNKER_VERSION),
            "codx.schema": str(SCHEMA_VERSION),
            "codx.sparse": str(SPARSE_VERSION),
        }


def identify(
    settings: Settings,
    *,
    convert: bool = False,
    on_step: Callable[[str], None] = lambda message: None,
) -> Identity:
    """Find the model and how it runs here; near-free when both are known already.

    `convert` allows the one conversion of a model that was never used on this machine.
    """
    try:
        model = resolve_model(settings.model, settings.cache_dir)
    except ModelError as error:
        if not settings.model_from:
            raise
        raise ModelError(f"{settings.model_from}: {error}") from error
    backend = choose_backend(
        model,
        settings.cache_dir,
        settings.precision,
        convert=convert,
        on_step=on_step,
    )
    vectors = vectors_identity(backend)
    whole = fingerprint(
        vectors=vectors,
        chunker=CHUNKER_VERSION,
        schema=SCHEMA_VERSION,
        sparse=SPARSE_VERSION,
        secrets=[settings.secrets, SECRETS_VERSION],
    )
    return Identity(backend, vectors, whole)


def vectors_identity(backend: Backend) -> str:
    """What decides a text's vector, hashed."""
    return fingerprint(
        model=backend.model.digest,
        dimension=backend.model.dimension,
        max_tokens=backend.model.max_tokens,
        precision=backend.precision,
    )


class Index:
    """The collection of a project, opened at the first use."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self._store: Store | None = None
        self._is_prepared = False
        self._lease: Lease | None = None

    @property
    def physical(self) -> str:
        """The physical collection of this identity."""
        return physical_name(self.settings.collection_name, self.identity.fingerprint)

    @property
    def place(self) -> str:
        """Where the index lies; a project's own embedded database may move with it."""
        where = self.settings.uri or "embedded"
        return f"{where} {self.settings.collection_name}"

    def open(self) -> Store:
        """The store with our physical collection, created where it is missing."""
        store = self._connected()
        if not self._is_prepared:
            model = self.identity.backend.model
            store.prepare(
                self.identity.fingerprint, model.dimension, self.identity.properties
            )
            self._is_prepared = True
        return store

    @contextmanager
    def lease(self, deadline: float) -> Iterator[None]:
        """Keep other hosts from writing for the length of the block; an embedded database
        has a lock of its own.

        Raises `LockedError` where another run has the lease until `deadline` (monotonic).
        """
        if self.settings.database:
            yield
            return
        # Over a connection of its own: ours may be closed before the lease is given back.
        with closing(_connect(self.settings)) as board:
            lease = Lease(board)
            with lease.hold(deadline):
                self._lease = lease
                yield

    def check_lease(self) -> None:
        """To be called before each write; raises `LeaseLostError`."""
        if self._lease is not None:
            self._lease.check()

    @property
    def was_taken_over(self) -> bool:
        """Did the last run on this collection end without giving back the lease?"""
        return self._lease is not None and self._lease.was_taken_over

    def open_existing(self) -> Store:
        """The store with the collection behind the alias; `NoIndexError` without one."""
        store = self._connected()
        store.open()
        return store

    @property
    def is_absent(self) -> bool:
        """Is it known, without opening anything, that there are no rows?"""
        database = self.settings.database
        return bool(database) and not os.path.lexists(database)

    @property
    def is_open(self) -> bool:
        """Is the store open, so that the database may look another way once it is closed?"""
        return self._store is not None

    def close(self) -> None:
        """Close the store; does nothing after a store error, see `Store`."""
        if self._store is not None:
            self._store.close()
            self._store = None
            self._is_prepared = False

    def mark(self) -> str:
        """What a later run compares to tell whether anyone has written since.

        The embedded database: what it looks like on disk, no import needed. A server: the
        mark that the last writer left on the collection behind the alias. "" without one.
        """
        if self.settings.database:
            return signature(self.settings.database, self.physical)
        found = self._connected().describe(self.settings.collection_name)
        if found is None or found["collection_name"] != self.physical:
            return ""
        return str(found["properties"].get(WRITER, ""))

    def _connected(self) -> Store:
        if self._store is None:
            self._store = _connect(self.settings)
        return self._store


@dataclass(frozen=True, slots=True)
class Known:
    """The files of the index as far as we know them; `state` as in the manifest."""

    files: Audit
    state: str


def known_files(
    index: Index, manifest: Manifest, doubted: Set[str] = frozenset()
) -> Known:
    """What the manifest says where it may be believed, else what the rows say.

    After reading the rows, the manifest is replaced by what they said, still dirty. The
    files at `doubted` paths are not current, whatever their rows say.
    """
    if not doubted and is_trusted(index, manifest):
        return Known(Audit(manifest.records(), {}), manifest.get("state"))
    fingerprint_agrees = manifest.get("fingerprint") == index.identity.fingerprint
    lent = manifest.records() if fingerprint_agrees else {}
    if not fingerprint_agrees:
        manifest.forget_failures()
    # A first run opens the database, which takes a second, while its workers are busy.
    rows = () if index.is_absent else index.open().keys()
    files = audit(rows, lent, doubted)
    manifest.reset(
        files.records.values(),
        state=DIRTY,
        place=index.place,
        fingerprint=index.identity.fingerprint,
        mark="",
    )
    reach("audited")
    return Known(files, DIRTY)


def is_trusted(index: Index, manifest: Manifest) -> bool:
    """Is the manifest about this index, and nobody has written since it was closed?"""
    return (
        not index.was_taken_over
        and manifest.get("state") in (COMPLETE, PARTIAL)
        and manifest.get("place") == index.place
        and manifest.get("fingerprint") == index.identity.fingerprint
        and (mark := manifest.get("mark")) != ""
        and mark == index.mark()
    )


def clear(settings: Settings) -> bool:
    """Drop this project's collections and remove its state; was there anything?

    Raises `LockedError` while a run is at work.
    """
    check_state_dir(settings.state_dir)
    if not os.path.isdir(settings.state_dir):
        return _drop(settings)
    with run_lock(settings.lock_path):
        had_state = settings.has_state
        had_collection = _drop(settings)
        for name in sorted(os.listdir(settings.state_dir)):
            path = os.path.join(settings.state_dir, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(settings.state_dir)
    return had_state or had_collection


def _drop(settings: Settings) -> bool:
    if not settings.uri:
        return os.path.isdir(settings.database)  # goes with the state folder
    if settings.database and not os.path.isdir(settings.database):
        return False
    store = _connect(settings)
    try:
        lease = nullcontext() if settings.database else Lease(store).hold(deadline=0)
        with lease:
            return store.drop()
    finally:
        store.close()


def _connect(settings: Settings) -> Store:
    name = settings.collection_name
    if not settings.database:
        return connect(settings.uri, settings.token, name)
    return serve(settings.database, settings.state_dir, name, patience=READER_PATIENCE)
