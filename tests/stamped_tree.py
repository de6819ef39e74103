"""An indexed tree that tests work on in their own process, with or without a stamp."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import Project

from indexer import pipeline
from indexer.config import DEFAULT_MODEL, Settings
from indexer.errors import CodxIndexError, GitError
from indexer.index import stamp
from indexer.report import Report
from indexer.run.plan import plan
from indexer.run.verify import verify
from indexer.tree import git_index
from indexer.types import Step

TEXTS = [
    f"number = {number}\n" for number in range(100, 160)
]  # of one size, all cached


WRITTEN = int(time.time()) - 100  # mtime of the files that are committed


LIMIT = 2000


VOUCHED, WATCHED = "vouched", "watched"


def is_unchanged(settings: Settings, report: Report) -> bool:
    """Does the stamp show that there is nothing to do? If so, the report says so."""
    found = stamp.look(settings, report)
    if found is None or not found.is_unchanged:
        return False
    found.tell(report)
    return True


class Silence:
    """What a run tells of its progress goes nowhere."""

    def step(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        raise AssertionError(message)

    def scanned(self, files: int) -> None:
        pass

    def start(self, files: int, size: int) -> None:
        pass

    def advance(self, step: Step) -> None:
        pass


class Tree(Project):
    """An indexed project, worked on in this process. Its folder may be the top of the
    repository or a folder in it."""

    def settings(self, **changed: Any) -> Settings:
        usual = Settings(
            project=os.path.realpath(self.root),
            cache_dir=str(self.cache_dir),
            model=DEFAULT_MODEL,
            executor="serial",
            max_file_size=LIMIT,
        )
        return replace(usual, **changed)

    @property
    def state(self) -> Path:
        return self.root / ".codx/index"

    @property
    def stamp(self) -> Path:
        return self.state / "stamp.json"

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stamp.read_text().partition("\n")[2])
        return found

    def survey(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content()["survey"]
        return found

    def git(self, *arguments: str) -> str:
        return super().git("-c", "protocol.file.allow=always", *arguments)

    def update(self, **changed: Any) -> Report:
        """`codx-index run`, without the fast answer; after the clock's tick."""
        time.sleep(0.025)
        report, settings = Report(), self.settings(**changed)
        look = stamp.look(settings, report)
        pipeline.run(settings, report, Silence(), look=look)
        return report

    def is_unchanged(self, **changed: Any) -> bool:
        return self._is_unchanged(Report(), **changed)

    def _is_unchanged(self, report: Report, **changed: Any) -> bool:
        try:
            return is_unchanged(self.settings(**changed), report)
        except GitError:
            return False  # what a user is told is what is wrong

    def is_fooled(self) -> bool:
        """Is the fast answer "unchanged", and not what the slow one says?"""
        fast = Report()
        if not self._is_unchanged(fast):
            return False
        counts = (fast.files.scanned, fast.files.skipped)
        return self.view() != (False, *counts)

    def view(self) -> tuple[object, ...]:
        """What a run would find and do. It finds the same by looking at what differs from the
        stamp, and by looking at every file."""
        fast = self._plan()
        with hidden(self.stamp):
            assert fast == self._plan()
        return fast[:3]

    def _plan(self) -> tuple[object, ...]:
        report = Report()
        try:
            planned = plan(self.settings(), report)
        except CodxIndexError as error:
            return (str(error),)
        differs = not planned.is_empty or bool(report.failures)
        files, failures = report.files, report.failures
        return (differs, files.scanned, files.skipped, failures, report.chunks, planned)

    def use(self, mode: str) -> None:
        """Stamp the tree: with tracked files that git vouches for, or all watched."""
        if mode == VOUCHED:
            # What a test has added, too, shall be older than git's index.
            for folder, folders, names in os.walk(self.root):
                folders[:] = set(folders) - {".git", ".codx"}
                for path in (Path(folder, name) for name in names):
                    if path.lstat().st_mtime > WRITTEN:
                        os.utime(path, (WRITTEN, WRITTEN), follow_symlinks=False)
            self.git("status")
        else:
            # As new as the files, in whole seconds: a fresh clone.
            os.utime(git_index.index_path(str(self.root)), (WRITTEN, WRITTEN))
        for _ in range(5):
            self.update()
            if self.is_unchanged():
                break
        assert self.is_unchanged()
        assert not self.view()[0]
        assert self.survey()["repositories"][0]["vouches"] == (mode == VOUCHED)

    def check(self) -> None:
        """The index equals the tree, and a stamp may come of it again."""
        report = self.update()
        assert report.failures == {}
        assert verify(self.settings(), Report()) == []
        assert not self.view()[0]


@contextmanager
def hidden(file: Path) -> Iterator[None]:
    """A block in which a file, if there is one, is not there."""
    aside = file.with_name(f"{file.name}.aside")
    with suppress(FileNotFoundError):
        file.rename(aside)
    yield
    with suppress(FileNotFoundError):
        aside.rename(file)


def rewrite(path: Path, text: str, *, in_place: bool = True) -> None:
    """Write as many bytes as there were, and put the mtime back."""
    before = path.lstat()
    target = path if in_place else path.with_name("draft.tmp")
    target.write_text(text)
    os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    if not in_place:
        target.rename(path)
    assert (path.lstat().st_size, path.lstat().st_mtime_ns) == (
        before.st_size,
        before.st_mtime_ns,
    )
