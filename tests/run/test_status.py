"""`codx-index status`, and how little an unchanged project costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Project, project_in, python_text

HEAVY = ["torch", "openvino", "pymilvus", "transformers", "sentence_transformers"]
HEAVY += [
    "tokenizers",
    "tree_sitter",
    "numpy",
    "grpc",
    "milvus_lite",
    "huggingface_hub",
]

UNREADABLE = "the manifest of the index cannot be read"

IMPORTED = """
import json, sys
from indexer.cli.main import main
try:
    main()
finally:
    print(json.dumps([name for name in sys.modules if "." not in name]), file=sys.stderr)
"""
OPENED = """
import json, os, sys
opened = []
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.path.basename(os.fsdecode(arguments[0])))
sys.addaudithook(hook)
from indexer.cli.main import main
try:
    main()
finally:
    print(json.dumps(opened), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    folder = tmp_path_factory.mktemp("status")
    made = project_in(folder, model_cache)
    for number in range(3):
        made.write(f"tree{number}.py", python_text(number))
    made.write("blank.txt", "\n\n")
    made.git("init", "-q")
    made.run()
    return made


@pytest.fixture
def indexed(template: Project, tmp_path: Path) -> Project:
    """A copy of an indexed project, up to date about the inodes of its files."""
    root = tmp_path / "project"
    shutil.copytree(template.root, root)
    copy = Project(root, template.cache_dir)
    assert copy.run()["status"] == "unchanged"
    return copy


def in_process(script: str, project: Project, *arguments: str) -> list[str]:
    """Run main() under a script that ends with a list on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=project.root,
        env=project.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


def listing(*folders: Path) -> dict[str, tuple[int, int, int]]:
    """Size, mtime and inode of everything below the folders."""
    found = {}
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in (".", *names):
                path = os.path.normpath(os.path.join(folder, name))
                info = os.lstat(path)
                found[path] = (info.st_size, info.st_mtime_ns, info.st_ino)
    return found


def test_up_to_date(indexed: Project) -> None:
    done = indexed.command("status")
    assert (done.returncode, done.stderr) == (0, "")
    fields = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    database = indexed.root / ".codx/index/milvus.db"
    assert fields.pop("model").startswith("all-MiniLM-L6-v2 (")
    chunks = len(indexed.rows())
    assert fields == {
        "project": str(indexed.root),
        "collection": f"codx_index at {database}",
        "index": f"3 files, {chunks} chunks",
        "state": "up to date",
    }
    assert indexed.command("status", "--check").returncode == 0
    report = indexed.report("status", "--check")
    assert report["status"] == "unchanged"
    assert report["up_to_date"] is True
    assert report["indexed_files"] == 3
    assert report["model"] == "all-MiniLM-L6-v2"
    assert report["doubt"] == ""
    assert report["chunks"]["total"] == chunks
    assert report["files"]["skipped"] == {"empty": 1}


def test_behind(indexed: Project) -> None:
    indexed.write("tree0.py", "changed = 1\n")
    indexed.write("new.py", "added = 1\n")
    (indexed.root / "tree1.py").unlink()
    done = indexed.command("status")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].split(maxsplit=1) == [
        "state",
        "behind: 1 added, 1 modified, 1 deleted",
    ]
    assert indexed.command("status", "--check").returncode == 1
    report = indexed.report("status", "--check", code=1)
    assert report["exit_code"] == 1
    assert report["up_to_date"] is False
    assert report["plan"] == {
        "added": ["new.py"],
        "modified": ["tree0.py"],
        "renamed": [],
        "deleted": ["tree1.py"],
        "unembedded": [],
        "stripped": [],
    }


@pytest.mark.parametrize("place", [["--uri", "other.db"], ["--collection", "other"]])
def test_the_manifest_of_another_index_is_not_taken_for_this_one(
    place: list[str], indexed: Project
) -> None:
    report = indexed.report("status", "--check", *place, code=1)
    assert report["indexed_files"] == report["chunks"]["total"] == 0
    assert "no index in that place yet" in report["doubt"]
    assert len(report["plan"]["added"]) == 3


def test_without_an_index(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    before = listing(project.root, project.cache_dir)
    done = project.command("status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "there is no index yet" in done.stdout
    assert project.command("status", "--check").returncode == 1
    assert project.report("status")["plan"]["added"] == ["a.py"]
    assert listing(project.root, project.cache_dir) == before


# Dies in the middle of a write that is partly on disk already.
HOT_JOURNAL = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = TRUNCATE")
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN IMMEDIATE")
db.execute("DELETE FROM meta")
for number in range(2000):
    db.execute("INSERT INTO meta VALUES (?, ?)", (str(number), "x" * 99))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_manifest_whose_writer_was_killed(indexed: Project) -> None:
    path = indexed.root / ".codx/index/manifest.sqlite"
    size = path.stat().st_size
    subprocess.run([sys.executable, "-c", HOT_JOURNAL, str(path)])
    assert path.stat().st_size > size
    assert path.with_name("manifest.sqlite-journal").stat().st_size > 0
    report = indexed.report("status")
    assert "no index" not in report["doubt"]
    if report["doubt"]:
        assert (report["doubt"], report["indexed_files"]) == (UNREADABLE, 0)
        assert not report["up_to_date"]
    else:
        assert report["indexed_files"] == 3 and report["up_to_date"]
    assert indexed.run()["status"] == "unchanged"


def test_a_manifest_that_cannot_be_read(indexed: Project) -> None:
    (indexed.root / ".codx/index/manifest.sqlite").write_bytes(b"no database" * 999)
    report = indexed.report("status", "--check", code=1)
    assert report["doubt"] == UNREADABLE
    assert indexed.run()["status"] == "unchanged"


@pytest.mark.parametrize("change", ["nothing", "an edit", "a lost manifest"])
@pytest.mark.parametrize("command", [["status"], ["run", "--dry-run"]], ids=" ".join)
def test_nothing_is_written(command: list[str], change: str, indexed: Project) -> None:
    if change == "an edit":
        indexed.write("tree0.py", "changed = 1\n")
    elif change == "a lost manifest":
        (indexed.root / ".codx/index/manifest.sqlite").unlink()
    before = listing(indexed.root, indexed.cache_dir)
    assert indexed.command(*command).returncode == 0
    assert listing(indexed.root, indexed.cache_dir) == before


@pytest.mark.parametrize("command", ["status", "run"])
def test_an_unchanged_project_costs_next_to_nothing(
    command: str, indexed: Project
) -> None:
    assert not set(HEAVY) & set(in_process(IMPORTED, indexed, command))
    opened = in_process(OPENED, indexed, command)
    assert not [name for name in opened if name.startswith(("tree", "blank"))]
    indexed.write("tree1.py", "changed = 1\n")
    opened = in_process(OPENED, indexed, command)
    assert [name for name in opened if name.startswith("tree")].count("tree1.py") == 1
    assert not {"tree0.py", "tree2.py", "blank.txt"} & set(opened)
