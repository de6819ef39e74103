"""`codx-index search`: right answers, and answers while the index is being written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import COMMAND, Project, open_store, project_in

TEXTS = {
    "billing/tax.py": (
        "def vat(net, rate):\n"
        '    """The value added tax on a net price."""\n'
        "    return net * rate / 100\n"
    ),
    "net/retry.py": (
        "import time\n\n\ndef fetch_with_retry(fetch, attempts=3):\n"
        '    """Repeat a failed HTTP request with exponential backoff."""\n'
        "    for attempt in range(attempts):\n"
        "        try:\n            return fetch()\n"
        "        except ConnectionError:\n            time.sleep(2**attempt)\n"
    ),
    "auth/passwords.go": (
        "package auth\n\n// CheckPassword compares a password with its bcrypt hash.\n"
        "func CheckPassword(hash, password string) bool {\n"
        "\treturn bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil\n"
        "}\n"
    ),
    "docs/release.md": (
        "# Making a release\n\nTag the commit, build the wheel and upload it to PyPI.\n"
    ),
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("search")
    made = project_in(folder, model_cache)
    for name, text in TEXTS.items():
        made.write(name, text)
    assert made.run()["status"] == "updated"
    return made


@pytest.mark.parametrize(
    "query, path",
    [
        ("how much sales tax is added to a price", "billing/tax.py"),
        ("try again when the network is down", "net/retry.py"),
        ("is the password correct", "auth/passwords.go"),
        ("how to publish a new version", "docs/release.md"),
    ],
)
def test_the_right_file_comes_first(query: str, path: str, indexed: Project) -> None:
    hits = indexed.report("search", query)["hits"]
    assert hits[0]["path"] == path
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_json(indexed: Project) -> None:
    answer = indexed.report("search", "vat", "-k", "2")
    assert answer.keys() == {"query", "hits"}
    assert answer["query"] == "vat"
    assert len(answer["hits"]) == 2
    hit = answer["hits"][0]
    assert 0 < hit.pop("score") <= 1
    assert hit == {
        "path": "billing/tax.py",
        "start_line": 1,
        "end_line": 3,
        "symbol": "vat",
        "language": "python",
        "text": TEXTS["billing/tax.py"].rstrip("\n"),
    }


def test_for_people(indexed: Project) -> None:
    done = indexed.command("search", "password", "--limit", "1")
    assert (done.returncode, done.stderr) == (0, "")
    head, *body = done.stdout.splitlines()
    assert head.startswith("auth/passwords.go:1-6  0.")
    assert body[0] == "    package auth"


def test_from_a_subfolder(indexed: Project) -> None:
    done = subprocess.run(
        [COMMAND, "search", "password", "-k", "1"],
        cwd=indexed.root / "billing",
        env=indexed.variables(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("auth/passwords.go:1-6")
    by_path = indexed.command("search", "password", "docs", "-k", "1")
    assert by_path.stdout == done.stdout


def test_without_an_index(project: Project) -> None:
    done = project.command("search", "anything")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("codx-index: no index in ")
    assert "codx-index run" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (project.root / ".codx").exists()
    assert project.report("search", "anything", code=1)["status"] == "failed"


@pytest.mark.parametrize("arguments", [[""], [" \n"], [], ["a", "--limit", "0"]])
def test_wrong_usage(arguments: list[str], indexed: Project) -> None:
    done = indexed.command("search", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("codx-index: ")
    assert done.stderr.count("\n") == 1


def test_an_empty_index(project: Project) -> None:
    project.run()
    done = project.command("search", "anything")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no hits\n", "")


def test_while_another_process_has_the_database_open(indexed: Project) -> None:
    with open_store(indexed) as store:
        answer = indexed.report("search", "password", "-k", "1")
        assert store.count() == len(TEXTS)
    assert answer["hits"][0]["path"] == "auth/passwords.go"


def test_a_reader_that_has_enough(indexed: Project) -> None:
    process = subprocess.Popen(
        [COMMAND, "search", "password"],
        cwd=indexed.root,
        env=indexed.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()  # as `head` does, here before the first line
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert errors == b""


def test_it_leaves_the_index_as_it_was(indexed: Project) -> None:
    indexed.command("search", "password")
    report = indexed.run()
    assert report["status"] == "unchanged"
    assert report["files"]["read"] == 0


def test_hits_do_not_steer_the_terminal(project: Project) -> None:
    project.write("a\x1b[31m.py", "x = '\x1b[2J cleared \u202e'\n")
    project.run()
    done = project.command("search", "cleared")
    assert done.returncode == 0
    assert "\\u001b[31m.py:1-1" in done.stdout and "\\u202e" in done.stdout
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    raw = json.loads(project.command("search", "cleared", "--json").stdout)
    assert raw["hits"][0]["text"] == "x = '\x1b[2J cleared \u202e'"
