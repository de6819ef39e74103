"""Real trees: git repositories, FIFOs, sockets, symlinks, names that are not UTF-8."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from indexer.errors import GitError, ProjectError
from indexer.paths import escape_path
from indexer.tree import names
from indexer.tree import scan as scanning
from indexer.tree.files import Content, NotIndexable, Vanished, open_root, read_file
from indexer.tree.names import skip_reason_by_name
from indexer.tree.scan import Scan
from indexer.types import SourceFile

LIMIT = 1_000_000
NOBODY = 65534
ODD_NAMES = [
    b"line\nbreak", b'quo"te', b"back\\slash", b"-leading", b"tab\there", b" space ", b"\\x41",
    b"not-utf8-\xff\xfe", b"twin-\xc3\xa9", b"twin-e\xcc\x81", b"? question", b"\xe2\x80\xae bidi",
    b"160000 " + b"0" * 40 + b" 0\tspoofed", b'x"] or path not in ["', b"\x01", b"...",
]  # fmt: skip


def run_git(folder: Path, *arguments: str) -> bytes:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return done.stdout


def write(top: Path, *names: str | bytes, text: str = "x\n") -> None:
    for name in names:
        path = Path(os.fsdecode(os.path.join(os.fsencode(top), os.fsencode(name))))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def scan(top: Path, max_file_size: int = LIMIT) -> Scan:
    state = os.path.join(top, ".codx", "index")
    return scanning.scan(str(top), max_file_size=max_file_size, own_paths=[state])


def paths_of(result: Scan) -> list[str]:
    return [file.path for file in result.files]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions mean nothing to root: become nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture(autouse=True)
def no_personal_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A folder outside git."""
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture(params=["git", "plain"])
def tree(request: pytest.FixtureRequest, plain: Path) -> Path:
    if request.param == "git":
        run_git(plain, "init", "-q")
    return plain


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that nobody can reach and owns: those of pytest are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setenv("HOME", folder + "/no-home")
        (Path(folder) / "tree").mkdir()
        if os.geteuid() == 0:
            os.chown(Path(folder) / "tree", NOBODY, NOBODY)
        yield Path(folder) / "tree"


# Which files


def test_no_folder(tmp_path: Path) -> None:
    write(tmp_path, "file")
    for name in ("absent", "file"):
        with pytest.raises(ProjectError):
            scan(tmp_path / name)


def test_empty_folder(tree: Path) -> None:
    result = scan(tree)
    assert (result.files, result.skipped, result.failures) == ([], {}, [])


def test_stat_fields(tree: Path) -> None:
    write(tree, "src/a.py", text="12345")
    info = (tree / "src/a.py").stat()
    expected = SourceFile(
        "src/a.py", 5, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
    )
    result = scan(tree)
    assert result.files == [expected]
    assert bool(result.listing) == (tree / ".git").exists()
    assert result.object_format == "sha1"


def test_sha256_repository(plain: Path) -> None:
    run_git(plain, "init", "-q", "--object-format=sha256")
    assert scan(plain).object_format == "sha256"


def test_order_is_that_of_the_bytes(tree: Path) -> None:
    # The lone surrogates of bytes that are not UTF-8 would sort before these.
    paths = [
        b"a",
        b"a-b/x",
        b"a/x",
        b"a0/x",
        b"\xee\x80\x80",
        b"\xf0\x9f\x90\x8d",
        b"\xff",
        b"B",
    ]
    write(tree, *[path for path in paths if path != b"a"])
    found = [os.fsencode(path) for path in paths_of(scan(tree))]
    assert found == sorted(path for path in paths if path != b"a")


def test_odd_names(tree: Path) -> None:
    write(tree, *ODD_NAMES, *[b"in/" + name for name in ODD_NAMES])
    expected = sorted([*ODD_NAMES, *[b"in/" + name for name in ODD_NAMES]])
    result = scan(tree)
    assert [os.fsencode(path) for path in paths_of(result)] == expected
    with open_root(str(tree)) as root:
        for file in result.files:
            content = read_file(root, file, LIMIT)
            assert (content.data, content.stat, content.stable) == (b"x\n", file, True)


