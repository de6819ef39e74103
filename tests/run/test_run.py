"""`codx-index run`: the rows equal the tree, and the cost follows the change."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    COMMAND,
    Project,
    make_cache,
    only_slow,
    open_store,
    python_text,
    read_rows,
)

from indexer.index.manifest import Manifest
from indexer.milvus.rows import row_id
from indexer.paths import escape_path
from indexer.tree.git import blob_id

Rows = dict[str, dict[str, Any]]

SERIAL = ("--executor", "serial")  # starts faster than a pool

LANGUAGES = {
    "app/server.py": (
        "python",
        'class Server:\n    """Answers."""\n\n    def start(self, port: int) -> None:\n'
        "        self.port = port\n\n\ndef main() -> None:\n    Server().start(80)\n",
    ),
    "web/cart.ts": (
        "typescript",
        "export class Cart {\n  items: string[] = [];\n\n  add(item: string) {\n"
        "    this.items.push(item);\n  }\n}\n",
    ),
    "cmd/main.go": (
        "go",
        'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("hi")\n}\n',
    ),
    "src/lib.rs": ("rust", "pub fn double(n: u32) -> u32 {\n    n * 2\n}\n"),
    "README.md": ("markdown", "# Title\n\nSome words.\n\n## Use\n\nMore words.\n"),
    "notes": ("", "without an extension\n\n\nand the last line has no break"),
    "long.py": ("python", python_text(1, 20)),
}


def project_of(project: Project, texts: dict[str, str]) -> Project:
    for name, text in texts.items():
        project.write(name, text)
    return project


def copy_of(project: Project, name: str, model_cache: Path) -> Project:
    """The same files elsewhere: no state, and a cache of its own without embeddings."""
    root = project.root.parent / name
    shutil.copytree(
        project.root, root, symlinks=True, ignore=shutil.ignore_patterns(".codx")
    )
    return Project(root, make_cache(root.with_name(f"{name}-cache"), model_cache))


def paths_of(rows: Rows) -> set[str]:
    return {row["path"] for row in rows.values()}


def texts_of(rows: Iterable[dict[str, Any]]) -> set[tuple[str, str]]:
    """What the model saw of these rows."""
    return {(row["symbol"], row["text"]) for row in rows}


def assert_work(report: dict[str, Any], **expected: int) -> None:
    """Compare counts given as files_read=3, chunks_embedded=7."""
    found = {key: report[key.split("_")[0]][key.split("_")[1]] for key in expected}
    assert found == expected


# The first run


def test_the_first_run_indexes_every_file(project: Project) -> None:
    project_of(project, {name: text for name, (_, text) in LANGUAGES.items()})
    report = project.run()
    rows = project.rows()
    assert (report["status"], report["exit_code"]) == ("updated", 0)
    assert report["project"] == str(project.root)
    assert report["collection"] == "codx_index"
    assert report["failures"] == []
    assert report["files"] == {
        "scanned": 7,
        "added": 7,
        "read": 7,
        "skipped": {},
        **dict.fromkeys(
            "unchanged modified renamed deleted embedded stripped by_words failed"
            " deferred".split(),
            0,
        ),
    }
    assert_work(
        report,
        chunks_total=len(rows),
        chunks_embedded=len(rows),
        chunks_upserted=len(rows),
        chunks_cached=0,
        chunks_deleted=0,
        chunks_truncated=0,
    )

    by_path = defaultdict(list)
    for row in rows.values():
        by_path[row["path"]].append(row)
    assert by_path.keys() == LANGUAGES.keys()
    assert len(by_path["long.py"]) > 1
    for path, found in by_path.items():
        language, text = LANGUAGES[path]
        lines = text.split("\n")
        file_hash = project.git("hash-object", path).strip()
        covered: list[int] = []
        for number, row in enumerate(sorted(found, key=lambda row: row["chunk_no"])):
            name = path.encode() + b"\0" + str(number).encode()
            assert row["id"] == hashlib.sha256(name).hexdigest()
            assert (row["chunk_no"], row["chunk_count"]) == (number, len(found))
            assert (row["file_hash"], row["language"]) == (file_hash, language)
            span = range(row["start_line"], row["end_line"] + 1)
            assert row["text"] == "\n".join(lines[number - 1] for number in span)
            assert math.hypot(*row["vector"]) == pytest.approx(1, abs=1e-5)
            covered += span
        written = [n for n, line in enumerate(lines, 1) if line.strip()]
        assert [n for n in covered if lines[n - 1].strip()] == written
    assert {row["symbol"] for row in by_path["web/cart.ts"]} == {"Cart"}

    again = project.run()
    assert (again["status"], again["exit_code"]) == ("unchanged", 0)
    assert_work(again, files_unchanged=7, files_read=0, chunks_total=len(rows))
    assert_work(again, chunks_embedded=0, chunks_upserted=0, chunks_deleted=0)


def test_an_empty_project(project: Project) -> None:
    assert_work(project.run(), files_scanned=0, chunks_total=0)
    assert project.rows() == {}
    assert project.run()["status"] == "unchanged"
    assert project.command("verify", *SERIAL).returncode == 0


# Later runs


def test_the_cost_follows_the_change(project: Project, model_cache: Path) -> None:
    names = [f"part{n % 3}/module_{n:02}.py" for n in range(30)]
    project_of(project, {name: python_text(n, 2) for n, name in enumerate(names)})
    project.run()
    before = project.rows()

    for number, name in enumerate(names[:3]):
        changed = python_text(number, 2) + f"\n\nLIMIT = {number}\n"
        project.write(name, changed)
    project.write("new_one.py", python_text(100, 2))
    project.write("deep/down/new_two.py", python_text(101, 2))
    for name in names[3:5]:
        (project.root / name).unlink()
    (project.root / names[5]).rename(project.root / "renamed.py")
    for name in names[6:11]:
        os.utime(project.root / name)

    report = project.run()
    after = project.rows()
    assert report["status"] == "updated"
    assert_work(report, files_modified=3, files_added=2, files_deleted=2)
    assert_work(report, files_renamed=1, files_failed=0, files_unchanged=30 - 6)
    assert_work(report, files_read=3 + 2 + 1 + 5)
    new_texts = texts_of(after.values()) - texts_of(before.values())
    assert_work(report, chunks_embedded=len(new_texts), chunks_total=len(after))

    def vectors(rows: Rows, path: str) -> list[Any]:
        found = [row for row in rows.values() if row["path"] == path]
        return [row["vector"] for row in sorted(found, key=lambda r: r["chunk_no"])]

    assert vectors(after, "renamed.py") == vectors(before, names[5]) != []
    assert not paths_of(after) & {names[3], names[4], names[5]}

    fresh = copy_of(project, "fresh", model_cache)
    assert fresh.run()["chunks"]["embedded"] == len(texts_of(after.values()))
    assert fresh.rows() == after

    # The touched files are known again, with their new times.
    assert_work(project.run(), files_read=0, files_unchanged=30)


def test_a_rename_embeds_nothing(project: Project) -> None:
    project.write("old name.py", python_text(1))
    project.run()
    (project.root / "sub").mkdir()
    (project.root / "old name.py").rename(project.root / "sub/new name.py")
    report = project.run()
    assert_work(report, files_renamed=1, files_added=0, files_deleted=0)
    assert_work(report, chunks_embedded=0)
    assert paths_of(project.rows()) == {"sub/new name.py"}


def test_a_same_size_edit_with_its_time_set_back_is_found(project: Project) -> None:
    path = project.write("a.py", "value = 1\n")
    project.run()
    before = path.stat()
    path.write_text("value = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert_work(project.run(), files_modified=1)
    assert [row["text"] for row in project.rows().values()] == ["value = 2"]


def test_force_indexes_everything_again(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(3)})
    project.run()
    before = project.rows()
    report = project.run("--force")
    assert_work(report, files_modified=3, files_read=3, chunks_embedded=0)
    assert_work(report, chunks_upserted=len(before), chunks_deleted=0)
    assert project.rows() == before


def test_shrinking_files_leave_no_row_behind(project: Project) -> None:
    project.write("a.py", python_text(1, 20))
    first = project.run()["chunks"]["total"]
    project.write("a.py", python_text(1, 20)[:300])
    report = project.run()
    assert report["chunks"]["deleted"] == first - report["chunks"]["total"] > 0
    assert project.command("verify", *SERIAL).returncode == 0


@pytest.fixture(scope="module")
def sizeable(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    """More text than a run would do without its pool; half of it is there twice."""
    root = tmp_path_factory.mktemp("sizeable") / "project"
    made = Project(root, make_cache(root.with_name("cache"), model_cache))
    for number in range(8):
        text = python_text(number, 22)
        made.write(f"a{number}.py", text)
        made.write(f"b{number}.py", text)
    assert sum(path.stat().st_size for path in root.iterdir()) > 100 * 1024
    assert made.run("--executor", "serial")["exit_code"] == 0
    return made


@pytest.mark.parametrize(
    "options",
    [
        *only_slow(["--jobs", "1"]),
        ["--jobs", "2"],
        *only_slow(["--jobs", "2", "--executor", "thread"]),
    ],
    ids=" ".join,
)
def test_rows_do_not_depend_on_the_executor(
    options: list[str], sizeable: Project, model_cache: Path, tmp_path: Path
) -> None:
    expected = sizeable.rows()
    copy = copy_of(sizeable, f"copy{len(os.listdir(tmp_path.parent))}", model_cache)
    report = copy.run(*options)
    texts = len(texts_of(expected.values()))
    assert_work(report, chunks_embedded=texts, chunks_cached=len(expected) - texts)
    assert copy.rows() == expected


# What is left out


def test_skipped_files_are_counted_and_not_read_again(
    make_project: Callable[[str], Project],
) -> None:
    project = make_project("skips")
    project.write("good.py", "x = 1\n")
    project.write("data.csv", b"a\0b" * 100)
    project.write("image.png", b"\x89PNG")
    project.write("nothing.py", "")
    project.write("blank.py", " \n\t\n")
    project.write("large.py", "# words\n" * 200_000)
    project.write("poetry.lock", "[[package]]\n")
    project.write("bundle.js", "a=1;" * 30_000)
    project.write("key.pem", "-----BEGIN PRIVATE KEY-----\n")
    project.write(".codxignore", "drafts/\n*.tmp\n")
    project.write("drafts/a.py", "y = 1\n")
    project.write("b.tmp", "z = 1\n")
    (project.root / "link.py").symlink_to("good.py")
    (project.root / "outside").symlink_to("/etc")
    os.mkfifo(project.root / "pipe.py")
    skipped = {
        "binary": 2,
        "empty": 2,
        "too_large": 1,
        "lock_file": 1,
        "generated": 1,
        "secret": 1,
        "ignored": 2,
        "symlink": 2,
        "special": 1,
    }
    report = project.run()
    assert report["files"]["skipped"] == skipped
    assert report["status"] == "updated"
    assert_work(report, files_added=2, files_scanned=2 + sum(skipped.values()))
    assert paths_of(project.rows()) == {"good.py", ".codxignore"}

    again = project.run()
    assert again["files"]["skipped"] == skipped
    assert_work(again, files_read=0, files_unchanged=2)
    assert again["status"] == "unchanged"


def test_a_file_that_becomes_binary_loses_its_rows(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    project.write("b.py", "y = 1\n")
    project.run()
    project.write("a.py", b"\0\1\2" * 10)
    report = project.run()
    assert_work(report, files_deleted=1, files_unchanged=1, chunks_deleted=1)
    assert report["files"]["skipped"] == {"binary": 1}
    assert paths_of(project.rows()) == {"b.py"}
    project.write("a.py", "x = 1\n")
    assert_work(project.run(), files_added=1, chunks_embedded=0)
    assert paths_of(project.rows()) == {"a.py", "b.py"}


def test_max_file_size(project: Project) -> None:
    project.write("small.py", "x = 1\n")
    project.write("large.py", "# a line of words\n" * 60)  # 1,080 bytes
    assert project.run("--max-file-size", "1k")["files"]["skipped"] == {"too_large": 1}
    assert paths_of(project.rows()) == {"small.py"}
    assert_work(project.run("--max-file-size", "1.5KiB"), files_added=1)
    assert_work(project.run("--max-file-size", "1000"), files_deleted=1)


def test_an_ignored_file_leaves_the_index(project: Project) -> None:
    project_of(project, {"a.py": "x = 1\n", "b/c.py": "y = 1\n", "d.py": "z = 1\n"})
    project.run()
    project.write(".gitignore", "b/\n")
    project.write(".codxignore", "d.py\n")
    assert_work(project.run(), files_deleted=2, files_added=2)
    assert paths_of(project.rows()) == {"a.py", ".gitignore", ".codxignore"}


# Kinds of trees and files


def test_a_folder_outside_git_with_nested_ignore_files(
    make_project: Callable[[str], Project],
) -> None:
    project = make_project("plain")
    files = {
        ".gitignore": "*.log\nout/\n",
        "a.py": "x = 1\n",
        "a.log": "no\n",
        "out/b.py": "no\n",
        "sub/.gitignore": "!keep.log\nsecret_plan.py\n",
        "sub/keep.log": "yes\n",
        "sub/secret_plan.py": "no\n",
        "node_modules/m.js": "no\n",
    }
    project_of(project, files)
    project.run()
    rows = project.rows()
    wanted = {".gitignore", "a.py", "sub/.gitignore", "sub/keep.log"}
    assert paths_of(rows) == wanted
    for row in rows.values():
        assert row["file_hash"] == blob_id(files[row["path"]].encode())


def test_a_subfolder_of_a_repository(project: Project) -> None:
    project.write(".gitignore", "*.log\n")
    project.write("outside.py", "x = 1\n")
    project.write("sub/inside.py", "y = 1\n")
    project.write("sub/a.log", "no\n")
    report = project.run("sub", "--here")
    assert report["project"] == str(project.root / "sub")
    assert_work(report, files_added=1)
    assert paths_of(read_rows(project.root / "sub/.codx/index")) == {"inside.py"}
    assert not (project.root / ".codx").exists()
    # The state of the part is no file of the whole.
    assert_work(project.run(), files_added=3)


def test_a_file_of_over_a_thousand_chunks(project: Project) -> None:
    line = "a b c d e f g h i j + - * / ( )\n"
    project.write("long.txt", line * 17_000)
    report = project.run()
    rows = sorted(project.rows().values(), key=lambda row: row["chunk_no"])
    assert len(rows) == report["chunks"]["total"] > 1_000
    assert "\n".join(row["text"] for row in rows) + "\n" == line * 17_000
    assert report["chunks"]["embedded"] == len(texts_of(rows)) < 10
    assert project.command("verify", *SERIAL).returncode == 0


def test_hostile_file_names(project: Project) -> None:
    names = [
        b"caf\xe9.py",
        b"two\nlines \"and\" 'quotes'.py",
        b"-rf",
        b"--force.py",
        b"back\\slash.py",
        b'x"] or path not in ["',
        "naïve/ünïcode.py".encode(),
        "e\u0301.py".encode(),
        "é.py".encode(),
        b"right\xe2\x80\xaeto-left.py",
        b" leading and trailing ",
    ]
    for number, name in enumerate(names):
        path = os.path.join(os.fsencode(project.root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"n = %d\n" % number)
    assert_work(project.run(), files_added=len(names))
    shown = {escape_path(os.fsdecode(name)) for name in names}
    assert paths_of(project.rows()) == shown
    assert "caf\\xe9.py" in shown
    assert_work(project.run(), files_read=0, files_unchanged=len(names))
    assert project.command("verify", *SERIAL).returncode == 0

    os.unlink(os.path.join(os.fsencode(project.root), names[5]))
    os.unlink(os.path.join(os.fsencode(project.root), names[0]))
    planned = project.command("run", "--dry-run")
    assert planned.stdout.splitlines()[:2] == [
        "D caf\\xe9.py",
        'D x"] or path not in ["',
    ]
    assert_work(project.run(), files_deleted=2, files_unchanged=len(names) - 2)
    assert len(paths_of(project.rows())) == len(names) - 2


@pytest.mark.parametrize(
    "data",
    [
        "naïve = 'café'\n".encode("latin-1"),
        "naïve = 'café'\n".encode("utf-16"),
        "naïve = 'café'\n".encode("utf-8-sig"),
    ],
    ids=["latin-1", "utf-16", "bom"],
)
def test_encodings(data: bytes, project: Project) -> None:
    project.write("a.py", data)
    project.run()
    (row,) = project.rows().values()
    assert row["text"] == "naïve = 'café'"
    assert row["file_hash"] == blob_id(data) == project.git("hash-object", "a.py")[:-1]


def test_a_text_in_many_files_is_embedded_once(project: Project) -> None:
    for number in range(20):
        project.write(f"{number}.py", "x = 'the same'\n")
    report = project.run()
    assert_work(report, chunks_embedded=1, chunks_cached=19, chunks_upserted=20)
    vectors = {tuple(row["vector"]) for row in project.rows().values()}
    assert len(vectors) == 1


def test_another_project_takes_its_vectors_from_the_cache(
    project: Project, make_project: Callable[[str], Project]
) -> None:
    other = make_project("other")
    for one in (project, other):
        one.write("a.py", python_text(1))
    assert project.run()["chunks"]["embedded"] > 0
    assert_work(other.run(), chunks_embedded=0)
    assert other.rows() == project.rows()


# --dry-run


def test_dry_run_tells_and_touches_nothing(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    done = project.command("run", "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "A a.py"
    assert not (project.root / ".codx").exists()
    assert not list(project.cache_dir.glob("embeddings-*"))


def test_dry_run_tells_what_a_run_does(project: Project) -> None:
    texts = {f"{n}.py": python_text(n, 1) for n in range(5)}
    project_of(project, texts)
    project.run()
    rows_before = paths_of(project.rows())
    project.write("0.py", "changed = 1\n")
    project.write("new.py", "added = 1\n")
    (project.root / "1.py").unlink()
    (project.root / "2.py").rename(project.root / "two.py")
    os.utime(project.root / "3.py")

    done = project.command("run", "--dry-run")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:-1] == ["A new.py", "M 0.py", "R 2.py -> two.py", "D 1.py"]
    head, _, cost = lines[-1].partition("; ")
    assert head == "1 added, 1 modified, 1 renamed, 1 deleted"
    assert re.fullmatch(r"about \d+ chunks?, at most \d+ s, \d+\.\d MB", cost)

    planned = project.run("--dry-run")
    assert planned["dry_run"] is True
    assert planned["plan"] == {
        "added": ["new.py"],
        "modified": ["0.py"],
        "renamed": [["2.py", "two.py"]],
        "deleted": ["1.py"],
        "unembedded": [],
        "stripped": [],
    }
    assert_work(planned, chunks_embedded=0, chunks_upserted=0)
    report = project.run()
    assert report["files"] == planned["files"]
    assert (report["status"], planned["status"]) == ("updated", "planned")
    gone = {"1.py", "2.py"}
    assert paths_of(project.rows()) == rows_before - gone | {"new.py", "two.py"}

    done = project.command("run", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "nothing to do\n")
    assert project.run("--dry-run")["status"] == "unchanged"


def test_dry_run_tells_of_the_wiki(project: Project) -> None:
    wiki = ("--wiki", "--mode", "sparse")
    for number in range(3):
        project.write(f"{number}.py", python_text(number, 1))
    assert project.run("--dry-run", *wiki)["wiki_pages"] == 3
    assert "at least 3 wiki pages" in project.command("run", "--dry-run", *wiki).stdout
    assert not (project.root / ".codx").exists()
    project.run("--mode", "sparse")
    assert project.run("--dry-run", *wiki)["wiki_pages"] == 3
    project.run(*wiki)
    assert project.run("--dry-run", *wiki)["wiki_pages"] == 0
    project.write("0.py", "changed = 1\n")
    os.rename(project.root / "1.py", project.root / "one.py")
    planned = project.run("--dry-run", *wiki)["wiki_pages"]
    assert planned == 3  # one is written, one written anew and one removed
    assert project.run(*wiki)["wiki"]["written"] >= 2


def test_a_forecast_knows_how_fast_the_last_run_was(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.pipeline.TELLING", 1)
    project.write("a.py", python_text(1))
    project.run()
    with Manifest(str(project.root / ".codx/index/manifest.sqlite")) as manifest:
        assert float(manifest.get("rate")) > 0
        manifest.set(rate="0.5")
    project.write("b.py", python_text(2))
    planned = project.run("--dry-run")["forecast"]
    assert planned["seconds"] >= 2 * planned["chunks"]


def test_the_forecast_of_a_dry_run(project: Project) -> None:
    """It is an estimate, but of the right size."""
    for number in range(20):
        project.write(f"{number}.py", python_text(number, 30))
    planned = project.run("--dry-run", "--mode", "sparse")["forecast"]
    report = project.run("--mode", "sparse")
    assert 1 / 2 < planned["chunks"] / report["chunks"]["upserted"] < 2
    assert project.run("--dry-run", "--mode", "sparse")["forecast"] == {
        **{"chunks": 0, "seconds": 0, "megabytes": 0}
    }
    dense = project.run("--dry-run")["forecast"]
    assert dense["seconds"] > planned["seconds"]
    assert dense["megabytes"] > planned["megabytes"]


# Output


def test_one_line_without_a_terminal(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    for word in (
        "updated: 1 added; 1 chunk in the index",
        "unchanged: 1 file, 1 chunk",
    ):
        done = project.command("run")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(word)
        assert done.stdout.count("\n") == 1 and done.stdout.endswith("\n")


def test_quiet_prints_nothing(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    for _ in range(2):
        done = project.command("run", "--quiet")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_json_prints_one_object(project: Project) -> None:
    project.write("ü.py", "x = 1\n")
    for status in ("updated", "unchanged"):
        done = project.command("run", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["status"] == status
        assert done.stdout.count("\n") == 1


def test_verbose_speaks_on_stderr(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    done = project.command("run", "--verbose", "--json")
    assert json.loads(done.stdout)["status"] == "updated"
    assert "1 file may have changed" in done.stderr


def on_terminal(project: Project, *arguments: str) -> tuple[int, str]:
    """Run a command whose stdout and stderr are a terminal; its exit code and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=project.root,
        env={**project.variables(), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 65536):
            output += data
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    return process.wait(timeout=60), output.decode()


