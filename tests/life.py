"""What people do to a tree, at random."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from stamped_tree import TEXTS, Tree


class Life:
    """A tree to which something happens, again and again."""

    def __init__(self, tree: Tree, seed: int) -> None:
        self.tree = tree
        self.rng = random.Random(seed)
        self.branches = 0

    def step(self) -> str:
        acts = [
            *[self.edit, self.create, self.delete, self.rename] * 3,
            *[self.touch, self.same_size, self.ignored, self.folder] * 2,
            *[self.add, self.commit, self.checkout, self.gitignore, self.codxignore],
            *[self.stash, self.reset, self.status, self.mode, self.swap, self.wait],
            *[self.exclude, self.flag, self.nested, self.link],
            *[self.nothing] * 2,
        ]
        act = self.rng.choice(acts)
        with suppress(subprocess.CalledProcessError, OSError):
            act()
        return act.__name__

    def file(self) -> Path:
        found = [
            path
            for path in sorted(self.tree.root.rglob("*.py"))
            if not {".git", ".codx", "build"} & set(path.parts)
            and path.is_file()
            and not path.is_symlink()
        ]
        return self.rng.choice(found) if found else self.tree.write("a.py", TEXTS[0])

    def name(self) -> str:
        folder = self.rng.choice(["", "", "src/", "src/deep/", "extra/", "logs/", "build/",
                                  "vacant/deep/", "lib/", "tool-cache/", "new/"])  # fmt: skip
        return f"{folder}{self.rng.choice('abcdefgh')}.py"

    def text(self) -> str:
        return self.rng.choice(TEXTS)

    def edit(self) -> None:
        self.file().write_text(self.text())

    def same_size(self) -> None:
        path = self.file()
        before = path.lstat()
        path.write_text((self.text() * 3)[: before.st_size])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def create(self) -> None:
        self.tree.write(self.name(), self.text())

    def delete(self) -> None:
        self.file().unlink()

    def rename(self) -> None:
        target = self.tree.root / self.name()
        target.parent.mkdir(exist_ok=True, parents=True)
        self.file().rename(target)

    def touch(self) -> None:
        self.file().touch()

    def ignored(self) -> None:
        self.tree.write(self.rng.choice(["x.log", "build/x.py", "logs/x.log"]), "x\n")

    def folder(self) -> None:
        target = self.tree.root / self.rng.choice(["new", "vacant", "extra", "moved"])
        if target.exists():
            target.rename(self.tree.root / f"moved{self.rng.randrange(9)}")
        else:
            target.mkdir()

    def add(self) -> None:
        self.tree.git("add", "-A")

    def commit(self) -> None:
        self.tree.git("commit", "-qam", "more")

    def checkout(self) -> None:
        if self.branches and self.rng.random() < 0.6:
            name = f"b{self.rng.randrange(self.branches)}"
            self.tree.git("checkout", "-q", "-f", name)
        else:
            self.tree.git("checkout", "-q", "-b", f"b{self.branches}")
            self.branches += 1

    def gitignore(self) -> None:
        where = self.rng.choice(["", "src/", "extra/", "tool-cache/", "logs/"])
        lines = self.rng.sample(["*.log", "build/", "a.py", "src/b.py", "deep/", "*", "!*.py",
                                 "/b.py", "c*"], 3)  # fmt: skip
        self.tree.write(f"{where}.gitignore", "\n".join(lines) + "\n")

    def codxignore(self) -> None:
        where = self.rng.choice(["", "src/", "extra/"])
        self.tree.write(
            f"{where}.codxignore", self.rng.choice(["", "b.py\n", "deep\n"])
        )

    def exclude(self) -> None:
        lines = self.rng.choice(["", ".codxignore\n", "extra/\n", "c.py\n.gitignore\n"])
        self.tree.write(".git/info/exclude", lines)

    def flag(self) -> None:
        flag = self.rng.choice(["assume-unchanged", "skip-worktree"])
        no = self.rng.choice(["", "no-"])
        self.tree.git("update-index", f"--{no}{flag}", str(self.file()))

    def nested(self) -> None:
        folder = self.tree.root / self.rng.choice(
            ["extra", "new", "vacant/deep", "src"]
        )
        if (folder / ".git").exists():
            shutil.rmtree(folder / ".git")
        else:
            nested = Tree(folder, self.tree.cache_dir)
            nested.git("init", "-q", "--template=")
            nested.git("add", "-A")

    def link(self) -> None:
        path = self.tree.root / self.rng.choice(["lib", "extra", "a.py"])
        if path.is_symlink():
            target = path.parent / os.readlink(path)
            path.unlink()
            target.rename(path)
        else:
            path.rename(path.with_name(f"real-{path.name}"))
            path.symlink_to(f"real-{path.name}")

    def stash(self) -> None:
        self.tree.git("stash", *self.rng.choice([[], ["-u"], ["pop"]]))

    def reset(self) -> None:
        self.tree.git("reset", "-q", self.rng.choice(["--hard", "--mixed"]))

    def status(self) -> None:
        self.tree.git("status")

    def mode(self) -> None:
        self.file().chmod(self.rng.choice([0o644, 0o755, 0o600]))

    def swap(self) -> None:
        one, two = self.file(), self.file()
        if one != two:
            one.rename(one.with_suffix(".tmp"))
            two.rename(one)
            one.with_suffix(".tmp").rename(two)

    def wait(self) -> None:
        time.sleep(1.0)
        self.tree.git("status")

    def nothing(self) -> None:
        pass