def test_both_ways_agree_on_nested_ignore_files(plain: Path) -> None:
    rules = {
        "": "*.log\n/build/\n!keep.log\ndocs/*\n!docs/api/\n**/cache/**\n!important\n[Tt]emp\n",
        "src/": "!*.log\n*.tmp\n",
        "src/deep/": "*\n!*/\n!*.py\n",
        "docs/api/": "/*.html\n",
    }
    folders = [
        "",
        "src/",
        "src/deep/",
        "src/deep/er/",
        "docs/",
        "docs/api/",
        "build/",
        "src/build/",
    ]
    folders += ["cache/", "src/cache/x/", "temp/", "Temp/in/", "docs/api/v1/"]
    for folder in folders:
        write(
            plain,
            *[folder + n for n in ("a.py", "x.log", "keep.log", "y.tmp", "z.html")],
        )
    for folder, text in rules.items():
        write(plain, folder + ".gitignore", text=text)
    outside = scan(plain)
    run_git(plain, "init", "-q")
    oracle = run_git(plain, "ls-files", "-z", "--others", "--exclude-standard").split(
        b"\0"
    )[:-1]
    assert [os.fsencode(path) for path in paths_of(outside)] == sorted(oracle)
    assert 20 < len(outside.files) < len(folders) * 5
    inside = scan(plain)
    assert inside.files == outside.files
    run_git(plain, "add", "-A")
    assert scan(plain).files == outside.files


def test_codxignore_is_on_top(tree: Path) -> None:
    write(tree, ".gitignore", text="*.log\n!keep.log\n")
    write(tree, ".codxignore", text="vendor/\n*.gen.py\nkeep.log\n!back.log\n")
    write(tree, "src/.codxignore", text="!mine.gen.py\nlocal.py\n")
    write(tree, "a.py", "a.gen.py", "keep.log", "back.log", "local.py", "vendor/v.py")
    write(tree, "src/mine.gen.py", "src/other.gen.py", "src/local.py")
    result = scan(tree)
    # A `!` in .codxignore brings back nothing that git ignores.
    expected = [".codxignore", ".gitignore", "a.py", "local.py"]
    assert paths_of(result) == [*expected, "src/.codxignore", "src/mine.gen.py"]
    assert result.skipped == {"ignored": 5}


def test_codxignore_that_git_ignores_counts_all_the_same(plain: Path) -> None:
    run_git(plain, "init", "-q")
    write(plain, ".gitignore", text=".codxignore\n")
    write(plain, "src/.codxignore", text="b.py\n")
    write(plain, "a.py", "src/b.py")
    assert paths_of(scan(plain)) == [".gitignore", "a.py"]


def test_ignored_folder_cannot_be_reopened_from_inside(tree: Path) -> None:
    write(tree, ".codxignore", text="data/\n")
    write(tree, "data/.codxignore", text="!*\n")
    write(tree, "data/deep/a.py")
    assert paths_of(scan(tree)) == [".codxignore"]


@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder", "huge"])
def test_odd_ignore_file(tree: Path, kind: str) -> None:
    write(tree, "a.py")
    path = tree / ".codxignore"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to("a.py")
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(1 << 31)
    result = scan(tree)
    assert paths_of(result) == ["a.py"]
    # Rules that were meant to be followed, and were not, are worth a line.
    assert [path for path, _ in result.failures] == (
        [] if kind == "folder" else [".codxignore"]
    )


def test_defaults_outside_git(plain: Path) -> None:
    write(plain, "a.py", "node_modules/m.js", "src/__pycache__/c.py", ".venv/lib/v.py")
    write(plain, "sub/.git", ".hg/store", "x/.svn/entries")
    result = scan(plain)
    assert paths_of(result) == ["a.py"]
    assert result.skipped == {"excluded_by_default": 3}


def test_defaults_can_be_brought_back(plain: Path) -> None:
    write(plain, "a.py", "node_modules/m.js", "venv/v.py")
    write(plain, ".gitignore", text="!node_modules/\n")
    assert paths_of(scan(plain)) == [".gitignore", "a.py", "node_modules/m.js"]


def test_in_git_what_is_tracked_is_never_left_out_by_default(plain: Path) -> None:
    run_git(plain, "init", "-q")
    write(plain, "node_modules/m.js", "node_modules/new.js", "sub/.venv/v.py")
    run_git(plain, "add", "node_modules/m.js")
    result = scan(plain)
    assert paths_of(result) == ["node_modules/m.js"]
    left_out = dict.fromkeys(["node_modules/", "sub/.venv/"], "excluded_by_default")
    assert result.left_out == left_out
    assert result.skipped == {"excluded_by_default": 2}


