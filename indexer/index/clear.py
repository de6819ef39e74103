"""Removes an index: its collections and its state."""

from __future__ import annotations

import os
import shutil
from contextlib import nullcontext

from indexer.config import Settings
from indexer.index.collection import claim_of, connect_to
from indexer.index.gate import admit
from indexer.index.lock import run_lock
from indexer.milvus.lease import Lease


def clear(settings: Settings) -> bool:
    """Drop the project's collections and remove its state. Returns whether there was anything.

    Raises `LockedError` while a run is at work.
    """
    admit(settings)
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
    store = connect_to(settings)
    try:
        lease = (
            nullcontext() if settings.database else Lease(store.board).hold(deadline=0)
        )
        with lease:
            return store.drop(claim_of(settings))
    finally:
        store.close()
