"""One class per failure that a user can act on.

Each carries its exit code (README, "Exit codes") and the `status` word of the report.
The message is one line: what is wrong and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class CodxIndexError(Exception):
    """Base of every failure with a message for the user."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[str] = "failed"


class Stopped(BaseException):  # noqa: N818  (no error: somebody asked for it)
    """A signal came while there was nothing to commit."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class UsageError(CodxIndexError):
    """The command line or a setting cannot be acted on."""

    exit_code = 2


class ProjectError(CodxIndexError):
    """The project folder is missing, not a folder, or cannot be read."""

    exit_code = 2


class GitError(CodxIndexError):
    """git refused to list the work tree."""


class StateError(CodxIndexError):
    """The state folder (or the user's cache) cannot be used."""


class CacheError(CodxIndexError):
    """The embedding cache, or an export of it, cannot be read or written. Only what works
    on the cache itself raises it: a run goes on without."""


class ModelError(CodxIndexError):
    """The embedding model is unknown, damaged or not usable here."""


class LockedError(CodxIndexError):
    """Another run holds this index."""

    exit_code = 75
    status = "locked"


class LeaseLostError(CodxIndexError):
    """Another host may have begun to write our collection. No write may follow."""


class StoreUnavailableError(CodxIndexError):
    """Nobody answers at the Milvus address."""

    exit_code = 69
    status = "unavailable"


class StoreError(CodxIndexError):
    """Milvus answered, but refused or broke. No write may follow."""


class ForeignCollectionError(StoreError):
    """A collection under our name was made by something else."""


class NoIndexError(CodxIndexError):
    """A command needs an index, and there is none yet."""


class WorkerError(CodxIndexError):
    """The pool of worker processes cannot be started or kept alive."""


class TaskError(CodxIndexError):
    """A task cost its worker; only ever the failure of the files in it."""


class WorkerDiedError(TaskError):
    """The worker died while the task ran alone."""


class TaskTimeoutError(TaskError):
    """The task took longer than it may."""
