"""Gives the wiki its material: the records, the tree, the workers, and the index's vectors."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from indexer.config import Settings
from indexer.errors import TaskError, WorkerError
from indexer.hooks.command import Command, CommandError
from indexer.hooks.loop import HookLoop
from indexer.index.collection import Collection
from indexer.index.manifest import Manifest
from indexer.milvus.rows import row_id
from indexer.paths import escape_path
from indexer.report import Report
from indexer.tree.files import NotIndexable, Roots, Vanished, read_file
from indexer.types import FileRecord, SourceFile
from indexer.wiki.describe import Description, describe_files
from indexer.wiki.sources import Sources, WikiError
from indexer.wiki.update import update_wiki
from indexer.work.workers import Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TASK_FILES = 32
SMALL = 2 * TASK_FILES  # files that no pool is worth
ASKED_TEXT = 64 * 1024  # characters of a file that the command gets

_File = tuple[str, str, bytes]


@dataclass(frozen=True, slots=True)
class ProjectWiki:
    """The wiki of a project whose index is up to date with its `manifest`.

    `workers` opens workers: for a small plan, or not.
    """

    settings: Settings
    index: Collection
    manifest: Manifest
    roots: Roots
    report: Report
    loop: HookLoop
    workers: Callable[[bool], AbstractContextManager[Workers]]

    def update(self) -> None:
        """Make the pages equal to the index. What fails is put into the report: the index
        does not suffer from it. Raises `StoreError` where the vectors cannot be read.
        """
        settings, report = self.settings, self.report
        folder = settings.wiki_dir
        name = settings.name or os.path.basename(settings.project)
        mode = os.stat(settings.project).st_mode  # for whom the project is, the wiki is
        try:
            _refuse_symlinks(settings.project, folder)
            report.wiki = update_wiki(
                folder,
                settings.wiki_state_path,
                escape_path(name),
                self._sources(),
                self._fail,
                mode=mode & 0o666 | 0o600,
                folder_mode=mode & 0o777 | 0o700,
            )
        except (WikiError, WorkerError) as error:
            report.wiki.failed += 1
            self._fail(".", str(error))
        report.tell("wiki-updated", folder=escape_path(folder), **asdict(report.wiki))

    def _fail(self, page: str, reason: str) -> None:
        path = os.path.normpath(os.path.join(self.settings.wiki_dir, page))
        start = os.path.join(self.settings.project, "")
        self.report.fail(path.removeprefix(start), f"the wiki: {reason}")

    def _sources(self) -> Sources:
        command = self.settings.wiki.command
        records = self.manifest.records()
        return Sources(
            # Those of external folders are no part of the project.
            records={p: r for p, r in records.items() if not os.path.isabs(p)},
            read=self._read,
            describe=self._describe,
            vectors=self._vectors,
            summarize=self._summarize if command else None,
            summary_key=hashlib.sha256(json.dumps(command).encode()).hexdigest(),
            key=self.index.identity.fingerprint,
        )

    def _read(self, path: str) -> bytes | None:
        fd, below = self.roots.locate(path)
        try:
            file = SourceFile(below, 0, 0, 0, 0)
            return read_file(fd, file, self.settings.max_file_size).data
        except (OSError, Vanished, NotIndexable):
            return None

    def _describe(self, files: Iterable[_File]) -> Iterator[Description]:
        files = iter(files)
        first = list(islice(files, SMALL))
        if not first:
            return
        rest = list(islice(files, 1))
        with self.workers(not rest) as workers:
            tasks = _tasks(first, rest, files)
            yield from _described(
                tasks, workers.chunkers, workers.jobs, self.settings.secrets
            )

    def _vectors(
        self, records: Sequence[FileRecord]
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        import numpy as np

        ids = [row_id(r.path, n) for r in records for n in range(r.chunk_count)]
        rows = {
            row["id"]: row
            for row in self.index.open().fetch(ids, ("vector", "embedded"))
        }
        for record in records:
            found = [row_id(record.path, n) for n in range(record.chunk_count)]
            if all(row in rows and rows[row]["embedded"] for row in found):
                vectors = [rows[row]["vector"] for row in found]
                yield record.path, np.asarray(vectors, np.float32)

    def _summarize(
        self, descriptions: Sequence[Description]
    ) -> Iterator[tuple[str, str]]:
        wiki = self.settings.wiki
        command = Command(
            wiki.command, self.settings.project, wiki.timeout, wiki.concurrency
        )
        answers = [
            self.loop.submit(command.ask(_question(one))) for one in descriptions
        ]
        for description, answer in zip(descriptions, answers, strict=True):
            try:
                yield description.path, answer.result().strip()
            except CommandError as error:
                self.report.wiki.failed += 1
                self.report.fail(description.path, f"the wiki command failed: {error}")


def _question(description: Description) -> dict[str, object]:
    return {
        "path": escape_path(description.path),
        "language": description.language,
        "purpose": description.purpose,
        "symbols": [one.symbol for one in description.definitions],
        "text": description.text[:ASKED_TEXT],
    }


def _refuse_symlinks(project: str, folder: str) -> None:
    """A repository may bring a link in the place of the wiki, to have files elsewhere
    written over."""
    start = os.path.join(project, "")
    if folder.startswith(start) and not os.path.realpath(folder).startswith(start):
        raise WikiError(f"{folder} leads out of the project: remove the symlink")


def _tasks(first: list[_File], *rest: Iterable[_File]) -> Iterator[list[_File]]:
    for files in (first, *rest):
        pending = iter(files)
        while task := list(islice(pending, TASK_FILES)):
            yield task


def _described(
    tasks: Iterator[list[_File]], executor: Executor, jobs: int, secrets: str
) -> Iterator[Description]:
    """In the order of the tasks, at most 2 × jobs in flight. A file that costs its worker is
    left out."""
    window: deque[tuple[list[_File], Future[list[Description]]]] = deque()
    while True:
        for task in islice(tasks, 2 * jobs - len(window)):
            window.append((task, executor.submit(describe_files, task, secrets)))
        if not window:
            return
        task, future = window.popleft()
        try:
            yield from future.result()
        except TaskError:
            for file in task if len(task) > 1 else []:
                yield from _described(iter([[file]]), executor, 1, secrets)
