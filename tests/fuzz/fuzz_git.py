"""What people do with git in a project."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from conftest import Project
from fuzz_acts import ATTRIBUTES, RULES, Acts

# Settings of git that change how it lists or compares files.
CONFIGURATION = {
    "core.untrackedCache": ["true", "false", "keep"],
    "core.splitIndex": ["true", "false"],
    "core.fileMode": ["true", "false"],
    "core.autocrlf": ["true", "false", "input"],
    "core.ignoreCase": ["true", "false"],
    "core.trustctime": ["true", "false"],
    "core.checkStat": ["default", "minimal"],
    "core.quotePath": ["true", "false"],
    "core.preloadIndex": ["true", "false"],
    "core.symlinks": ["true", "false"],
    "feature.manyFiles": ["true", "false"],
    "index.version": ["2", "4"],
    "status.showUntrackedFiles": ["no", "all"],
    "submodule.recurse": ["true", "false"],
    "diff.ignoreSubmodules": ["all", "none"],
    "user.name": ["b", "c"],
}


class GitActs:
    """The acts of git on the repository of a project, those below it, and other work trees."""

    def __init__(self, acts: Acts, folder: Path, rng: random.Random) -> None:
        self.acts = acts
        self.folder = folder
        self.rng = rng
        self.trees = [acts.top]
        self.below = os.path.relpath(acts.root, acts.top)
        self.library = folder / "library"
        self.kept_git = folder / "kept.git"
        self._make_library()

    def all(self) -> list[Callable[[], object]]:
        return [
            *[self.commit, self.commit_later, self.amend, self.checkout, self.checkout, self.rebase],
            *[self.stash, self.stash, self.merge, self.merge, self.go_on, self.go_on, self.reset],
            *[self.cherry_pick, self.revert, self.remove, self.move, self.clean, self.intend],
            *[self.submodule_add, self.submodule_update, self.submodule_deinit, self.absorb],
            *[self.sparse, self.sparse, self.worktree, self.worktree, self.gc, self.flag, self.flag],
            *[self.split_index, self.untracked_cache, self.configure, self.configure, self.status],
            *[self.exclude, self.excludes_file, self.info_attributes, self.checkout_again],
            *[self.worktree_below, self.forget_worktrees],
            *[self.nested, self.no_repository, self.add, self.no_index, self.cache_info],
        ]  # fmt: skip

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *arguments],
            cwd=folder or self.acts.top,
            env={
                **self.acts.project.variables(),
                "GIT_EDITOR": "true",
                "GIT_CEILING_DIRECTORIES": str(self.folder),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=True,
        )
        return done.stdout

    def _make_library(self) -> None:
        self.library.mkdir()
        self.git("init", "-q", "-b", "main", folder=self.library)
        library = Project(self.library, self.folder)
        for version in range(3):
            library.write("lib.py", f"version = {version}\n")
            library.write(f"only/v{version}.py", f"here = {version}\n")
            self.git("add", "-A", folder=self.library)
            self.git("commit", "-qm", f"v{version}", folder=self.library)

    def anywhere(self) -> Path:
        """The top of the repository, or of one below it."""
        below = [path.parent for path in sorted(self.acts.root.glob("*/.git"))]
        return self.rng.choice([self.acts.top] * 3 + below)

    def name(self) -> str:
        return str(self.acts.file())

    # Commits

    def add(self) -> None:
        self.git("add", "-A", folder=self.anywhere())

    def commit(self) -> None:
        where = self.anywhere()
        self.git("add", "-A", folder=where)
        self.git("commit", "-qm", "more", "--allow-empty", folder=where)

    def commit_later(self) -> None:
        """When the files are older than git's index will be, so that git vouches for them."""
        time.sleep(1.1)
        self.commit()

    def amend(self) -> None:
        self.git("commit", "-qa", "--amend", "--no-edit")

    def checkout(self) -> None:
        branch = self.rng.choice("pqr")
        forced = self.rng.choice([["-f"], []])
        try:
            self.git("checkout", "-q", *forced, branch)
        except subprocess.CalledProcessError:
            old = self.rng.choice(["HEAD", "HEAD~1", "HEAD~2"])
            self.git("checkout", "-q", "-b", branch, old)

    def merge(self) -> None:
        how = self.rng.choice([[], ["--no-ff"], ["--squash"], ["-Xours"]])
        self.git("merge", "-q", *how, self.rng.choice("pqr"))

    def rebase(self) -> None:
        self.git("rebase", "-q", "--autostash", self.rng.choice("pqr"))

    def cherry_pick(self) -> None:
        self.git("cherry-pick", self.rng.choice(["p", "q", "r~1"]))

    def revert(self) -> None:
        self.git("revert", "--no-edit", self.rng.choice(["HEAD", "HEAD~1"]))

    def go_on(self) -> None:
        """Whatever is in progress is given up, or finished with conflicts and all."""
        what = self.rng.choice(["merge", "rebase", "cherry-pick", "revert"])
        for one in (what, "rebase", "merge", "cherry-pick", "revert"):
            try:
                if self.rng.random() < 0.5:
                    self.git(one, "--abort")
                else:
                    self.git("add", "-A")
                    self.git(one, "--continue")
                return
            except subprocess.CalledProcessError:
                continue

    def stash(self) -> None:
        self.git("stash", *self.rng.choice([[], ["-u"], ["-k"], ["pop"], ["apply"]]))

    def reset(self) -> None:
        how = self.rng.choice(["--hard", "--hard", "--mixed", "--soft", "--keep"])
        where = self.anywhere()
        self.git("reset", "-q", how, self.rng.choice(["HEAD", "HEAD~1"]), folder=where)

    def remove(self) -> None:
        self.git("rm", "-qf", *self.rng.choice([[], ["--cached"]]), self.name())

    def move(self) -> None:
        self.git("mv", "-f", self.name(), str(self.acts.root / "git-moved.py"))

    def clean(self) -> None:
        how = self.rng.choice(["-fdq", "-fdxq", "-ffdxq", "-fdXq"])
        self.git("clean", how, folder=self.anywhere())

    def intend(self) -> None:
        self.git("add", "-N", self.name())

    # git's index

    def flag(self) -> None:
        flag = self.rng.choice(["assume-unchanged", "skip-worktree"])
        no = self.rng.choice(["", "no-"])
        self.git("update-index", f"--{no}{flag}", self.name())

    def split_index(self) -> None:
        self.git("update-index", self.rng.choice(["--split-index", "--no-split-index"]))

    def untracked_cache(self) -> None:
        how = ["--untracked-cache", "--force-untracked-cache", "--no-untracked-cache"]
        self.git("update-index", self.rng.choice(how))

    def cache_info(self) -> None:
        """A file that is tracked and was never there."""
        blob = self.git("hash-object", "-w", self.name()).strip()
        about = f"100644,{blob},never/there.py"
        self.git("update-index", "--add", "--cacheinfo", about)

    def no_index(self) -> None:
        where = self.git("rev-parse", "--path-format=absolute", "--git-path", "index")
        os.unlink(where.removesuffix("\n"))
        if self.rng.random() < 0.7:
            self.git("reset", "-q")

    def status(self) -> None:
        self.git("status", *self.rng.choice([[], ["-uall"], ["--ignored"]]))

    def configure(self) -> None:
        name = self.rng.choice(sorted(CONFIGURATION))
        self.git("config", name, self.rng.choice(CONFIGURATION[name]))

    def gc(self) -> None:
        self.git(
            *self.rng.choice([["gc", "-q"], ["repack", "-qad"], ["pack-refs", "--all"]])
        )

    # Rules

    def _git_file(self, name: str) -> Path:
        where = self.git("rev-parse", "--path-format=absolute", "--git-path", name)
        path = Path(where.removesuffix("\n"))
        path.parent.mkdir(exist_ok=True)
        return path

    def exclude(self) -> None:
        self._git_file("info/exclude").write_text("\n".join(self.rng.sample(RULES, 2)))

    def excludes_file(self) -> None:
        place = self.folder / "my-excludes"
        match self.rng.randrange(4):
            case 0:
                self.git("config", "core.excludesFile", str(place))
            case 1:
                self.git("config", "--unset", "core.excludesFile")
            case _:
                place.write_text("\n".join(self.rng.sample(RULES, 2)))

    def info_attributes(self) -> None:
        path = self._git_file("info/attributes")
        if self.rng.random() < 0.3:
            path.unlink()
        else:
            path.write_text("\n".join(self.rng.sample(ATTRIBUTES, 2)) + "\n")

    def checkout_again(self) -> None:
        """Each file is written anew, by the attributes that count now."""
        for kind in ("clean", "smudge"):
            self.git("config", f"filter.caps.{kind}", "tr A-Za-z a-zA-Z")
        self._git_file("index").unlink()
        self.git("reset", "-q", "--hard")

    # Repositories below, other work trees

    def submodule_add(self) -> None:
        target = self.acts.root / self.rng.choice(["sub", "sub2"])
        self.git(
            "submodule",
            "add",
            "-f",
            str(self.library),
            str(target),
            folder=self.acts.top,
        )

    def submodule_update(self) -> None:
        how = self.rng.choice([["--init"], ["--init", "--force"], ["--remote"], []])
        self.git("submodule", "update", *how)
        version = self.rng.choice(["main", "main~1", "main~2"])
        self.git("checkout", "-q", version, folder=self.acts.root / "sub")

    def submodule_deinit(self) -> None:
        self.git("submodule", "deinit", "-f", *self.rng.choice([["--all"], ["sub"]]))

    def nested(self) -> None:
        """A folder becomes a repository of its own, or is one no longer."""
        folder = self.acts.folder()
        if (folder / ".git").exists():
            shutil.rmtree(folder / ".git")
        else:
            self.git("init", "-q", folder=folder)
            self.git("add", "-A", folder=folder)
            if self.rng.random() < 0.5:
                self.git("commit", "-qm", "nested", folder=folder)

    def absorb(self) -> None:
        """What is a repository of its own becomes a submodule, at least for git's index."""
        for path in sorted(self.acts.root.glob("*/.git")):
            self.git("add", "-f", str(path.parent))
        self.git("submodule", "absorbgitdirs")

    def sparse(self) -> None:
        match self.rng.randrange(5):
            case 0:
                self.git(
                    "sparse-checkout", "set", "--cone", self.rng.choice(["src", "lib"])
                )
            case 1:
                self.git(
                    "sparse-checkout", "set", "--no-cone", *self.rng.sample(RULES, 2)
                )
            case 2:
                self.git("sparse-checkout", "reapply")
            case _:
                self.git("sparse-checkout", "disable")

    def worktree(self) -> None:
        """Go to another work tree of the repository, which has an index of its own."""
        if len(self.trees) < 3:
            tree = self.folder / f"linked{len(self.trees)}"
            self.git("worktree", "add", "-f", "--detach", str(tree))
            self.trees.append(tree)
        self.acts.top = self.rng.choice(self.trees)
        self.acts.project.root = self.acts.top / self.below
        self.acts.root.mkdir(exist_ok=True)

    def worktree_below(self) -> None:
        """Another work tree lies in the project, as assistants make them."""
        tree = self.acts.root / self.rng.choice([".worktrees/one", "extra/two"])
        if tree.exists():
            self.git("worktree", "remove", "--force", str(tree))
        else:
            self.git("worktree", "add", "-f", "--detach", str(tree))

    def forget_worktrees(self) -> None:
        """git knows nothing any more of the work trees in the project."""
        entries = self._git_file("worktrees")
        for name in ("one", "two"):
            shutil.rmtree(entries / name, ignore_errors=True)

    def no_repository(self) -> None:
        """The repository is moved away, or comes back."""
        there = self.trees[0] / ".git"
        if self.kept_git.exists():
            self.kept_git.rename(there)
        elif len(self.trees) == 1:
            there.rename(self.kept_git)
