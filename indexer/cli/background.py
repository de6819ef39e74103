"""A run in a process of its own, for somebody who does not wait for it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.config import Settings
from indexer.environment import given as given_environment
from indexer.errors import CodxIndexError
from indexer.index.state_folder import cannot_write, make_state_dir
from indexer.settings.declarations import (
    PLACE,
    SPARSE_FIRST,
    TOKEN,
    TREE,
    URI,
    WAIT,
    WORK,
)
from indexer.settings.requests import TRUST
from indexer.settings.setting import Form, Setting
from indexer.settings.values import Value

if TYPE_CHECKING:
    from indexer.githooks.moment import Turn

_SECRET = (TOKEN, URI)  # the list of processes shows a command line to everybody
_TOLD = frozenset((TRUST, *PLACE, *TREE, *WORK))
_PATIENCE = 0.1  # seconds: who looks whether a run is at work locks for a moment
_LOOK = 0.2  # seconds between two looks at a run that is waited for
_NICENESS = 10  # of what nobody waits for: nice(1)
_LONGEST_WAIT = 3600  # seconds for a run that somebody else started
_PID = "pid "


class Ending(Struct, frozen=True):
    """How a run ended: its exit code, None if it was killed, and what it said of a failure."""

    exit_code: int | None
    error: str


class BackgroundRun:
    """The run of a project beside this process, which it outlives; there is never a second one.

    `given` are the values of settings that the command line gave. What the run prints, with its
    report as the last line, is kept in the state folder. It holds a lock on that file as long as it
    lives, so nobody has to remember a process. Whoever waits for the next run holds one beside it.
    """

    def __init__(self, settings: Settings, given: Mapping[Setting, Value]) -> None:
        self._settings = settings
        self._given = {k: v.value for k, v in given.items() if k in _TOLD}
        self._path = os.path.join(settings.state_dir, "background.log")
        self._queue = os.path.join(settings.state_dir, "background.next")

    def begin(self, patience: float = 0) -> bool:
        """Start the run, unless it is at work. Returns whether it was started.

        One that was interrupted has so many seconds of `patience` to end.

        Raises `StateError` if nothing can be written there, and `CodxIndexError` if no process
        can be started.
        """
        make_state_dir(self._settings)
        with _open_to_write(self._path) as log:
            if not _lock(log, fcntl.LOCK_EX, max(patience, _PATIENCE)):
                return False
            self._start(log)
        return True

    def follow(self, turn: Turn) -> bool:
        """Start a run after the one that is at work, once it is our turn.

        Returns whether it was started. It is not if there is no index any more, nor if another
        process waits like this one: the run that it will start is still to come, and enough for both.
        Raises as `begin` does.
        """
        with _open_to_write(self._queue) as queue:
            if not _lock(queue, fcntl.LOCK_EX):
                turn.leave()
                return False
            turn.wait()
            with _open_to_write(self._path) as log:
                while not _lock(log, fcntl.LOCK_EX):
                    turn.go_on()
                    time.sleep(_LOOK)
                # What changes from now on is not for this run, which has not looked yet.
                fcntl.flock(queue, fcntl.LOCK_UN)
                turn.end()
                if not self._settings.has_state:
                    return False
                self._start(log, f"--{WAIT.option}={_LONGEST_WAIT}")
        return True

    @property
    def is_at_work(self) -> bool:
        """Whether the run is at work, whoever started it like this."""
        with _opened(self._path) as handle:
            return handle is not None and not _lock(handle, fcntl.LOCK_SH)

    @property
    def is_awaited(self) -> bool:
        """Whether a process waits to start the next run."""
        with _opened(self._queue) as handle:
            return handle is not None and not _lock(handle, fcntl.LOCK_SH)

    @property
    def latest(self) -> float:
        """When the run last said something, in seconds since the epoch; 0 if there was none."""
        with suppress(FileNotFoundError):
            return os.stat(self._path).st_mtime
        return 0.0

    @property
    def ending(self) -> Ending | None:
        """How the last run ended, None if there was none, or it is still at work."""
        with _opened(self._path) as handle:
            if handle is None or not _lock(handle, fcntl.LOCK_SH):
                return None
            said = [one for one in _lines(handle) if not one.startswith(_PID)]
        last = said[-1] if said else ""
        try:
            report = json.loads(last)
            return Ending(int(report["exit_code"]), str(report["error"]))
        except (ValueError, TypeError, KeyError):
            return Ending(None, last.removeprefix("codx-index: "))

    def interrupt(self) -> None:
        """Ask the run to stop, if it is at work. What it has done is kept."""
        with _opened(self._path) as handle:
            if handle is None or _lock(handle, fcntl.LOCK_SH):
                return
            pids = [one for one in _lines(handle) if one.startswith(_PID)]
        with suppress(ValueError, ProcessLookupError, PermissionError):
            for pid in pids:
                os.kill(int(pid.removeprefix(_PID)), signal.SIGTERM)

    def _start(self, output: int, *more: str) -> None:
        """Start the run, which writes to this open file. Raises `CodxIndexError`."""
        os.ftruncate(output, 0)
        # With -P, nothing is imported from the current folder, which may be a stranger's.
        command = [sys.executable, "-P", "-m", "indexer", "run", "--here", "--json"]
        command.append(f"--{SPARSE_FIRST.option}")
        secrets = {k: v for k, v in self._given.items() if k in _SECRET and v}
        options = {k: v for k, v in self._given.items() if k not in secrets}
        try:
            process = subprocess.Popen(
                [*command, *more, *_arguments(options), "--", self._settings.project],
                env={
                    **given_environment(),
                    **{key.variable: str(value) for key, value in secrets.items()},
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            raise CodxIndexError(
                f"cannot start a run in the background: {error.strerror}"
            ) from error
        os.write(output, f"{_PID}{process.pid}\n".encode())
        _step_back(process.pid)
        # Somebody must ask how it ended, as long as this process is there.
        threading.Thread(target=process.wait, daemon=True).start()


def _step_back(pid: int) -> None:
    """Give the processor to others first, for a process with a session of its own."""
    nice = max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    # Where Linux shares the processor among sessions, that counts within one alone: sched(7).
    with suppress(OSError), open(f"/proc/{pid}/autogroup", "w") as file:
        file.write(str(nice))


@contextmanager
def _open_to_write(path: str) -> Iterator[int]:
    """A block with a file of the state open. Raises `StateError` if that cannot be written."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def _opened(path: str) -> Iterator[int | None]:
    """A block with the file open to be read, or None if it cannot be."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _arguments(given: Mapping[Setting, object]) -> Iterator[str]:
    """The options that give these values."""
    for setting, value in given.items():
        if setting.form in (Form.SWITCH, Form.FLAG):
            yield f"--{'' if value else 'no-'}{setting.option}"
        elif isinstance(value, tuple):
            yield from (f"--{setting.option}={one}" for one in value)
        else:
            yield f"--{setting.option}={value}"


def _lines(handle: int) -> list[str]:
    """What was printed to the open file, without empty lines."""
    with open(handle, encoding="utf-8", errors="replace", closefd=False) as log:
        return [*filter(None, log.read().splitlines())]


def _lock(handle: int, kind: int, patience: float = 0) -> bool:
    """Whether the open file could be locked."""
    deadline = time.monotonic() + patience
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PATIENCE / 10)
