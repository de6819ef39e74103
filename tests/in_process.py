"""The command in the test's own process, which finds there what a new process would have."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import active_children
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO, TextIO

from indexer import timeline

# What a process reads once, when it starts or imports a library, comes too late here.
READ_AT_START = (
    "CODX_INDEX_FAULT",
    "HF_",
    "LANG",
    "LC_",
    "LD_",
    "OMP_",
    "PYTHON",
    "TRANSFORMERS_",
)
# gRPC reads it once, and its threads would write a line to stderr long after the command that started them.
SILENT_GRPC = {"GRPC_VERBOSITY": "NONE"}
os.environ.update(SILENT_GRPC)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
TIMEOUT = 240  # seconds; only ever reached by a command that hangs
# Seconds, of the more that a process takes to start: a file that was written just now, within
# a tick of the file system's clock, would be read by the next command once more.
START = 0.025
PATIENCE = 20.0  # seconds for threads to end that were told to

_age_of_this_process = timeline.process_age
_began: list[float] = []  # when the command that is at work did


def _age() -> float:
    return time.monotonic() - _began[0] if _began else _age_of_this_process()


timeline.process_age = _age  # before any module has it by name


def call(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    given: bytes = b"",
) -> CompletedProcess[str]:
    """Do what `codx-index …` does in a folder, with these environment variables alone.

    `given` is what it reads on stdin.
    """
    from indexer.cli.main import exit_code

    is_alone = threading.current_thread() is threading.main_thread()
    assert is_alone, "only one command at a time can have the process"
    time.sleep(START)
    with (
        tempfile.TemporaryFile() as into,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        _new_process(folder, variables, (into, out, err)),
    ):
        into.write(given)
        into.seek(0)
        sys.argv = ["codx-index", *arguments]
        try:
            code = exit_code([*arguments])
        except SystemExit as ended:
            assert isinstance(ended.code, int), ended.code
            code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
        return CompletedProcess(
            ["codx-index", *arguments], code, _text(out), _text(err)
        )


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@contextmanager
def _new_process(
    folder: Path,
    variables: Mapping[str, str],
    files: Sequence[IO[bytes]],
) -> Iterator[None]:
    """A block that finds this process as if it had just started, and leaves no trace."""
    late = [
        name
        for name in variables.keys() | os.environ.keys()
        if name.startswith(READ_AT_START)
        and variables.get(name) != os.environ.get(name)
        and name != "PYTHONSAFEPATH"
    ]
    assert not late, f"{late} is read when a process starts: use Project.installed"
    with ExitStack() as stack:
        # A command that hangs ends the test run, and shows where it hangs.
        watchdog = stack.enter_context(os.fdopen(os.dup(2), "w"))
        faulthandler.dump_traceback_later(TIMEOUT, exit=True, file=watchdog)
        stack.callback(faulthandler.cancel_dump_traceback_later)
        stack.callback(
            _check_leftovers, folder, set(threading.enumerate()), [*_open_files(folder)]
        )
        stack.callback(_began.clear)
        _began[:] = [time.monotonic()]
        stack.callback(os.umask, os.umask(0o077))
        stack.callback(os.chdir, os.getcwd())
        os.chdir(folder)
        stack.callback(_set_variables, dict(os.environ))
        _set_variables(variables)
        for number in SIGNALS:
            stack.callback(signal.signal, number, signal.getsignal(number))
            is_interrupt = number == signal.SIGINT
            signal.signal(
                number, signal.default_int_handler if is_interrupt else signal.SIG_DFL
            )
        stack.enter_context(_log_of_its_own())
        stack.enter_context(_usual_warnings())
        stack.enter_context(_streams(files))
        yield


def _set_variables(wanted: Mapping[str, str]) -> None:
    wanted = {**SILENT_GRPC, **wanted}
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


@contextmanager
def _log_of_its_own() -> Iterator[None]:
    from indexer.cli.log import Log, log

    before = vars(log).copy()
    vars(log).update(vars(Log()))
    try:
        yield
    finally:
        vars(log).update(before)


@contextmanager
def _usual_warnings() -> Iterator[None]:
    """Warnings as Python has them without options: on stderr, those for users alone."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        sys.stderr.write(
            warnings.formatwarning(message, category, filename, lineno, line)
        )

    with warnings.catch_warnings():
        warnings.resetwarnings()
        for category in (
            DeprecationWarning,
            PendingDeprecationWarning,
            ImportWarning,
            ResourceWarning,
        ):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


@contextmanager
def _streams(files: Sequence[IO[bytes]]) -> Iterator[None]:
    """Files as the standard streams, which are objects and descriptors both.

    The objects are not closed: libraries that were imported meanwhile keep them.
    """
    with ExitStack() as stack:
        stack.callback(setattr, sys, "argv", sys.argv)
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            before = getattr(sys, name)
            if number:
                before.flush()
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            stack.callback(setattr, sys, name, before)
            os.dup2(files[number].fileno(), number)
            original = getattr(sys, f"__{name}__")
            stream = open(
                number,
                "w" if number else "r",
                buffering=1 if name == "stderr" else -1,  # 1: by lines
                encoding="utf-8",
                errors=original.errors,
                closefd=False,
            )
            setattr(sys, name, stream)
        yield


def _check_leftovers(
    folder: Path, threads: set[threading.Thread], files: list[str]
) -> None:
    """Fail where a process, a thread or an open file of the project outlives a command.

    Threads of an executor are not looked at, because those of gRPC's server end when it is
    collected, nor those in which a server of the test answers.
    """
    assert not active_children()
    deadline = time.monotonic() + PATIENCE
    for thread in set(threading.enumerate()) - threads:
        if not thread.name.startswith("ThreadPoolExecutor") and (
            "process_request_thread" not in thread.name
        ):
            thread.join(max(deadline - time.monotonic(), 0))
            assert not thread.is_alive(), thread
    left = set(_open_files(folder)) - {*files}
    assert not left


def _open_files(folder: Path) -> Iterator[str]:
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):  # the listing's own
            name = os.readlink(f"/proc/self/fd/{number}")
            if name.startswith(f"{folder}/"):
                yield f"{number}: {name}"
