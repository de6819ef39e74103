"""Runs git without running any code of the repository.

Every call is hardened: no shell, a scrubbed environment, no fsmonitor, no hooks, no lazy
fetch from a remote. Callers use only plumbing commands that read the index and the folders,
because `git status` and `git diff` would run the repository's filters. This needs git 2.31
or later (tried with 2.39).

No call is waited for without an end. One that does nothing for `LOOK` seconds may be stuck at
something that is no file, which is looked for and named. Without such a thing it has `STALL`
seconds. One that works may take as long as it needs, but not longer than `deadline` allows.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from indexer.deadline import check_time, seconds_left
from indexer.environment import given
from indexer.errors import GitError

LOOK = 1.0  # seconds without progress until something is looked for that git waits for
STALL = 60.0  # seconds without progress until git is not waited for any longer
BLIND_STALL = 600.0  # the same where the system does not tell whether git does anything
LAST_WORDS = 5.0  # seconds that a git which was killed has to end

HARDENING = (
    # An empty core.fsmonitor means "none" to every git. Before 2.36, git takes `false` for
    # the name of a command.
    *("-c", "core.fsmonitor="),
    *("-c", f"core.hooksPath={os.devnull}"),
    # All stat fields count, whatever the repository says.
    *("-c", "core.trustctime=true"),
    *("-c", "core.checkStat=default"),
)

INSTEAD = "--no-git indexes it as a plain folder, by its .gitignore files alone"


def find_git() -> str | None:
    """The path of the git executable, or None where there is none."""
    return shutil.which("git", path=search_path())


def run_git(
    folder: str | bytes,
    *arguments: str,
    standard_input: bytes = b"",
    accepted: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Run git in `folder`. Raises GitError where its exit status is not `accepted`."""
    process = _start(folder, *arguments, has_input=bool(standard_input))
    return _finish(folder, process, standard_input, accepted)


@contextmanager
def running_git(
    folder: str | bytes, *calls: tuple[str, ...], accepted: tuple[int, ...] = (0,)
) -> Iterator[Callable[[], list[bytes]]]:
    """Run several calls of git in `folder` side by side.

    Yields a function that waits for all of them and returns what each printed. It raises
    GitError where an exit status is not `accepted`, or where git says anything on stderr.
    Calls that nobody waited for are killed at the end.
    """
    processes: list[subprocess.Popen[bytes]] = []

    def outputs() -> list[bytes]:
        done = [_finish(folder, process, accepted=accepted) for process in processes]
        for one in done:
            if one.stderr:
                raise _refusal(folder, one)
        return [one.stdout for one in done]

    try:
        for call in calls:
            processes.append(_start(folder, *call))
        yield outputs
    finally:
        for process in processes:
            end_git(process)


def _start(
    folder: str | bytes, *arguments: str, has_input: bool = False
) -> subprocess.Popen[bytes]:
    name = os.fsdecode(folder)
    git = find_git()
    if git is None:
        is_clear = all(map(os.path.isabs, os.get_exec_path()))
        where = "" if is_clear else ", whose relative entries are ignored"
        raise GitError(
            f"{name} is a git work tree, but there is no git on PATH{where}: install it "
            f"({INSTEAD})"
        )
    try:
        return start_git(git, folder, arguments, clean_environment(), has_input)
    except OSError as error:
        raise GitError(
            f"git cannot be started in {name}: {error.strerror}: check {git} ({INSTEAD})"
        ) from error


