"""Dask distributed, which is an extra: its import, its settings and its addresses."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from indexer.errors import ClusterUnavailableError, UsageError

# What must be so, whatever the user's settings of Dask say.
_SETTINGS = {
    # A file may be larger than what Dask warns of.
    "distributed.admin.large-graph-warning-threshold": "1TiB",
}
_SETTINGS_OF_A_WORKER = {
    # Looks at each thread 100 times a second; ours only wait for processes.
    "distributed.worker.profile.enabled": False,
    # What a worker holds is little, and leaves it at once: nothing of it goes to the disk.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # The scheduler's dashboard shows what there is to see.
    "distributed.worker.http.routes": [],
}
_LOGGERS = (
    "distributed",
    "distributed.client",  # the library gives this one a level of its own
    "tornado.application",
)


def check_installed(asking: str) -> None:
    """Raise `UsageError` where the extra is missing that `asking` needs."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(f"{asking} needs the extra: pip install 'codx-index[dask]'")


def import_distributed(*, is_worker: bool = False) -> Any:
    """The library, set up for us. It logs nothing by itself: what it would say of a task has the
    task's texts in it."""
    import logging

    import dask.config
    import distributed

    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    dask.config.set(_SETTINGS | (_SETTINGS_OF_A_WORKER if is_worker else {}))
    return distributed


def scheduler_address(executor: str) -> str:
    """The address of the scheduler that `executor` names, as Dask writes it.

    It may stand in a file that the scheduler wrote (`dask scheduler --scheduler-file`). Raises
    `ClusterUnavailableError` where there is no such file yet, and `UsageError` for another file.
    """
    scheme, _, rest = executor.partition(":")
    if scheme == "dask" and not rest.startswith("//"):
        return _address_in(os.path.abspath(os.path.expanduser(rest)))
    scheme = "tls" if scheme == "tls" else "tcp"
    return f"{scheme}:{rest.rstrip('/')}"


def _address_in(path: str) -> str:
    import json

    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["address"])
    except FileNotFoundError:
        raise ClusterUnavailableError(
            f"there is no {path}: start a scheduler with dask scheduler --scheduler-file"
        ) from None
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise UsageError(
            f"{path} is not the file of a Dask scheduler: {type(error).__name__}"
        ) from error