def test_a_bar_and_a_summary_on_a_terminal(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n, 4) for n in range(8)})
    project.write("empty.py", "")
    code, output = on_terminal(project, "run")
    assert code == 0
    assert "Traceback" not in output
    assert "%" in output and "files" in output and "chunks/s" in output
    # The bar is wiped out, and what stays is the summary.
    head, chunks, skipped, seconds = output.rpartition("\r")[0].splitlines()[-4:]
    assert head.rpartition("\x1b[K")[2].startswith("updated: 8 added; ")
    assert chunks.split()[:1] == ["chunks"] and "embedded" in chunks
    assert skipped.split() == ["skipped", "1", "empty"]
    assert seconds.split()[:1] == ["time"]

    code, output = on_terminal(project, "run", "--quiet", "--force")
    assert (code, output) == (0, "")


# Settings


def test_settings_from_the_environment(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    project.environment["CODX_INDEX_EXECUTOR"] = "bogus"
    done = project.command("run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "bogus" in done.stderr
    project.environment["CODX_INDEX_EXECUTOR"] = "serial"
    project.environment["CODX_INDEX_JOBS"] = "-3"
    assert project.command("run").returncode == 2
    project.environment["CODX_INDEX_JOBS"] = "1"
    project.environment["CODX_INDEX_COLLECTION"] = "named_here"
    assert project.run()["collection"] == "named_here"
    assert len(project.rows("named_here")) == 1
    # An option is stronger.
    done = project.command("run", "--collection", "named_there", "--dry-run", "--json")
    assert json.loads(done.stdout)["collection"] == "named_there"


# Another model, and what was lost or spoiled


def collections(project: Project) -> tuple[str, list[str]]:
    """The collection behind the alias, and all there are."""
    with open_store(project) as store:
        found = store.describe("codx_index")
        assert found is not None
        return found["collection_name"], store._client.list_collections()


@pytest.mark.slow
def test_vectors_of_two_precisions_never_mix(project: Project, tiny_model: str) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(2)})
    model = ("--model", tiny_model)
    first = project.run(*model, "--precision", "f32")
    other = project.run(*model, "--precision", "bf16")
    assert other["fingerprint"] != first["fingerprint"]
    assert_work(other, files_added=2, chunks_embedded=first["chunks"]["embedded"])
    # A search computes as the index does, whatever it is told.
    hits = project.report("search", "a text", *model, "--precision", "f32")
    assert len(hits["hits"]) > 1
    back = project.run(*model, "--precision", "f32")
    assert_work(back, files_added=2, chunks_embedded=0)
    refused = project.command("run", "--precision", "f16")
    assert refused.returncode == 2
    assert "'auto', 'f32', 'bf16', 'int8'" in refused.stderr


