"""Removes an index: its collections and its state."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack, closing

from indexer.config import Settings
from indexer.index.collection import (
    claim_of,
    connect_to,
    database_lock,
    place_of,
)
from indexer.index.gate import admit
from indexer.index.lock import run_lock
from indexer.index.manifest import Manifest
from indexer.milvus.lease import Lease


def clear(settings: Settings) -> bool:
    """Drop the project's collections and remove its state. Returns whether there was anything.

    Raises `LockedError` while a run is at work.
    """
    admit(settings)
    if not os.path.isdir(settings.state_dir):
        return _drop(settings)
    deadline = time.monotonic() + settings.wait
    with run_lock(settings.lock_path, deadline):
        had_state = settings.has_state
        had_collection = _drop(settings)
        if _is_of_another_index(settings):
            return had_collection
        for name in sorted(os.listdir(settings.state_dir)):
            path = os.path.join(settings.state_dir, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        os.rmdir(settings.state_dir)
    return had_state or had_collection


def _is_of_another_index(settings: Settings) -> bool:
    """Whether the state is that of an index elsewhere, to which the project was moved."""
    if not settings.has_state:
        return False
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        return manifest.get("place") not in ("", place_of(settings))


def _drop(settings: Settings) -> bool:
    if not settings.uri:
        if not os.path.isdir(settings.database):
            return False
        if _is_of_another_index(settings):
            shutil.rmtree(settings.database)
        return True  # or goes with the state folder
    if settings.database and not os.path.isdir(settings.database):
        return False
    deadline = time.monotonic() + settings.wait
    with ExitStack() as stack:
        if settings.database:
            stack.enter_context(database_lock(settings, deadline))
            if settings.shared_collection:
                from indexer.index.sharing import ledger_of

                ledger_of(settings).begin()
        store = stack.enter_context(closing(connect_to(settings)))
        if settings.shared_collection and not store.exists():
            return False
        if not settings.database:
            stack.enter_context(Lease(store.board).hold(deadline))
        return store.drop(claim_of(settings))
