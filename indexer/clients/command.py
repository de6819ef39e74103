"""The command that a client must start: ours, as it is installed here."""

from __future__ import annotations

import os
import shutil
import sysconfig

from indexer.clients.entry import NAME
from indexer.errors import UsageError


def installed_command() -> str:
    """The whole path of the command that belongs to this process.

    If a link on the PATH leads to it, such as pipx and uv make, it is that link, which stays when the
    environment behind it is made again. Raises `UsageError` if no command is installed.
    """
    script = os.path.join(sysconfig.get_path("scripts"), NAME)
    on_path = shutil.which(NAME)
    if not os.path.exists(script):
        if on_path is None:
            raise UsageError(
                f"{NAME} is not installed as a command that a client could start: pip install it"
            )
        return os.path.abspath(on_path)
    if on_path and os.path.realpath(on_path) == os.path.realpath(script):
        return os.path.abspath(on_path)
    return script
