"""Two users with one project, or one database: the second is told in one line, and the first
one's index stays right."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import (
    COMMAND,
    GIT_ENVIRONMENT,
    TIMEOUT,
    assert_one_line,
    only_slow,
    python_text,
    without_times,
)

FIRST, SECOND, GROUP = 12345, 65534, 54321
SPARSE = ("--mode", "sparse", "--executor", "serial")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can become another user",
)


@dataclass
class Shared:
    """A folder of a group, with a cache of its own for each of two users."""

    folder: Path

    def trust_repositories(self, is_trusting: bool) -> None:
        """What the users have told git of repositories that are others'."""
        text = "[safe]\n\tdirectory = *\n" if is_trusting else ""
        (self.folder / "gitconfig").write_text(text)
        (self.folder / "gitconfig").chmod(0o644)

    def call(
        self, user: int, *arguments: str, project: str = "project"
    ) -> subprocess.CompletedProcess[str]:
        become = ["--reuid", str(user), "--regid", str(GROUP), "--clear-groups"]
        done = subprocess.run(
            ["setpriv", *become, COMMAND, *arguments],
            cwd=self.folder / project,
            env={
                "PATH": os.environ["PATH"],
                **GIT_ENVIRONMENT,
                "GIT_CONFIG_GLOBAL": str(self.folder / "gitconfig"),
                "CODX_INDEX_CACHE_DIR": str(self.folder / f"cache-{user}"),
            },
            umask=0o002,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        done.stderr = without_times(done.stderr)
        return done


@pytest.fixture
def shared() -> Iterator[Shared]:
    folder = Path(tempfile.mkdtemp(prefix="codx-users-"))
    try:
        for name in ("project", "other"):
            (folder / name).mkdir()
            for number in range(2):
                (folder / name / f"{number}.py").write_text(python_text(number))
            subprocess.run(["git", "init", "-q", name], cwd=folder, check=True)
        for name in (f"cache-{FIRST}", f"cache-{SECOND}"):
            (folder / name).mkdir()
        for path in (folder, *folder.rglob("*")):
            is_second = str(SECOND) in path.name or "other" in path.parts
            user = SECOND if is_second else FIRST
            os.chown(path, user, GROUP)
            path.chmod(0o2770 if path.is_dir() else 0o660)
        made = Shared(folder)
        made.trust_repositories(True)
        if made.call(FIRST, "--version").returncode:
            pytest.skip("another user cannot start the command here")
        yield made
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("safe", [True, *only_slow(False)])
def test_two_users_on_one_project(safe: bool, shared: Shared) -> None:
    assert shared.call(FIRST, "run", *SPARSE).returncode == 0
    shared.trust_repositories(safe)
    for command in (
        ["run", *SPARSE],
        ["search", "x", "--mode", "sparse"],
        ["verify", *SPARSE],
        ["clear", "--yes"],
    ):
        line = assert_one_line(shared.call(SECOND, *command), 1)
        assert ("safe.directory" in line) or (".codx/index" in line)
    shared.trust_repositories(True)
    done = shared.call(FIRST, "run", *SPARSE)
    assert (done.returncode, done.stdout[:9]) == (0, "unchanged")
    assert shared.call(FIRST, "verify", *SPARSE).returncode == 0


def test_two_users_on_one_database(shared: Shared) -> None:
    uri = ("--uri", str(shared.folder / "x.db"))
    assert shared.call(FIRST, "run", *SPARSE, *uri).returncode == 0
    for command in (
        ["run", *SPARSE, *uri],
        ["search", "x", "--mode", "sparse", *uri],
    ):
        line = assert_one_line(shared.call(SECOND, *command, project="other"), 1)
        assert "x.db" in line
    assert shared.call(FIRST, "run", *SPARSE, *uri).returncode == 0
    assert shared.call(FIRST, "verify", *SPARSE, *uri).returncode == 0
