"""The oracle is git itself, driven in real repositories."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from git_calls import run_git
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.errors import GitError
from indexer.tree import git, git_index, git_process, git_status
from indexer.types import SourceFile


def make_repository(folder: Path, *files: str, options: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    run_git(folder, "init", "-q", "-b", "main", *options)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n")
    run_git(folder, "add", "-A")
    run_git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    return folder


@pytest.fixture(autouse=True)
def no_personal_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "no-home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository", "a.py", "src/b.py", "src/deep/c.py")


# Where there is a repository


def test_no_repository(tmp_path: Path) -> None:
    assert git.work_tree(str(tmp_path)) is None


def test_no_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(GitError, match="no git on PATH: install it"):
        git.work_tree(str(repository))
    with pytest.raises(GitError, match="no git on PATH"):
        git.list_files(str(repository)).files


@pytest.mark.parametrize("below", ["", "src", "src/deep"])
def test_work_tree(repository: Path, below: str) -> None:
    assert git.work_tree(str(repository / below)) == git.WorkTree(
        str(repository), "sha1"
    )


def test_work_tree_with_a_line_break_in_its_name(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "odd\nname\n", "a.py")
    assert git.work_tree(str(folder)) == git.WorkTree(str(folder), "sha1")
    assert git.list_files(str(folder)).files == [b"a.py"]


def test_sha256_repository(tmp_path: Path) -> None:
    folder = make_repository(
        tmp_path / "r", "a.py", options=("--object-format=sha256",)
    )
    tree = git.work_tree(str(folder))
    assert tree and tree.object_format == "sha256"
    assert git.list_files(str(folder)).files == [b"a.py"]
    stored = run_git(folder, "rev-parse", ":a.py").decode().strip()
    assert git.blob_id(b"a.py\n", "sha256") == stored


def test_damaged_repository_is_an_error(repository: Path) -> None:
    (repository / ".git/HEAD").unlink()
    with pytest.raises(GitError, match="not a git repository"):
        git.work_tree(str(repository))


def test_repository_of_unknown_format_is_an_error(repository: Path) -> None:
    run_git(repository, "config", "core.repositoryFormatVersion", "1")
    run_git(repository, "config", "extensions.fromTheFuture", "true")
    with pytest.raises(
        GitError, match="(?i)fromTheFuture|unknown repository extension"
    ):
        git.work_tree(str(repository))


def test_work_tree_that_is_elsewhere_is_an_error(
    repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    run_git(repository, "config", "core.worktree", str(tmp_path / "elsewhere"))
    with pytest.raises(GitError, match="core.worktree names another folder; unset it"):
        git.work_tree(str(repository))


def test_copy_of_a_submodule_is_an_error(repository: Path, tmp_path: Path) -> None:
    """To unset what its repository says of the work tree would break the submodule itself."""
    shutil.copytree(repository, tmp_path / "library")
    allowed = ("-c", "protocol.file.allow=always")
    library = str(tmp_path / "library")
    run_git(repository, *allowed, "submodule", "--quiet", "add", library, "sub")
    shutil.copytree(repository / "sub", repository / "copy")
    with pytest.raises(GitError, match="copy/.git belongs to another.*; remove it"):
        git.list_files(str(repository))
    (repository / "copy/.git").unlink()
    files = git.list_files(str(repository)).files
    assert {b"sub/a.py", b"copy/a.py"} <= set(files)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_repository_of_another_user_is_refused(repository: Path) -> None:
    for folder, folders, files in os.walk(repository):
        for name in [".", *folders, *files]:
            os.lchown(os.path.join(folder, name), 65534, 65534)
    with pytest.raises(
        GitError, match=r"run: git config --global --add safe\.directory"
    ) as info:
        git.work_tree(str(repository))
    assert str(repository) in str(info.value)
    assert "\n" not in str(info.value)
    with pytest.raises(GitError, match=r"safe\.directory"):
        git.list_files(str(repository)).files
    assert not Path(os.environ["HOME"]).exists()


@pytest.mark.parametrize(
    "message",
    [
        "fatal: detected dubious ownership in repository at '/r'\n"
        "To add an exception for this directory, call:\n\n"
        "\tgit config --global --add safe.directory /r\n",
        "fatal: unsafe repository ('/r' is owned by someone else)\n"
        "To add an exception for this directory, call:\n\n"
        "\tgit config --global --add safe.directory /r\n",
    ],
)
def test_each_wording_of_a_refusal(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    fake = tmp_path / "bin/git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{message}END\nexit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    with pytest.raises(GitError, match="If you trust it, run: git config .* /r$"):
        git.work_tree(str(repository))


# What is listed


def test_tracked_and_untracked_but_not_ignored(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\nbuild/\n")
    (repository / "src/new.py").write_text("")
    (repository / "x.log").write_text("")
    (repository / "build").mkdir()
    (repository / "build/out.py").write_text("")
    (repository / ".git/info/exclude").write_text("local.py\n")
    (repository / "local.py").write_text("")
    expected = [b".gitignore", b"a.py", b"src/b.py", b"src/deep/c.py", b"src/new.py"]
    assert git.list_files(str(repository)).files == expected


def test_tracked_although_ignored_is_listed(repository: Path) -> None:
    (repository / ".gitignore").write_text("a.py\n")
    assert b"a.py" in git.list_files(str(repository)).files


def test_subfolder(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / "src/x.log").write_text("")
    (repository / "src/new.py").write_text("")
    assert git.list_files(str(repository / "src")).files == [
        b"b.py",
        b"deep/c.py",
        b"new.py",
    ]


def test_symlinked_root(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repository)
    link = str(tmp_path / "link")
    assert git.work_tree(link) == git.work_tree(str(repository))
    assert git.list_files(link) == git.list_files(str(repository))


def test_absent_files_are_listed(repository: Path) -> None:
    (repository / "a.py").unlink()
    assert b"a.py" in git.list_files(str(repository)).files


def test_sparse_checkout(repository: Path) -> None:
    before = git.list_files(str(repository)).files
    run_git(
        repository, "sparse-checkout", "set", "--cone", "--sparse-index", "src/deep"
    )
    assert not (repository / "lib").exists()
    assert git.list_files(str(repository)).files == before


def test_linked_worktree(repository: Path, tmp_path: Path) -> None:
    run_git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    (tmp_path / "second/new.py").write_text("")
    assert git.list_files(str(tmp_path / "second")).files == sorted(
        [*git.list_files(str(repository)).files, b"new.py"]
    )


def test_conflicting_file_is_listed_once(repository: Path) -> None:
    run_git(repository, "checkout", "-q", "-b", "other")
    (repository / "a.py").write_text("other\n")
    run_git(repository, "commit", "-qam", "other")
    run_git(repository, "checkout", "-q", "main")
    (repository / "a.py").write_text("main\n")
    run_git(repository, "commit", "-qam", "main")
    with pytest.raises(subprocess.CalledProcessError):
        run_git(repository, "merge", "other")
    assert run_git(repository, "ls-files", "-u").count(b"a.py") == 3
    assert git.list_files(str(repository)).files.count(b"a.py") == 1


def test_odd_names(repository: Path) -> None:
    names = [
        b"line\nbreak", b'quo"te', b"back\\slash", b"-leading", b"tab\there", b" space ",
        b"not-utf8-\xff\xfe", b"NFC-\xc3\xa9", b"NFC-e\xcc\x81", b"? question",
        b"160000 " + b"0" * 40 + b" 0\tspoofed", b"\xe2\x80\xae bidi", b"x\"] or path not in [\"",
    ]  # fmt: skip
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(repository), name))).write_text("x")
    known = git.list_files(str(repository)).files
    assert set(names) <= set(known)
    run_git(repository, "add", "-A")
    assert git.list_files(str(repository)).files == known


def test_submodules_and_nested_repositories(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", "inner.py")
    (inner / ".gitignore").write_text("*.log\n")
    run_git(inner, "add", "-A")
    run_git(inner, "commit", "-qm", "ignore")
    middle = make_repository(tmp_path / "middle", "middle.py")
    run_git(middle, "submodule", "--quiet", "add", str(inner), "inner")
    run_git(middle, "commit", "-qm", "submodule")
    outer = make_repository(tmp_path / "outer", "outer.py", "lib/lib.py")
    run_git(outer, "submodule", "--quiet", "add", str(middle), "lib/middle")

    # Not checked out yet: its folder is empty, and is nothing.
    assert git.list_files(str(outer)).files == [
        b".gitmodules", b"lib/lib.py",
        b"lib/middle/.gitmodules", b"lib/middle/middle.py", b"outer.py",
    ]  # fmt: skip
    run_git(outer, "submodule", "--quiet", "update", "--init", "--recursive")
    (outer / "lib/middle/inner/x.log").write_text("")
    (outer / "lib/middle/inner/untracked.py").write_text("")

    nested = make_repository(outer / "nested", "n.py")
    (nested / "untracked.py").write_text("")
    make_repository(nested / "nested", "nn.py")
    (outer / "empty").mkdir()
    run_git(outer / "empty", "init", "-q")
    everything = [
        b".gitmodules", b"lib/lib.py",
        b"lib/middle/.gitmodules", b"lib/middle/inner/.gitignore", b"lib/middle/inner/inner.py",
        b"lib/middle/inner/untracked.py", b"lib/middle/middle.py",
        b"nested/n.py", b"nested/nested/nn.py", b"nested/untracked.py", b"outer.py",
    ]  # fmt: skip
    assert git.list_files(str(outer)).files == everything
    assert git.list_files(str(outer / "lib")).files == [
        path.removeprefix(b"lib/") for path in everything if path.startswith(b"lib/")
    ]
    # An ignored repository is left out as a whole.
    (outer / ".gitignore").write_text("nested\n")
    listing = git.list_files(str(outer))
    assert not any(path.startswith(b"nested") for path in listing.files)


def test_submodule_swapped_for_a_symlink_is_not_followed(tmp_path: Path) -> None:
    inner = make_repository(tmp_path / "inner", "inner.py")
    outer = make_repository(tmp_path / "outer", "outer.py")
    run_git(outer, "submodule", "--quiet", "add", str(inner), "sub")
    (outer / "sub").rename(tmp_path / "moved")
    (outer / "sub").symlink_to(inner)
    assert git.list_files(str(outer)).files == [b".gitmodules", b"outer.py"]


def test_damaged_nested_repository_is_an_error(repository: Path) -> None:
    nested = make_repository(repository / "nested", "n.py")
    (nested / ".git/config").write_text("[core\n")
    with pytest.raises(GitError, match="nested"):
        git.list_files(str(repository)).files


def test_environment_cannot_redirect(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repository(tmp_path / "other", "other.py")
    expected = git.list_files(str(repository)).files
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert git.list_files(str(repository)).files == expected


# What never runs


def test_listing_runs_nothing_of_the_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = repository / "canary.sh"
    canary.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{tmp_path}/fired'\nexit 1\n")
    canary.chmod(0o755)
    for hook in (
        "post-index-change",
        "fsmonitor-watchman",
        "pre-auto-gc",
        "reference-transaction",
    ):
        (repository / ".git/hooks").mkdir(exist_ok=True)
        (repository / ".git/hooks" / hook).symlink_to(canary)
    (repository / ".gitattributes").write_text(
        "* filter=evil diff=evil merge=evil text\n"
    )
    (repository / "git").symlink_to(canary)
    for setting in (
        "core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
        "diff.evil.textconv", "diff.evil.command", "diff.external", "core.sshCommand",
        "core.pager", "core.editor", "core.askPass", "credential.helper", "alias.ls-files",
        "alias.rev-parse", "remote.origin.uploadpack", "core.gitProxy", "core.alternateRefsCommand",
    ):  # fmt: skip
        run_git(repository, "config", setting, f"{canary}")
    run_git(repository, "config", "core.hooksPath", str(repository / ".git/hooks"))
    run_git(repository, "config", "filter.evil.required", "true")
    monkeypatch.setenv("PATH", f":.:{os.environ['PATH']}:")
    monkeypatch.chdir(repository)
    # Same size, other content and times: what makes git look into files.
    (repository / "a.py").write_text("A.PY\n")
    os.utime(repository / "src/b.py", (1, 1))
    index = (repository / ".git/index").read_bytes()

    assert git.work_tree(".") is not None
    assert b"a.py" in git.list_files(".").files
    assert not (tmp_path / "fired").exists()
    assert (repository / ".git/index").read_bytes() == index

    # The canary is alive: git runs it when not held back.
    with monkeypatch.context() as patch:
        patch.setenv("PATH", os.environ["PATH"].strip(":.").lstrip(":"))
        subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True)
    assert (tmp_path / "fired").exists()


def test_partial_clone_fetches_nothing(repository: Path, tmp_path: Path) -> None:
    """git reads an absent `.gitignore` from its objects, and fetches the object if need be."""
    (repository / "src/.gitignore").write_text("*.log\n")
    run_git(repository, "add", "-A")
    run_git(repository, "commit", "-qm", "ignore")
    run_git(repository, "config", "uploadpack.allowFilter", "true")
    run_git(
        tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none",
        f"file://{repository}", "partial",
    )  # fmt: skip
    partial = tmp_path / "partial"
    run_git(partial, "sparse-checkout", "set", "--no-cone", "/a.py")
    run_git(partial, "checkout", "-q", "main")
    (partial / "src").mkdir()
    (partial / "src/new.py").write_text("")
    canary = tmp_path / "canary.sh"
    canary.write_text(f"#!/bin/sh\ntouch '{tmp_path}/fired'\nexit 1\n")
    canary.chmod(0o755)
    run_git(partial, "config", "remote.origin.uploadpack", str(canary))
    packs = sorted((partial / ".git/objects").rglob("*"))
    try:
        git.list_files(str(partial)).files
    except GitError:
        pass  # Refusing is fine, fetching is not.
    assert not (tmp_path / "fired").exists()
    assert sorted((partial / ".git/objects").rglob("*")) == packs


def test_a_reader_leaves_no_trace(repository: Path) -> None:
    """As in a repository on read-only storage: nothing is written, no lock is taken."""
    before = {path: path.lstat().st_mtime_ns for path in repository.rglob("*")}
    git.list_files(str(repository)).files
    assert {path: path.lstat().st_mtime_ns for path in repository.rglob("*")} == before


# What git's index knows


def source_file(folder: Path, name: str) -> SourceFile:
    info = (folder / name).lstat()
    return SourceFile(
        *(name, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)
    )


def test_index_entries(repository: Path) -> None:
    index = git_index.read_index(str(repository))
    assert index.path == str(repository / ".git/index")
    assert index.mtime_ns == (repository / ".git/index").stat().st_mtime_ns
    assert sorted(index.entries) == [b"a.py", b"src/b.py", b"src/deep/c.py"]
    for name, entry in index.entries.items():
        path = os.fsdecode(name)
        assert entry.is_of(source_file(repository, path))
        assert entry.object_id == git.blob_id((repository / path).read_bytes())
        assert (entry.mode, entry.stage, entry.flags) == (0o100644, 0, 0)
        assert entry.is_plain and not entry.is_sparse and not entry.is_repository


def test_index_entries_below_a_folder(repository: Path) -> None:
    index = git_index.read_index(str(repository / "src"))
    assert sorted(index.entries) == [b"b.py", b"deep/c.py"]
    assert index.path == str(repository / ".git/index")


def test_index_of_odd_names(repository: Path) -> None:
    names = [
        b"line\nbreak", b'quo"te', b"back\\slash", b"-leading", b"tab\there", b" space ",
        b"not-utf8-\xff\xfe", b"glob*[a]?", b":(top)magic",
        b"x\n  ctime: 1:1\n  mtime: 1:1\n  dev: 1\tino: 1\n  uid: 1\tgid: 1\n  size: 1\tflags: 0\n",
        b"100644 " + b"0" * 40 + b" 0\tspoofed",
    ]  # fmt: skip
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(repository), name))).write_text("x")
    run_git(repository, "add", "-A")
    found = git_index.read_index(str(repository)).entries
    assert set(found) >= set(names)
    for name, entry in found.items():
        assert entry.is_of(source_file(repository, os.fsdecode(name)))


def test_flags_of_index_entries(repository: Path) -> None:
    run_git(repository, "update-index", "--assume-unchanged", "a.py")
    run_git(repository, "update-index", "--skip-worktree", "src/b.py")
    (repository / "link").symlink_to("a.py")
    (repository / "new.py").write_text("new\n")
    run_git(repository, "add", "-N", "new.py")
    run_git(repository, "add", "link")
    make_repository(repository / "nested", "n.py")
    run_git(repository, "add", "nested")
    entries = git_index.read_index(str(repository)).entries
    plain = {name for name, entry in entries.items() if entry.is_plain}
    assert plain - {b"new.py"} == {b"src/deep/c.py"}
    assert [name for name, entry in entries.items() if entry.is_sparse] == [b"src/b.py"]
    repositories = [name for name, entry in entries.items() if entry.is_repository]
    assert repositories == [b"nested"]
    assert not entries[b"new.py"].is_of(source_file(repository, "new.py"))


def test_entries_in_conflict_are_not_plain(repository: Path) -> None:
    for branch in ("other", "main"):
        run_git(repository, "checkout", "-q", "-B", branch, "main")
        (repository / "a.py").write_text(f"{branch}\n")
        run_git(repository, "commit", "-qam", branch)
        if branch == "other":
            run_git(repository, "branch", "-f", "main", "other~")
    with pytest.raises(subprocess.CalledProcessError):
        run_git(repository, "merge", "other")
    assert not git_index.read_index(str(repository)).entries[b"a.py"].is_plain


def test_index_entry_of_another_file(repository: Path) -> None:
    file = source_file(repository, "a.py")
    entry = git_index.read_index(str(repository)).entries[b"a.py"]
    assert entry.is_of(file)
    for field in ("size", "mtime_ns", "ctime_ns", "inode"):
        for value in (0, getattr(file, field) + 1):
            changed: dict[str, Any] = {field: value}
            assert not entry.is_of(replace(file, **changed))
    # The index has 32 bits of these.
    for field in ("size", "inode"):
        changed = {field: getattr(file, field) + 2**32}
        assert entry.is_of(replace(file, **changed))


def test_racy_entries(repository: Path) -> None:
    """By whole seconds, as git has it."""
    for name in ("a.py", "src/b.py", "src/deep/c.py"):
        os.utime(repository / name, (1000, 1000))
    run_git(repository, "status")
    assert not git_index.read_index(str(repository)).has_racy()
    os.utime(repository / ".git/index", ns=(0, 1001 * 10**9))
    assert not git_index.read_index(str(repository)).has_racy()
    os.utime(repository / ".git/index", ns=(0, 1001 * 10**9 - 1))
    assert git_index.read_index(str(repository)).has_racy()
    run_git(repository, "update-index", "--assume-unchanged", "a.py", "src/b.py")
    os.utime(repository / ".git/index", ns=(0, 1))
    assert git_index.read_index(str(repository)).has_racy()
    assert git_index.read_index(str(repository / "src")).has_racy()


def test_an_index_that_changes_meanwhile(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = git_process.run_git

    def slow(*arguments: Any, **named: Any) -> Any:
        done = run(*arguments, **named)
        if "ls-files" in arguments:
            os.utime(repository / ".git/index")
        return done

    monkeypatch.setattr(git_index, "run_git", slow)
    assert git_index.read_index(str(repository)).entries == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda output: output[:-1],
        lambda output: output + b"x",
        lambda output: b"x" + output,
        lambda output: output.replace(b"  size: ", b"  bytes: "),
        lambda output: output.replace(b"flags: 0", b"flags: 0\tmore: 0"),
        lambda output: output.replace(b"\0", b"\n"),
        lambda output: b"",
    ],
)
def test_a_listing_that_looks_otherwise(
    damage: Callable[[bytes], bytes], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of git may print something else: then nothing is known."""
    run = git_process.run_git

    def other(*arguments: Any, **named: Any) -> Any:
        done = run(*arguments, **named)
        if "ls-files" in arguments:
            done.stdout = damage(done.stdout)
        return done

    monkeypatch.setattr(git_index, "run_git", other)
    assert git_index.read_index(str(repository)).entries == {}


