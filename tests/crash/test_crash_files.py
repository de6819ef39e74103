"""Files of the index cut, lost, exchanged or restored behind our back: the next run is
exact, or says what to do."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, open_store
from crash_harness import (
    Death,
    Yard,
    assert_exact,
    assert_repaired,
    kill_run,
    open_yard,
    put_tree,
    rounds,
    seed,
    state_of,
    telling,
)

from indexer.milvus.on_disk import signature

SHARES = 4
STEPS_THAT_WRITE = ["claimed", "upserted", "deleted", "recorded", "gone", "flushed"]


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Yard:
    return open_yard(tmp_path_factory, model_cache)


def database(project: Project) -> Path:
    return state_of(project) / "milvus.db"


def files_of(project: Project, *endings: str) -> list[Path]:
    """The files of the database whose names end so, and that have a byte to lose."""
    return sorted(
        path
        for path in database(project).rglob("*")
        if path.name.endswith(endings) and path.is_file() and path.stat().st_size
    )


def cut(path: Path, rng: random.Random) -> str:
    """Take a few bytes of the tail, or any number, or all."""
    size = path.stat().st_size
    left = max(
        0, rng.choice([0, rng.randrange(size), size - 1, size - rng.randrange(64)])
    )
    os.truncate(path, left)
    return f"{path.name}: {left} of {size} bytes"


def assert_exact_or_told(yard: Yard, project: Project, tree: str) -> None:
    """The next run is exact; or it names the database, and after `clear` it is."""
    # After an error of the store only the end of the process closes it.
    done = project.installed.command("run", "-q")
    if done.returncode:
        assert str(database(project)) in assert_one_line(done, 1), done.stderr
        assert project.command("clear", "-y").returncode == 0
        project.run()
    assert_exact(yard, project, tree, verify=True)


# --- torn files ------------------------------------------------------------------------


def torn_after_a_kill(number: int, yard: Yard, folder: Path, draw: str) -> None:
    rng = random.Random(draw)
    project = yard.indexed(folder / "project", "base")
    put_tree(project, "edited")
    if rng.random() < 0.5:
        project.environment["MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES"] = "200000"
    fault = f"kill {rng.choice(STEPS_THAT_WRITE)} {rng.choice([1, 1, 2])}"
    kill_run(project, Death("step", fault=fault), 0)
    logs = files_of(project, ".arrow")
    torn = [cut(path, rng) for path in logs if rng.random() < 0.8]
    if not logs or rng.random() < 0.2:
        segments = files_of(project, ".parquet", ".json")
        torn.append(cut(rng.choice(segments), rng))
    with telling(round=number, fault=fault, torn=torn):
        assert_exact_or_told(yard, project, "edited")


def torn_when_complete(number: int, yard: Yard, folder: Path, draw: str) -> None:
    rng = random.Random(draw)
    project = yard.indexed(folder / "project", "base")
    project.run()
    torn = [cut(rng.choice(files_of(project, ".parquet", ".json", ".prev")), rng)]
    with telling(round=number, torn=torn):
        assert_exact_or_told(yard, project, "base")


TEARS = {"killed": torn_after_a_kill, "complete": torn_when_complete}


def tear(
    kind: str, default: int, share: int, shares: int, yard: Yard, folder: Path
) -> None:
    chosen = seed(1 if default < 20 else None)
    with telling(CODX_INDEX_CRASH_SEED=chosen, share=share):
        for number in range(rounds(default, share, shares)):
            part = folder / str(number)
            part.mkdir()
            TEARS[kind](number, yard, part, f"{chosen} {kind} {share} {number}")
            shutil.rmtree(part)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow if kind == "killed" else ())
        for kind in TEARS
    ],
)
def test_torn_files(kind: str, yard: Yard, tmp_path: Path) -> None:
    tear(kind, 1, 0, 1, yard, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("kind", TEARS)
def test_many_torn_files(kind: str, share: int, yard: Yard, tmp_path: Path) -> None:
    tear(kind, 100, share, SHARES, yard, tmp_path)


def damage(project: Project, ending: str) -> None:
    """Take the last byte of the one file of the database whose path ends so."""
    (path,) = (p for p in database(project).rglob("*") if str(p).endswith(ending))
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    "ending",
    [
        "/manifest.json",
        pytest.param("aliases.json", marks=pytest.mark.slow),
        pytest.param("schema.json", marks=pytest.mark.slow),
        pytest.param(".parquet", marks=pytest.mark.slow),
    ],
)
def test_a_trusted_index_is_seen_to_have_changed(
    ending: str, yard: Yard, tmp_path: Path
) -> None:
    project = yard.indexed(tmp_path / "project", "base")
    (physical,) = os.listdir(database(project) / "collections")
    before = signature(str(database(project)), physical)
    assert before != ""
    damage(project, ending)
    assert signature(str(database(project)), physical) != before
    assert_exact_or_told(yard, project, "base")


@pytest.mark.parametrize("ending", ["schema.json", ".parquet"])
def test_the_line_says_how_to_go_on(ending: str, yard: Yard, tmp_path: Path) -> None:
    project = yard.indexed(tmp_path / "project", "base")
    damage(project, ending)
    line = assert_one_line(project.installed.command("run", "-q"), 1)
    assert "codx-index clear" in line


# --- what else can happen to the files ---------------------------------------------------


def lose_the_manifest(project: Project, yard: Yard) -> None:
    (state_of(project) / "manifest.sqlite").unlink()


def take_another_manifest(project: Project, yard: Yard) -> None:
    """That of a project with another tree, complete, as a copied state folder may have."""
    other = yard.indexed(project.root.parent / "other", "edited")
    for name in ("manifest.sqlite", "stamp.json"):
        if (state_of(other) / name).exists():
            shutil.copy(state_of(other) / name, state_of(project) / name)


def take_another_state(project: Project, yard: Yard) -> None:
    """The whole state folder of a project with another tree."""
    other = yard.indexed(project.root.parent / "other", "edited")
    shutil.rmtree(state_of(project))
    shutil.copytree(state_of(other), state_of(project))


def take_another_database(project: Project, yard: Yard) -> None:
    other = yard.indexed(project.root.parent / "other", "edited")
    shutil.rmtree(database(project))
    shutil.copytree(database(other), database(project))


def lose_the_database(project: Project, yard: Yard) -> None:
    shutil.rmtree(database(project))


def lose_the_collections(project: Project, yard: Yard) -> None:
    shutil.rmtree(database(project) / "collections")


def lose_the_aliases(project: Project, yard: Yard) -> None:
    (database(project) / "aliases.json").unlink()


def drop_the_collection(project: Project, yard: Yard) -> None:
    with open_store(project) as store:
        store.drop()


def drop_the_alias(project: Project, yard: Yard) -> None:
    with open_store(project) as store:
        store._client.drop_alias(store.name)


def empty_the_collection(project: Project, yard: Yard) -> None:
    with open_store(project) as store:
        store.delete([key.id for key in store.keys()])
        store.flush()


def keep_the_stamp(project: Project, yard: Yard) -> None:
    """Everything but the stamp from a backup of another tree's index."""
    stamp = state_of(project) / "stamp.json"
    kept = stamp.read_bytes()
    take_another_state(project, yard)
    stamp.write_bytes(kept)


