"""What happens to the files of a tree: edits, swaps, other kinds of files, rules, settings."""

from __future__ import annotations

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from conftest import Project
from fuzz_oracle import SETTINGS

# Groups of one size, for edits that leave it alone.
TEXTS = [f"n = {number}\n" for number in range(10, 16)]
TEXTS += [f"def f{number}():\n    return {number}\n" for number in range(10, 16)]
TEXTS += [
    f"class A{n}:\n" + f"    x = {n}  # {'word ' * 40}\n\n" * 12 for n in range(3)
]
TEXTS += [f"$Id$ {word} of the\r\nother kind\r\n" for word in ("one", "two")]
NAMES = [
    *("a.py", "A.py", "b.py", "c.txt", "src/a.py", "src/b.py", "src/deep/d.py", "lib/e.py"),
    *("lib/f.md", "é.py", "e\u0301.py", "x y.py", "-f.py", "logs/a.log", "node_modules/m.js"),
    *("src/node_modules/m.js", "ba\\ck.py", 'quo"te.py', "line\nbreak.py", "extra/new/g.py"),
]  # fmt: skip
OTHER_KINDS = {
    ".env": "a word or two\n",
    "id_rsa": "words\n",
    "poetry.lock": "words\n",
    "src/app.min.js": "let a = 1\n",
    "photo.png": "not one\n",
    "blank.py": "\n \n",
    "empty.py": "",
    "zero.py": "a\0b\n",
    "wide.txt": "\ufeffwide\n",  # as UTF-16
    "large.py": "".join(f"n = {n}\n" for n in range(130_000)),  # over 1 MiB
    "large.md": "larger than the smaller limits\n" * 90,
}
RULES = ["a.py", "*.py", "!a.py", "src/", "/b.py", "lib", "*.md", "!*.md", "deep/", "*.log",
         "**/deep", "src/**/d.py", "!src/", "[ab].py", "x\\ y.py", "logs/*", "!logs/a.log"]  # fmt: skip
ATTRIBUTES = ["* text=auto", "*.py text eol=crlf", "*.py -text", "*.txt ident", "a.py filter=caps",
              "*.py filter=caps", "c.txt working-tree-encoding=UTF-16", "* merge=union",
              "*.py !filter", "src/* export-ignore"]  # fmt: skip
KINDS_OF_NAMES = {
    ".gitignore",
    ".codxignore",
    ".gitattributes",
    ".gitmodules",
    SETTINGS,
}


