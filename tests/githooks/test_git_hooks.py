"""Git hooks: indexes that follow git, and hooks of others that stay what they are."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import COMMAND, Project, assert_one_line, wait_for
from terminals import at_a_terminal

from indexer.cli.background import BackgroundRun, _step_back
from indexer.config import Settings
from indexer.githooks import moment
from indexer.githooks.files import LINE, NAMES
from indexer.githooks.moment import Turn
from indexer.githooks.script import WAITS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "git-hooks.md").read_text()

RECORDS = """\
#!/bin/sh
# Nothing but shell.
{ echo "$@"; cat; } >> "$(dirname "$0")/seen"
exit 3
"""


@pytest.fixture
def repository(project: Project) -> Project:
    """A repository with a commit and no index, which is indexed by words if it is."""
    project.environment["CODX_INDEX_MODE"] = "sparse"
    project.write("apple.py", "def applewood():\n    return 1\n")
    commit(project, "one")
    return project


@pytest.fixture
def followed(repository: Project) -> Project:
    """The same with an index and git hooks."""
    repository.run()
    install(repository)
    return repository


def install(project: Project) -> None:
    """Install the hooks, without their priority: other tests leave it no time."""
    done = project.command("hooks", "install")
    assert done.returncode == 0 and done.stderr == ""
    for name in NAMES:
        path = hooks_of(project) / name
        path.write_text(path.read_text().replace("nice -n 19 ", "nice -n 0 "))


def git(
    project: Project, *arguments: str, folder: Path | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Call git as a user would, whose hooks see the variables of the project."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder or project.root,
        env=project.variables(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


def commit(project: Project, message: str, folder: Path | None = None) -> None:
    git(project, "add", "-A", folder=folder)
    git(project, "commit", "-qm", message, folder=folder)


def run_of(project: Project) -> BackgroundRun:
    return BackgroundRun(Settings(str(project.root), "", ""), {})


def is_called(root: Path) -> bool:
    """Whether a hook of this work tree is at work, or waits to start a run."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            call = (folder / "cmdline").read_bytes()
            if b"hooks/post-" in call or b"hooks\0run" in call:
                if (folder / "cwd").readlink() == root:
                    return True
    return False


def settle(project: Project, code: int | None = 0) -> None:
    """Wait until a run in the background has been at work, and no other follows."""
    run = run_of(project)
    wait_for(lambda: run.latest)
    wait_for(lambda: not is_called(project.root) and not run.is_at_work, 240)
    assert run.ending and run.ending.exit_code == code, run.ending