def start_git(
    git: str,
    folder: str | bytes,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    has_input: bool = False,
) -> subprocess.Popen[bytes]:
    """Start the program `git`, which `end_git` ends with whatever it has started.

    Raises OSError where it cannot be started.
    """
    return subprocess.Popen(
        [git, *HARDENING, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )


def _finish(
    folder: str | bytes,
    process: subprocess.Popen[bytes],
    standard_input: bytes = b"",
    accepted: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    try:
        output, errors = _communicate(folder, process, standard_input or None)
    finally:
        end_git(process)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if done.returncode not in accepted:
        raise _refusal(folder, done)
    return done


def _communicate(
    folder: str | bytes, process: subprocess.Popen[bytes], given: bytes | None
) -> tuple[bytes, bytes]:
    """What git prints to stdout and stderr.

    Raises GitError where git is stuck, and OutOfTimeError at the deadline.
    """
    from indexer.tree.git_progress import find_obstacle, work_done

    before, since = work_done(process.pid), time.monotonic()
    has_looked = False
    while True:
        try:
            return process.communicate(given, max(0.01, min(LOOK, seconds_left())))
        except subprocess.TimeoutExpired:
            given = None  # it goes on where it was
        now = work_done(process.pid)
        if now != before:
            before, since = now, time.monotonic()
            check_time()
            continue
        is_over = seconds_left() <= 0
        if now is not None and not has_looked:
            has_looked = True
            time_left = () if not is_over else (0.2,)
            path = find_obstacle(folder, _named_files(folder), *time_left)
            if path:
                raise GitError(
                    f"git is waiting for {path}, which is not a file but a pipe or a device: "
                    "remove it"
                )
        check_time()
        if time.monotonic() - since > (BLIND_STALL if now is None else STALL):
            raise GitError(
                f"git hangs in {os.fsdecode(folder)}: does `git status` finish there, and "
                "does the disk respond?"
            )


def _named_files(folder: str | bytes) -> list[str]:
    """The files that settings of git name, as far as git tells at once."""
    names = r"^core\.(excludesfile|attributesfile)$"
    process = _start(folder, "config", "-z", "--path", "--get-regexp", names)
    try:
        output, _ = process.communicate(timeout=LOOK)
    except subprocess.TimeoutExpired:
        return []
    finally:
        end_git(process)
    fields = [entry.partition(b"\n")[2] for entry in output.split(b"\0")[:-1]]
    return [os.path.join(os.fsdecode(folder), os.fsdecode(name)) for name in fields]


def end_git(process: subprocess.Popen[bytes]) -> None:
    """End git, and whatever it started, unless it has ended."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        # A disk that does not answer can keep even a killed process.
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=LAST_WORDS)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


# The user's configuration, which git too keeps when it enters another repository. The other
# variables of git say which repository, index or pathspecs our caller works with.
_OF_THE_USER = re.compile(
    r"GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|PARAMETERS|COUNT|(KEY|VALUE)_\d+)"
    "|GIT_CEILING_DIRECTORIES"
)


def clean_environment() -> dict[str, str]:
    """The variables that git gets: of its own ones, only those that are about its user."""
    kept = {
        name: value
        for name, value in given().items()
        if not name.startswith("GIT_") or _OF_THE_USER.fullmatch(name)
    }
    return kept | {
        "PATH": search_path(),
        "LC_ALL": "C",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        # A partial clone fetches the objects it lacks, through whatever command its
        # configuration names. Only git 2.45 and later know the first of these two.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        # Our own search for a repository does not stop at mount points either.
        "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    }


def search_path() -> str:
    """PATH without relative entries.

    git is started in the repository, so `.` or an empty entry would run a file of it.
    """
    return os.pathsep.join(filter(os.path.isabs, os.get_exec_path()))


def _refusal(folder: str | bytes, done: subprocess.CompletedProcess[bytes]) -> GitError:
    name = os.fsdecode(folder)
    lines = [
        line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()
    ]
    advice = [line for line in lines if line.startswith("git config ")]
    if advice:  # git gives it only for a repository of another user
        return GitError(
            f"git refuses {name}: the repository belongs to another user (dubious "
            f"ownership). If you trust it, run: {advice[0]}"
        )
    reason = lines[0] if lines else _end_text(done.returncode)
    return GitError(
        f"git cannot list {name}: {reason.removeprefix('fatal: ')} ({INSTEAD})"
    )


def _end_text(status: int) -> str:
    """How a process ended that said nothing."""
    if status >= 0:
        return f"it ended with status {status}"
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it was ended by signal {-status}"


def nonsense(folder: str | bytes) -> GitError:
    """The error of an answer that no git of today gives."""
    return GitError(
        f"git cannot list {os.fsdecode(folder)}: {find_git()} does not behave like git 2.31 "
        f"or later: install one ({INSTEAD})"
    )
