"""The installed command at a terminal, with a person before it."""

from __future__ import annotations

import os
import pty
import subprocess

from conftest import COMMAND, Project


def at_a_terminal(
    project: Project, *arguments: str, answer: str = ""
) -> tuple[int, str]:
    """What the command ends with, and all that it showed to a person who gives this answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=project.root,
        env=project.variables(),
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
    return process.wait(), text.decode()