def test_subfolder_of_a_repository(plain: Path) -> None:
    run_git(plain, "init", "-q")
    write(plain, ".gitignore", text="*.log\n")
    write(plain, "a.py", "src/b.py", "src/x.log")
    assert paths_of(scan(plain / "src")) == ["b.py"]


def test_symlinked_root(tree: Path, tmp_path: Path) -> None:
    write(tree, "src/a.py")
    (tmp_path / "link").symlink_to(tree)
    result = scan(tmp_path / "link")
    assert result == replace(scan(tree), started_ns=result.started_ns)
    with open_root(str(tmp_path / "link")) as root:
        assert read_file(root, result.files[0], LIMIT).data == b"x\n"


def test_relative_root(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, "src/a.py", ".codx/index/state")
    expected = scan(tree)
    monkeypatch.chdir(tree)
    result = scanning.scan(".", max_file_size=LIMIT, own_paths=[".codx/index"])
    assert result == replace(expected, started_ns=result.started_ns)
    assert paths_of(expected) == ["src/a.py"]


def test_tracked_but_absent(plain: Path) -> None:
    run_git(plain, "init", "-q")
    write(
        plain, "a.py", "gone.py", "gone.png", "folder/b.py", "file/c.py", "swapped.py"
    )
    run_git(plain, "add", "-A")
    (plain / "gone.py").unlink()
    (plain / "gone.png").unlink()
    shutil.rmtree(plain / "folder")
    shutil.rmtree(plain / "file")
    write(plain, "file")
    (plain / "swapped.py").unlink()
    write(plain, "swapped.py/d.py")
    result = scan(plain)
    assert paths_of(result) == ["a.py", "file", "swapped.py/d.py"]
    assert (result.skipped, result.failures) == ({}, [])


def test_state_folder_is_not_part_of_the_tree(tree: Path) -> None:
    write(
        tree,
        "a.py",
        ".codx/notes.md",
        ".codx/index/x",
        "my/state/y",
        "sub/.codx/index/z",
    )
    write(tree, "my/state.py")
    result = scanning.scan(
        str(tree), max_file_size=LIMIT, own_paths=[os.path.join(tree, "my/../my/state")]
    )
    assert paths_of(result) == [".codx/notes.md", "a.py", "my/state.py"]
    assert result.skipped == {}


# Reasons


def test_every_reason(tree: Path) -> None:
    write(tree, ".codxignore", text="private.py\n")
    write(
        tree,
        "a.py",
        "private.py",
        "logo.PNG",
        "yarn.lock",
        "app.min.js",
        ".env",
        "id_rsa",
    )
    write(tree, "empty.py", text="")
    write(tree, "large.py", text="x" * 101)
    write(tree, "just-right.py", text="x" * 100)
    (tree / "link.py").symlink_to("a.py")
    (tree / "outside").symlink_to("/etc")
    (tree / "loop").symlink_to(".")
    (tree / "dangling").symlink_to("nowhere")
    result = scan(tree, max_file_size=100)
    assert paths_of(result) == [".codxignore", "a.py", "just-right.py"]
    assert result.skipped == {
        "binary": 1, "empty": 1, "generated": 1, "ignored": 1, "lock_file": 1,
        "secret": 2, "symlink": 4, "too_large": 1,
    }  # fmt: skip
    assert result.failures == []


