"""How this program starts Python processes of its own."""

from __future__ import annotations

import os
from multiprocessing.context import SpawnContext


def spawn_context() -> SpawnContext:
    """A context whose processes import nothing from the current folder.

    A spawned process begins as `python -c …`, which would look there first: a project
    with a `subprocess.py` would break the pool, and a hostile one run its code.
    Spawned, not forked: a fork after torch or gRPC has started threads hangs, and would
    hold the database's lock for good.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    return SpawnContext()