class Acts:
    """A project to whose files something happens, again and again.

    `top` is the top of its repository, and `root` the folder that is indexed.
    """

    def __init__(self, project: Project, top: Path, rng: random.Random) -> None:
        self.project = project
        self.top = top
        self.rng = rng

    @property
    def root(self) -> Path:
        return self.project.root

    def file_acts(self) -> list[Callable[[], object]]:
        return [
            *[self.edit, self.create, self.delete, self.rename, self.same_size] * 2,
            *[self.swap, self.chain, self.swap_folders, self.kind, self.append, self.hard_link],
            *[self.mode, self.touch, self.old_times, self.link, self.folder_and_file],
            *[self.gitignore, self.codxignore, self.attributes, self.settings],
            *[self.move_folder, self.copy_folder, self.replace_whole, self.outside, self.pipe],
        ]  # fmt: skip

    def files(self) -> list[Path]:
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(set(folders) - {".git", ".codx"})
            for name in sorted(names):
                path = Path(folder, name)
                if name not in (*KINDS_OF_NAMES, ".git"):
                    if stat.S_ISREG(os.lstat(path).st_mode):
                        found.append(path)
        return found

    def file(self) -> Path:
        found = self.files()
        return self.rng.choice(found) if found else self.write("a.py", TEXTS[0])

    def folder(self) -> Path:
        found = sorted({path.parent for path in self.files()} - {self.root})
        return self.rng.choice(found) if found else self.write("src/a.py", "x\n").parent

    def write(self, name: str, text: str) -> Path:
        if (self.root / name).is_fifo():  # nobody reads it
            (self.root / name).unlink()
        data = text.encode("utf-16" if text.startswith("\ufeff") else "utf-8")
        return self.project.write(name, data)

    def text(self) -> str:
        return self.rng.choice(TEXTS)

    # Files

    def edit(self) -> None:
        self.file().write_bytes(self.text().encode())

    def append(self) -> None:
        with self.file().open("ab") as file:
            file.write(self.text().encode())

    def same_size(self) -> None:
        """Other bytes, the same size and the same time of change."""
        path = self.file()
        before = path.stat()
        alike = [text for text in TEXTS if len(text) == before.st_size]
        data = path.read_bytes().swapcase()
        if alike:
            data = self.rng.choice(alike).encode()
        target = self.rng.choice([path, path.with_name("draft")])
        target.write_bytes(data)
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
        target.rename(path)

    def create(self) -> None:
        self.write(self.rng.choice(NAMES), self.text())

    def delete(self) -> None:
        self.file().unlink()

    def rename(self) -> None:
        target = self.root / self.rng.choice(NAMES)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file().rename(target)

    def swap(self) -> None:
        exchange(self.file(), self.file())

    def chain(self) -> None:
        """Each of some files takes the place of the next; the last may be gone."""
        found = self.rng.sample(self.files(), min(4, len(self.files())))
        if len(found) < 2:
            return
        last = found[-1].with_name("last-of-all")
        found[-1].rename(last)
        for source, target in reversed(list(zip(found, found[1:], strict=False))):
            source.rename(target)
        last.rename(self.rng.choice([found[0], self.root / "end.py"]))

    def swap_folders(self) -> None:
        one, two = self.folder(), self.folder()
        if not (one.is_relative_to(two) or two.is_relative_to(one)):
            exchange(one, two)

    def move_folder(self) -> None:
        self.folder().rename(
            self.root / self.rng.choice(["src", "moved", "lib", "extra/sub"])
        )

    def copy_folder(self) -> None:
        shutil.copytree(
            self.folder(), self.root / f"copy{self.rng.randrange(3)}", symlinks=True
        )

    def replace_whole(self) -> None:
        """All files of a folder are copied anew, as archives and editors do."""
        for path in self.files():
            draft = path.with_name("draft")
            shutil.copy2(path, draft)
            draft.rename(path)

    def touch(self) -> None:
        self.file().touch()

    def old_times(self) -> None:
        os.utime(self.file(), (1, self.rng.choice([1, 2, 2**33])))

    def mode(self) -> None:
        self.file().chmod(self.rng.choice([0o644, 0o755, 0o600]))

    def kind(self) -> None:
        """A file of another kind comes, or an ordinary one takes its name or its bytes."""
        name = self.rng.choice(sorted(OTHER_KINDS))
        match self.rng.randrange(4):
            case 0 | 1:
                self.write(name, OTHER_KINDS[name])
            case 2:
                exchange(self.root / name, self.file())
            case 3:
                self.file().write_bytes((OTHER_KINDS[name]).encode())

    def link(self) -> None:
        """A file or folder is moved away and a symlink put in its place, or the reverse."""
        links = sorted(path for path in self.root.glob("*") if path.is_symlink())
        if links and self.rng.random() < 0.6:
            path = self.rng.choice(links)
            target = self.root / os.readlink(path)
            path.unlink()
            target.rename(path)
        else:
            path = self.rng.choice([self.file(), self.folder()])
            away = self.root / f"real-{path.name.lstrip('.')}"  # no secret by its name
            path.rename(away)
            path.symlink_to(os.path.relpath(away, path.parent))

    def folder_and_file(self) -> None:
        path = self.rng.choice([self.file(), self.folder()])
        if path.is_dir():
            shutil.rmtree(path)
            path.write_text(self.text())
        else:
            path.unlink()
            path.mkdir()
            (path / "inner.py").write_text(self.text())

    def hard_link(self) -> None:
        """A file has two names: what is written to one is written to both."""
        target = self.root / self.rng.choice(NAMES)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.file(), target)

    def pipe(self) -> None:
        path = self.file()
        path.unlink()
        os.mkfifo(path)

    def outside(self) -> None:
        """A file of the repository that is not in the project."""
        if self.top != self.root:
            name = self.rng.choice(["beside.py", ".gitignore", ".codxignore"])
            text = "\n".join(self.rng.sample(RULES, 2)) + "\n"
            (self.top / name).write_text(text)

    # Rules and settings

    def rules_place(self) -> Path:
        return self.rng.choice([self.root, self.root, self.folder()])

    def _put(self, path: Path, lines: list[str]) -> None:
        match self.rng.randrange(6):
            case 0:
                path.unlink(missing_ok=True)
            case 1:
                with path.open("a") as file:
                    file.write("".join(f"{line}\n" for line in lines))
            case _:
                path.write_text("".join(f"{line}\n" for line in lines))

    def gitignore(self) -> None:
        self._put(self.rules_place() / ".gitignore", self.rng.sample(RULES, 2))

    def codxignore(self) -> None:
        self._put(self.rules_place() / ".codxignore", self.rng.sample(RULES, 2))

    def attributes(self) -> None:
        lines = self.rng.sample(ATTRIBUTES, 2)
        self._put(self.rules_place() / ".gitattributes", lines)

    def settings(self) -> None:
        lines = [
            self.rng.choice(['ignore = ["a.py"]', 'ignore = ["lib/", "*.md"]']),
            self.rng.choice(["max-file-size = 1000", "max-file-size = 100"]),
            self.rng.choice(["recurse-submodules = false", "secrets = 'mask'"]),
        ]
        lines = self.rng.sample(lines, self.rng.randrange(4))
        (self.root / SETTINGS).write_text("".join(f"{line}\n" for line in lines))


def exchange(one: Path, two: Path) -> None:
    """Two files or folders change places."""
    if one != two:
        aside = one.with_name("aside-for-a-moment")
        one.rename(aside)
        two.rename(one)
        aside.rename(two)
