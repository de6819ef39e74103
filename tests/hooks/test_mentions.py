"""Mentions: found, left alone while somebody works on them, and given to a command."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import TIMEOUT, Project, python_text, start, wait_for

from indexer.text.mentions import find_mentions, is_processing

# In parts, so that this file has none.
AT = "@" + "codx:"
OPEN, CLOSE = "<" + "codx", "</" + "codx>"
BUSY = "codx-" + "ok, please-wait..."


def found(text: str) -> list[tuple[int, str]]:
    mentions = find_mentions("p", text.encode())
    assert all(mention.path == "p" for mention in mentions)
    return [(mention.line, mention.text) for mention in mentions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing of codx here", []),
        (f"x\n# {AT} do this \ny", [(2, "do this")]),
        (f"{AT}", [(1, "")]),
        (f"a\r\n{AT} one\r\n{AT} two\r\n", [(2, "one"), (3, "two")]),
        (f"a\n{OPEN}>\n  several\n  lines\n{CLOSE}\nb", [(2, "several\n  lines")]),
        (f"{OPEN} --code of one line {CLOSE}", [(1, "--code of one line")]),
        (f"{OPEN}>a{CLOSE} {OPEN}>b{CLOSE}", [(1, "a"), (1, "b")]),
        (f"a\n{OPEN}\nnever closed", [(2, "never closed")]),
        (f"{OPEN}-index> and {OPEN}er and x{AT}y", []),
        (f"{OPEN}>{AT} inside{CLOSE}", [(1, f"{AT} inside")]),
        (f"{AT} " + "x" * 5000, [(1, "x" * 2000)]),
    ],
)
def test_pending(text: str, expected: list[tuple[int, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"# @{BUSY}: do this", True),
        (f"<{BUSY}\ndo this\n</{BUSY}>", True),
        (f"{BUSY}", False),
        (f"@{BUSY} without a colon", False),
        (f"{AT} pending", False),
    ],
)
def test_processing(text: str, expected: bool) -> None:
    assert is_processing(text.encode()) is expected
    assert is_processing(b"\xff\xfe\x00" + text.encode()) is expected


def test_they_are_listed(project: Project) -> None:
    project.write("b.py", f"x = 1\n# {AT} second\n")
    project.write("a.py", f"# {AT} first\n")
    project.write("c.py", "y = 1\n")
    report = project.run()
    assert report["files"]["added"] == 3 and report["exit_code"] == 0
    pending = sorted(report["mentions"]["pending"], key=lambda one: str(one["path"]))
    assert pending == [
        {"path": "a.py", "line": 1, "text": "first"},
        {"path": "b.py", "line": 2, "text": "second"},
    ]
    # Of files that did not change, nothing is said.
    assert project.run()["mentions"]["pending"] == []
    project.write("a.py", f"# {AT} first, again\n")
    done = project.command("run")
    assert "1 pending mention" in done.stdout
    project.write("a.py", f"# {AT} and again\n")
    assert project.run("--no-mentions")["mentions"]["pending"] == []


def test_a_file_that_somebody_works_on_is_left_alone(project: Project) -> None:
    project.write("a.py", "def before():\n    return 1\n")
    project.write("gone.py", "def other():\n    return 2\n")
    project.run()
    before = project.rows()
    project.write("a.py", f"# @{BUSY}: do this\n")
    project.write("new.py", f"<{BUSY}\ndo that\n")
    (project.root / "gone.py").unlink()
    report = project.run()
    assert report["files"]["skipped"] == {"processing": 2}
    assert report["files"]["deleted"] == 1 and report["exit_code"] == 0
    left = {key: row for key, row in before.items() if row["path"] == "a.py"}
    assert project.rows() == left
    # It is not forgotten, and not called up to date or different for it.
    assert project.report("status", "--check")["files"]["skipped"] == {"processing": 2}
    assert project.command("verify").returncode == 0
    report = project.run("--force")
    assert report["files"]["skipped"] == {"processing": 2}
    project.write("a.py", "def after():\n    return 1\n")
    report = project.run()
    assert report["files"]["modified"] == 1
    assert report["files"]["skipped"] == {"processing": 1}
    # Where it is no mention at all, it can be said so.
    assert project.run("--no-mentions")["files"]["added"] == 1


COMMAND = """
import json, pathlib, sys, time
asked = json.load(sys.stdin)
with open({log!r}, "a") as log:
    log.write(json.dumps([time.time(), asked]) + "\\n")
time.sleep({seconds})
path = pathlib.Path(asked["path"])
if "fail" in path.name:
    sys.exit("no idea what to do")
if "remove" in path.name:
    path.unlink()
else:
    path.write_text("DONE = " + repr(asked["mentions"][0]["text"]) + "\\n")
with open({log!r}, "a") as log:
    log.write(json.dumps([time.time(), "end"]) + "\\n")
