"""A first index that starts from the one of another work tree: exact, and for next to nothing."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND, Project, make_cache, only_slow, start, wait_for
from seeds import (
    SPARSE,
    add_worktree,
    assert_like_fresh,
    commit,
    fill,
    ignored,
    rows_of,
    text_of,
)

from indexer.faults import SEED_STEPS

FILES = 12


@pytest.fixture
def main(project: Project) -> Project:
    """A project with an index by words."""
    fill(project, FILES)
    project.run(*SPARSE)
    return project


def state_of(project: Project) -> Path:
    return project.root / ".codx" / "index"


def edit(project: Project) -> None:
    """Change, add, remove, rename files, and let two change places."""
    source = project.root / "src"
    project.write("src/m1.py", text_of(1) + text_of(101))
    project.write("new.py", text_of(102))
    os.unlink(source / "m2.py")
    os.rename(source / "m3.py", source / "moved.py")
    os.rename(source / "m4.py", source / "t")
    os.rename(source / "m5.py", source / "m4.py")
    os.rename(source / "t", source / "m5.py")


def test_nothing_is_embedded_or_written_that_is_there(
    project: Project, tmp_path: Path, model_cache: Path
) -> None:
    fill(project, FILES)
    project.run()
    before = rows_of(project)
    other = add_worktree(project, tmp_path / "other")
    other.cache_dir = make_cache(tmp_path / "cold", model_cache)
    report = other.run()
    assert report["status"] == "updated"
    assert report["seeded"] == {"from": str(project.root), "files": FILES}
    chunks = report["chunks"]
    assert (chunks["embedded"], chunks["cached"], chunks["upserted"]) == (0, 0, 0)
    assert rows_of(other) == before
    assert other.run()["status"] == "unchanged"
    assert other.command("verify").returncode == 0
    # The other one is as it was.
    assert project.run()["status"] == "unchanged"
    # What differs is embedded, and nothing else.
    third = add_worktree(project, tmp_path / "third")
    third.cache_dir = make_cache(tmp_path / "cold too", model_cache)
    third.write("src/m1.py", text_of(500))
    report = third.run()
    assert report["files"]["modified"] == 1 and report["chunks"]["embedded"] == 1
    third.cache_dir = project.cache_dir
    assert_like_fresh(third)


def test_what_differs_is_done(main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other")
    edit(other)
    done = other.command("run", *SPARSE)
    assert done.returncode == 0 and not done.stderr
    kept = FILES - 5  # edited, removed, renamed, and the two that changed places
    assert (
        f"started from the index of ../{main.root.name}: {kept} of {FILES} files are the same there"
        in done.stdout
    )
    assert_like_fresh(other, *SPARSE)


def test_files_are_not_read_that_git_vouches_for(main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other")
    # git looks at what it wrote so shortly before its index that it cannot tell.
    other.git("update-index", "--refresh")
    index = Path(other.git("rev-parse", "--git-path", "index").strip())
    os.utime(index)
    report = other.run(*SPARSE)
    assert report["files"]["read"] == 0 and report["files"]["unchanged"] == FILES


@pytest.mark.slow
def test_the_nearest_is_taken(main: Project, tmp_path: Path) -> None:
    far = add_worktree(main, tmp_path / "far")
    for number in range(6):
        far.write(f"src/m{number}.py", text_of(1000 + number))
    near = add_worktree(main, tmp_path / "near")
    near.write("src/m0.py", text_of(2000))
    for one in (far, near):
        commit(one)
        one.run(*SPARSE)
    other = add_worktree(main, tmp_path / "other", "-b", "other", "near")
    assert other.run(*SPARSE)["seeded"] == {"from": str(near.root), "files": FILES}
    again = add_worktree(main, tmp_path / "again", "-b", "again", "far")
    assert again.run(*SPARSE)["seeded"] == {"from": str(far.root), "files": FILES}


@pytest.mark.slow
def test_the_one_that_is_named_comes_first(main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other")
    other.write("src/m0.py", text_of(3000))
    other.run(*SPARSE)
    third = add_worktree(main, tmp_path / "third")
    report = third.run(*SPARSE, "--seed", "../other")
    assert report["seeded"] == {"from": str(other.root), "files": FILES - 1}
    assert_like_fresh(third, *SPARSE)
    # One that cannot be used is said, and the nearest is taken.
    fourth = add_worktree(main, tmp_path / "fourth")
    done = fourth.command("run", *SPARSE, "--seed", "../absent")
    assert done.returncode == 0 and "started from the index of" in done.stdout
    assert done.stderr.count("\n") == 1 and "absent" in done.stderr


def test_a_clone_starts_from_what_is_named(main: Project, tmp_path: Path) -> None:
    main.git("clone", "-q", str(main.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", main.cache_dir)
    assert clone.run(*SPARSE)["seeded"] is None
    shutil.rmtree(state_of(clone))
    report = clone.run(*SPARSE, "--seed", str(main.root))
    assert report["seeded"] == {"from": str(main.root), "files": FILES}
    assert_like_fresh(clone, *SPARSE)


@pytest.mark.slow
def test_outside_of_git(make_project: Callable[[str], Project]) -> None:
    """Everything is read, and nothing is written."""
    one, other = make_project("one"), make_project("other")
    for project in (one, other):
        project.write("a.py", text_of(1))
    one.run(*SPARSE)
    report = other.run(*SPARSE, "--seed", str(one.root))
    assert report["files"]["read"] == 1 and report["chunks"]["upserted"] == 0
    assert_like_fresh(other, *SPARSE)


@pytest.mark.slow
def test_a_folder_of_the_repository(project: Project, tmp_path: Path) -> None:
    part = Project(project.root / "part", project.cache_dir)
    part.write("codx-index.toml", "")
    part.write("a.py", text_of(1))
    commit(project)
    part.run(*SPARSE)
    other = add_worktree(project, tmp_path / "other")
    found = Project(other.root / "part", project.cache_dir).run(*SPARSE)
    assert found["seeded"] == {"from": str(part.root), "files": 1}


@pytest.mark.slow
def test_state_elsewhere(project: Project, tmp_path: Path) -> None:
    fill(project, 3)
    options = (*SPARSE, "--state-dir", str(tmp_path / "states"))
    project.run(*options)
    other = add_worktree(project, tmp_path / "other")
    assert other.run(*options)["seeded"]["files"] == 3
    assert other.run(*options)["status"] == "unchanged"
    assert other.command("verify", *options).returncode == 0


def test_it_can_be_switched_off(main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other")
    report = other.run(*SPARSE, "--dry-run")
    assert not (state_of(other) / "milvus.db").exists()
    assert report["seeded"] is None and report["plan"]["added"]
    other.write("codx-index.toml", 'seed = "none"\n')
    report = other.run(*SPARSE)
    assert report["seeded"] is None and report["chunks"]["upserted"]


@pytest.mark.slow
def test_a_search_makes_the_index_in_the_same_way(
    main: Project, tmp_path: Path
) -> None:
    other = add_worktree(main, tmp_path / "other")
    other.write("codx-index.toml", 'mode = "sparse"\n')
    done = other.command("search", "--refresh", "--mode", "sparse", "m3", "src/m3.py")
    assert done.returncode == 0, done.stderr
    with sqlite3.connect(state_of(other) / "manifest.sqlite") as manifest:
        (count,) = manifest.execute("SELECT count(*) FROM files").fetchone()
    assert count == FILES + 1
    assert rows_of(other).keys() > rows_of(main).keys()


# What is not believed


def truncated(main: Project) -> None:
    segment = segment_of(main)
    os.truncate(segment, segment.stat().st_size // 2)


def flipped(main: Project) -> None:
    """A bit that no sample of the file shows."""
    segment = segment_of(main)
    data = bytearray(segment.read_bytes())
    data[len(data) // 5] ^= 1
    segment.write_bytes(data)


def removed(main: Project) -> None:
    segment_of(main).unlink()


def without_list(main: Project) -> None:
    for path in (state_of(main) / "milvus.db").rglob("manifest.json*"):
        path.write_text("{")


def without_manifest(main: Project) -> None:
    (state_of(main) / "manifest.sqlite").write_text("nonsense")


def open_to_others(main: Project) -> None:
    state_of(main).chmod(0o755)


def behind_a_link(main: Project) -> None:
    away = main.root.parent / "away"
    (main.root / ".codx").rename(away)
    (main.root / ".codx").symlink_to(away)


def with_other_settings(main: Project) -> None:
    main.run(*SPARSE, "--secrets", "off")


def segment_of(main: Project) -> Path:
    segments = (state_of(main) / "milvus.db").rglob("*.parquet")
    return max(segments, key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (flipped, "damaged"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (truncated, "damaged"),
                (removed, "missing"),
                (without_list, "missing"),
                (without_manifest, "not known"),
                (open_to_others, "open to other users"),
                (behind_a_link, "is a symlink"),
                (with_other_settings, "other settings"),
            )
        ),
    ],
)
def test_what_cannot_be_used_is_said_and_left(
    spoil: Callable[[Project], None], reason: str, main: Project, tmp_path: Path
) -> None:
    for number in range(12):  # so that a segment is larger than its samples
        main.write(f"more/n{number}.py", text_of(5000 + number, 200))
    commit(main)
    main.run(*SPARSE)
    spoil(main)
    other = add_worktree(main, tmp_path / "other")
    done = other.command("run", *SPARSE)
    assert done.returncode == 0 and "started from" not in done.stdout
    assert done.stderr.count("\n") == 1 and reason in done.stderr
    assert f"the index of {main.root} is not started from: " in done.stderr
    shutil.rmtree(state_of(other))
    report = other.run(*SPARSE)
    assert report["seeded"] is None and reason in ignored(report)[main.root.name]
    if spoil is not behind_a_link:
        assert_like_fresh(other, *SPARSE)


def test_a_commit_cannot_lead_to_another_project(
    project: Project, make_project: Callable[[str], Project], tmp_path: Path
) -> None:
    """A work tree of a stranger's branch, in which the project's folder is a link."""
    private = make_project("private")
    private.write("secret.py", text_of(1))
    private.run(*SPARSE)
    part = Project(project.root / "part", project.cache_dir)
    part.write("codx-index.toml", "")
    commit(project)
    strange = add_worktree(project, tmp_path / "strange")
    shutil.rmtree(strange.root / "part")
    (strange.root / "part").symlink_to(private.root)
    report = part.run(*SPARSE)
    assert report["seeded"] is None and report["seeds_ignored"] == []


@pytest.mark.slow
def test_a_full_disk(main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other").installed
    other.environment["CODX_INDEX_FAULT"] = "full copied"
    report = other.run(*SPARSE)
    assert report["seeded"] is None
    assert "No space left" in ignored(report)[main.root.name]
    del other.environment["CODX_INDEX_FAULT"]
    assert_like_fresh(other, *SPARSE)


# While others are at work, and after a kill


@pytest.mark.parametrize("step", ["upserted", *only_slow("dirty", "flushed", "closed")])
def test_a_run_is_at_work_there(step: str, main: Project, tmp_path: Path) -> None:
    edit(main)
    main.environment["CODX_INDEX_FAULT"] = f"stop {step}"
    process = start(main, "run", *SPARSE)
    try:
        wait_for(lambda: is_stopped(process.pid))
        other = add_worktree(main, tmp_path / "other")
        del other.environment["CODX_INDEX_FAULT"]
        report = other.run(*SPARSE)
        assert report["seeded"]["from"] == str(main.root), report["seeds_ignored"]
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.communicate()
    del main.environment["CODX_INDEX_FAULT"]
    assert_like_fresh(other, *SPARSE)
    assert main.run(*SPARSE)["status"] == "unchanged"
    assert main.command("verify", *SPARSE).returncode == 0


def is_stopped(pid: int) -> bool:
    about = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return about.rpartition(")")[2].split()[0] == "T"


@pytest.mark.slow
def test_the_first_run_is_at_work_there(project: Project, tmp_path: Path) -> None:
    fill(project, FILES)
    project.environment["CODX_INDEX_FAULT"] = "kill recorded"
    assert project.launch(COMMAND, "run", *SPARSE).returncode == -signal.SIGKILL
    other = add_worktree(project, tmp_path / "other")
    del other.environment["CODX_INDEX_FAULT"]
    report = other.run(*SPARSE)
    assert report["seeded"] == {"from": str(project.root), "files": FILES}
    assert_like_fresh(other, *SPARSE)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, marks=() if step == "planted" else pytest.mark.slow)
        for step in SEED_STEPS
    ],
)
def test_a_kill_at_each_step(step: str, main: Project, tmp_path: Path) -> None:
    other = add_worktree(main, tmp_path / "other")
    edit(other)
    other.environment["CODX_INDEX_FAULT"] = f"kill {step}"
    assert other.launch(COMMAND, "run", *SPARSE).returncode == -signal.SIGKILL
    del other.environment["CODX_INDEX_FAULT"]
    report: dict[str, Any] = other.run(*SPARSE)
    assert (report["seeded"] is not None) == (step == "copied")
    assert_like_fresh(other, *SPARSE)
