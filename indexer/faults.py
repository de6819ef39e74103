"""Fault points: the places where a test makes a run die, hang or fail.

Outside tests a fault point is a call that returns at once. In tests the variable
`CODX_INDEX_FAULT` holds "<action> <step> [<which>]". If `which` is a number n, which is 1 by
default, the action happens the n-th time that the process reaches the step. Otherwise it happens
when the step concerns the file or the text `which`.

    CODX_INDEX_FAULT="kill upserted 3"       die without a word after the third upsert
    CODX_INDEX_FAULT="hang chunking bad.py"  the worker that gets bad.py hangs forever
    CODX_INDEX_FAULT="stop locked"           wait, once the lock is held, for SIGCONT
    CODX_INDEX_FAULT="full flushed"          fail as if the disk were full after the flush
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Sequence

# In the order in which a run reaches them. Each comes after what its comment describes.
STEPS = (
    "locked",  # the lock is held
    "audited",  # the manifest says what the rows say
    "dirty",  # the manifest is dirty, on disk
    "created",  # the physical collection exists, but not its alias
    "prepared",  # the collection is ready to be written
    "claimed",  # it bears the mark of this run
    "aside",  # contents that move on are put aside, before other rows take their ids
    "upserted",  # the new rows of a group are acknowledged
    "deleted",  # the deletions of its stale rows are acknowledged
    "recorded",  # the manifest has the group
    "cached",  # the cache has its vectors
    "gone",  # rows and records of files that are gone are deleted
    "flushed",  # the collection is on disk
    "moved",  # the alias points to it
    "dropped",  # its predecessor is dropped
    "closed",  # the database is closed
    "settled",  # the manifest says that the index is complete
    "stamped",  # the stamp is written
)
# A first index that starts from another one reaches these after "locked".
SEED_STEPS = (
    "copied",  # the other index is copied, beside the state
    "planted",  # its database is where ours belongs
    "seeded",  # the manifest says what it has
)
# The embedded database reaches these in a thread of its own, if there is anything to merge.
MERGE_STEPS = (
    "merging",  # what segments are merged into is written
    "merged",  # it is in the list of segments, and what was merged is not
)
WORKER_STEPS = (
    "chunking",  # a worker is about to chunk a file
    "embedding",  # a worker is about to embed texts
)

_fault = os.environ.get("CODX_INDEX_FAULT", "")
_reached: Counter[str] = Counter()


def reach(step: str, about: Sequence[str] = ()) -> None:
    """Say that a step is reached; `about` holds the files or texts that it concerns, if any."""
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
    elif action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    else:
        raise ValueError(f"CODX_INDEX_FAULT: no action {action!r}")
