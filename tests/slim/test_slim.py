"""Everything that the default model needs works without torch and what comes with it.

`make test-slim` makes the environment and says in CODX_TEST_SLIM where it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project, without_remarks

ENVIRONMENT = os.environ.get("CODX_TEST_SLIM", "")
MOST_MEGABYTES = 700
NOT_THERE = (
    *("torch", "transformers", "sentence_transformers", "scipy", "sklearn"),
    *("pandas", "faiss", "huggingface_hub", "nncf", "openvino_telemetry"),
)
LOOK = f"""
from importlib.util import find_spec
print([name for name in {NOT_THERE} if find_spec(name)])
"""
SOURCES = {
    "bank.py": "def withdraw(amount: int) -> None:\n    '''Take money out.'''\n",
    "parse.ts": "export function parse(text: string): Node {\n  return null;\n}\n",
    "notes.md": "# Retries\n\nA call that fails is made again, three times.\n",
    "größe.py": "GRÖSSE = 'naïve 日本 🙂'\n" * 80,
}

pytestmark = [
    pytest.mark.slim,
    pytest.mark.skipif(not ENVIRONMENT, reason="`make test-slim` makes one"),
]


class SlimProject(Project):
    """A project whose commands are those of the slim environment."""

    def command(
        self, *arguments: str, given: bytes = b"", folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Start `codx-index …` there, and return how it ended."""
        assert not given and folder is None, "no test needs it yet"
        return self.launch(os.path.join(ENVIRONMENT, "bin", "codx-index"), *arguments)


@pytest.fixture(scope="module")
def slim_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for which the slim environment converts the model itself."""
    return tmp_path_factory.mktemp("slim-cache")


@pytest.fixture
def slim(tmp_path: Path, slim_cache: Path) -> Project:
    """Files that nobody has indexed yet, and no embedding in the cache."""
    for file in slim_cache.glob("embeddings-*"):
        file.unlink()
    project = SlimProject(tmp_path / "slim", slim_cache)
    for name, text in SOURCES.items():
        project.write(name, text)
    return project


def test_what_it_does_without_is_not_there() -> None:
    python = os.path.join(ENVIRONMENT, "bin", "python")
    looked = subprocess.run([python, "-c", LOOK], capture_output=True, text=True)
    assert looked.stdout == "[]\n", looked.stderr


def test_its_size() -> None:
    kilobytes = subprocess.run(
        ["du", "-sk", ENVIRONMENT], capture_output=True, text=True, check=True
    )
    assert int(kilobytes.stdout.split()[0]) <= MOST_MEGABYTES * 1024


def test_the_rows_are_those_of_the_full_environment(
    slim: Project, make_project: Any
) -> None:
    full = make_project("full").installed
    shutil.copytree(slim.root, full.root, dirs_exist_ok=True)
    ours, theirs = slim.run(), full.run()
    assert ours["files"]["added"] == len(SOURCES)
    assert ours["fingerprint"] == theirs["fingerprint"]
    assert ours["chunks"]["embedded"] == theirs["chunks"]["embedded"] > len(SOURCES)
    found, expected = slim.rows(), full.rows()
    assert found.keys() == expected.keys()
    for key, row in found.items():
        assert np.array_equal(row.pop("vector"), expected[key].pop("vector"))
        assert row == expected[key]


def test_its_commands(slim: Project) -> None:
    slim.run()
    for words, path in [
        ("take money from an account", "bank.py"),
        ("Node", "parse.ts"),
    ]:
        hit, *_ = slim.report("search", words)["hits"]
        assert hit["path"] == path
    assert slim.report("search", "--like", "bank.py:1")["hits"]
    (hit,) = slim.report("search", "money", "--grep", r"^def withdraw\(")["hits"]
    assert hit["path"] == "bank.py"
    assert without_remarks(slim.command("search", "retries").stderr) == ""
    slim.write("bank.py", SOURCES["bank.py"] + "\n\ndef deposit() -> None: ...\n")
    (slim.root / "notes.md").rename(slim.root / "retries.md")
    assert slim.command("status", "--check").returncode == 1
    updated = slim.run()
    assert (updated["files"]["modified"], updated["files"]["renamed"]) == (1, 1)
    assert slim.run()["status"] == "unchanged"
    assert slim.report("run", "--mode", "sparse", "--force")["exit_code"] == 0
    for command in (
        ["verify"],
        ["status", "--check"],
        ["cache", "info"],
        ["run", "--wiki"],
    ):
        done = slim.command(*command)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert slim.command("clear", "--yes").returncode == 0


def test_it_serves_agents(slim: Project) -> None:
    slim.run()
    about = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    requests: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": about},
        {"method": "notifications/initialized"},
        {
            "id": 2,
            "method": "tools/call",
            "params": {"name": "search", "arguments": {"query": "take money out"}},
        },
    ]
    lines = [json.dumps({"jsonrpc": "2.0", **request}) + "\n" for request in requests]
    served = subprocess.Popen(
        [os.path.join(ENVIRONMENT, "bin", "codx-index"), "mcp", "."],
        cwd=slim.root,
        env=slim.variables(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert served.stdin is not None and served.stdout is not None
    with served:
        served.stdin.writelines(lines)
        served.stdin.flush()
        answers = [json.loads(served.stdout.readline()) for _ in range(2)]
        served.stdin.close()
    assert "bank.py" in json.dumps(answers[1]["result"])


@pytest.mark.parametrize(
    ("variables", "arguments", "says"),
    [
        ({}, ["--model", "org/other"], "pip install huggingface-hub torch"),
        ({}, ["--model", "./other"], "pip install torch sentence-transformers"),
        ({"CODX_INDEX_DEVICE": "cuda"}, [], "pip install torch sentence-transformers"),
        (
            {"CODX_INDEX_BACKEND": "sentence-transformers"},
            [],
            "pip install torch sentence-transformers",
        ),
        ({}, ["--precision", "int8"], "pip install 'codx-index[int8]'"),
    ],
)
def test_what_needs_more_says_what_to_install(
    variables: dict[str, str],
    arguments: list[str],
    says: str,
    slim: Project,
    tiny_model: str,
) -> None:
    shutil.copytree(tiny_model, slim.root / "other")
    slim.environment = {"CODX_INDEX_TRUST": "1", **variables}
    done = slim.command("run", *arguments)
    assert done.returncode == 1
    assert says in done.stderr and done.stderr.count("\n") == 1
