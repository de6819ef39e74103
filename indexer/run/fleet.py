"""Runs many projects on the hosts of a cluster: each is one task, which is an ordinary run there.

What a host was at work on when it died goes to another one, which finds in manifest and rows what
was done. The lease of the dead run keeps it out for a minute, so a project that is locked is
tried once more, after all others, and then with patience.
"""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from indexer.config import Settings
from indexer.errors import ClusterUnavailableError, CodxIndexError, LockedError
from indexer.index.identity import identify
from indexer.report import Report
from indexer.run.repositories import Repository
from indexer.run.run_all import Outcome, Results
from indexer.run.scratch import Scratch
from indexer.work.workers import Workers
from indexer.work.workshop import Workshop, open_anywhere

AHEAD = (
    3  # projects for each process of the hosts: two are at work, and one waits there
)
PATIENCE = 75.0  # seconds: longer than a lease stands whose holder died
LOOK = 0.5  # seconds between two looks at whether to stop


@dataclass(frozen=True, slots=True)
class Errand:
    """A project to run for on another host, and what was asked for.

    `given` has the name, value, origin and place of each setting that was given. `patience` are the
    seconds to wait for another run of this project, and `seconds` those that this one may take, 0
    for no limit. What may be a secret is not shown.
    """

    project: Repository
    given: tuple[tuple[str, Any, str, str], ...] = field(repr=False)
    patience: float = 0
    seconds: float = 0


@contextmanager
def open_fleet(
    settings: Settings,
    on_step: Callable[[str], None],
    on_warning: Callable[[str], None],
) -> Iterator[Workers]:
    """The hosts of the cluster that is the settings' executor, which would index as we would.

    Raises `UsageError`, `ClusterUnavailableError` and `ModelError` as `open_anywhere` does.
    """
    backend = identify(settings, convert=settings.embeds, on_step=on_step).backend
    with open_anywhere(
        settings.executor,
        0,
        backend,
        reading=settings.reading,
        task_timeout=settings.task_timeout,
        on_step=on_step,
        on_warning=on_warning,
    ) as workers:
        yield workers


_Ended = tuple[Repository, float, "Future[Outcome]"]


def run_on_cluster(
    projects: Iterable[Repository],
    start: Callable[[Repository, float], Future[Outcome]],
    capacity: Callable[[], int],
    results: Results,
    should_stop: Callable[[], object],
    is_over: Callable[[], bool],
) -> None:
    """Run each project that is watched and not left alone, as tasks that `start` begins.

    `start` is given a project and the seconds to wait for another run of it. At most `AHEAD` times
    the `capacity`, in processes, are begun at a time; it may change. Once `should_stop()`, what is at work is
    left; once the time `is_over`, so is all that remains, as a result. Raises
    `ClusterUnavailableError` when the cluster is gone.
    """
    waiting = deque((project, 0.0) for project in projects)
    at_work: dict[Future[Outcome], Repository] = {}
    ended: SimpleQueue[_Ended] = SimpleQueue()
    while not should_stop() and not is_over():
        while waiting and len(at_work) < AHEAD * capacity() and not should_stop():
            project, patience = waiting.popleft()
            if patience or not results.is_left_alone(project):
                future = start(project, patience)
                at_work[future] = project
                future.add_done_callback(partial(_put, ended, project, patience))
        if not at_work:
            return
        try:
            project, patience, future = ended.get(timeout=LOOK)
        except Empty:
            continue
        del at_work[future]
        outcome = _outcome(project, future)
        if outcome.exit_code == LockedError.exit_code and not patience:
            waiting.append((project, PATIENCE))
        else:
            results.finished(project, outcome)
    if not should_stop():
        for project in (*at_work.values(), *(one for one, _ in waiting)):
            results.finished(project, _too_late(project))


def _put(
    ended: SimpleQueue[_Ended],
    project: Repository,
    patience: float,
    future: Future[Outcome],
) -> None:
    ended.put((project, patience, future))


def _outcome(project: Repository, future: Future[Outcome]) -> Outcome:
    """How the run ended, or what happened to the host in place of that."""
    try:
        return future.result()
    except ClusterUnavailableError:
        raise
    except CodxIndexError as error:
        report = Report(project=project.name, error=str(error))
        report.status, report.error_code = error.status, error.exit_code
        return ended_by(report)


def _too_late(project: Repository) -> Outcome:
    report = Report(project=project.name, status="budget")
    report.error = "time ran out before its run ended"
    return ended_by(report)


def ended_by(report: Report) -> Outcome:
    """The outcome of a run that an error ended."""
    line = f"{report.status} (exit code {report.exit_code})"
    return Outcome(report.as_dict(), line)


_lock = threading.Lock()
_scratches: dict[str, Scratch] = {}
_workshops: list[Workshop] = []


def shared_scratch(made: Scratch) -> Scratch:
    """The scratch folder of all runs in this process: it counts what each of them adds."""
    with _lock:
        return _scratches.setdefault(made.root, made)


def shared_workshop() -> Workshop:
    """The workers of all runs in this process. A file can cost one of them, never the process."""
    with _lock:
        if not _workshops:
            _workshops.append(Workshop(is_shared=True, is_apart=True))
            atexit.register(_workshops[0].close)
        return _workshops[0]
