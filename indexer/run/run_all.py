"""Runs many projects, one after another or several at once, with the same workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from msgspec import Struct

from indexer.errors import CodxIndexError, ProjectError
from indexer.paths import escape_path, unescape_path
from indexer.run.backoff import Backoff
from indexer.run.repositories import Repository
from indexer.settings.files import find_projects, last_change, read_project_files
from indexer.work.workshop import Workshop

RUN, FAILED, BACKED_OFF, NOT_WATCHING = "run", "failed", "backed-off", "not-watching"

# With these exit codes a project is as well as it can be, or another run is at work on it.
_GOOD_ENOUGH = {0, 3, 4, 75}
_STATUS = {1: "failed", 3: "partial", 4: "budget", 69: "unavailable", 75: "locked"}


class Outcome(Struct, frozen=True):
    """How the run of a project ended: its report as JSON-ready values, and as a `line` of text."""

    report: Mapping[str, Any]
    line: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code of the run."""
        return int(self.report["exit_code"])

    @property
    def status(self) -> str:
        """The word for how it ended."""
        return str(self.report["status"])

    @property
    def error(self) -> str:
        """What ended it, "" if nothing did."""
        return unescape_path(self.report["error"])

    @property
    def failures(self) -> list[tuple[str, str]]:
        """The paths of the files that could not be indexed, each with its error."""
        found = self.report["failures"]
        return [(unescape_path(one["path"]), one["error"]) for one in found]


class Result(Struct, frozen=True):
    """What became of a project.

    If it was left alone, `until` is when it will be tried again and `reason` why it failed;
    both are "" otherwise.
    """

    project: str
    result: str
    outcome: Outcome | None = None
    until: str = ""
    reason: str = ""


def watched_projects(roots: Iterable[str]) -> list[Repository]:
    """Each project at or below the roots.

    A project whose settings cannot be read counts as watched, so that its run says what is
    wrong. Raises `ProjectError` if there is no project at all.
    """
    roots = list(roots)
    found = find_projects(roots)
    if not found:
        raise ProjectError(
            f"no project below {', '.join(roots)}: no folder has a codx-index.toml "
            "(codx-index init writes one) or a .codx/project.json"
        )
    return [Repository(folder, is_watched=_is_watched(folder)) for folder in found]


def _is_watched(folder: str) -> bool:
    try:
        return read_project_files(folder).is_watched
    except CodxIndexError:
        return True


class Results:
    """What became of each project so far; `tell` is called with each result as it comes.

    Failures are remembered in `cache_dir`, but leave a project alone only if the call `waits`.
    """

    def __init__(
        self, tell: Callable[[Result], None], cache_dir: str, *, waits: bool = True
    ) -> None:
        self.found: list[Result] = []
        self._tell = tell
        self._backoff = Backoff(cache_dir)
        self._waits = waits

    def is_left_alone(self, project: Repository) -> bool:
        """Whether there is to be no run of this project now, which then is its result."""
        if not project.is_watched:
            self._add(Result(project.name, NOT_WATCHING))
            return True
        changed = 0.0 if project.remote else last_change(project.name)
        until, reason = self._backoff.wait(project.key, changed)
        if not until or not self._waits:
            return False
        self._add(Result(project.name, BACKED_OFF, None, _clock(until), reason))
        return True

    def finished(self, project: Repository, outcome: Outcome) -> None:
        """Record how the run of a project ended."""
        is_good = outcome.exit_code in _GOOD_ENOUGH
        if is_good:
            self._backoff.succeeded(project.key)
        elif outcome.status != "interrupted":
            self._backoff.failed(project.key, outcome.error)
        self._add(Result(project.name, RUN if is_good else FAILED, outcome))

    def _add(self, result: Result) -> None:
        self.found.append(result)
        self._tell(result)


def run_projects(
    projects: Iterable[Repository],
    run: Callable[[Repository, Workshop], Outcome],
    results: Results,
    parallel: int,
    should_stop: Callable[[], object],
) -> None:
    """Run each project that is watched and not left alone, at most `parallel` at once.

    No project is begun once `should_stop()`.
    """
    from indexer.milvus.remote import shared_connections

    with closing(Workshop(is_shared=True)) as workshop, shared_connections():

        def one(project: Repository) -> None:
            if not should_stop() and not results.is_left_alone(project):
                results.finished(project, run(project, workshop))

        if parallel == 1:  # in the main thread, where a small plan can be timed out
            for project in projects:
                one(project)
        else:
            with ThreadPoolExecutor(parallel, "codx-index project") as threads:
                for _ in threads.map(one, projects):
                    pass


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def combined(
    results: Iterable[Result],
    signal: int,
    seconds: float,
    error: CodxIndexError | None = None,
) -> dict[str, Any]:
    """One report of all projects, as JSON-ready values, with the exit code of the worst.

    An `error` is one that ended all of it before its end.
    """
    results = sorted(results, key=lambda one: one.project)
    codes = {result.outcome.exit_code for result in results if result.outcome}
    failed = {
        result.outcome.exit_code
        for result in results
        if result.outcome and result.result == FAILED
    }
    is_changed = any(r.outcome and r.outcome.status == "updated" for r in results)
    code, status = 0, "updated" if is_changed else "unchanged"
    if signal:
        code, status = 128 + signal, "interrupted"
    elif error:
        code, status = error.exit_code, error.status
    elif failed:
        code = failed.pop() if len(failed) == 1 else 1
        status = _STATUS.get(code, "failed")
    elif 3 in codes or any(result.result == BACKED_OFF for result in results):
        code, status = 3, _STATUS[3]
    elif codes - {0}:
        code = min(codes - {0})
        status = _STATUS[code]
    return {
        "status": status,
        "exit_code": code,
        "seconds": round(seconds, 3),
        "error": escape_path(str(error or "")),
        "projects": [
            {
                "project": escape_path(result.project),
                "result": result.result,
                "report": result.outcome.report if result.outcome else None,
                "until": result.until or None,
            }
            for result in results
        ],
    }
