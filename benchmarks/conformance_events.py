"""What happens to source trees: each event is one function, which changes a project.

The sentence below its name is what the table says. An event may let the index be updated in its
course; once it has ended, the index is updated and compared with the tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conformance_tree import DAY, OVER_THE_LIMIT, World, exchange, remove, times

Act = Callable[[World], None]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a tree.

    `has_processes` tells that the course of a process is its point, so that it takes one. Before
    the last update `status` may say anything if not `has_status`.
    """

    name: str
    about: str
    group: str
    act: Act
    has_processes: bool
    has_status: bool


EVENTS: dict[str, Event] = {}
CONTENT, NAMES, RULES = "content", "names and kinds", "ignore rules"
GIT, TEXT, PROCESSES = "git", "text", "processes"


def event(
    group: str, *, has_processes: bool = False, has_status: bool = True
) -> Callable[[Act], Act]:
    """Add a function to the events."""

    def add(act: Act) -> Act:
        name = act.__name__.replace("_", " ")
        about = (act.__doc__ or "").strip()
        EVENTS[name] = Event(name, about, group, act, has_processes, has_status)
        return act

    return add


# ---- Content ----


@event(CONTENT)
def edit(world: World) -> None:
    """A function is added to a file."""
    world.add_function(world.file())


@event(CONTENT)
def same_size_edit(world: World) -> None:
    """A function gets another name of the same length, and the file its old modification time."""
    path = world.file()
    before = times(path)
    world.exchange_function(path)
    os.utime(path, ns=before)


@event(CONTENT)
def edit_right_after_an_update(world: World) -> None:
    """A file is edited, the index updated, and the file edited at once again; its size stays."""
    path = world.file()
    world.exchange_function(path)
    world.update()
    world.exchange_function(path)


@event(CONTENT)
def older_version(world: World) -> None:
    """A file is replaced by another version whose modification time lies years back."""
    path = world.file()
    world.exchange_function(path)
    os.utime(path, ns=(DAY, 11_000 * DAY))


@event(CONTENT)
def clock_jumps(world: World) -> None:
    """A file is edited while the clock is a year ahead, and again when it is right."""
    path = world.file()
    world.exchange_function(path)
    accessed, changed = times(path)
    os.utime(path, ns=(accessed, changed + 365 * DAY))
    world.update()
    world.exchange_function(path)


@event(CONTENT)
def touch(world: World) -> None:
    """All files get a new modification time and keep their content."""
    for path in world.files():
        path.touch()


@event(CONTENT)
def executable_bit(world: World) -> None:
    """A file becomes executable and changes in nothing else."""
    path = world.file()
    path.chmod(path.stat().st_mode ^ 0o111)


@event(CONTENT)
def emptied(world: World) -> None:
    """A file becomes empty."""
    world.file().write_bytes(b"")


