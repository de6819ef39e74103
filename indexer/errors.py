"""One class per failure that a user can act on.

Each carries its exit code (docs/reference/exit-codes.md) and the `status` word of the report. The
message is one line that says what is wrong and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class CodxIndexError(Exception):
    """Base of all failures that have a message for the user."""

    exit_code: ClassVar[int] = 1
    status: ClassVar[str] = "failed"


class Stopped(BaseException):  # noqa: N818  (not an error: somebody asked for it)
    """A signal came while there was nothing to commit; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class UsageError(CodxIndexError):
    """The command line or a setting is invalid."""

    exit_code = 2


class ProjectError(CodxIndexError):
    """The project folder is missing, not a folder, or cannot be read."""

    exit_code = 2


class GitError(CodxIndexError):
    """git cannot list the work tree."""


class RepositoryError(CodxIndexError):
    """A repository cannot be fetched."""


class OutOfTimeError(GitError):
    """`--max-seconds` ran out before the tree was listed. Nothing was changed."""

    exit_code = 4
    status = "budget"


def explained(error: OSError) -> CodxIndexError | None:
    """What a system error means, if its own text would not explain it."""
    import os

    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except FileNotFoundError:
            return ProjectError(
                "the current folder no longer exists: change to one that does, or give "
                "absolute paths"
            )
    return None


class StateError(CodxIndexError):
    """The state folder (or the user's cache) cannot be used."""


class CacheError(CodxIndexError):
    """The embedding cache, or an export of it, cannot be read or written.

    Only commands on the cache itself raise it. A run continues without a cache.
    """


class ModelError(CodxIndexError):
    """The embedding model is unknown, damaged or cannot be used here."""


class ModelUnavailableError(ModelError):
    """The endpoint of the model does not answer, or keeps failing."""

    exit_code = 69
    status = "unavailable"


class ClientFileError(CodxIndexError):
    """A file of a client (an editor, an agent) cannot be read, or cannot be changed as asked."""


class LockedError(CodxIndexError):
    """Another run holds the lock of this index."""

    exit_code = 75
    status = "locked"


class LeaseLostError(CodxIndexError):
    """Another host may have begun to write to our collection. No write may follow."""


class StoreUnavailableError(CodxIndexError):
    """Nobody answers at the Milvus address."""

    exit_code = 69
    status = "unavailable"


class StoreError(CodxIndexError):
    """Milvus answered, but refused or failed. No write may follow."""


class AccessError(StoreError):
    """Milvus refuses the token, or its user lacks a right."""


class ForeignCollectionError(StoreError):
    """Something else created the collection with our name."""


class NoIndexError(CodxIndexError):
    """A command needs an index, but there is none yet."""


class WorkerError(CodxIndexError):
    """The pool of worker processes cannot be started or kept alive."""


class ClusterUnavailableError(CodxIndexError):
    """The scheduler of the Dask cluster does not answer, or no worker can do the work."""

    exit_code = 69
    status = "unavailable"


class TaskError(CodxIndexError):
    """A task cost its worker. It is reported only as the failure of the files in the task."""


class WorkerDiedError(TaskError):
    """The worker died while the task ran alone."""


class WorkerCrashedError(WorkerDiedError):
    """Native code that the task called crashed the worker, for example by a segmentation fault."""


class TaskTimeoutError(TaskError):
    """The task exceeded its time limit."""


class RefusedTextError(TaskError):
    """The endpoint of the model refuses a text of the task."""


OUT_OF_MEMORY = "its worker ran out of memory"


class OutOfMemoryError(TaskError):
    """The task needed more memory than its worker could get."""
