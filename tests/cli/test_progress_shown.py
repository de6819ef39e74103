"""What a run shows of its progress: at terminals of any width, and in the log."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Project, only_slow
from terminals import at_a_terminal

from indexer.cli import bars, counter
from indexer.cli.bars import Bars
from indexer.cli.counter import Counter
from indexer.cli.line import Line
from indexer.cli.log import log
from indexer.types import Step

SAID = re.compile(
    r"\d of 1 file done, \d+% of the bytes, [\d,]+ chunks?(, about [\d:]+ left)?$"
)


@pytest.fixture
def sparse(project: Project) -> Project:
    """A project that is not indexed yet, for which nothing is embedded."""
    project.write("one.py", "def one():\n    return 1\n")
    project.environment["CODX_INDEX_MODE"] = "sparse"
    project.environment["CODX_INDEX_EXECUTOR"] = "serial"
    return project


def lines_shown(text: str) -> list[str]:
    """What stood on the line that was written again and again."""
    parts = re.split(r"[\r\n]", text)
    return [part.removesuffix("\x1b[K") for part in parts if part.endswith("\x1b[K")]


@pytest.mark.parametrize("columns", [20, *only_slow(30, 40), 60])
def test_a_bar_stays_on_its_line(sparse: Project, columns: int) -> None:
    code, text = at_a_terminal(sparse, "run", "--force", columns=columns)
    assert code == 0, text
    shown = lines_shown(text)
    assert "\r\x1b[Kupdated: " in text  # it is removed at the end
    assert any(re.search(r"\d%", one) for one in shown)
    assert max(map(len, shown)) < columns


@pytest.mark.parametrize("many", [False, True])
def test_columns_in_the_environment(sparse: Project, many: bool) -> None:
    arguments = ("run-all", ".", "--force") if many else ("run", "--force")
    sparse.write("codx-index.toml", 'mode = "sparse"\n')
    code, text = at_a_terminal(sparse, *arguments, variables={"COLUMNS": "30"})
    assert code == 0, text
    assert any("%" in one for one in lines_shown(text))
    assert max(map(len, lines_shown(text))) < 30


@contextmanager
def terminal(patch: pytest.MonkeyPatch, term: str = "xterm") -> Iterator[int]:
    """A block in which a terminal is the stderr of this process, with its far end."""
    ours, theirs = pty.openpty()
    patch.setenv("TERM", term)
    patch.delenv("COLUMNS", raising=False)
    log.open("text", 0)
    with open(theirs, "w", encoding="utf-8") as stream, patch.context() as patched:
        patched.setattr(sys, "stderr", stream)
        yield ours
    os.close(ours)


def received(far: int) -> str:
    """What came at the far end since it was asked before."""
    print("\0", end="", file=sys.stderr, flush=True)
    seen = b""
    while not seen.endswith(b"\0"):
        seen += os.read(far, 4096)
    return seen.decode().removesuffix("\0")


def test_a_terminal_that_is_resized(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width is asked for each time, and nothing is padded to the length of the text before."""
    now = Line()
    with terminal(monkeypatch) as far:
        for wide in (100, 20, 60, 1):
            termios.tcsetwinsize(far, (24, wide))
            now.show(lambda room: "x" * room)
        now.clear()
        now.clear()
        seen = received(far)
    assert lines_shown(seen) == ["x" * 99, "x" * 19, "x" * 59, "x", ""]


def test_a_run_at_the_width_that_there_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "_REDRAWN_S", 0.0)
    with terminal(monkeypatch) as far:
        shown = Bars(quiet=False)
        shown.start(1000, 1000)
        for number, wide in enumerate((100, 40, 20, 60), 1):
            termios.tcsetwinsize(far, (24, wide))
            shown.advance(Step(known=100, files=100))
            last = lines_shown(received(far))[-1]
            assert f"{number}0%" in last
            assert len(last) < wide
            assert wide < 40 or f"{number}00/1,000 files" in last
        shown.close()
        assert received(far) == "\r\x1b[K"


def test_what_the_log_says_goes_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as far:
        Line().show(lambda room: "half of it")
        log.error("this")
        log.error("that")
        seen = received(far)
    above = "\x1b[K\r\x1b[Kcodx-index: this\r\ncodx-index: that\r\n"
    assert seen == f"\rhalf of it{above}"


@pytest.mark.parametrize(("term", "is_shown"), [("dumb", 0), ("", 0), ("xterm", 1)])
def test_a_counter_needs_a_terminal_that_can_go_back(
    term: str, is_shown: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counter, "_FIRST_S", 0.0)
    with terminal(monkeypatch, term) as far:
        Counter(quiet=False).count(6)
        log.error("the end")
        seen = received(far)
    assert seen.count("\r6 files found\x1b[K") == is_shown
    assert seen.endswith("codx-index: the end\r\n")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (24, "1,234,567 files found"),
        (20, "1,234,567 files"),
        (10, "1,234,567"),
        (4, "1,23"),
    ],
)
def test_a_counter_keeps_the_number(columns: int, text: str) -> None:
    assert counter._text(1_234_567, columns) == text


def said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each line that is said every 10 s said every time."""
    monkeypatch.setattr(bars, "SAID_S", 0.0)
    monkeypatch.setattr(counter, "SAID_S", 0.0)


def messages(text: str) -> list[str]:
    return [line.partition("codx-index: ")[2] for line in text.splitlines()]


def test_a_line_every_while_without_a_terminal(
    sparse: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_at_once(monkeypatch)
    said = messages(sparse.command("run", "-v").stderr)
    assert "0 files found so far" in said
    assert any(SAID.match(one) for one in said), said
    assert any("100% of the bytes" in one for one in said)


def test_none_before_its_time(sparse: Project) -> None:
    said = messages(sparse.command("run", "-v").stderr)
    assert "1 file may have changed" in said
    assert not any(SAID.match(one) or "so far" in one for one in said)


@pytest.mark.parametrize(
    "arguments", [(), ("-q",), ("-q", "-v"), ("--json",), ("-q", "-vv")]
)
def test_none_that_nobody_asked_for(
    arguments: tuple[str, ...], sparse: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_at_once(monkeypatch)
    assert sparse.command("run", *arguments).stderr == ""


def test_the_lines_as_json(sparse: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    said_at_once(monkeypatch)
    done = sparse.command("run", "-v", "--log-format", "json")
    said = [json.loads(line) for line in done.stderr.splitlines()]
    *_, last = [one for one in said if SAID.match(one["message"])]
    assert last["level"] == "info"
    assert last["files"] == last["files_total"] == 1
    assert last["bytes"] == last["bytes_total"] > 0
    assert last["chunks"] == 1
    assert last["seconds_left"] is None or last["seconds_left"] >= 0


def test_each_of_many_projects_by_its_name(
    sparse: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_at_once(monkeypatch)
    sparse.write("codx-index.toml", 'mode = "sparse"\n')
    done = sparse.command("run-all", str(sparse.root), "-v")
    about = f"{sparse.root}: "
    said = messages(done.stderr)
    assert any("files done" in one and one.startswith(about) for one in said), said
    assert sparse.command("run-all", str(sparse.root), "-qv", "--force").stderr == ""


@pytest.mark.parametrize("command", [("status", "-v"), ("run", "--dry-run", "-v")])
def test_a_scan_without_a_terminal(
    command: tuple[str, ...], sparse: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    said_at_once(monkeypatch)
    assert "0 files found so far" in messages(sparse.command(*command).stderr)
