"""The content of our git hooks: a shell script that returns before anything else starts."""

from __future__ import annotations

import os
import re
import shlex
import sys
import sysconfig
from collections.abc import Iterable

BEFORE = ".before-codx-index"  # the ending of the name of a hook that ours runs first

WAITS = "codx-index-waits"
"""The mark in git's folder of a work tree, with the pid of the process that waits to start a run."""

PAUSE = 2  # seconds until anything starts, so that commits in a row have the machine to themselves

_MARK = "# codx-index hooks uninstall takes this file out"
_CALL = re.compile(r"^ *exec nice .* hooks run --after \"\$PPID\" -- (.*)$", re.M)

# It exits with the status of the hook before it. It releases git's streams at once, because
# git waits until nobody holds them any more. Of many calls in a row, only one starts a process.
_SCRIPT = """\
#!/bin/sh
{mark}.
before="${{0%/*}}/{before}"
if [ -x "$before" ]; then "$before" "$@"; fi
status=$?
waits="${{GIT_DIR:-.git}}/{waits}"
if [ ! -x {program} ]; then
    echo {gone} >&2
elif ! {{ read -r pid <"$waits" && kill -0 "$pid"; }} 2>/dev/null; then
    {{
        sleep {pause}
        exec nice -n 19 {command} hooks run --after "$PPID" -- {projects}
    }} </dev/null >/dev/null 2>&1 &
    {{ echo $! >"$waits"; }} 2>/dev/null
fi
exit $status
"""


def script(name: str, projects: Iterable[str]) -> str:
    """The hook of this name, for projects in these folders, relative to the top of a work tree."""
    command = _command()
    gone = f"codx-index: the index is not updated: {command[0]} is gone ({name})"
    return _SCRIPT.format(
        mark=_MARK,
        waits=WAITS,
        pause=PAUSE,
        before=shlex.quote(name + BEFORE),
        program=shlex.quote(command[0]),
        command=shlex.join(command),
        projects=shlex.join(sorted(projects)),
        gone=shlex.quote(gone),
    )


def projects_in(text: str) -> frozenset[str] | None:
    """The projects that our hook is for, None if the hook is not ours."""
    if _MARK not in text:
        return None
    call = _CALL.search(text)
    return frozenset(shlex.split(call[1])) if call else frozenset()


def _command() -> list[str]:
    """The command that starts codx-index as it is installed here, whatever is on the PATH."""
    installed = os.path.join(sysconfig.get_path("scripts"), "codx-index")
    if os.access(installed, os.X_OK):
        return [installed]
    return [sys.executable, "-P", "-m", "indexer"]
