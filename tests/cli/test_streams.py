"""The standard streams in every state: each command works, or ends with one line and a code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from conftest import (
    COMMAND,
    TIMEOUT,
    Project,
    only_slow,
    project_in,
    read_rows,
    without_times,
)
from terminals import at_a_terminal

SMILE = "# smile \U0001f600 café\ndef grin(): return 1\n"
State = Callable[[], AbstractContextManager[int]]
GONE = 128 + signal.SIGPIPE


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """A project that other tests only look at. Nothing of it is embedded."""
    made = project_in(tmp_path_factory.mktemp("streams"), model_cache)
    made.write("café.py", SMILE)
    made.write("codx-index.toml", 'mode = "sparse"\nexecutor = "serial"\n')
    made.run("--trust")
    made.environment["CODX_INDEX_TRUST"] = "1"
    return made


@pytest.fixture
def sparse(project: Project) -> Project:
    """A project of a test's own, which is not indexed yet."""
    project.write("café.py", SMILE)
    project.environment["CODX_INDEX_MODE"] = "sparse"
    project.environment["CODX_INDEX_EXECUTOR"] = "serial"
    return project


# --- what a stream may be --------------------------------------------------------------


@contextmanager
def full() -> Iterator[int]:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def read_only() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@contextmanager
def abandoned_pipe() -> Iterator[int]:
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@contextmanager
def abandoned_socket() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        yield theirs.fileno()


def ended(
    project: Project, *arguments: str, folder: Path | None = None, **streams: int
) -> subprocess.CompletedProcess[str]:
    """How the command ended with these streams; the others are pipes."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [COMMAND, *arguments],
        cwd=folder or project.root,
        env=project.variables(),
        timeout=TIMEOUT,
        text=True,
        **{  # type: ignore[call-overload]
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **streams,
        },
    )
    done.stderr = without_times(done.stderr or "")
    return done


def through_shell(project: Project, text: str) -> subprocess.CompletedProcess[str]:
    """How a line for the shell ended, in which CX is the command."""
    line = text.replace("CX", shlex.quote(COMMAND))
    return project.launch("sh", "-c", line)


def problem(reason: str) -> str:
    return f"codx-index: cannot write to stdout: {reason}\n"


ANSWERS = [
    "--version",
    *only_slow(
        "--help",
        "run --help",
        "run --json",
        "run --dry-run --force",
        "search smile",
        "search --json smile",
        "status",
        "status --json",
        "verify --json",
        "config show",
        "config show --json",
        "cache info",
        "cache info --json",
        "run-all . --json",
    ),
]
STATES = [
    (full, 1, problem("No space left on device")),
    (read_only, 1, problem("Bad file descriptor")),
    (abandoned_pipe, GONE, ""),
    (abandoned_socket, GONE, ""),
]


@pytest.mark.parametrize("command", ANSWERS)
@pytest.mark.parametrize("state, code, said", STATES)
def test_an_answer_that_cannot_be_written(
    command: str,
    state: State,
    code: int,
    said: str,
    indexed: Project,
) -> None:
    with state() as descriptor:
        done = ended(indexed, *command.split(), stdout=descriptor)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize("command", ANSWERS)
def test_an_answer_to_a_closed_stdout(command: str, indexed: Project) -> None:
    done = through_shell(indexed, f"exec CX {command} >&-")
    assert (done.returncode, done.stderr) == (1, problem("it is closed"))


def test_a_report_to_a_full_disk_costs_no_work(sparse: Project) -> None:
    done = through_shell(sparse, "exec CX run --json > /dev/full")
    assert (done.returncode, done.stderr) == (1, problem("No space left on device"))
    assert sparse.run()["status"] == "unchanged"


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", *only_slow(">&-", "2>&-", "<&-")])
def test_a_run_does_not_need_its_streams(streams: str, sparse: Project) -> None:
    """Nor does the database get the number of one that is closed, and what is printed."""
    done = through_shell(sparse, f"exec CX run {streams}")
    assert done.returncode == 0
    rows = read_rows(sparse.root / ".codx/index")
    assert [row["path"] for row in rows.values()] == ["café.py"]


@pytest.mark.parametrize(
    "command", [*only_slow("verify", "status --check", "cache prune", "run-all .")]
)
def test_what_a_command_did_is_not_missed(command: str, indexed: Project) -> None:
    done = through_shell(indexed, f"exec CX {command} >&-")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", ["run -v", *only_slow("search smile -v", "status")])
@pytest.mark.parametrize(
    "state", [full, *only_slow(read_only, abandoned_pipe, abandoned_socket)]
)
def test_messages_that_cannot_be_written_decide_nothing(
    command: str,
    state: State,
    indexed: Project,
) -> None:
    with state() as descriptor:
        done = ended(indexed, *command.split(), stderr=descriptor)
    assert done.returncode == 0 and done.stdout


def test_a_pipe_that_does_not_block(indexed: Project) -> None:
    """Others that share it, such as a program in JavaScript, have set O_NONBLOCK."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    seen: list[bytes] = []

    def read_late() -> None:
        with open(reading, "rb") as pipe:
            seen.append(pipe.read())

    # A pipe holds 64 KiB; the help of every command is less, so it is filled before.
    filled = os.write(writing, b"x" * 65_536)
    thread = threading.Timer(0.5, read_late)
    thread.start()
    done = ended(indexed, "--version", stdout=writing)
    os.close(writing)
    thread.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert seen[0][filled:].startswith(b"codx-index, version")


