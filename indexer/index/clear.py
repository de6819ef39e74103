"""Removes an index: its collections and its state."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack, closing

from indexer.config import Settings
from indexer.index.collection import claim_of, connect_to, database_lock
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
    deadline = time.monotonic() + settings.wait
    with run_lock(settings.lock_path, deadline):
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
    deadline = time.monotonic() + settings.wait
    with ExitStack() as stack:
        if settings.database:
            stack.enter_context(database_lock(settings, deadline))
        store = stack.enter_context(closing(connect_to(settings)))
        if not settings.database:
            stack.enter_context(Lease(store.board).hold(deadline))
        return store.drop(claim_of(settings))