def test_another_model_gets_a_collection_of_its_own(
    project: Project, tiny_model: str
) -> None:
    project_of(project, {f"{n}.py": python_text(n, 2) for n in range(3)})
    first = project.run()
    rows = project.rows()
    name, names = collections(project)
    assert names == [name]

    status = project.report("status", "--model", tiny_model, "--check", code=1)
    assert status["doubt"] == "the index was built with other settings"
    second = project.run("--model", tiny_model)
    assert second["fingerprint"] != first["fingerprint"]
    assert_work(second, files_added=3, chunks_embedded=second["chunks"]["total"])
    other, names = collections(project)
    assert names == [other] != [name]
    assert {len(row["vector"]) for row in project.rows().values()} == {32}
    assert project.command("verify", "--model", tiny_model, *SERIAL).returncode == 0

    back = project.run()
    assert back["fingerprint"] == first["fingerprint"]
    assert_work(back, files_added=3, chunks_embedded=0)
    assert collections(project) == (name, [name])
    assert project.rows() == rows


def test_a_lost_manifest(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(3)})
    project.write("empty.txt", " ")
    project.run()
    rows = project.rows()
    (project.root / ".codx/index/manifest.sqlite").unlink()
    report = project.run()
    assert report["status"] == "unchanged"
    assert_work(report, files_unchanged=3, chunks_embedded=0, chunks_upserted=0)
    assert project.rows() == rows
    assert_work(project.run(), files_read=0, files_unchanged=3)