@event(CONTENT)
def grows_and_shrinks(world: World) -> None:
    """A file grows to 3 MiB, the index is updated, and the file shrinks to other functions."""
    path = world.file()
    line = b"# nothing\n"
    path.write_bytes(path.read_bytes() + line * (OVER_THE_LIMIT // len(line)))
    world.update()
    path.write_text(world.text())


@event(CONTENT)
def becomes_binary(world: World) -> None:
    """Bytes that are no text take the place of a file's content."""
    world.file().write_bytes(bytes(range(256)) * 8)


@event(CONTENT)
def becomes_text(world: World) -> None:
    """A file of bytes becomes one of functions."""
    path = world.file()
    path.write_bytes(bytes(range(256)) * 8)
    world.update()
    path.write_text(world.text())


@event(CONTENT)
def put_back(world: World) -> None:
    """A file is deleted, the index updated, and the same file put back as it was."""
    path = world.file()
    aside = world.beside("aside")
    path.rename(aside)
    world.update()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside.rename(path)


@event(CONTENT, has_processes=True)
def unreadable(world: World) -> None:
    """A file is edited and may not be read while the index is updated; then it may."""
    path = world.file()
    world.add_function(path)
    path.chmod(0)
    world.tool.restrict(True)
    try:
        world.update()
    finally:
        world.tool.restrict(False)
        path.chmod(0o644)


# ---- Names and kinds ----


@event(NAMES)
def create(world: World) -> None:
    """A new file is added."""
    path = world.folder() / f"{world.name()}.py"
    world.write(path)
    world.git("add", str(path))


@event(NAMES)
def delete(world: World) -> None:
    """A file is deleted."""
    world.file().unlink()


@event(NAMES)
def delete_folder(world: World) -> None:
    """A folder is deleted with all of its files."""
    shutil.rmtree(world.folder())


@event(NAMES)
def rename(world: World) -> None:
    """A file gets another name."""
    path = world.file()
    path.rename(path.with_name(f"{world.name()}.py"))
    world.git("add", "--all")


@event(NAMES)
def rename_folder(world: World) -> None:
    """A folder gets another name."""
    folder = world.folder()
    folder.rename(folder.with_name(world.name()))
    world.git("add", "--all")


@event(NAMES)
def rename_in_case(world: World) -> None:
    """The letters of a file's name become capitals."""
    path = world.file()
    path.rename(path.with_name(f"{path.stem.swapcase()}.py"))
    world.git("add", "--all")


@event(NAMES)
def swap(world: World) -> None:
    """Two files exchange their names."""
    exchange(*world.pick(2))


@event(NAMES)
def copy(world: World) -> None:
    """A file is copied."""
    path = world.file()
    shutil.copy2(path, path.with_name(f"{world.name()}.py"))
    world.git("add", "--all")


@event(NAMES)
def hard_link(world: World) -> None:
    """A file gets a second name, under which it is edited."""
    path = world.file()
    other = world.root / f"{world.name()}.py"
    os.link(path, other)
    world.add_function(other)
    world.git("add", "--all")


@event(NAMES)
def file_becomes_folder(world: World) -> None:
    """A folder with a file takes the place of a file."""
    path = world.file()
    path.unlink()
    world.write(path / "inner.py")
    world.git("add", "--all")


@event(NAMES)
def folder_becomes_file(world: World) -> None:
    """A file takes the place of a folder of which the name ends in .py."""
    folder = world.root / f"{world.name()}.py"
    world.write(folder / "inner.py")
    world.git("add", "--all")
    world.update()
    shutil.rmtree(folder)
    world.write(folder)
    world.git("add", "--all")


@event(NAMES)
def becomes_symlink(world: World) -> None:
    """A symlink to another file takes the place of a file."""
    one, two = world.pick(2)
    one.unlink()
    one.symlink_to(os.path.relpath(two, one.parent))


@event(NAMES)
def symlink_becomes_file(world: World) -> None:
    """A file takes the place of a symlink to another one."""
    link = world.root / f"{world.name()}.py"
    link.symlink_to(os.path.relpath(world.file(), link.parent))
    world.git("add", "--all")
    world.update()
    link.unlink()
    world.write(link)
    world.git("add", "--all")


@event(NAMES)
def broken_symlink(world: World) -> None:
    """A symlink leads to a file that is deleted."""
    path = world.file()
    link = world.root / f"{world.name()}.py"
    link.symlink_to(os.path.relpath(path, link.parent))
    world.update()
    path.unlink()


@event(NAMES)
def symlink_loop(world: World) -> None:
    """A folder gets a symlink to the folder above it, and a file of it is edited."""
    path = world.file()
    (path.parent / world.name()).symlink_to(world.root)
    (path.parent / f"{world.name()}.py").symlink_to("itself.py")
    world.add_function(path)


@event(NAMES)
def empty_folder(world: World) -> None:
    """An empty folder is made."""
    (world.root / world.name()).mkdir()


@event(NAMES)
def unusual_names(world: World) -> None:
    """Files come whose names have a space, a quote, a line break, an accent and a dash in front."""
    names = ["two words", 'it\'s "quoted"', "two\nlines", "caf\u00e9", "-dash", "a$b"]
    for name in names:
        world.write(f"{world.name()}/{name}.py")
    world.git("add", "--all")


@event(NAMES)
def name_that_is_not_utf8(world: World) -> None:
    """A file comes whose name is not UTF-8."""
    world.write(os.fsdecode(f"{world.name()}-caf".encode() + b"\xe9.py"))
    world.git("add", "--all")


# ---- Ignore rules ----


def _untracked(world: World, folder: str) -> Path:
    """A file that git does not track, in a folder of that name."""
    return world.write(f"{folder}/{world.name()}.py")


@event(RULES)
def ignored(world: World) -> None:
    """.gitignore gains a pattern for a folder of untracked files."""
    folder = world.name()
    _untracked(world, folder)
    world.update()
    world.write_rules(".gitignore", f"{folder}/")


@event(RULES)
def no_longer_ignored(world: World) -> None:
    """.gitignore loses the pattern for a folder."""
    folder = world.name()
    path = world.root / ".gitignore"
    before = path.read_text() if path.exists() else ""
    world.write_rules(".gitignore", f"{folder}/")
    _untracked(world, folder)
    world.update()
    path.write_text(before)


@event(RULES)
def negated(world: World) -> None:
    """.gitignore takes back with ! what it says of one of the files."""
    folder = world.name()
    kept, _ = _untracked(world, folder), _untracked(world, folder)
    world.write_rules(".gitignore", f"{folder}/*")
    world.update()
    world.write_rules(".gitignore", f"!{folder}/{kept.name}")


@event(RULES)
def nested_gitignore(world: World) -> None:
    """A folder gets a .gitignore of its own."""
    folder = world.name()
    path, _ = _untracked(world, folder), _untracked(world, folder)
    world.update()
    world.write_rules(f"{folder}/.gitignore", f"/{path.name}")


@event(RULES)
def info_exclude(world: World) -> None:
    """.git/info/exclude gains a pattern."""
    folder = world.name()
    _untracked(world, folder)
    world.update()
    exclude = world.git("rev-parse", "--git-path", "info/exclude").strip()
    world.write_rules(exclude, f"{folder}/")


@event(RULES)
def own_ignore_rules(world: World) -> None:
    """The program's own settings, such as its file of patterns, leave out a folder."""
    folder = str(world.folder().relative_to(world.root))
    world.tool.leave_out(world.root, folder)
    world.left_out.add(f"{folder}/")


# ---- git ----


def _branch(world: World, name: str) -> None:
    """Make a branch that differs from the present one in some files, and come back."""
    world.commit_if_changed()
    world.git("switch", "--quiet", "--create", name)
    one, two = world.pick(2)
    world.add_function(one)
    two.unlink()
    world.write(f"{world.name()}/on_a_branch.py")
    world.commit()
    world.git("switch", "--quiet", "-")


@event(GIT)
def commit(world: World) -> None:
    """What is in the index already is committed."""
    world.add_function(world.file())
    world.git("add", "--all")
    world.update()
    world.commit_if_changed()


@event(GIT)
def pull(world: World) -> None:
    """git pull brings a commit that edits, adds and deletes."""
    world.commit_if_changed()
    other = world.beside("upstream")
    world.git("clone", "--quiet", str(world.root), str(other))
    paths = [path.relative_to(world.root) for path in world.pick(2)]
    with (other / paths[0]).open("a") as file:
        file.write(f"\n\n{world.text(1)}")
    (other / paths[1]).unlink()
    world.write(other / f"{world.name()}.py")
    world.commit(other)
    world.git("pull", "--quiet", "--no-rebase", str(other), "HEAD")


@event(GIT)
def switch(world: World) -> None:
    """git switch to a branch that differs."""
    name = world.name()
    _branch(world, name)
    world.git("switch", "--quiet", name)


@event(GIT)
def switch_and_back(world: World) -> None:
    """git switch to a branch, an update of the index, and git switch back."""
    name = world.name()
    _branch(world, name)
    world.git("switch", "--quiet", name)
    world.update()
    world.git("switch", "--quiet", "-")


@event(GIT)
def stash(world: World) -> None:
    """Edits are in the index; git stash takes them away."""
    world.commit_if_changed()
    one, two = world.pick(2)
    world.exchange_function(one)
    world.add_function(two)
    world.update()
    world.git("stash", "--quiet")


@event(GIT)
def rebase(world: World) -> None:
    """git rebase puts the commits of a branch on top of others."""
    name = world.name()
    _branch(world, name)
    world.write(f"{world.name()}.py")
    world.commit()
    world.git("rebase", "--quiet", "HEAD", name)


@event(GIT)
def merge_with_conflict(world: World) -> None:
    """git merge stops at a conflict and leaves its marks in a file."""
    world.commit_if_changed()
    path, name = world.file(), world.name()
    world.git("switch", "--quiet", "--create", name)
    path.write_text(world.text())
    world.commit()
    world.git("switch", "--quiet", "-")
    path.write_text(world.text())
    world.commit()
    world.update()
    try:
        world.git("merge", "--quiet", name)
    except subprocess.CalledProcessError:
        return
    raise LookupError("the merge has no conflict")


@event(GIT)
def reset_hard(world: World) -> None:
    """git reset --hard takes a commit and an edit back."""
    world.commit_if_changed()
    one, two = world.pick(2)
    world.add_function(one)
    world.commit()
    world.exchange_function(two)
    world.update()
    world.git("reset", "--quiet", "--hard", "HEAD~1")


@event(GIT)
def amend(world: World) -> None:
    """git commit --amend with an edit."""
    world.add_function(world.file())
    world.commit()
    world.update()
    world.exchange_function(world.file())
    world.git("commit", "--quiet", "--all", "--amend", "--no-edit")


@event(GIT)
def checkout_of_a_path(world: World) -> None:
    """git checkout HEAD~1 -- PATH brings the old content of one file."""
    world.commit_if_changed()
    path = world.file()
    world.exchange_function(path)
    world.commit()
    world.update()
    world.git("checkout", "--quiet", "HEAD~1", "--", str(path))


@event(GIT)
def clean(world: World) -> None:
    """git clean takes the untracked files away."""
    world.commit_if_changed()
    world.write(f"{world.name()}.py")
    world.write(f"{world.name()}/inner.py")
    world.update()
    world.git("clean", "--quiet", "-d", "--force")


@event(GIT)
def linked_worktree(world: World) -> None:
    """A linked worktree of another branch is the project, and a file of it is edited."""
    name = world.name()
    _branch(world, name)
    place = world.beside("worktree")
    world.git("worktree", "add", "--quiet", str(place), name)
    world.root = place
    world.first()
    world.exchange_function(world.file())


@event(GIT)
def submodule(world: World) -> None:
    """The checked-out commit of a submodule changes, and a file of the project."""
    world.commit_if_changed()
    other, name = world.beside("other"), world.name()
    other.mkdir()
    world.git("init", "--quiet", "--initial-branch", "main", folder=other)
    world.write(other / "module.py")
    world.commit(other)
    world.git("submodule", "--quiet", "add", str(other), name)
    world.commit()
    world.update()
    path = world.root / name / "module.py"
    world.exchange_function(path)
    world.commit(path.parent)
    world.add_function(world.file())


@event(GIT)
def sparse_checkout(world: World) -> None:
    """git sparse-checkout takes all folders but one from the disk."""
    world.commit_if_changed()
    folder = world.folder().relative_to(world.root)
    world.git("sparse-checkout", "set", str(folder))


@event(GIT)
def clean_and_smudge_filter(world: World) -> None:
    """A smudge filter gives a function another name on the disk than in the repository."""
    world.commit_if_changed()
    path = world.file()
    text = path.read_text()
    old, new = world.first_probe(path), world.probe()
    name = world.name()
    world.git("config", f"filter.{name}.smudge", f"sed s/{old}/{new}/")
    world.git("config", f"filter.{name}.clean", f"sed s/{new}/{old}/")
    world.write_rules(".gitattributes", f"{path.name} filter={name}")
    path.unlink()
    world.git("checkout", "--quiet", "--", str(path))
    if path.read_text() == text:
        raise LookupError("the filter did nothing")


@event(GIT)
def line_ends(world: World) -> None:
    """core.autocrlf gives the files other line ends, and one is edited."""
    world.commit_if_changed()
    world.git("config", "core.autocrlf", "true")
    paths = world.files()
    for path in paths:
        path.unlink()
    world.git("checkout", "--quiet", "--", ".")
    world.exchange_function(world.rng.choice(paths))
    world.git("config", "core.autocrlf", "false")


# ---- Text ----


@event(TEXT)
def utf16(world: World) -> None:
    """A C# file comes that is UTF-16, and is edited."""
    path = world.root / f"{world.name()}.cs"
    path.write_text(_class_of(world), encoding="utf-16")
    world.git("add", "--all")
    world.update()
    path.write_text(_class_of(world), encoding="utf-16")


@event(TEXT)
def latin1(world: World) -> None:
    """A file comes that is Latin-1, and is edited."""
    path = world.root / f"{world.name()}.py"
    coding = "# -*- coding: latin-1 -*-\nNAME = 'caf\u00e9 \u00fcber'\n\n\n"
    path.write_bytes(f"{coding}{world.text()}".encode("latin-1"))
    world.git("add", "--all")
    world.update()
    path.write_bytes(f"{coding}{world.text()}".encode("latin-1"))


def _class_of(world: World) -> str:
    return (
        f"public class Thing\n{{\n    public int {world.probe()}(int value)\n"
        "    {\n        return value + 1;\n    }\n}\n"
    )


# ---- Processes ----


@event(PROCESSES, has_processes=True, has_status=False)
def killed(world: World) -> None:
    """Updates of everything are killed with SIGKILL, each at a later moment."""
    for share in (0.15, 0.35, 0.55, 0.75, 0.95):
        for path in world.files():
            world.exchange_function(path)
        process = world.tool.start(world.root)
        time.sleep(share * world.seconds)
        world.tool.kill(process)


@event(PROCESSES, has_processes=True)
def two_at_once(world: World) -> None:
    """Two updates are started at once; a third follows when both have ended."""
    for path in world.files():
        world.exchange_function(path)
    remove(world.file())
    for process in [world.tool.start(world.root), world.tool.start(world.root)]:
        process.wait()


@event(PROCESSES, has_processes=True, has_status=False)
def edited_meanwhile(world: World) -> None:
    """Files are edited, again and again, while the index is updated."""
    for path in world.files():
        world.exchange_function(path)
    process = world.tool.start(world.root)
    while process.poll() is None:
        world.exchange_function(world.file())
        time.sleep(0.02)


@event(PROCESSES)
def project_moves(world: World) -> None:
    """The folder of the project gets another name, and a file of it is edited."""
    world.commit_if_changed()
    place = world.beside("moved")
    world.root.rename(place)
    world.root = place
    world.exchange_function(world.file())
