"""The installed command at a terminal, with a person before it."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from collections.abc import Mapping
from types import MappingProxyType

from conftest import COMMAND, TIMEOUT, Project


def at_a_terminal(
    project: Project,
    *arguments: str,
    answer: str = "",
    variables: Mapping[str, str | None] = MappingProxyType({}),
    columns: int = 100,
) -> tuple[int, str]:
    """What the command ends with, and all that it showed to a person who gives this answer.

    A variable that is None is not set.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {**project.variables(), "TERM": "xterm", **variables}
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=project.root,
        env={k: v for k, v in environment.items() if v is not None},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    text = b""
    try:
        while data := os.read(ours, 4096):
            text += data
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    return process.wait(timeout=TIMEOUT), text.decode()
