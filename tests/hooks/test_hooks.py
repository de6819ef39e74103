"""All hooks of a run together: that they overlap, agree, and cannot hurt the index."""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import COMMAND, Project, python_text

AT = "@" + "codx:"
BUSY = "@codx-" + "ok, please-wait...:"
SCHEMA = json.loads((files("indexer") / "schema.json").read_text())


def validate(value: object, kind: str) -> None:
    jsonschema.validate(value, {**SCHEMA, "$ref": f"#/$defs/{kind}"})


@contextmanager
def receiver(
    failing: float = 0.0, hangs: bool = False
) -> Iterator[tuple[str, list[Any]]]:
    """A webhook that fails that share of requests; its address and what it has accepted."""
    deliveries: dict[str, Any] = {}
    chance = random.Random(7)
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if hangs:
                ended.wait(60)
            if chance.random() < failing:
                self.send_response(503)
            else:
                deliveries.setdefault(self.headers["X-Codx-Delivery"], json.loads(body))
                self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    events: list[Any] = []
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", events
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
    for delivery in deliveries.values():
        validate(delivery, "delivery")
        events += delivery["events"]


def lines(path: Path) -> list[Any]:
    events = [json.loads(line) for line in path.read_text().splitlines()]
    for event in events:
        validate(event, "event")
    assert [event["seq"] for event in events] == list(range(len(events)))
    return events


@pytest.mark.parametrize(
    ("count", "mentioned", "busy"),
    [(20, 5, 2), pytest.param(500, 50, 5, marks=pytest.mark.slow)],
)
def test_everything_at_once(
    project: Project, tmp_path: Path, count: int, mentioned: int, busy: int
) -> None:
    for number in range(count):
        head = ""
        if number < mentioned:
            head = f"# {BUSY if number < busy else AT} number {number}\n"
        project.write(f"d{number % 7}/f{number}.py", head + python_text(number, 2))
    # A command waits for another one: they are asked several at a time.
    asked_at = tmp_path / "asked"
    asked_at.mkdir()
    script = (
        f"touch {asked_at}/$$; for _ in $(seq 600); do "
        f"[ $(ls {asked_at} | wc -l) -lt 2 ] || exit 0; sleep 0.1; done; exit 1"
    )
    command = shlex.join(["sh", "-c", script])
    events_file = tmp_path / "events.jsonl"
    with receiver(failing=0.5) as (url, sent):
        report = project.run(
            "--mentions-command",
            command,
            "--events",
            str(events_file),
            "--webhook",
            url,
        )
    asked = mentioned - busy
    assert report["files"]["added"] == count - busy
    assert report["files"]["skipped"] == {"processing": busy}
    assert report["mentions"]["succeeded"] == asked
    assert report["events"]["undelivered"] == 0
    validate(report, "report")
    events = lines(events_file)
    assert events == sent
    kinds = Counter(event["event"] for event in events)
    assert kinds == {
        "run-started": 1,
        "plan": 1,
        "mention-pending": asked,
        "file-skipped": busy,
        "file-loaded": count - busy,
        "run-finished": 1,
    }
    assert report["events"]["emitted"] == len(events)
    loaded = {e["path"]: e for e in events if e["event"] == "file-loaded"}
    rows = Counter(row["path"] for row in project.rows().values())
    assert {path: event["chunks"] for path, event in loaded.items()} == rows
    pending = [
        {key: event[key] for key in ("path", "line", "text")}
        for event in events
        if event["event"] == "mention-pending"
    ]
    assert pending == report["mentions"]["pending"]
    final = events[-1]["report"]
    assert {**final, "events": None} == {**report, "events": None}
    assert project.command("verify").returncode == 0