"""


def assistant(folder: Path, seconds: float = 0.0) -> tuple[str, Path]:
    """A command for --mentions-command, and its log."""
    log, script = folder / "asked.jsonl", folder / "assistant.py"
    script.write_text(COMMAND.format(log=str(log), seconds=seconds))
    return f"{sys.executable} -S {script}", log


def logged(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_the_command_is_asked_before_a_file_is_indexed(
    project: Project, tmp_path: Path
) -> None:
    command, log = assistant(tmp_path)
    project.write("plain.py", "x = 1\n")
    project.write("sub/a.py", f"# {AT} first\n# {AT} second\n")
    project.write("remove.py", f"# {AT} me\n")
    project.write("fail.py", f"# {AT} me\n")
    report = project.run("--mentions-command", command, code=3)
    asked = {one["path"]: one["mentions"] for _, one in logged(log) if one != "end"}
    assert asked["sub/a.py"] == [
        {"line": 1, "text": "first"},
        {"line": 2, "text": "second"},
    ]
    assert set(asked) == {"sub/a.py", "remove.py", "fail.py"}
    texts = {row["path"]: row["text"] for row in project.rows().values()}
    assert texts == {
        "plain.py": "x = 1",
        "sub/a.py": "DONE = 'first'",
        "fail.py": f"# {AT} me",  # indexed all the same
    }
    assert report["files"]["added"] == 3
    assert report["mentions"]["succeeded"] == 2 and report["mentions"]["failed"] == 1
    (failure,) = report["failures"]
    assert failure["path"] == "fail.py"
    assert failure["error"].endswith("exited with 1: no idea what to do")
    # Asked again until it succeeds, then no more.
    report = project.run("--mentions-command", command, code=3)
    assert report["mentions"]["failed"] == 1 and report["chunks"]["embedded"] == 0
    report = project.run("--mentions-command", "true")
    assert report["mentions"]["succeeded"] == 1
    assert project.run("--mentions-command", command)["status"] == "unchanged"
    assert project.command("verify").returncode == 0


def is_dead(pid: int) -> bool:
    try:  # nobody may have taken note of its end
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_command_that_hangs_or_is_missing(project: Project, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    project.write("a.py", f"# {AT} me\n")
    hanging = f"sh -c 'sleep 1000 & echo $! > {pid_file}; wait'"
    report = project.run(
        "--mentions-command", hanging, "--mentions-timeout", "1s", code=3
    )
    assert report["failures"][0]["error"].endswith("took longer than 1 s")
    assert is_dead(int(pid_file.read_text()))
    assert len(project.rows()) == 1
    project.write("a.py", f"# {AT} me again\n")
    report = project.run("--mentions-command", "/no/such/program", code=3)
    assert "cannot be run: No such file" in report["failures"][0]["error"]
    assert len(project.rows()) == 1
    done = project.command("run", "--mentions-command", "'unclosed")
    assert done.returncode == 2 and "is not a command" in done.stderr


@pytest.mark.slow
def test_a_stop_waits_for_no_command(project: Project) -> None:
    project.write("a.py", f"# {AT} me\n")
    project.write("b.py", "x = 1\n")
    options = ("--mentions-command", "sleep 1000")
    report = project.run(*options, "--max-seconds", "10", code=4)
    assert report["files"]["deferred"] == 1
    assert {row["path"] for row in project.rows().values()} == {"b.py"}
    process = start(project, "run", *options)
    asked = psutil.Process(process.pid)
    wait_for(lambda: any("sleep" in child.name() for child in asked.children()))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 143
    report = project.run()
    assert report["files"]["added"] == 1
    assert project.command("verify").returncode == 0


def test_neither_token_nor_secret_reach_the_command(
    project: Project, tmp_path: Path
) -> None:
    out = tmp_path / "environment"
    project.environment |= {
        "CODX_INDEX_TOKEN": "s3cret-token",
        "CODX_INDEX_WEBHOOK_SECRET": "s3cret-hook",
        "OTHER": "kept",
    }
    project.write("a.py", f"# {AT} me\n")
    project.run("--mentions-command", f"sh -c 'env > {out}'")
    assert "s3cret" not in out.read_text() and "OTHER=kept" in out.read_text()


def test_the_commands_run_beside_each_other_and_beside_the_run(
    project: Project, tmp_path: Path
) -> None:
    command, log = assistant(tmp_path, seconds=0.5)
    for number in range(12):
        project.write(f"m{number}.py", f"# {AT} {number}\n" + python_text(number, 2))
    report = project.run("--mentions-command", command, "--mentions-concurrency", "6")
    assert report["mentions"]["succeeded"] == 12 and report["files"]["added"] == 12
    running = most = 0
    for _, what in sorted(logged(log), key=lambda line: float(line[0])):
        running += -1 if what == "end" else 1
        most = max(most, running)
    assert 2 <= most <= 6
