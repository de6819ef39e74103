"""Fault points: the places where a test makes a run die, hang or fail.

Off, as always outside tests, a fault point is a call that returns at once. On, the variable
`CODX_INDEX_FAULT` holds "<action> <step> [<which>]": the action happens the n-th time that
the process reaches the step, or when the step is about the file, or the text, `which`.

    CODX_INDEX_FAULT="kill upserted 3"      die without a word after the third upsert
    CODX_INDEX_FAULT="hang chunking bad.py" whoever is given bad.py never ends
    CODX_INDEX_FAULT="full flushed"         as if the disk were full after the flush
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

# In the order in which a run reaches them. What each follows is in place when it fires.
STEPS = (
    "locked",  # the lock is held
    "audited",  # the manifest says what the rows say
    "dirty",  # the manifest is dirty, on disk
    "created",  # the physical collection is there, its alias is not
    "prepared",  # the collection can be written
    "claimed",  # it has the mark of this run
    "upserted",  # new rows of a group are acknowledged
    "deleted",  # so are deletions of its stale rows
    "recorded",  # the manifest has the group
    "cached",  # the cache has its vectors
    "gone",  # rows and records of files that are gone are deleted
    "flushed",  # the collection is on disk
    "moved",  # the alias leads to it
    "dropped",  # its predecessor is dropped
    "closed",  # the database is closed
    "settled",  # the manifest says that all is well
    "stamped",  # the stamp is written
)
WORKER_STEPS = (
    "chunking",  # a worker has a file and begins with it
    "embedding",  # a worker has texts and begins with them
)

_fault = os.environ.get("CODX_INDEX_FAULT", "")
_reached: Counter[str] = Counter()


def reach(step: str, about: Sequence[str] = ()) -> None:
    """A step is reached; `about` are the files or texts that it is about, if it is."""
    if _fault:
        _reach(step, about)


def _reach(step: str, about: Sequence[str]) -> None:
    action, wanted, which = (_fault.split(" ", 2) + ["1"])[:3]
    if step != wanted:
        return
    _reached[step] += 1
    if which not in about and which != str(_reached[step]):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        while True:
            time.sleep(3600)
    elif action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        raise ValueError(f"CODX_INDEX_FAULT: no action {action!r}")