# --- stdin -----------------------------------------------------------------------------


@pytest.mark.slow  # test_selected.py gives the command its list in this process
def test_paths_from_stdin(sparse: Project) -> None:
    done = through_shell(sparse, "exec CX run --files-from - <&-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "codx-index: cannot read -: stdin is closed\n"
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    thread = threading.Timer(0.5, lambda: os.write(writing, "café.py\n".encode()))
    closing = threading.Timer(1, lambda: os.close(writing))
    thread.start()
    closing.start()
    done = ended(sparse, "run", "--files-from", "-", stdin=reading)
    os.close(reading)
    assert (done.returncode, done.stderr) == (0, "") and "1 added" in done.stdout


def test_events_for_a_stream_that_is_closed(sparse: Project) -> None:
    for stream in ("-", *(["fd:1"] if sys.platform == "linux" else [])):
        done = through_shell(sparse, f"exec CX run --events {stream} >&-")
        assert done.returncode == 2
        said = f"codx-index: events cannot go to {stream}: it is not open\n"
        assert done.stderr == said


# --- encodings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [
        ("latin-1", "café.py:1:# smile \\U0001f600 café"),
        *only_slow(
            ("ascii", "caf\\xe9.py:1:# smile \\U0001f600 caf\\xe9"),
            ("cp1252:strict", "café.py:1:# smile \\U0001f600 café"),
            ("latin-1:replace", "café.py:1:# smile ? café"),
            ("utf-8", "café.py:1:# smile \U0001f600 café"),
            ("koi8-r", "caf\\xe9.py:1:# smile \\U0001f600 caf\\xe9"),
        ),
    ],
)
def test_an_output_that_lacks_characters(
    case: tuple[str, str], indexed: Project
) -> None:
    encoding, line = case
    environment = {**indexed.environment, "PYTHONIOENCODING": encoding}
    project = Project(indexed.root, indexed.cache_dir, environment)
    found = []
    for options in ((), ("--json",)):
        done = subprocess.run(
            [COMMAND, "search", "smile", "-k", "1", *options],
            cwd=project.root,
            env=project.variables(),
            capture_output=True,
            timeout=TIMEOUT,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        found.append(done.stdout)
    assert found[0].decode(encoding.partition(":")[0]).rstrip("\n") == line
    (hit,) = json.loads(found[1].decode("utf-8"))["hits"]  # whatever the encoding
    assert (hit["path"], hit["text"] + "\n") == ("café.py", SMILE)


def test_lines_of_json_in_a_legacy_encoding(sparse: Project) -> None:
    sparse.environment["PYTHONIOENCODING"] = "latin-1"
    arguments = ("run", "--log-format", "json", "--file", "kein é\U0001f600.py")
    done = ended(sparse, *arguments)
    assert done.returncode == 3
    assert "kein é\U0001f600.py" in json.loads(done.stderr)["message"]


def test_paths_do_not_depend_on_the_locale(sparse: Project) -> None:
    sparse.environment |= {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "CODX_INDEX_EXECUTOR": "process",
    }
    done = ended(sparse, "run", "--file", "café.py")
    assert (done.returncode, done.stderr) == (0, "")
    rows = read_rows(sparse.root / ".codx/index")
    assert [row["path"] for row in rows.values()] == ["café.py"]
    done = ended(sparse, "search", "smile")
    assert done.stdout == "caf\\xe9.py:1:# smile \\U0001f600 caf\\xe9\n"


# --- the current folder ----------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "status",
        "search x",
        *only_slow("run", "run --json", "verify", "clear --yes", "config show"),
        *only_slow("init", "run-all .", "mcp", "run --file a.py", "search --like a:1"),
    ],
)
def test_a_current_folder_that_is_gone(command: str, sparse: Project) -> None:
    gone = "mkdir gone && cd gone && rmdir ../gone && exec CX"
    done = through_shell(sparse, f"{gone} {command}")
    assert done.returncode == 2
    said = "the current folder no longer exists: change to one that does, or give absolute paths"
    assert done.stderr == f"codx-index: {said}\n"
    assert done.stdout == ""


