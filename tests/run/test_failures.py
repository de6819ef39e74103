"""What goes wrong: one line that says what to do, the right exit code, nothing spoiled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import (
    COMMAND,
    TIMEOUT,
    Project,
    assert_one_line,
    only_slow,
    python_text,
    start,
    wait_for,
)
from permissions import unprivileged

from indexer.index.lock import run_lock
from indexer.milvus.embedded import serve


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Callable[[Path, int], None]]:
    """Sets modes that are set back at the end, so that pytest can tidy up."""
    changed = []

    def close(path: Path, mode: int) -> None:
        changed.append((path, path.stat().st_mode))
        path.chmod(mode)

    yield close
    for path, mode in reversed(changed):
        path.chmod(mode)


@pytest.fixture
def small(project: Project) -> Project:
    project.write("a.py", "x = 1\n")
    return project


# Usage


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run", "nowhere"], "no such folder: nowhere"),
        (["run", "/etc/passwd"], "not a folder: /etc/passwd"),
        (["status", "nowhere"], "no such folder"),
        (["verify", "nowhere"], "no such folder"),
        (["search", "x", "nowhere"], "no such folder"),
        (["clear", "nowhere", "-y"], "no such folder"),
        (["run", "--bogus"], "--bogus"),
        (["bogus"], "bogus"),
        (["--bogus"], "--bogus"),
        (["run", ".", "."], "unexpected extra argument"),
        (["run", "--jobs", "many"], "--jobs"),
        (["run", "-j", "-1"], "--jobs"),
        (["run", "--executor", "fast"], "fast"),
        (["run", "--max-file-size", "3 apples"], "3 apples"),
        (["run", "--max-file-size", "inf"], "inf"),
        (["run", "--collection", "9 lives"], "9 lives"),
        (["run", "--uri", "ftp://host"], "ftp://host"),
        (["run", "--uri", "milvus"], "milvus"),
        (["search", "x", "-k", "x"], "--limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(arguments: list[str], words: str, small: Project) -> None:
    assert words in assert_one_line(small.command(*arguments), 2)
    assert not (small.root / ".codx").exists()


def test_json_tells_of_a_failure_too(small: Project) -> None:
    done = small.command("run", "nowhere", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"], report["status"]) == (2, 2, "failed")
    assert done.stderr == f"codx-index: {report['error']}\n"


def test_a_closed_project(small: Project, closed: Callable[[Path, int], None]) -> None:
    closed(small.write("sub/b.py", "y = 1\n").parent, 0)
    line = assert_one_line(unprivileged(small, "run", "sub", "--here"), 2)
    assert "cannot read the folder sub" in line


# Files


def test_one_file_that_cannot_be_read(
    small: Project, closed: Callable[[Path, int], None]
) -> None:
    small.environment["CODX_INDEX_MODE"] = "sparse"
    secret = small.write("closed.py", "y = 1\n")
    small.write("z.py", "z = 1\n")
    closed(secret, 0)
    for chunks in (2, 0):
        done = unprivileged(small, "run", "--json")
        assert done.returncode == 3
        assert done.stderr == "codx-index: closed.py: Permission denied\n"
        report = json.loads(done.stdout)
        assert (report["status"], report["exit_code"]) == ("partial", 3)
        assert report["failures"] == [
            {"path": "closed.py", "error": "Permission denied"}
        ]
        assert report["files"]["failed"] == 1
        assert report["chunks"]["upserted"] == chunks
        assert {row["path"] for row in small.rows().values()} == {"a.py", "z.py"}
    done = unprivileged(small, "run")
    assert (done.returncode, done.stdout.split(";")[0]) == (3, "partial: 1 failed")
    assert unprivileged(small, "verify").returncode == 1
    assert unprivileged(small, "status", "--check").returncode == 1
    secret.chmod(0o600)
    done = unprivileged(small, "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert unprivileged(small, "verify").returncode == 0


@pytest.mark.parametrize("mode", [0, *only_slow(0o300)])  # closed, or only unlisted
@pytest.mark.parametrize("kind", ["tracked", "untracked", "outside git"])
def test_files_in_a_closed_folder_keep_their_rows(
    kind: str, mode: int, small: Project, closed: Callable[[Path, int], None]
) -> None:
    small.write("sub/b.py", "y = 1\n")
    if kind == "outside git":
        shutil.rmtree(small.root / ".git")
    elif kind == "tracked":
        small.git("add", ".")
    small.run()
    closed(small.root / "sub", mode)
    done = unprivileged(small, "run", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"]) == (3, "partial")
    assert "Permission denied" in done.stderr
    assert report["files"]["deleted"] == 0
    assert {row["path"] for row in small.rows().values()} == {"a.py", "sub/b.py"}


# The store


def test_nobody_answers(small: Project) -> None:
    uri = "http://127.0.0.1:9"
    done = small.command("run", "--uri", uri, "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"]) == (69, 69)
    assert report["status"] == "unavailable"
    assert report["error"].startswith(f"no Milvus answers at {uri}")
    assert done.stderr == f"codx-index: {report['error']}\n"
    assert_one_line(small.command("search", "x", "--uri", uri), 69)


def test_the_token_is_not_shown(small: Project) -> None:
    small.environment["CODX_INDEX_TOKEN"] = "root:hush-hush"
    done = small.command("run", "--uri", "http://127.0.0.1:9", "--verbose", "--json")
    assert done.returncode == 69
    assert "hush" not in done.stdout + done.stderr


def test_a_collection_of_someone_else(small: Project) -> None:
    state = small.root / ".codx/index"
    state.mkdir(mode=0o700, parents=True)
    store = serve(str(state / "milvus.db"), str(state), "codx_index", patience=5)
    with closing(store):
        store._client.create_collection("codx_index", dimension=4)
        store._client.insert("codx_index", [{"id": 1, "vector": [0.1] * 4, "a": "b"}])
        store._client.flush("codx_index")
    for command in (["run"], ["run", "--force"]):
        line = assert_one_line(small.command(*command), 1)
        assert "'codx_index'" in line and "--collection" in line
    store = serve(str(state / "milvus.db"), str(state), "codx_index", patience=5)
    with closing(store):
        assert store._client.list_collections() == ["codx_index"]
        store._client.load_collection("codx_index")
        (row,) = store._client.query("codx_index", filter="id >= 0")
        assert row["a"] == "b"
    assert small.run("--collection", "another_name")["status"] == "updated"


# The model


@pytest.mark.parametrize(
    "variable, value",
    [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")],
    ids=["offline", "unreachable"],
)
def test_an_unknown_model(variable: str, value: str, small: Project) -> None:
    small.environment[variable] = value
    # A folder of that name in the project is not what is meant.
    small.write("no-such-model/config.json", "{}")
    # Its libraries read the variable when they are imported.
    line = assert_one_line(
        small.installed.command("run", "--model", "no-such-model"), 1
    )
    assert "no-such-model is not on this machine" in line


@pytest.mark.parametrize(
    "files, words",
    [
        ([], "neither modules.json nor config.json"),
        (["config.json"], "has no weights"),
        (["config.json", "pytorch_model.bin"], "pickled weights"),
    ],
    ids=["empty", "no weights", "pickled"],
)
def test_a_folder_that_is_no_model(
    files: list[str], words: str, small: Project
) -> None:
    (small.root / "model").mkdir()
    for name in files:
        small.write(f"model/{name}", "{}")
    assert words in assert_one_line(small.command("run", "--model", "./model"), 1)
    line = assert_one_line(small.command("run", "--model", "./models"), 1)
    assert "there is no model folder" in line


# Other runs


def test_a_second_run_at_the_same_time(project: Project) -> None:
    for number in range(12):
        project.write(f"{number}.py", python_text(number))
    first = start(project, "run", "--executor", "serial", "--json")
    lock = project.root / ".codx/index/lock"
    wait_for(lambda: lock.exists() and lock.read_text().startswith("{"))
    first.send_signal(signal.SIGSTOP)  # so that nobody can have waited for its end
    for command in ("run", "verify"):
        line = assert_one_line(project.command(command), 75)
        assert f"another run holds this index (pid {first.pid} on " in line
    locked = project.run(code=75)
    assert (locked["status"], locked["exit_code"]) == ("locked", 75)
    first.send_signal(signal.SIGCONT)
    output, errors = first.communicate(timeout=TIMEOUT)
    assert (first.returncode, errors) == (0, "")
    assert json.loads(output)["files"]["added"] == 12
    assert project.run()["status"] == "unchanged"


def test_a_stale_lock_file_is_no_lock(small: Project) -> None:
    small.run()
    with run_lock(str(small.root / ".codx/index/lock")):
        assert small.command("run").returncode == 75
    assert small.command("run").returncode == 0


# Folders


def test_a_project_that_cannot_be_written(
    small: Project, closed: Callable[[Path, int], None]
) -> None:
    closed(small.root, 0o500)
    line = assert_one_line(unprivileged(small, "run"), 1)
    assert "cannot write the state folder" in line and "Permission denied" in line
    # What only reads goes on working.
    assert unprivileged(small, "status").returncode == 0
    assert unprivileged(small, "run", "--dry-run").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_someone_else(small: Project) -> None:
    for folder, _, names in os.walk(small.root):
        for name in (".", *names):
            os.chown(os.path.join(folder, name), 12345, 12345)
    for command in ("run", "status"):
        line = assert_one_line(small.command(command), 1)
        assert "git config --global --add safe.directory" in line


def test_a_cache_that_cannot_be_written(
    small: Project, closed: Callable[[Path, int], None]
) -> None:
    small.write("b.py", python_text(1))
    closed(small.cache_dir, 0o500)
    done = unprivileged(small, "run", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "updated"
    assert done.stderr.startswith("codx-index: continuing without the embedding cache")
    assert done.stderr.count("\n") == 1
    assert unprivileged(small, "verify", "--executor", "serial").returncode == 0


def test_a_damaged_cache(small: Project) -> None:
    small.run()
    rows = small.rows()
    (cache,) = small.cache_dir.glob("embeddings-*.sqlite")
    cache.write_bytes(os.urandom(cache.stat().st_size))
    done = small.command("run", "--force", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["chunks"]["embedded"]) == (0, 1)
    assert done.stderr.startswith("codx-index: the embedding cache was unreadable")
    assert done.stderr.count("\n") == 1
    assert small.rows() == rows
    done = small.command("run", "--force", "--json")
    assert (done.stderr, json.loads(done.stdout)["chunks"]["cached"]) == ("", 1)


@pytest.mark.parametrize("noise", [b"", b"noise " * 5000], ids=["empty", "noise"])
def test_a_damaged_manifest(noise: bytes, small: Project) -> None:
    small.run()
    rows = small.rows()
    (small.root / ".codx/index/manifest.sqlite").write_bytes(noise)
    assert small.command("status").returncode == 0
    report = small.run()
    assert (report["status"], report["chunks"]["upserted"]) == ("unchanged", 0)
    assert small.rows() == rows
    assert small.run()["files"]["read"] == 0


def test_a_damaged_database(small: Project) -> None:
    small.run()
    database = small.root / ".codx/index/milvus.db"
    for folder, _, names in os.walk(database):
        for name in names:
            Path(folder, name).write_bytes(b"\0noise")
    for command in (["run"], ["search", "x"]):
        # After an error of the store only the end of the process closes it.
        done = small.installed.command(*command)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("codx-index: ")
    assert small.command("clear", "--yes").returncode == 0
    assert small.run()["status"] == "updated"


def test_a_bare_environment(small: Project) -> None:
    """As cron gives it: no HOME, no PATH, no locale, stdin closed."""
    done = subprocess.run(
        [COMMAND, "run", "--json"],
        cwd=small.root,
        env={
            "CODX_INDEX_CACHE_DIR": str(small.cache_dir),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        preexec_fn=lambda: os.close(0),
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["status"] == "updated"