def test_a_lost_database(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(3)})
    project.run()
    rows = project.rows()
    shutil.rmtree(project.root / ".codx/index/milvus.db")
    report = project.run()
    assert report["status"] == "updated"
    assert_work(report, chunks_embedded=0, chunks_upserted=len(rows))
    assert project.rows() == rows


def test_rows_spoiled_behind_our_back_are_repaired(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(5)})
    project.run()
    rows = project.rows()
    with open_store(project) as store:
        some = {n: row_id(f"{n}.py", 0) for n in range(5)}
        store.delete([some[0], row_id("0.py", 1)])
        store.upsert([{**vectored(rows[some[1]]), "file_hash": "0" * 40}])
        ghost = vectored(rows[some[2]])
        store.upsert([{**ghost, "path": "ghost.py", "id": row_id("ghost.py", 0)}])
        store.upsert([{**ghost, "id": "no id of ours"}])
        store.flush()
    assert project.rows() != rows
    status = project.report("status", "--check", code=1)
    assert status["doubt"] == "the index was left unfinished, or has been written since"
    assert project.command("verify", *SERIAL).returncode == 1
    report = project.run()
    assert report["status"] == "updated"
    assert_work(report, chunks_embedded=0, files_deleted=1, files_unchanged=2)
    assert project.rows() == rows
    assert project.command("verify", *SERIAL).returncode == 0
    assert project.run()["status"] == "unchanged"


def vectored(row: dict[str, Any]) -> dict[str, Any]:
    """A row as `Store.upsert` takes it."""
    import numpy as np

    return {**row, "vector": np.asarray(row["vector"], np.float32)}


def test_a_moved_project_keeps_its_index(project: Project) -> None:
    project_of(project, {f"{n}.py": python_text(n) for n in range(3)})
    project.run()
    moved = Project(project.root.with_name("elsewhere"), project.cache_dir)
    project.root.rename(moved.root)
    report = moved.run()
    assert_work(report, files_unchanged=3, files_read=0, chunks_upserted=0)


def test_no_module_of_the_project_is_imported(project: Project) -> None:
    """A spawned Python looks in the current folder first, unless told not to."""
    fired = project.root.parent / "fired"
    fired.mkdir()
    names = ["subprocess", "signal", "numpy", "tokenizers", "indexer", "sitecustomize"]
    for name in names:
        canary = str(fired / name)
        project.write(f"{name}.py", f"open({canary!r}, 'w').close()\n")
    report = project.installed.run("-j", "2", "--executor", "process")
    assert report["files"]["added"] == len(names)
    assert not list(fired.iterdir())