def test_a_whole_path_from_a_folder_that_is_gone(sparse: Project) -> None:
    gone = "mkdir gone && cd gone && rmdir ../gone && exec CX"
    folder = shlex.quote(str(sparse.root))
    done = through_shell(sparse, f"{gone} run {folder}")
    assert (done.returncode, done.stderr) == (0, "")
    done = through_shell(sparse, f"{gone} search smile {folder}")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)


# --- terminals -------------------------------------------------------------------------


def at_terminal(project: Project, *arguments: str, **variables: str | None) -> str:
    """What the command prints where stdout and stderr are a terminal."""
    code, text = at_a_terminal(project, *arguments, variables=variables)
    assert code == 0, text
    return text


@pytest.mark.parametrize(
    "case",
    [
        ({"NO_COLOR": "1"}, False),
        *only_slow(
            ({}, True),
            ({"NO_COLOR": ""}, True),
            ({"TERM": "dumb"}, False),
            ({"TERM": None}, False),
            ({"TERM": ""}, False),
        ),
    ],
)
def test_colours(case: tuple[dict[str, str | None], bool], indexed: Project) -> None:
    variables, has_colours = case
    seen = at_terminal(indexed, "search", "smile", **variables)
    assert ("\x1b[" in seen) == has_colours
    assert "smile" in seen


@pytest.mark.parametrize(
    "case",
    [({"TERM": "dumb", "TQDM_MININTERVAL": "x"}, False), *only_slow(({}, True))],
)
def test_bars(case: tuple[dict[str, str | None], bool], sparse: Project) -> None:
    variables, has_bar = case
    seen = at_terminal(sparse, "run", **variables)
    assert ("0/1 files" in seen) == has_bar
    assert ("\r" in seen.replace("\r\n", "")) == has_bar
    assert "1 added" in seen


@pytest.mark.slow
def test_variables_for_bars_of_other_programs(sparse: Project) -> None:
    theirs = {"TQDM_MININTERVAL": "x", "TQDM_DISABLE": "1", "TQDM_NCOLS": "x"}
    assert "0/1 files" in at_terminal(sparse, "run", **theirs)
