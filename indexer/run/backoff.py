"""Leaves projects that failed alone for a while: 1, 10, 30, then 120 minutes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress

DELAYS = (60, 600, 1800, 7200)  # seconds after the first, second, … failure in a row


class Backoff:
    """What is known of earlier failures: a small file for each project, in the cache folder.

    Without these files projects are merely tried too often, so one that cannot be read or
    written is ignored.
    """

    def __init__(self, cache_dir: str) -> None:
        self._folder = os.path.join(cache_dir, "backoff")

    def wait(self, project: str, changed: float = 0) -> tuple[float, str]:
        """When to try the project again, and why it failed; 0 and "" mean now.

        Times are seconds since 1970. A project whose settings have `changed` since it failed
        is tried at once.
        """
        _, failed, until, error = self._read(project)
        # A failure in the future: the clock was wrong then, or is now.
        if changed > failed or not failed <= time.time() < until <= failed + DELAYS[-1]:
            return 0.0, ""
        return until, error

    def failed(self, project: str, error: str = "") -> None:
        """Record one more failure in a row."""
        failures = self._read(project)[0]
        delay = DELAYS[min(failures, len(DELAYS) - 1)]
        now = time.time()
        found = {
            "project": os.fsencode(project).decode(errors="replace"),
            "failures": failures + 1,
            "failed": now,
            "until": now + delay,
            "error": os.fsencode(error).decode(errors="replace"),
        }
        path = self._path(project)
        with suppress(OSError):
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            draft = f"{path}.{os.getpid()}"
            with open(draft, "w", encoding="utf-8") as file:
                json.dump(found, file)
            os.replace(draft, path)

    def succeeded(self, project: str) -> None:
        """Forget the failures of the project."""
        with suppress(OSError):
            os.unlink(self._path(project))

    def forget_gone(self, is_gone: Callable[[str], bool]) -> int:
        """Forget the failures of projects that are gone. Returns of how many."""
        count = 0
        with suppress(OSError):
            for name in os.listdir(self._folder):
                with suppress(OSError, ValueError, KeyError, TypeError):
                    path = os.path.join(self._folder, name)
                    with open(path, encoding="utf-8") as file:
                        project = json.load(file)["project"]
                    if os.path.isabs(project) and is_gone(project):
                        os.unlink(path)
                        count += 1
        return count

    def _read(self, project: str) -> tuple[int, float, float, str]:
        """The failures in a row, the time of the last, the end of the wait, and the reason."""
        try:
            with open(self._path(project), encoding="utf-8") as file:
                found = json.load(file)
            failed, until = float(found["failed"]), float(found["until"])
            return int(found["failures"]), failed, until, str(found["error"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return 0, 0.0, 0.0, ""

    def _path(self, project: str) -> str:
        name = hashlib.sha256(os.fsencode(project)).hexdigest()[:32]
        return os.path.join(self._folder, name + ".json")
