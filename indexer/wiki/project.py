"""Gives the wiki of a project its material: from the manifest, the tree, workers and the index."""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import asdict

from indexer.config import Reading, Settings
from indexer.errors import GitError, TaskError, WorkerError
from indexer.hooks.command import Command, CommandError
from indexer.index.collection import Collection
from indexer.index.manifest import Manifest
from indexer.loop import LoopThread
from indexer.milvus.rows import row_id
from indexer.paths import escape_path
from indexer.report import Report
from indexer.tree.files import NotIndexable, Roots, Vanished, read_file
from indexer.tree.git_process import run_git
from indexer.types import FileRecord, SourceFile
from indexer.wiki.batches import batches
from indexer.wiki.describe import Description, describe_files
from indexer.wiki.sources import Sources
from indexer.wiki.update import Wiki, WikiError, update_wiki
from indexer.work.workers import Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Session(Protocol):
    """What a run lends to the wiki; its index is up to date with its manifest."""

    @property
    def settings(self) -> Settings: ...
    @property
    def report(self) -> Report: ...
    @property
    def manifest(self) -> Manifest: ...
    @property
    def roots(self) -> Roots: ...
    @property
    def collection(self) -> Collection: ...
    @property
    def hooks(self) -> LoopThread: ...

    def workers(self, is_small: bool, /) -> AbstractContextManager[Workers]:
        """Workers for a small plan, or for a large one."""


_File = tuple[str, str, bytes]

TASK_FILES = 32
SMALL = 2 * TASK_FILES  # files for which a pool is not worth its start
ASKED_TEXT = 64 * 1024  # characters of a file that the command gets


class ProjectWiki:
    """The wiki of the project that a run has indexed."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._settings = session.settings
        self._report = session.report

    def update(self) -> None:
        """Make the pages equal to the index. Failures go to the report, because the index does
        not suffer from them. Raises `StoreError` if the vectors cannot be read."""
        settings, report = self._settings, self._report
        folder = settings.wiki_dir
        name = settings.name or os.path.basename(settings.subject)
        mode = os.stat(
            settings.project
        ).st_mode  # who may read the project may read the wiki
        wiki = Wiki(
            folder,
            settings.wiki_state_path,
            escape_path(name),
            is_hidden=_is_hidden(settings),
            mode=mode & 0o666 | 0o600,
            folder_mode=mode & 0o777 | 0o700,
        )
        try:
            _refuse_symlinks(settings.project, folder)
            report.wiki = update_wiki(wiki, self._sources(), self._fail)
        except (WikiError, WorkerError) as error:
            report.wiki.failed += 1
            self._fail(".", str(error))
        report.tell("wiki-updated", folder=escape_path(folder), **asdict(report.wiki))

    def _fail(self, page: str, reason: str) -> None:
        path = os.path.normpath(os.path.join(self._settings.wiki_dir, page))
        start = os.path.join(self._settings.project, "")
        self._report.fail(path.removeprefix(start), f"the wiki: {reason}")

    def _sources(self) -> Sources:
        command = self._settings.wiki.command
        records = self._session.manifest.records()
        return Sources(
            # Files of external folders are not part of the project.
            records={p: r for p, r in records.items() if not os.path.isabs(p)},
            read=self._read,
            describe=self._describe,
            vectors=self._vectors,
            summarize=self._summarize if command else None,
            summary_key=hashlib.sha256(json.dumps(command).encode()).hexdigest(),
            key=self._session.collection.identity.fingerprint,
        )

    def _read(self, path: str) -> bytes | None:
        fd, below = self._session.roots.locate(path)
        try:
            file = SourceFile(below, 0, 0, 0, 0)
            return read_file(fd, file, self._settings.max_file_size).data
        except (OSError, Vanished, NotIndexable):
            return None

    def _describe(self, files: Iterable[_File]) -> Iterator[Description]:
        files = iter(files)
        first = list(islice(files, SMALL))
        if not first:
            return
        rest = list(islice(files, 1))
        with self._session.workers(not rest) as workers:
            tasks = batches(chain(first, rest, files), TASK_FILES)
            yield from _described(
                tasks, workers.chunkers, workers.jobs, self._settings.reading
            )

    def _vectors(
        self, records: Sequence[FileRecord]
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        import numpy as np

        key = self._settings.project_key
        ids = [row_id(r.path, n, key) for r in records for n in range(r.chunk_count)]
        store = self._session.collection.open()
        rows = {row["id"]: row for row in store.fetch(ids, ("vector", "embedded"))}
        for record in records:
            found = [row_id(record.path, n, key) for n in range(record.chunk_count)]
            if all(row in rows and rows[row]["embedded"] for row in found):
                vectors = [rows[row]["vector"] for row in found]
                yield record.path, np.asarray(vectors, np.float32)

    def _summarize(
        self, descriptions: Sequence[Description]
    ) -> Iterator[tuple[str, str]]:
        wiki, hooks = self._settings.wiki, self._session.hooks
        command = Command(
            wiki.command, self._settings.project, wiki.timeout, wiki.concurrency
        )
        answers = [hooks.submit(command.ask(_question(one))) for one in descriptions]
        for description, answer in zip(descriptions, answers, strict=True):
            try:
                yield description.path, answer.result().strip()
            except CommandError as error:
                self._report.wiki.failed += 1
                self._report.fail(description.path, f"the wiki command failed: {error}")


def _question(description: Description) -> dict[str, object]:
    return {
        "path": escape_path(description.path),
        "language": description.language,
        "purpose": description.purpose,
        "symbols": [one.symbol for one in description.definitions],
        "text": description.text[:ASKED_TEXT],
    }


def _is_hidden(settings: Settings) -> bool:
    """Whether to hide the wiki from git: it was given no folder, and nobody committed it."""
    if settings.wiki.folder:
        return False
    folder = os.path.relpath(settings.wiki_dir, settings.project)
    pathspec = f":(literal){folder}"
    try:
        done = run_git(settings.project, "ls-files", "-z", "--", pathspec)
    except GitError:  # there is no repository, or none that git may look at
        return True
    return not done.stdout


def _refuse_symlinks(project: str, folder: str) -> None:
    """A repository may contain a symlink where the wiki belongs, so that files elsewhere would be
    overwritten."""
    start = os.path.join(project, "")
    if folder.startswith(start) and not os.path.realpath(folder).startswith(start):
        raise WikiError(f"{folder} leads out of the project: remove the symlink")


def _described(
    tasks: Iterator[list[_File]], executor: Executor, jobs: int, reading: Reading
) -> Iterator[Description]:
    """Descriptions in the order of the tasks, of which at most 2 × jobs are in flight. A file whose
    worker dies is left out."""
    window: deque[tuple[list[_File], Future[list[Description]]]] = deque()
    while True:
        for task in islice(tasks, 2 * jobs - len(window)):
            window.append((task, executor.submit(describe_files, task, reading)))
        if not window:
            return
        task, future = window.popleft()
        try:
            yield from future.result()
        except TaskError:
            for file in task if len(task) > 1 else []:
                yield from _described(iter([[file]]), executor, 1, reading)