def test_special_files(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(plain, "a.py")
    os.mkfifo(plain / "fifo")
    monkeypatch.chdir(plain)  # A socket's path is limited to 107 bytes.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert paths_of(scan(plain)) == ["a.py"]
        assert scan(plain).skipped == {"special": 2}
        with open_root(str(plain)) as root:
            for name in ("fifo", "socket"):
                with pytest.raises(NotIndexable, match="special"):
                    read_file(root, SourceFile(name, 0, 0, 0, 0), LIMIT)


def test_huge_sparse_file_costs_nothing(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tree / "huge.txt").open("wb") as file:
        file.truncate(1 << 30)
    opened: list[str] = []

    def spied(path: Any, *arguments: Any, **named: Any) -> int:
        opened.append(os.path.basename(os.fsdecode(path)))
        return real(path, *arguments, **named)

    real = os.open
    monkeypatch.setattr(os, "open", spied)
    assert scan(tree).skipped == {"too_large": 1}
    assert opened and "huge.txt" not in opened


@pytest.mark.parametrize(
    ("reason", "examples"),
    [
        (
            "secret",
            ".env .ENV .env.local .env-prod .env.example.local prod.env .envrc server.pem",
        ),
        (
            "secret",
            "id_rsa id_ed25519 .netrc .npmrc .pypirc .git-credentials .htpasswd a.p12 a.pfx",
        ),
        (
            "secret",
            "release.keystore a.jks tls.key prod.tfvars terraform.tfstate.backup .env~",
        ),
        (
            "lock_file",
            "package-lock.json yarn.lock pnpm-lock.yaml Cargo.lock poetry.lock uv.lock",
        ),
        (
            "lock_file",
            "Pipfile.lock composer.lock Gemfile.lock go.sum flake.lock bun.lockb",
        ),
        (
            "generated",
            "a.min.js a-min.css app.bundle.js 12.chunk.js a.js.map a_pb2.py a.pb.go",
        ),
        (
            "binary",
            "a.png a.JPG a.tar.gz a.woff2 a.pyc a.so a.pdf a.docx a.sqlite a.npy",
        ),
        (
            None,
            ".env.example .env.sample .env.template .env.local.example .environment env.py",
        ),
        (
            None,
            "id_rsa.pub a.py min.js Makefile .gitignore png README lock.py map pem .py a.ts",
        ),
        (
            None,
            "keys.py bundle.js package.json go.mod a.lock.py pb2.py secrets.py graph.dot",
        ),
    ],
)
def test_reasons_by_name(reason: str | None, examples: str) -> None:
    for name in examples.split():
        assert (name, skip_reason_by_name(name)) == (name, reason)


def test_a_binary_extension_is_not_a_name() -> None:
    assert not names.BINARY_EXTENSIONS & names.SECRET_EXTENSIONS
    for known in (
        names.SECRET_NAMES,
        names.LOCK_FILE_NAMES,
        names.BINARY_EXTENSIONS,
    ):
        assert all(name == name.lower() for name in known)


def test_path_that_does_not_fit_the_column(plain: Path) -> None:
    """Bytes that are not UTF-8 grow fourfold, so a path that the system takes may not fit."""
    fits = b"/".join([b"\xff" * 200] * 5) + b"/" + b"a" * 91
    assert len(escape_path(os.fsdecode(fits)).encode()) == 4096
    write(plain, fits, fits + b"b")
    result = scan(plain)
    assert [os.fsencode(path) for path in paths_of(result)] == [fits]
    assert result.skipped == {"path_too_long": 1}


@contextmanager
def deep_folder(top: Path, depth: int) -> Iterator[None]:
    """`depth` folders named `d`, one in the other, with `a.py` in the last. pathlib and
    shutil call themselves once per folder, so they can neither make nor remove them."""
    before = os.getcwd()
    os.chdir(top)
    try:
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("a.py").write_text("x\n")
        os.chdir(before)
        yield
    finally:
        os.chdir(before)
        subprocess.run(["rm", "-rf", "d"], cwd=top, check=True)


def test_deeper_than_the_system_takes_paths(plain: Path) -> None:
    write(plain, "a.py")
    with deep_folder(plain, 2500):
        result = scan(plain)
        assert paths_of(result) == ["a.py"]
        assert result.skipped == {"path_too_long": 1}
        assert result.failures == []


def test_as_deep_as_the_system_takes_paths(tree: Path) -> None:
    """That is deeper than Python takes nested calls."""
    depth = (4000 - len(os.fsencode(tree))) // 2
    with deep_folder(tree, depth), open_root(str(tree)) as root:
        result = scan(tree)
        assert paths_of(result) == ["d/" * depth + "a.py"]
        assert read_file(root, result.files[0], LIMIT).data == b"x\n"


# Permissions


def test_unreadable_folder_is_a_failure(public: Path) -> None:
    with unprivileged():
        write(public, "a.py", "closed/b.py", "unsearchable/c.py")
        (public / "closed").chmod(0)
        (public / "unsearchable").chmod(0o444)
        result = scan(public)
        (public / "closed").chmod(0o700)
        (public / "unsearchable").chmod(0o700)
    assert paths_of(result) == ["a.py"]
    assert ("closed", "Permission denied") in result.failures
    assert any(path.startswith("unsearchable") for path, _ in result.failures)


def test_unreadable_folder_is_a_failure_in_git(public: Path) -> None:
    with unprivileged():
        subprocess.run(["git", "init", "-q"], cwd=public, check=True)
        write(public, "a.py", "tracked/b.py", "untracked/c.py")
        subprocess.run(["git", "add", "tracked"], cwd=public, check=True)
        (public / "tracked").chmod(0)
        (public / "untracked").chmod(0)
        result = scan(public)
        (public / "tracked").chmod(0o700)
        (public / "untracked").chmod(0o700)
    assert paths_of(result) == ["a.py"]
    # git says so of untracked folders in a warning, and leaves with 0.
    for name in ("tracked", "untracked"):
        assert any(f"{name}/" in f"{path}/ {text}" for path, text in result.failures)


def test_unreadable_file_is_listed_and_fails_when_read(public: Path) -> None:
    with unprivileged():
        write(public, "a.py")
        (public / "a.py").chmod(0)
        result = scan(public)
        with open_root(str(public)) as root, pytest.raises(PermissionError):
            read_file(root, result.files[0], LIMIT)


def test_unreadable_ignore_file_is_a_failure(public: Path) -> None:
    with unprivileged():
        write(public, "a.py", ".codxignore")
        (public / ".codxignore").chmod(0)
        assert scan(public).failures == [(".codxignore", "Permission denied")]


def test_unreadable_root(public: Path) -> None:
    with unprivileged():
        public.chmod(0o111)
        with pytest.raises(ProjectError, match="Permission denied"):
            scan(public)
        public.chmod(0o700)


def test_refused_repository_is_never_walked(public: Path) -> None:
    write(public, "a.py")
    run_git(public, "init", "-q")
    (public / ".git/HEAD").write_text("nonsense")
    with pytest.raises(GitError):
        scan(public)


# Hostile trees


def test_folder_that_became_a_symlink_is_not_followed(
    plain: Path, tmp_path: Path
) -> None:
    """git still lists the tracked files below it."""
    run_git(plain, "init", "-q")
    write(plain, "folder/a.py")
    run_git(plain, "add", "-A")
    write(tmp_path / "outside", "a.py", text="secret\n")
    shutil.rmtree(plain / "folder")
    (plain / "folder").symlink_to(tmp_path / "outside")
    assert b"folder/a.py" in run_git(plain, "ls-files")
    result = scan(plain)
    assert paths_of(result) == []
    assert result.skipped == {"symlink": 1}


def test_crafted_index_leads_nowhere(plain: Path, tmp_path: Path) -> None:
    """git refuses to add such paths, but lists those that it finds in an index."""
    run_git(plain, "init", "-q")
    write(plain, "xx/outside", "yyyy/config", "zz/deep/a.py")
    write(tmp_path, "outside", text="secret\n")
    run_git(plain, "add", "-A")
    index = (plain / ".git/index").read_bytes()[:-20]
    assert index.count(b"xx/outside") == index.count(b"yyyy/config") == 1
    index = index.replace(b"xx/outside", b"../outside").replace(
        b"yyyy/config", b".git/config"
    )
    (plain / ".git/index").write_bytes(index + sha1(index).digest())
    shutil.rmtree(plain / "xx")
    shutil.rmtree(plain / "yyyy")
    assert paths_of(scan(plain)) == ["zz/deep/a.py"]
    with open_root(str(plain)) as root:
        for path in (
            "../outside",
            "zz/../../outside",
            "/etc/passwd",
            "zz//deep/a.py",
            "..",
        ):
            with pytest.raises(NotIndexable):
                read_file(root, SourceFile(path, 1, 0, 0, 0), LIMIT)


# Reading


@pytest.fixture
def file(plain: Path) -> SourceFile:
    write(plain, "src/deep/a.py", text="hello\n")
    return scan(plain).files[0]


def read(plain: Path, file: SourceFile, max_bytes: int = LIMIT) -> Content:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    try:
        with open_root(str(plain)) as root:
            return read_file(root, file, max_bytes)
    finally:
        if before:
            # What an earlier test left open may be closed in the meantime.
            assert len(os.listdir("/proc/self/fd")) <= before


def test_read(plain: Path, file: SourceFile) -> None:
    started = time.time_ns()
    content = read(plain, file)
    assert (content.data, content.stat, content.stable) == (b"hello\n", file, True)
    assert started <= content.read_ns <= time.time_ns()


@pytest.mark.parametrize("size", [1, 99, 100])
def test_read_up_to_the_limit(plain: Path, size: int) -> None:
    write(plain, "a", text="x" * size)
    assert read(plain, scan(plain).files[0], 100).data == b"x" * size


def test_file_swapped_between_scan_and_read(
    plain: Path, file: SourceFile, tmp_path: Path
) -> None:
    path = plain / file.path

    def reason(max_bytes: int = LIMIT) -> str:
        with pytest.raises(NotIndexable) as info:
            read(plain, file, max_bytes)
        return info.value.reason

    assert reason(max_bytes=5) == "too_large"
    path.write_text("")
    assert reason() == "empty"
    path.unlink()
    with pytest.raises(Vanished):
        read(plain, file)
    os.mkfifo(path)
    assert reason() == "special"  # who opened it would wait for ever
    path.unlink()
    write(tmp_path, "outside")
    path.symlink_to(tmp_path / "outside")
    assert reason() == "symlink"
    path.unlink()
    path.mkdir()
    with pytest.raises(Vanished):
        read(plain, file)


@pytest.mark.parametrize("swapped", ["src", "src/deep"])
def test_folder_swapped_for_a_symlink_between_scan_and_read(
    plain: Path, file: SourceFile, tmp_path: Path, swapped: str
) -> None:
    shutil.copytree(plain, tmp_path / "outside")
    shutil.rmtree(plain / swapped)
    (plain / swapped).symlink_to(tmp_path / "outside" / swapped)
    assert (plain / file.path).read_text() == "hello\n"
    with pytest.raises(Vanished):
        read(plain, file)


def test_folder_swapped_for_a_file(plain: Path, file: SourceFile) -> None:
    shutil.rmtree(plain / "src")
    write(plain, "src")
    with pytest.raises(Vanished):
        read(plain, file)


def test_file_replaced_between_scan_and_read(plain: Path, file: SourceFile) -> None:
    (plain / "new").write_text("new text\n")
    os.replace(plain / "new", plain / file.path)
    content = read(plain, file)
    assert content.data == b"new text\n"
    assert content.stat.inode != file.inode and content.stat.size == 9


def disturb(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> list[int]:
    """Rewrite the file, at the same size, in the middle of its next `times` reads."""
    real, calls = os.read, [0]

    def read_and_rewrite(fd: int, size: int) -> bytes:
        data = real(fd, size)
        if data and calls[0] < times:
            calls[0] += 1
            path.write_bytes(b"%05d\n" % calls[0])
            os.utime(path, ns=(0, calls[0]))  # The clock may be too coarse to show it.
        return data

    monkeypatch.setattr(os, "read", read_and_rewrite)
    return calls


def test_file_that_changes_once_is_read_again(
    plain: Path, file: SourceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(monkeypatch, plain / file.path, times=1)
    content = read(plain, file)
    assert (content.data, content.stable) == (b"00001\n", True)
    assert content.stat == scan(plain).files[0]


def test_file_that_keeps_changing_is_not_stable(
    plain: Path, file: SourceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = disturb(monkeypatch, plain / file.path, times=99)
    content = read(plain, file)
    assert not content.stable
    assert calls == [3]
    # What it was taken for is out of date, so that the next scan sees a change.
    assert content.stat != scan(plain).files[0]


def test_growing_and_shrinking_files_are_bounded(
    plain: Path, file: SourceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = plain / file.path, os.fstat
    for size in (3, 1_000_000):
        path.write_text("hello\n")

        def fstat_then_resize(fd: int, size: int = size) -> os.stat_result:
            info = real(fd)
            os.truncate(path, size)
            return info

        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", fstat_then_resize)
            with open_root(str(plain)) as root:
                content = read_file(root, file, LIMIT)
        assert len(content.data) <= 1_000_001


def test_stored_stat_always_matches_stored_bytes(plain: Path, file: SourceFile) -> None:
    """A writer that replaces the file all the time, at the same size."""
    path, stop = plain / file.path, threading.Event()

    def keep_writing() -> None:
        letters = random.Random(0)
        while not stop.is_set():
            letter = letters.choice("abcdef")
            (plain / "next").write_text(letter * 50_000)
            os.replace(plain / "next", path)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        with open_root(str(plain)) as root:
            for _ in range(200):
                content = read_file(root, file, LIMIT)
                assert len(set(content.data)) == 1 or content.data == b"hello\n"
                assert content.stat.size == len(content.data)
    finally:
        stop.set()
        writer.join()
