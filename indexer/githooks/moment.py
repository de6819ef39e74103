"""When the work of a git hook may begin: when the git that called it is done with the work tree."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress

from indexer.githooks.script import WAITS
from indexer.tree.repository import git_folder

_LONGEST_CALL = 10.0  # seconds; a program with git built in runs for hours
_LONGEST_REBASE = 3600.0  # seconds; a forgotten rebase must not keep an index old
_REBASES = ("rebase-merge", "rebase-apply")
_LOOK = 0.05  # seconds between two looks
_LOOK_AT_REBASE = 0.5


class Turn:
    """The turn of a hook that the process `pid` called in the work tree at `top`.

    While it waits, a mark with its pid tells other hooks of the work tree that they need not wait:
    the run that they would start is still to come. If no process with that pid is alive, the mark was left behind.
    """

    def __init__(self, top: str, pid: int) -> None:
        self._pid = pid
        folder = git_folder(os.fsencode(top))
        self._folder = os.fsdecode(folder) if folder else ""
        self._has_mark = bool(folder)

    def wait(self) -> None:
        """Return when the calling process has ended, and so has any rebase of the work tree.

        Other hooks may follow ours, and git itself may not be done. A rebase goes through states
        that nobody wants, and comes back from them if it is aborted. With `pid` 0, only the rebase counts.
        """
        self._wait_while(lambda: _is_alive(self._pid), _LONGEST_CALL, _LOOK)
        self._wait_while(self._is_rebasing, _LONGEST_REBASE, _LOOK_AT_REBASE)

    def go_on(self) -> None:
        """Show that somebody is still waiting."""
        if self._has_mark:
            with suppress(OSError), open(self._mark, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")

    def end(self) -> None:
        """Let hooks begin again: what changes from now on is for another turn.

        From here on there is no mark, so others do not know what else we wait for.
        """
        if self._has_mark:
            self._has_mark = False
            with suppress(OSError):
                os.unlink(self._mark)

    def leave(self) -> None:
        """Leave the mark to another process that waits like this one."""
        self._has_mark = False

    @property
    def _mark(self) -> str:
        return os.path.join(self._folder, WAITS)

    def _wait_while(
        self, holds: Callable[[], bool], seconds: float, pause: float
    ) -> None:
        deadline = time.monotonic() + seconds
        while holds() and time.monotonic() < deadline:
            self.go_on()
            time.sleep(pause)

    def _is_rebasing(self) -> bool:
        return bool(self._folder) and any(
            os.path.isdir(os.path.join(self._folder, name)) for name in _REBASES
        )


def _is_alive(pid: int) -> bool:
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