def test_no_index_yet(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q")
    with pytest.raises(FileNotFoundError):
        git_index.read_index(str(tmp_path))
    with pytest.raises(GitError):
        (tmp_path / ".git/HEAD").unlink()
        git_index.read_index(str(tmp_path))


# What a check compares


def check(folder: Path, *, stat_tracked: bool = True) -> git_status.Answer:
    with git_status.check(str(folder), stat_tracked=stat_tracked) as answer:
        return answer()


def test_a_check_is_the_same_while_nothing_changes(repository: Path) -> None:
    for folder in (repository, repository / "src"):
        assert check(folder) == check(folder)
        assert check(folder).changed_files == {}
    (repository / "new.py").write_text("untracked\n")
    run_git(repository, "config", "user.name", "somebody")
    assert check(repository) == check(repository)
    assert check(repository).changed_files == {}


def test_a_check_sees_what_changed(repository: Path) -> None:
    (repository / "a.py").write_text("changed and longer\n")
    (repository / "src/b.py").unlink()
    (repository / "src/deep/c.py").unlink()
    (repository / "src/deep/c.py").symlink_to("elsewhere")
    changed = {b"a.py": b"M", b"src/b.py": b"D", b"src/deep/c.py": b"T"}
    assert check(repository).changed_files == changed
    assert check(repository / "src").changed_files == {
        b"b.py": b"D",
        b"deep/c.py": b"T",
    }
    assert check(repository, stat_tracked=False).changed_files == {}


@pytest.mark.parametrize("stat_tracked", [True, False])
@pytest.mark.parametrize(
    "act",
    [
        lambda top: run_git(top, "config", "core.excludesFile", "/somewhere"),
        lambda top: run_git(top, "config", "core.ignoreCase", "true"),
        lambda top: run_git(top / "src", "init", "-q"),
        lambda top: run_git(top, "config", "core.worktree", str(top.parent)),
    ],
    ids=["excludesFile", "ignoreCase", "another repository", "worktree"],
)
def test_a_check_sees_other_settings(
    act: Callable[[Path], object], stat_tracked: bool, repository: Path
) -> None:
    before = check(repository / "src", stat_tracked=stat_tracked)
    act(repository)
    assert check(repository / "src", stat_tracked=stat_tracked) != before


@pytest.mark.parametrize("stat_tracked", [True, False])
def test_a_check_of_what_git_refuses(repository: Path, stat_tracked: bool) -> None:
    (repository / ".git/HEAD").unlink()
    with pytest.raises(GitError):
        check(repository, stat_tracked=stat_tracked)


def test_nobody_wants_the_answer(repository: Path) -> None:
    with git_status.check(str(repository), stat_tracked=True):
        pass
    with pytest.raises(RuntimeError):
        with git_status.check(str(repository), stat_tracked=True):
            raise RuntimeError


def test_ignore_files_outside_of_the_tree(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, exclude = os.environ["HOME"], str(repository / ".git/info/exclude")
    assert check(repository).ignore_files == [exclude, f"{home}/.config/git/ignore"]
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert check(repository).ignore_files == [exclude, "/xdg/git/ignore"]
    for value, path in (("/a/b", "/a/b"), ("~/mine", f"{home}/mine")):
        run_git(repository, "config", "core.excludesFile", value)
        assert check(repository).ignore_files == [exclude, path]
    second = repository.parent / "second"
    run_git(repository, "worktree", "add", "-q", str(second))
    assert check(second).ignore_files[0] == exclude


# What is untracked


def untracked(folder: Path) -> git_status.Untracked:
    with git_status.list_untracked(str(folder)) as answer:
        return answer()


def test_untracked(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\nbuild/\n")
    for name in ("src/new.py", "new/deep/x.py", "new/x.log", "new/build/x.py", "x.log"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text("x\n")
    (repository / "empty/deep").mkdir(parents=True)
    make_repository(repository / "nested", "n.py")
    found = untracked(repository)
    assert sorted(found.files) == [
        b".gitignore",
        b"nested/",
        b"new/deep/x.py",
        b"src/new.py",
    ]
    assert {b"new/", b"empty/", b"nested/"} <= set(found.folders)
    assert found.excluded == {b"new/build/"}
    below = untracked(repository / "src")
    assert (below.files, below.folders, below.excluded) == ([b"new.py"], [], set())


def test_a_folder_of_ignored_files_is_not_ignored(repository: Path) -> None:
    """A new file in it would be listed."""
    (repository / ".git/info/exclude").write_text("*.log\n")
    for name, text in (
        ("logs/x.log", ""),
        ("cache/.gitignore", "*\n"),
        ("cache/x", ""),
    ):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text)
    found = untracked(repository)
    assert found.files == []
    assert {b"logs/", b"cache/"} <= set(found.folders)
    assert found.excluded == set()


# Object ids


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_blob_id_is_the_hash_of_a_header_and_the_bytes(data: bytes) -> None:
    assert (
        git.blob_id(data) == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    )


@pytest.mark.parametrize("data", [b"", b"a\n", b"crlf\r\n", b"\0\xff" * 1000])
def test_blob_id_is_what_git_says(tmp_path: Path, data: bytes) -> None:
    stdout = run_git(tmp_path, "hash-object", "--stdin", "--no-filters", stdin=data)
    assert git.blob_id(data) == stdout.decode().strip()
