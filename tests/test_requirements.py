"""requirements-slim.txt is what `make requirements-slim.txt` would make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_slim_requirements_follow_the_constraints() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "slim" / "requirements.py"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == (ROOT / "requirements-slim.txt").read_text()
