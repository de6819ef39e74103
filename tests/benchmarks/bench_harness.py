"""Runs the scripts of benchmarks/ as a user does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TIMEOUT = 1_800  # seconds; only ever reached by a script that hangs


def launch(
    script: str | Path, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script, given by its name or by the path of a copy, to its end."""
    # Spawning from a test sets this; a user's shell does not have it.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    with subprocess.Popen(
        [sys.executable, BENCHMARKS / script, *arguments],
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=TIMEOUT)
        except BaseException:
            # What it has started too, which would work on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def finished(
    script: str | Path, *arguments: str | Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script that must succeed."""
    done = launch(script, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def rows(output: str, width: int) -> list[str]:
    """What the first column of the printed lines says."""
    return [line[:width].strip() for line in output.splitlines()]