def tree_of(folder: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Mode, time and bytes of each file, or where a symlink leads."""
    return {
        path.name: (
            stat.S_IMODE(path.lstat().st_mode),
            path.lstat().st_mtime_ns,
            os.readlink(path) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.iterdir()
    }


def hooks_of(project: Project) -> Path:
    return project.root / ".git" / "hooks"


def put(path: Path, text: str, mode: int = 0o755) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


# ---- What follows git


def test_what_the_page_says_to_type(repository: Project) -> None:
    lines = re.findall(r"(?m)^    codx-index (.*)$", PAGE)
    told = {line: repository.command(*line.split()) for line in lines}
    assert [done.returncode for done in told.values()] == [0] * len(lines)
    assert len(lines) == 5
    (said,) = re.findall(r"(?m)^installed the git hooks .*$", PAGE)
    said = said.replace("/home/u/app", str(repository.root))
    assert told["hooks install"].stdout == f"{said}\n"
    assert "removed" in told["hooks uninstall"].stdout


def test_a_commit_is_indexed_in_the_background(followed: Project) -> None:
    """Also what is committed while a run is at work."""
    run = run_of(followed)
    with open(followed.root / ".codx/index/background.log", "w") as at_work:
        fcntl.flock(at_work, fcntl.LOCK_EX)
        for name in ("pear.py", "quince.py"):
            followed.write(name, f"def {name[:-3]}wood():\n    return 1\n")
            git(followed, "add", "-A")
            # Of some files alone: git has an index of its own for that, which is gone afterwards.
            done = git(followed, "-c", "core.quotePath=no", "commit", "-m", "2", name)
            assert "codx" not in done.stdout + done.stderr
            wait_for(lambda: run.is_awaited)
    settle(followed)
    assert len(followed.rows()) == 3
    assert followed.command("verify").returncode == 0
    told = followed.report("status")["background"]
    assert (told["at_work"], told["exit_code"], told["error"]) == (False, 0, "")
    said = followed.command("status").stdout
    assert re.search(r"(?m)^background the last run ended at 2.* and succeeded$", said)
    said = followed.command("hooks", "status").stdout
    assert said.count(" installed\n") == 4 and "and succeeded" in said


def test_why_it_failed_is_in_the_status(followed: Project) -> None:
    followed.write("codx-index.toml", '[mentions]\ncommand = "true"\n')
    commit(followed, "a stranger's")
    settle(followed, None)  # it could not even say so in a report
    said = followed.command("status", "--no-trust").stdout
    assert "and failed: " in said and "--trust" in said
    assert (hooks_of(followed).parent / "hooks/post-commit").read_text().count(
        "trust"
    ) == 0


def test_work_trees_are_told_apart(followed: Project, tmp_path: Path) -> None:
    """One without an index gets none; one in another is no part of it."""
    inner, beside = followed.root / ".trees/inner", tmp_path / "beside"
    git(followed, "worktree", "add", "-q", str(beside), "-b", "beside")
    git(followed, "worktree", "add", "-q", str(inner), "-b", "inner")
    other = Project(beside, followed.cache_dir, followed.environment)
    other.run()
    shutil.rmtree(followed.root / ".codx")
    for folder in (inner, beside):
        (folder / "pear.py").write_text("def pearwood():\n    return 1\n")
        commit(followed, "two", folder)
    settle(other)
    assert len(other.rows()) == 2
    assert not (followed.root / ".codx").exists() and not (inner / ".codx").exists()
    for folder in (inner, beside):
        done = followed.command("hooks", "install", folder=folder)
        assert done.returncode == 0 and str(hooks_of(followed)) in done.stdout
    assert "-- .\n" in (hooks_of(followed) / "post-merge").read_text()


def test_one_waits_and_the_others_go(followed: Project) -> None:
    """What comes while a run is at work starts one more, and only one."""
    log = followed.root / ".codx/index/background.log"
    run, turn = run_of(followed), Turn(str(followed.root), 0)
    with open(log, "w") as at_work:
        fcntl.flock(at_work, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: run.follow(turn))
        waiting.start()
        mark = followed.root / ".git" / WAITS
        assert wait_for(lambda: run.is_awaited and mark.exists())
        assert "and another waits" in followed.command("status").stdout
        other = Turn(str(followed.root), 0)
        assert not run_of(followed).follow(other)
        other.end()
        assert run.is_awaited and waiting.is_alive() and mark.exists()
        shutil.rmtree(followed.root / ".codx")
    waiting.join(20)
    assert not (followed.root / ".codx").exists(), "nobody wants this index any more"
    assert not mark.exists()


def test_of_many_commits_one_starts_a_process(
    repository: Project, tmp_path: Path
) -> None:
    """Unless nobody is there any more who left the mark."""
    repository.command("hooks", "install")
    program, called = tmp_path / "program", tmp_path / "called"
    put(program, f'#!/bin/sh\necho "$@" >>{called}\nexec sleep 60\n')
    hook = hooks_of(repository) / "post-commit"
    hook.write_text(hook.read_text().replace(COMMAND, str(program)))
    mark = repository.root / ".git" / WAITS

    def waiting() -> Path:
        return Path("/proc", mark.read_text().strip())

    for _ in range(3):
        for _ in range(3):
            git(repository, "commit", "-q", "--allow-empty", "-m", "x")
        assert wait_for(lambda: called.exists() and called.read_text() != "")
        assert len(called.read_text().splitlines()) == 1
        called.unlink()
        os.kill(int(waiting().name), signal.SIGKILL)
        assert wait_for(lambda: not waiting().exists())


def test_a_rebase_is_waited_for(
    repository: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moment, "_LOOK_AT_REBASE", 0.01)
    rebase = repository.root / ".git/rebase-merge"
    rebase.mkdir()
    with subprocess.Popen(["sleep", "60"]) as caller:
        waits = threading.Thread(target=Turn(str(repository.root), caller.pid).wait)
        waits.start()
        rebase.rmdir()
        waits.join(0.2)
        assert waits.is_alive()
        rebase.mkdir()
        caller.kill()
    waits.join(0.2)
    assert waits.is_alive()
    rebase.rmdir()
    waits.join(20)
    assert not waits.is_alive()


def test_codx_index_is_gone(followed: Project) -> None:
    for name in NAMES:
        path = hooks_of(followed) / name
        path.write_text(path.read_text().replace(COMMAND, "/gone/codx-index"))
    followed.write("pear.py", "")
    git(followed, "add", "-A")
    done = git(followed, "commit", "-qm", "two")
    assert done.stderr == (
        "codx-index: the index is not updated: /gone/codx-index is gone (post-commit)\n"
    )
    assert "delete the files that have `codx-index hooks uninstall`" in PAGE
    second = (hooks_of(followed) / "post-commit").read_text().splitlines()[1]
    assert "codx-index hooks uninstall" in second


def test_a_run_that_nobody_waits_for_steps_back() -> None:
    """Among all processes, and not only in its own session."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        _step_back(process.pid)
        nice = os.getpriority(os.PRIO_PROCESS, process.pid)
        group = Path(f"/proc/{process.pid}/autogroup")
        told = group.read_text() if group.exists() else ""
        process.kill()
    assert nice >= 10
    assert not told.strip() or f"nice {nice}" in told


# ---- Hooks that are there already


def test_hooks_that_are_there_run_first_and_come_back(repository: Project) -> None:
    """With arguments, stdin and exit status; a file, a symlink, and one that git ignores."""
    folder = hooks_of(repository)
    put(folder / "post-checkout", RECORDS)
    put(folder.parent / "elsewhere", RECORDS)
    (folder / "post-rewrite").symlink_to("../elsewhere")
    put(folder / "post-commit", "no program\n", 0o644)
    before = tree_of(folder)
    done = repository.command("hooks", "install")
    assert "post-checkout.before-codx-index" in done.stderr
    assert repository.command("hooks", "install").returncode == 0
    git(repository, "checkout", "-q", "-b", "other", code=1)  # git's word for our 3
    alone = repository.launch(".git/hooks/post-checkout", "a")
    assert alone.returncode == 3
    git(repository, "commit", "-q", "--amend", "-m", "two")
    seen = (folder / "seen").read_text()
    ids = r"[0-9a-f]{40} [0-9a-f]{40}"
    assert re.fullmatch(rf"{ids} 1\na\namend\n{ids}\n", seen), seen
    (folder / "seen").unlink()
    assert "after post-commit.before" in repository.command("hooks", "status").stdout
    assert repository.command("hooks", "uninstall").returncode == 0
    assert tree_of(folder) == before
    again = repository.command("hooks", "uninstall")
    assert again.returncode == 0 and "no git hooks of codx-index" in again.stdout
    assert repository.command("hooks", "status").returncode == 1


def test_a_kill_between_two_renames(repository: Project) -> None:
    folder = hooks_of(repository)
    put(folder / "post-commit", RECORDS)
    before = tree_of(folder)
    (folder / "post-commit").rename(folder / "post-commit.before-codx-index")
    repository.command("hooks", "install")
    (folder / "post-commit").unlink()
    repository.command("hooks", "uninstall")
    assert tree_of(folder) == before


def test_hooks_that_cannot_be_renamed(repository: Project) -> None:
    folder = hooks_of(repository)
    for text in ('exec "$(basename "$0")"', '. "${0##*/}"', 'for f in "$0".d/*'):
        put(folder / "post-rewrite", f"#!/bin/sh\n{text}\n")
        before = tree_of(folder)
        assert LINE in assert_one_line(repository.command("hooks", "install"), 2)
        assert tree_of(folder) == before
    put(folder / "post-rewrite", "#!/bin/sh\n")
    put(folder / "post-rewrite.before-codx-index", "#!/bin/bash\n")
    line = assert_one_line(repository.command("hooks", "install"), 2)
    assert "remove the one that you do not want" in line
    assert not (folder / "post-commit").exists()


def test_husky_is_left_alone(repository: Project) -> None:
    folder = repository.root / ".husky" / "_"
    folder.mkdir(parents=True)
    put(folder / "post-commit", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"\n')
    repository.git("config", "core.hooksPath", ".husky/_")
    before = tree_of(folder)
    line = assert_one_line(repository.command("hooks", "install", "--yes"), 2)
    assert f"{repository.root}/.husky: {LINE}" in line and LINE in PAGE
    assert tree_of(folder) == before


def test_the_line_for_a_hook_of_somebody_else(repository: Project) -> None:
    repository.run()
    line = LINE.replace("codx-index", COMMAND, 1)
    put(hooks_of(repository) / "post-commit", f"#!/bin/sh\n{line}\n")
    repository.write("pear.py", "def pearwood():\n    return 1\n")
    commit(repository, "two")
    settle(repository)
    assert len(repository.rows()) == 2


@pytest.mark.parametrize("is_first", [True, False])
def test_pre_commit_runs_ours(is_first: bool, repository: Project) -> None:
    """Whichever is installed first, and as often as one likes."""
    repository.write(".pre-commit-config.yaml", "repos: []\n")
    program = Path(COMMAND).with_name("pre-commit")

    def pre_commit() -> None:
        done = repository.launch(str(program), "install", "-t", "post-commit")
        assert done.returncode == 0, done.stdout + done.stderr

    if is_first:
        pre_commit()
        before = tree_of(hooks_of(repository))
    assert repository.command("hooks", "install").returncode == 0
    pre_commit()
    pre_commit()
    repository.command("hooks", "install")
    assert repository.command("hooks", "status").returncode == 0
    ours = hooks_of(repository) / "post-commit.legacy"
    ours.write_text(ours.read_text().replace(COMMAND, "/gone/codx-index"))
    git(repository, "add", "-A")
    done = git(repository, "commit", "-qm", "two")
    assert done.stderr.count("/gone/codx-index is gone") == 1
    if is_first:
        repository.command("hooks", "uninstall")
        assert tree_of(hooks_of(repository)).keys() == before.keys()


def test_a_hook_that_lefthook_put_in_the_place_of_ours(repository: Project) -> None:
    folder = hooks_of(repository)
    repository.command("hooks", "install")
    before = tree_of(folder)
    (folder / "post-commit").rename(folder / "post-commit.old")
    put(folder / "post-commit", "#!/bin/sh\n# LEFTHOOK\n")
    assert repository.command("hooks", "status").returncode == 1
    repository.command("hooks", "install")
    assert repository.command("hooks", "status").returncode == 0
    assert not (folder / "post-commit.old").exists()
    repository.command("hooks", "uninstall")
    left = tree_of(folder)
    assert left["post-commit"][2] == b"#!/bin/sh\n# LEFTHOOK\n"
    assert left.keys() == before.keys() - set(NAMES) | {"post-commit"}


@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_folder_that_others_see(
    where: str, repository: Project, tmp_path: Path
) -> None:
    folder = {"outside": tmp_path / "hooks", "inside": repository.root / ".h"}[where]
    named = {"outside": str(folder), "inside": ".h"}[where]
    repository.git("config", "core.hooksPath", named)
    done = repository.command("hooks", "install")
    line = assert_one_line(done, 2)
    assert str(folder) in line and ".git/config" in line and "--yes" in line
    code, shown = at_a_terminal(repository, "hooks", "install", answer="n\n")
    assert code == 1 and "Write there?" in shown and not folder.exists()
    assert repository.command("hooks", "install", "--yes").returncode == 0
    assert {path.name for path in folder.iterdir()} == {*NAMES}
    assert "--yes" in assert_one_line(repository.command("hooks", "uninstall"), 2)
    assert repository.command("hooks", "uninstall", "--yes").returncode == 0
    assert not [*folder.iterdir()]


def test_hooks_that_are_switched_off(repository: Project) -> None:
    repository.git("config", "core.hooksPath", "/dev/null")
    line = assert_one_line(repository.command("hooks", "install"), 2)
    assert "switched off" in line and ".git/config" in line


def test_a_folder_that_cannot_be_written(repository: Project) -> None:
    shutil.rmtree(hooks_of(repository), ignore_errors=True)
    hooks_of(repository).symlink_to("nowhere/at/all")
    line = assert_one_line(repository.command("hooks", "install"), 1)
    assert "cannot write the git hooks in" in line


# ---- Other repositories


def test_bare_and_none(repository: Project, tmp_path: Path) -> None:
    git(repository, "clone", "-q", "--bare", ".", str(tmp_path / "bare"))
    done = repository.command("hooks", "install", str(tmp_path / "bare"))
    assert "without a work tree" in assert_one_line(done, 2)
    (tmp_path / "none").mkdir()
    done = repository.command("hooks", "install", str(tmp_path / "none"))
    assert "not in a git repository" in assert_one_line(done, 2)
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "-q", str(tree), folder=tmp_path / "bare")
    done = repository.command("hooks", "install", str(tree))
    assert done.returncode == 0 and str(tmp_path / "bare/hooks") in done.stdout


def test_several_projects_and_a_submodule(repository: Project, tmp_path: Path) -> None:
    """Each hook says for which projects it is, and they go one by one."""
    for name in ("api", "my site"):
        repository.write(f"services/{name}/codx-index.toml", "")
        done = repository.command("hooks", "install", f"services/{name}")
        assert done.returncode == 0
    hook = hooks_of(repository) / "post-commit"
    assert "-- services/api 'services/my site'\n" in hook.read_text()
    line = assert_one_line(repository.command("hooks", "uninstall"), 2)
    assert "not for ., but for services/api, services/my site" in line
    assert repository.command("hooks", "uninstall", "services/api").returncode == 0
    assert "-- 'services/my site'\n" in hook.read_text()
    repository.command("hooks", "uninstall", "services/my site")
    assert not hook.exists()

    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "add")
    git(repository, "clone", "-q", ".", str(tmp_path / "library"))
    git(repository, *allowed, str(tmp_path / "library"), "vendor/library")
    repository.write("codx-index.toml", "")
    (line,) = re.findall(r"(?m)^    git (submodule .*)$", PAGE)
    arguments = line.replace('"', "").split(maxsplit=4)
    arguments[-1] = arguments[-1].replace("codx-index", COMMAND, 1)
    git(repository, *arguments)
    hook = repository.root / ".git/modules/vendor/library/hooks/post-commit"
    assert "-- ../..\n" in hook.read_text()
