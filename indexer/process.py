"""How this program starts Python processes of its own."""

from __future__ import annotations

import os
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any


def spawn_context() -> SpawnContext:
    """A context whose processes import nothing from the current folder.

    A spawned process begins as `python -c …`, which would look there first: a project
    with a `subprocess.py` would break the pool, and a hostile one run its code.
    Spawned, not forked: a fork after torch or gRPC has started threads hangs, and would
    hold the database's lock for good.
    """
    os.environ["PYTHONSAFEPATH"] = "1"
    return SpawnContext()


class RecordingContext(SpawnContext):
    """Such a context that knows the processes which were started with it."""

    def __init__(self) -> None:
        spawn_context()
        self._processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: N802
        """A process that is remembered."""
        process = SpawnProcess(*args, **kwargs)
        self._processes.append(process)
        return process

    def exit_code(self, pid: int) -> int | None:
        """How the process ended, -n by signal n; None where that is not known."""
        codes = (p.exitcode for p in reversed(self._processes) if p.pid == pid)
        return next(codes, None)

    def has_lost_a_process(self) -> bool:
        """Whether one that was started has ended."""
        return any(process.exitcode is not None for process in self._processes)

    def kill_all(self) -> None:
        """SIGKILL to each process that is still there."""
        for process in self._processes:
            if process.is_alive():
                process.kill()
