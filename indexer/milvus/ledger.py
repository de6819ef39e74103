"""Which project last wrote to an embedded collection that projects share, without opening it.

A project's own collection is recognized by what it looks like on disk. A shared one looks
different after every run of any project. So a run notes its own mark, and what the collection
looks like when it is closed, in a file in the folder where the processes that open the database meet.
A project's mark then counts as long as the collection looks as the last run of any project left
it, or while that run is at work.

All of this happens under the lock of the database. If the collection looks different, it was written by a
run that was killed or by somebody else, or it is damaged. Then no mark counts any more, and each project
reads its own rows once.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from msgspec import Struct, field
from msgspec.structs import asdict

from indexer.errors import StateError
from indexer.milvus.lease import started
from indexer.milvus.meeting_place import meeting_place
from indexer.milvus.on_disk import signature


class _Entries(Struct):
    """What the file says: what the collection looked like when it was closed, whose run has been
    `at_work` since (its project's key, its process, and when that process began; [] for none), and the
    mark of each project, by its key."""

    signature: str = ""
    at_work: list[str] = field(default_factory=list)
    marks: dict[str, str] = field(default_factory=dict)


class Ledger:
    """The marks of the projects that share the collection `name` of an embedded database.

    Raises `StateError` if nothing can be written.
    """

    def __init__(self, database: str, state_dir: str, name: str) -> None:
        self._database, self._name = database, name
        self._path = os.path.join(
            meeting_place(database, state_dir), f"marks-{name}.json"
        )

    def mark(self, project: str) -> str:
        """The mark of the run that last wrote for this project, "" if that is not known."""
        entries = self._read()
        if entries.at_work:
            # The run at work has seen that all was well before it.
            writer, pid, since = entries.at_work
            is_sound = writer != project and since == started(int(pid)) != ""
        else:
            is_sound = bool(entries.signature) and entries.signature == self._look()
        return entries.marks.get(project, "") if is_sound else ""

    def begin(self) -> None:
        """Forget all marks unless the collection is as the last run left it.

        Called with the lock, before the database is opened.
        """
        entries = self._read()
        if entries.at_work or entries.signature != self._look():
            self._write(_Entries())

    def claim(self, project: str, mark: str) -> None:
        """Leave the mark of the run that is about to write for this project."""
        entries = self._read()
        entries.marks[project] = mark
        entries.at_work = _this_run(project)
        self._write(entries)

    def forget(self, project: str) -> None:
        """Note that the rows of this project are about to be removed."""
        entries = self._read()
        entries.marks.pop(project, None)
        entries.at_work = _this_run(project)
        self._write(entries)

    def settle(self) -> None:
        """Note what the collection looks like now that it is closed."""
        entries = self._read()
        entries.at_work = []
        entries.signature = self._look()
        self._write(entries)

    def _look(self) -> str:
        return signature(self._database, self._name, has_alias=False)

    def _read(self) -> _Entries:
        try:
            with open(self._path, encoding="ascii") as file:
                return _Entries(**json.load(file))
        except (OSError, ValueError, TypeError):
            return _Entries()  # there is none yet, or it is damaged

    def _write(self, entries: _Entries) -> None:
        """Replace the file. It must not be older than the rows."""
        draft = self._path + ".new"  # ours alone: we hold the lock
        try:
            with open(draft, "w", encoding="ascii") as file:
                json.dump(asdict(entries), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
            self._sync_folder()
        except OSError as error:
            raise StateError(f"cannot write {self._path}: {error.strerror}") from error

    def _sync_folder(self) -> None:
        with suppress(OSError):
            handle = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _this_run(project: str) -> list[str]:
    return [project, str(os.getpid()), started(os.getpid())]