def test_every_kind_of_event(project: Project, tmp_path: Path) -> None:
    for name in ("keep.py", "old.py", "gone.py", "edit.py", "binary.py"):
        project.write(name, f"NAME = {name!r}\n")
    project.git("add", "keep.py")
    project.run()
    (project.root / "old.py").rename(project.root / "new.py")
    (project.root / "gone.py").unlink()
    project.write("edit.py", "NAME = 1\n")
    project.write("added.py", "NAME = 2\n")
    project.write("binary.py", b"\0\1\2\0" * 20)
    project.write("m.py", f"# {AT} me\n")
    path = tmp_path / "events.jsonl"
    options = ("--events", str(path), "--wiki", "--mentions-command", "false")
    report = project.run(*options, code=3)
    told: dict[str, dict[str, Any]] = {}
    for event in lines(path):
        told.setdefault(event["event"], {})[event.get("path", "")] = event
    assert {name: one["change"] for name, one in told["file-loaded"].items()} == {
        "new.py": "renamed",
        "edit.py": "modified",
        "added.py": "added",
        "m.py": "added",
    }
    assert told["file-loaded"]["new.py"]["from"] == "old.py"
    assert set(told["file-deleted"]) == {"gone.py", "binary.py"}
    assert report["files"]["deleted"] == 2
    assert told["file-skipped"]["binary.py"]["reason"] == "binary"
    assert set(told["file-failed"]) == {"m.py"}
    assert told["wiki-updated"][""]["written"] == report["wiki"]["written"] == 6
    assert told["run-finished"][""]["report"]["exit_code"] == 3
    # A run with nothing to do tells so as well; one that fails, how it ended.
    path.unlink()
    project.run("--wiki")
    project.run(*options[:3])
    assert [e["event"] for e in lines(path)] == ["run-started", "plan", "run-finished"]
    path.unlink()
    project.run("--events", str(path), "--model", "no/such-model", code=1)
    finished = lines(path)[-1]
    assert finished["event"] == "run-finished"
    assert "no/such-model" in finished["report"]["error"]


def test_events_on_stdout(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    done = project.command("run", "--events", "-")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events][:2] == ["run-started", "plan"]
    assert "updated: 1 added" in done.stderr
    done = project.command("run", "--events", "-", "--json")
    assert done.returncode == 2 and "both write to stdout" in done.stderr
    for wrong in ("fd:77", "fd:0"):
        assert project.command("run", "--events", wrong).returncode == 2
    assert project.command("run", "--webhook", "ftp://x").returncode == 2


