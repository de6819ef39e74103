"""What must not be seen: secrets in the tree, the token, the state of others."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sysconfig
import time
from pathlib import Path

import psutil
import pytest
from conftest import Project, assert_one_line
from planted import Planted, planted

COMMAND = os.path.join(sysconfig.get_path("scripts"), "codx-index")


def one_of_each_kind() -> list[Planted]:
    found = {each.kind: each for each in planted(11)}
    found.update({f"{each.kind} again": each for each in planted(12)})
    return list(found.values())


def plant(project: Project) -> list[str]:
    """Tracked files with credentials; returns these."""
    secrets: list[str] = []
    for number, each in enumerate(one_of_each_kind()):
        # Secrets, not names, are to be found here.
        project.write(f"{number:03}/{each.path}", each.text + "\nplain = 1\n")
        secrets += each.secrets
    project.write(".env", "TOKEN=not-to-be-read-at-all\n")
    project.git("add", "-f", ".")
    project.git("commit", "-qm", "secrets")
    assert len(secrets) >= 60
    return [*secrets, "not-to-be-read-at-all"]


def leaks(secrets: list[str], *folders: Path, said: str = "") -> list[str]:
    """The secrets that can be read in the files, or in what was said."""
    contents = [said.encode()]
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and "models" not in path.parts:
                contents.append(path.read_bytes())
    assert sum(map(len, contents)) > 10_000
    return [s for s in secrets if any(s.encode() in content for content in contents)]


@pytest.mark.parametrize("mode", ["mask", "skip-file"])
def test_no_secret_is_stored(mode: str, project: Project) -> None:
    secrets = plant(project)
    project.write("plain.py", "nothing = 'to hide'\n")
    done = project.command("run", "--secrets", mode, "--json", "--verbose")
    assert done.returncode == 0
    report = json.loads(done.stdout)
    said = done.stdout + done.stderr
    state = project.root / ".codx"
    assert leaks(secrets, state, project.cache_dir, said=said) == []
    if mode == "mask":
        assert report["secrets"]["masked"] >= 60
        assert report["files"]["skipped"] == {"secret": 1}
        assert any("********" in row["text"] for row in project.rows().values())
    else:
        assert report["secrets"]["masked"] == 0
        assert report["files"]["skipped"]["secret"] > 30
    for command in ("run", "verify", "status"):
        again = project.command(command, "--secrets", mode)
        assert again.returncode == 0, again.stdout + again.stderr
        assert leaks(secrets, state, said=again.stdout + again.stderr) == []


def test_what_is_wanted_is_stored(project: Project) -> None:
    project.write(".env", "NAME=shown\n")
    project.write("a.py", 'PASSWORD = "x8Kd93mQ-sd"\n')
    assert project.run()["secrets"]["masked"] == 1
    assert project.run("--include-secrets")["files"]["added"] == 1
    assert project.run("--include-secrets")["status"] == "unchanged"
    assert project.run()["files"]["deleted"] == 1
    assert [row["text"] for row in project.rows().values()] == ['PASSWORD = "********"']
    report = project.run("--secrets", "off")
    assert (report["status"], report["secrets"]["masked"]) == ("updated", 0)
    (row,) = project.rows().values()
    assert row["text"] == 'PASSWORD = "x8Kd93mQ-sd"'
    assert project.run()["secrets"]["masked"] == 1


def test_the_list_of_processes_does_not_show_the_token(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    with subprocess.Popen(
        [COMMAND, "run", "--uri", "http://127.0.0.1:9", "--token", "root:hush-hush"],
        cwd=project.root,
        env=project.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        shown = psutil.Process(run.pid)
        seen = ""
        while run.poll() is None and "***" not in seen:
            seen = " ".join(shown.cmdline())
            time.sleep(0.01)
        assert "--token ***" in seen and "hush" not in seen
        output, errors = run.communicate(timeout=60)
    assert run.returncode == 69
    assert "hush" not in output + errors
    state = project.root / ".codx"
    for path in state.rglob("*"):
        assert path.is_dir() or b"hush" not in path.read_bytes()


def test_state_is_closed_to_others_whatever_the_umask(project: Project) -> None:
    project.write("a.py", "x = 1\n")
    old = os.umask(0)
    try:
        assert project.installed.command("run").returncode == 0
        assert_one_line(project.installed.command("run", "--max-file-size", "many"), 2)
    finally:
        os.umask(old)
    found = [project.root / ".codx/index", *(project.root / ".codx/index").rglob("*")]
    caches = list(project.cache_dir.glob("embeddings-*"))
    assert len(found) > 5 and caches
    for path in [*found, *caches]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert mode & 0o077 == 0, f"{path}: {mode:o}"
