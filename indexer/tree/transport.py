"""Runs git where it talks to other repositories, so that nothing is asked, and nothing of theirs runs.

Besides what holds for every call of git here, only the transports that are `ALLOWED` can be
used, nobody is asked for a password, and no transfer goes on for ever. The user's own programs
for that (ssh, credential helpers) count, as far as they need no terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from indexer.deadline import check_time, seconds_left
from indexer.environment import given
from indexer.errors import RepositoryError
from indexer.tree.git_process import clean_environment, end_git, find_git, start_git

ALLOWED = "https:http:ssh:file"  # not ext, which is any command, nor git, which is not encrypted
LONGEST = 900.0  # seconds for one call of git
LOOK = 0.5  # seconds between two looks at whether to stop
SLOWEST = 1000, 60  # bytes a second, for so many seconds: HTTP is given up then

_NO_HELPERS = (
    # Nothing stays behind that tidies up.
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", f"http.lowSpeedLimit={SLOWEST[0]}"),
    *("-c", f"http.lowSpeedTime={SLOWEST[1]}"),
    *("-c", "advice.detachedHead=false"),
)
# How the user reaches repositories.
_OF_THE_USER = re.compile(
    "GIT_(SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_\\w+|HTTP_\\w+|PROXY_\\w+)"
)
# Another try would end alike.
_FINAL = re.compile(
    "couldn't find remote ref|not found|does not exist|does not appear to be a git repository"
    "|Authentication failed|could not read (Username|Password)|Permission denied"
    "|not allowed|unadvertised object|dubious ownership|blocked|not our ref"
)


class PassingError(RepositoryError):
    """A failure that may be over at the next try."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository to fetch from.

    `url` is what git is told, without `credentials`, which are "user:password" or a token, "" for
    none. `revision` is a branch, a tag or a whole commit id, "" for the HEAD.
    """

    url: str
    revision: str = ""
    credentials: str = field(default="", repr=False)

    def hide(self, text: str) -> str:
        """What git said, without the credentials."""
        from indexer.address import Address, without_passwords

        if self.credentials:
            text = Address(self._with_credentials(self.url)).hide(text)
        return without_passwords(text)

    @property
    def variables(self) -> dict[str, str]:
        """Variables by which git knows the credentials.

        They do not stand on its command line, which every user of this machine can read.
        """
        if not self.credentials:
            return {}
        number = int(given().get("GIT_CONFIG_COUNT") or 0)
        start = re.match(r"\w+://[^/]*/", self.url)
        base = start[0] if start else self.url
        return {
            "GIT_CONFIG_COUNT": str(number + 1),
            f"GIT_CONFIG_KEY_{number}": f"url.{self._with_credentials(base)}.insteadOf",
            f"GIT_CONFIG_VALUE_{number}": base,
        }

    def _with_credentials(self, url: str) -> str:
        return url.replace("://", f"://{self.credentials}@", 1)


def call_git(
    folder: str, remote: Remote, *arguments: str, check: Callable[[], object]
) -> bytes:
    """What a call of git printed. `check` is called again and again, and may raise.

    Raises `RepositoryError`, as a `PassingError` unless another try would end alike.
    """
    git = find_git()
    if git is None:
        raise RepositoryError(
            "it cannot be fetched: there is no git on PATH: install it"
        )
    try:
        process = start_git(
            git, folder, (*_NO_HELPERS, *arguments), _environment(remote)
        )
    except OSError as error:
        raise RepositoryError(
            f"git cannot be started in {folder}: {error.strerror}: check {git}"
        ) from error
    try:
        output, errors = _communicate(process, check)
    finally:
        end_git(process)
    if process.returncode:
        raise _failure(remote, errors.decode("utf-8", "replace"), process.returncode)
    return output


def _communicate(
    process: subprocess.Popen[bytes], check: Callable[[], object]
) -> tuple[bytes, bytes]:
    end = time.monotonic() + LONGEST
    while True:
        try:
            return process.communicate(timeout=max(0.01, min(LOOK, seconds_left())))
        except subprocess.TimeoutExpired:
            check()
            check_time()
        if time.monotonic() > end:
            raise PassingError(
                f"it cannot be fetched: git did not finish within {LONGEST:.0f} s"
            )


def _environment(remote: Remote) -> dict[str, str]:
    of_the_user = {
        name: value for name, value in given().items() if _OF_THE_USER.fullmatch(name)
    }
    return {
        **clean_environment(),
        **of_the_user,
        "GIT_ALLOW_PROTOCOL": ALLOWED,
        # ssh asks a program, which says no, and not the terminal.
        "SSH_ASKPASS_REQUIRE": "force",
        "SSH_ASKPASS": shutil.which("false") or os.devnull,
        # Large files are left where they are: their place is taken by a few lines of text.
        "GIT_LFS_SKIP_SMUDGE": "1",
        **remote.variables,
    }


def _failure(remote: Remote, errors: str, status: int) -> RepositoryError:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    fatal = [one for one in lines if one.startswith("fatal:")]
    told = [one for one in lines if not one.startswith("warning:")]
    is_vague = not fatal or "Could not read from remote repository" in fatal[0]
    reason = next(iter(told if is_vague else fatal), f"git ended with status {status}")
    reason = remote.hide(reason.removeprefix("fatal: "))
    if "couldn't find remote ref" in errors:
        reason = (
            f"it has no revision {remote.revision or 'HEAD'!r} (a branch, a tag or a full "
            "commit id)"
        )
    kind = RepositoryError if _FINAL.search(errors) else PassingError
    return kind(f"it cannot be fetched: {reason}")
