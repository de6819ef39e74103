"""Runs git without running any code of the repository.

Every call is hardened: no shell, a scrubbed environment, no fsmonitor, no hooks, no lazy
fetch from a remote. Callers use only plumbing commands that read the index and the folders,
because `git status` and `git diff` would run the repository's filters. This needs git 2.31
or later (tried with 2.39).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from indexer.errors import GitError

_HARDENING = (
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
    return shutil.which("git", path=_search_path())


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
            if process.returncode is None:
                process.kill()
                process.communicate()


def _start(
    folder: str | bytes, *arguments: str, has_input: bool = False
) -> subprocess.Popen[bytes]:
    name = os.fsdecode(folder)
    git = find_git()
    if git is None:
        is_clear = all(map(os.path.isabs, os.get_exec_path()))
        where = "" if is_clear else ", whose relative entries do not count"
        raise GitError(
            f"{name} is a git work tree, but there is no git on PATH{where}: install it "
            f"({INSTEAD})"
        )
    try:
        return subprocess.Popen(
            [git, *_HARDENING, *arguments],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise GitError(
            f"git cannot be started in {name}: {error.strerror}: see {git} ({INSTEAD})"
        ) from error


def _finish(
    folder: str | bytes,
    process: subprocess.Popen[bytes],
    standard_input: bytes = b"",
    accepted: tuple[int, ...] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    with process:
        output, errors = process.communicate(standard_input or None)
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if done.returncode not in accepted:
        raise _refusal(folder, done)
    return done


def _environment() -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("GIT_")
    }
    return kept | {
        "PATH": _search_path(),
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


def _search_path() -> str:
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
        f"git cannot list {os.fsdecode(folder)}: {find_git()} does not answer as git 2.31 or "
        f"later does: install one ({INSTEAD})"
    )