def test_the_file_of_the_events_is_no_file_of_the_project(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    for expected in (1, 0):
        report = project.run("--events", "events.jsonl", "--metrics", "m.prom")
        assert report["files"]["added"] == expected


# What goes wrong there


def test_a_webhook_that_hangs(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    with receiver(hangs=True) as (url, _):
        done = project.command("run", "--webhook", url.replace("//", "//user:pw@"))
    assert done.returncode == 0  # without an answer, which there never is
    assert "undelivered event" in done.stdout
    assert done.stderr.count("\n") == 1 and "pw" not in done.stderr
    assert len(project.rows()) == 1


def test_a_reader_of_the_events_that_went_away(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [COMMAND, "run", "--events", f"fd:{writing}", "--json"],
        cwd=project.root,
        env=project.variables(),
        pass_fds=[writing],
        capture_output=True,
        text=True,
    )
    os.close(writing)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and len(project.rows()) == 1
    assert report["events"]["undelivered"] == report["events"]["emitted"] == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_under_the_wiki(project: Project, tmp_path: Path) -> None:
    for number in range(12):
        project.write(f"f{number}.py", python_text(number, 3))
    wiki = tmp_path / "wiki"
    wiki.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(wiki)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        report = project.run("--wiki", "--wiki-path", str(wiki), code=3)
    finally:
        subprocess.run(["umount", str(wiki)], check=True)
    assert report["files"]["added"] == 12 and report["wiki"]["failed"] > 0
    assert {failure["error"] for failure in report["failures"]} == {
        "the wiki: No space left on device"
    }
    assert project.command("verify").returncode == 0
    # With room again, the next run writes what is missing.
    report = project.run("--wiki", "--wiki-path", str(wiki))
    assert report["wiki"]["failed"] == 0 and report["wiki"]["pages"] == 13


# The wiki of a project


def test_the_wiki_follows_the_index(project: Project) -> None:
    project.write("app/main.py", '"""Starts the shop."""\n\nfrom app import cart\n')
    project.write(
        "app/cart.py", '"""What a customer wants."""\n\n\ndef add():\n    ...\n'
    )
    report = project.run("--wiki")
    docs = project.root / ".codx" / "wiki" / "docs"
    cart = (docs / "app" / "cart.py.md").read_text()
    assert "What a customer wants." in cart and "main.py.md" in cart
    assert report["wiki"] == {"pages": 4, "written": 4, "deleted": 0, "failed": 0}
    assert report["files"]["added"] == 2
    # It is no part of the tree, nor does it keep a run from seeing that nothing changed.
    assert project.run("--wiki")["files"]["scanned"] == 2
    assert project.run("--wiki")["status"] == "unchanged"
    assert project.run()["files"]["scanned"] == 2
    (project.root / "app" / "main.py").unlink()
    report = project.run("--wiki")
    assert report["wiki"]["deleted"] == 1 and not (docs / "app" / "main.py.md").exists()
    assert "main.py" not in (docs / "app" / "cart.py.md").read_text()
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", "mkdocs.yml"],
        cwd=docs.parent,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    assert (
        "What a customer wants."
        in (docs.parent / "site" / "app" / "cart.py.html").read_text()
    )
    assert project.run("--wiki")["files"]["scanned"] == 1


def test_a_wiki_is_never_indexed(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    project.run("--wiki", "--wiki-path", "docs/wiki")
    project.write("docs/guide.md", "# guide\n")
    assert project.run("--wiki")["files"]["scanned"] == 2
    plan = project.report("run", "--dry-run")["plan"]
    assert [plan[change] for change in ("added", "modified", "deleted")] == [[], [], []]


def test_files_of_external_folders_have_no_page(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "lib.py").write_text("x = 1\n")
    project.write("a.py", "x = 1\n")
    report = project.run("--wiki", "--external-folders", str(tmp_path / "library"))
    assert report["files"]["added"] == 2 and report["wiki"]["pages"] == 2


def test_a_summary_is_asked_for_once(project: Project, tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "summarize.sh"
    script.write_text(
        f"printf '%s\\n' \"$(cat)\" >> {log}; echo 'In short: <b>it</b> works.'\n"
    )
    project.write("a.py", "x = 1\n")
    project.write("b.py", "y = 1\n")
    options = ("--wiki", "--wiki-command", f"sh {script}")
    project.run(*options)
    page = project.root / ".codx" / "wiki" / "docs" / "a.py.md"
    assert "In short: " in page.read_text() and "<b>it</b>" not in page.read_text()
    project.write("a.py", "x = 2\n")
    project.run(*options)
    asked = [json.loads(line)["path"] for line in log.read_text().splitlines()]
    assert sorted(asked) == ["a.py", "a.py", "b.py"]
    project.write("a.py", "x = 3\n")
    report = project.run("--wiki", "--wiki-command", "false", code=3)
    # Another command, other summaries.
    assert {one["path"] for one in report["failures"]} == {"a.py", "b.py"}
    assert len(project.rows()) == 2
    assert project.run(*options)["exit_code"] == 0


def test_a_folder_of_somebody_else_is_not_written_to(
    project: Project, tmp_path: Path
) -> None:
    project.write("a.py", "x = 1\n")
    project.write("docs/mine.md", "# mine\n")
    report = project.run("--wiki", "--wiki-path", "docs", code=3)
    assert "was not written by codx-index" in report["failures"][0]["error"]
    assert [path.name for path in (project.root / "docs").iterdir()] == ["mine.md"]
    (tmp_path / "elsewhere").mkdir()
    (project.root / "link").symlink_to(tmp_path / "elsewhere")
    report = project.run("--wiki", "--wiki-path", "link/wiki", code=3)
    assert "leads out of the project" in report["failures"][0]["error"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
