"""Runs a command that file permissions apply to, whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from conftest import COMMAND, Project

# Root may read and write everything; without these capabilities it may not.
UNPRIVILEGED = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def unprivileged(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that file permissions bite, whoever runs the tests."""
    prefix = UNPRIVILEGED if os.geteuid() == 0 else []
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("root without setpriv")
    return project.launch(*prefix, COMMAND, *arguments)
