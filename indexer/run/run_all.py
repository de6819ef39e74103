"""Runs many projects, one after another or several at once, with the same workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from indexer.errors import CodxIndexError, ProjectError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.run.backoff import Backoff
from indexer.settings.files import find_projects, last_change, read_project_files
from indexer.work.workshop import Workshop

RUN, FAILED, BACKED_OFF, NOT_WATCHING = "run", "failed", "backed-off", "not-watching"

# With these exit codes a project is as well as it can be, or another run is at work on it.
_GOOD_ENOUGH = {0, 3, 4, 75}
_STATUS = {1: "failed", 3: "partial", 4: "budget", 69: "unavailable", 75: "locked"}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a project.

    If it was left alone, `until` is when it will be tried again and `reason` why it failed;
    both are "" otherwise.
    """

    project: str
    result: str
    report: Report | None = None
    until: str = ""
    reason: str = ""


def watched_projects(roots: Iterable[str]) -> list[tuple[str, bool]]:
    """Each project at or below the roots, and whether it is watched.

    A project whose settings cannot be read counts as watched, so that its run says what is
    wrong. Raises `ProjectError` if there is no project at all.
    """
    roots = list(roots)
    found = find_projects(roots)
    if not found:
        raise ProjectError(
            f"no project below {', '.join(roots)}: none has a codx-index.toml "
            "(codx-index init writes one) or a .codx/project.json"
        )
    return [(folder, _is_watched(folder)) for folder in found]


def _is_watched(folder: str) -> bool:
    try:
        return read_project_files(folder).is_watched
    except CodxIndexError:
        return True


def run_projects(
    projects: Iterable[tuple[str, bool]],
    run: Callable[[str, Workshop], Report],
    tell: Callable[[Result], None],
    parallel: int,
    cache_dir: str,
    should_stop: Callable[[], object],
    *,
    waits: bool = True,
) -> list[Result]:
    """Run each project that is watched and not left alone, at most `parallel` at once.

    `tell` is called with each result as it comes. Failures are remembered in `cache_dir`, but
    leave a project alone only if the call `waits`. No project is begun once `should_stop()`.
    """
    backoff = Backoff(cache_dir)
    with closing(Workshop(is_shared=True)) as workshop:

        def one(project: tuple[str, bool]) -> Result | None:
            folder, is_watched = project
            until, reason = backoff.wait(folder, last_change(folder))
            if should_stop():
                return None
            if not is_watched:
                result = Result(folder, NOT_WATCHING)
            elif until and waits:
                result = Result(folder, BACKED_OFF, None, _clock(until), reason)
            else:
                result = _finished(folder, run(folder, workshop), backoff)
            tell(result)
            return result

        if parallel == 1:  # in the main thread, where a small plan can be timed out
            results = [one(project) for project in projects]
        else:
            with ThreadPoolExecutor(parallel, "codx-index project") as threads:
                results = list(threads.map(one, projects))
    return [result for result in results if result]


def _finished(folder: str, report: Report, backoff: Backoff) -> Result:
    is_good = report.exit_code in _GOOD_ENOUGH
    if is_good:
        backoff.succeeded(folder)
    elif report.status != "interrupted":
        backoff.failed(folder, report.error)
    return Result(folder, RUN if is_good else FAILED, report)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def combined(results: list[Result], signal: int, seconds: float) -> dict[str, Any]:
    """One report of all projects, as JSON-ready values, with the exit code of the worst."""
    codes = {result.report.exit_code for result in results if result.report}
    failed = {
        result.report.exit_code
        for result in results
        if result.report and result.result == FAILED
    }
    is_changed = any(r.report and r.report.status == "updated" for r in results)
    code, status = 0, "updated" if is_changed else "unchanged"
    if signal:
        code, status = 128 + signal, "interrupted"
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
        "projects": [
            {
                "project": escape_path(result.project),
                "result": result.result,
                "report": result.report.as_dict() if result.report else None,
                "until": result.until or None,
            }
            for result in results
        ],
    }