def keep_stamp_and_manifest(project: Project, yard: Yard) -> None:
    assert (state_of(project) / "stamp.json").exists()
    take_another_database(project, yard)


MISHAPS = [
    lose_the_manifest,
    take_another_manifest,
    take_another_state,
    take_another_database,
    lose_the_database,
    lose_the_collections,
    lose_the_aliases,
    drop_the_collection,
    drop_the_alias,
    empty_the_collection,
    keep_the_stamp,
    keep_stamp_and_manifest,
]

QUICK = {keep_the_stamp}


@pytest.mark.parametrize(
    "mishap",
    [
        pytest.param(
            m,
            marks=() if m in QUICK else pytest.mark.slow,
            id=m.__name__,
        )
        for m in MISHAPS
    ],
)
def test_a_mishap(
    mishap: Callable[[Project, Yard], None], yard: Yard, tmp_path: Path
) -> None:
    project = yard.indexed(tmp_path / "project", "base")
    # The second run has nothing to do but to leave a stamp.
    project.run()
    assert (state_of(project) / "stamp.json").exists()
    mishap(project, yard)
    assert_repaired(yard, project, "base", verify=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "mishap",
    [pytest.param(m, id=m.__name__) for m in MISHAPS],
)
def test_a_mishap_after_a_kill(
    mishap: Callable[[Project, Yard], None], yard: Yard, tmp_path: Path
) -> None:
    project = yard.indexed(tmp_path / "project", "base")
    project.run()
    put_tree(project, "other")
    kill_run(project, Death("step", fault="kill upserted 2"), 0)
    mishap(project, yard)
    assert_repaired(yard, project, "other", verify=True)
