"""Code that a Python of its own runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def python(code: str, *arguments: str | Path) -> str:
    """What a fresh process prints, which must be all that it writes.

    It has the arguments in `sys.argv`, and can import the modules of the tests.
    """
    path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", path + code, *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
