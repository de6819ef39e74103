"""What is said of the run in the background: whether it is at work, or how it ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.cli.background import BackgroundRun, Ending


def told(run: BackgroundRun) -> str:
    """What a person is told of it, "" if there never was one."""
    if not run.latest:
        return ""
    waits = ", and another waits for it to end" if run.is_awaited else ""
    if run.is_at_work:
        return f"a run is at work{waits}"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.latest))
    ending = run.ending
    how = _how(ending) if ending else "began again"
    return f"the last run ended at {when} and {how}"


def as_dict(run: BackgroundRun) -> dict[str, object] | None:
    """The same for a program, None if there never was one. `ended` is in UTC, as in the log."""
    if not run.latest:
        return None
    ending = run.ending
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.latest))
    return {
        "at_work": ending is None,
        "awaited": run.is_awaited,
        "ended": when if ending else None,
        "exit_code": ending.exit_code if ending else None,
        "error": ending.error if ending else "",
    }


def _how(ending: Ending) -> str:
    if ending.exit_code == 0:
        return "succeeded"
    if ending.exit_code == 3:
        return "left out files that could not be indexed (codx-index run lists them)"
    if ending.exit_code is None and not ending.error:
        return "was killed"
    return f"failed: {ending.error}" if ending.error else f"failed ({ending.exit_code})"
