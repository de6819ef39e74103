"""Contents that move onto the paths of others: a reader finds each of them all the time."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, wait_for
from milvus_server import served
from moving import MOVES, build, contents, move, reading, source
from pymilvus import MilvusClient

from indexer.config import DEFAULT_MODEL
from indexer.index import writer as writing
from indexer.milvus import internals
from indexer.milvus import rows as milvus_rows
from indexer.milvus import table
from indexer.run.session import Session
from indexer.work import tasks

SPARSE = "--mode", "sparse"
SOME = [name for name in MOVES if name != "large"]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a group, and few rows go into a call."""
    monkeypatch.setattr(writing, "GROUP_ROWS", 1)
    monkeypatch.setattr(milvus_rows, "UPSERT_ROWS", 8)
    monkeypatch.setattr(table, "UPSERT_ROWS", 8)


@contextmanager
def looking(
    kept: dict[str, str], lines: Sequence[str] = ()
) -> Iterator[list[set[str]]]:
    """Look after each call that writes rows: which contents are not there as a whole, and
    which lines are nowhere?"""
    absent: list[set[str]] = []

    def look(client: MilvusClient, collection: str) -> None:
        fields = ["path", "file_hash", "chunk_no", "chunk_count", "text"]
        found = client.query(collection, filter='id != ""', output_fields=fields)
        numbers = defaultdict(set)
        for row in found:
            version = row["path"], row["file_hash"], row["chunk_count"]
            numbers[version].add(row["chunk_no"])
        there = {hash_ for (_, hash_, count), n in numbers.items() if len(n) == count}
        text = "\n".join(row["text"] for row in found)
        absent.append(kept.keys() - there | {one for one in lines if one not in text})

    with pytest.MonkeyPatch.context() as patch:
        for name in ("upsert", "delete"):
            method = getattr(MilvusClient, name)

            def call(
                client: MilvusClient,
                collection: str,
                *given: Any,
                method: Any = method,
                **options: Any,
            ) -> Any:
                answer = method(client, collection, *given, **options)
                look(client, collection)
                return answer

            patch.setattr(MilvusClient, name, call)
        yield absent


def kept_contents(project: Project, *names: str) -> dict[str, str]:
    """Move contents; gives those that the tree had before and has now, blob id to word."""
    before = contents(project)
    move(project, *names)
    return {hash_: before[hash_] for hash_ in contents(project).keys() & before.keys()}


def assert_never_absent(absent: list[set[str]], kept: dict[str, str]) -> None:
    assert len(absent) > 10
    assert [{kept[hash_] for hash_ in some} for some in absent if some] == []


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(SPARSE, id="plain"),
        pytest.param((*SPARSE, "--force"), id="force"),
        pytest.param(
            ("--sparse-first", "-j", "1"), marks=pytest.mark.slow, id="sparse-first"
        ),
    ],
)
def test_no_content_is_absent_after_any_call(
    options: tuple[str, ...], project: Project
) -> None:
    build(project, *SOME)
    project.run(*options)
    kept = kept_contents(project, *SOME)
    with looking(kept) as absent:
        project.run(*options)
    assert_never_absent(absent, kept)
    mode = SPARSE if SPARSE[0] in options else ()
    verify = project.command("verify", "--executor", "serial", *mode)
    assert verify.returncode == 0, verify.stdout


@pytest.mark.usefixtures("small_steps")
def test_no_content_is_absent_while_an_index_is_repaired(project: Project) -> None:
    """Each file is in doubt, and the contents move as well."""
    build(project, *SOME)
    project.run(*SPARSE)
    kept = kept_contents(project, *SOME)
    with looking(kept) as absent:
        done = project.command("verify", "--repair", "--executor", "serial", *SPARSE)
    assert done.returncode == 0, done.stderr
    assert_never_absent(absent, kept)


@pytest.mark.usefixtures("small_steps")
def test_a_line_that_moves_within_its_file_is_never_absent(project: Project) -> None:
    """From one call to the next, when a file takes several."""
    project.write("a.py", source("hither", 60))
    project.run(*SPARSE)
    text = source("hither", 60).replace("last = hither", "")
    project.write("a.py", source("before", 10) + text + "\nlast = hither\n")
    lines = [f"def fn_hither_{number}(x):" for number in range(60)]
    with looking({}, lines) as absent:
        project.run(*SPARSE)
    assert len(absent) > 5 and not any(absent)


@pytest.mark.usefixtures("small_steps")
def test_a_run_that_is_cut_keeps_what_has_not_reached_its_place(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The small file is written first, the larger one that it changed places with last."""
    build(project, "swap")
    build_others(project, 0, count=24)
    project.run(*SPARSE)
    kept = kept_contents(project, "swap")
    kept = {hash_: word for hash_, word in kept.items() if word.startswith("uswap")}
    build_others(project, 1, count=24)
    with looking(kept) as absent:
        with monkeypatch.context() as patch:
            for name in ("FIRST_TASK_BYTES", "CHUNK_TASK_BYTES"):
                patch.setattr(tasks, name, 1024)
            patch.setattr(Session, "is_closing", property(lambda _: bool(absent)))
            report = project.run(*SPARSE, "--executor", "serial", code=4)
        assert report["files"]["deferred"] > 10
        rows = project.rows().values()
        paths = {row["path"] for row in rows if row["text"].startswith("uswapb = 1")}
        assert paths == {"swap/b.py"}  # in the tree it is in the other one now
        assert any(row["text"].startswith("uswapa") for row in rows)
        project.run(*SPARSE)
    assert_never_absent(absent, kept)
    verify = project.command("verify", "--executor", "serial", *SPARSE)
    assert verify.returncode == 0, verify.stdout


# Readers in processes of their own

LOOKS = int(os.environ.get("CODX_INDEX_READS", "300"))


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """milvus-lite writes a segment every few calls, and merges them all the time."""
    internals.import_milvus_lite()
    from milvus_lite.engine import collection

    monkeypatch.setenv("MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES", "100000")
    monkeypatch.setattr(collection, "MEMTABLE_MEMORY_LIMIT", 100_000)


@pytest.fixture(params=["embedded", "served"])
def place(
    request: pytest.FixtureRequest, project: Project, tmp_path: Path
) -> Iterator[Project]:
    """A project whose index lies in its own database, or on a server."""
    if request.param == "embedded":
        yield project
        return
    with served(tmp_path / "server") as (uri, _):
        project.environment["CODX_INDEX_URI"] = uri
        yield project


def look_on(
    project: Project,
    words: Iterable[str],
    change: Callable[[], object],
    *options: str,
    looks: int = LOOKS,
) -> None:
    """Change the tree and run, again and again, while a reader looks for what is always there."""
    build_others(project, 0)
    project.run(*options)
    rounds = 0
    with reading(project, sorted(words)) as seen:
        wait_for(lambda: seen.so_far)
        while seen.so_far < looks:
            rounds += 1
            change()
            build_others(project, rounds)
            project.run(*options)
    name = os.environ["PYTEST_CURRENT_TEST"].partition("::")[2]
    print(f"{name}: {rounds} runs, {seen.looks} looks, {seen.absent or 'none'} absent")
    assert (seen.absent, seen.failures) == ({}, [])


def build_others(
    project: Project, number: int, count: int = 70, functions: int = 40
) -> None:
    """Files that change beside."""
    for other in range(count):
        project.write(f"others/o{other}.py", source(f"o{other}v{number}", functions))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swap", "cycle", "folders", "large"])
def test_many_looks_while_contents_change_places(name: str, place: Project) -> None:
    build(place, name)
    words = contents(place).values()
    look_on(place, words, lambda: move(place, name), *SPARSE)


@pytest.mark.slow
@pytest.mark.usefixtures("small_memory")
def test_even_more_looks_while_segments_are_written(place: Project) -> None:
    build(place, "swap", "cycle")
    words = contents(place).values()
    look_on(
        place, words, lambda: move(place, "swap", "cycle"), *SPARSE, looks=2 * LOOKS
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--force", *SPARSE), ("--sparse-first",)])
def test_many_looks_in_other_runs(options: tuple[str, ...], place: Project) -> None:
    build(place, "swap", "cycle")
    words = contents(place).values()
    look_on(place, words, lambda: move(place, "swap", "cycle"), *options)


@pytest.mark.slow
def test_many_looks_while_a_chain_moves_on(place: Project) -> None:
    """Each content moves onto the next one's path, the last one to a new path."""
    for number in range(20):
        place.write(f"f{number}.py", source(f"u{number}x", 7 * number % 31))
    words = contents(place).values()
    first = itertools.count()

    def go_on() -> None:
        start = next(first)
        for number in reversed(range(start, start + 20)):
            os.replace(place.root / f"f{number}.py", place.root / f"f{number + 1}.py")

    look_on(place, words, go_on, *SPARSE)


@pytest.mark.slow
def test_many_looks_while_branches_are_switched(place: Project) -> None:
    build(place, *SOME)
    place.write(".gitignore", "others/\n.codx/\n")
    place.git("checkout", "-qb", "one")
    place.git("add", ".")
    place.git("commit", "-qm", "one")
    place.git("checkout", "-qb", "two")
    kept = kept_contents(place, *SOME)
    place.git("add", ".")
    place.git("commit", "-qm", "two")
    branches = itertools.cycle(["one", "two"])

    def switch() -> None:
        place.git("checkout", "-q", next(branches))

    look_on(place, kept.values(), switch, *SPARSE)


@pytest.mark.slow
def test_many_looks_while_the_model_changes(place: Project, tiny_model: str) -> None:
    """Then another collection grows beside, and the alias moves to it."""
    build(place, "swap", "cycle")
    words = contents(place).values()
    models = itertools.cycle([tiny_model, DEFAULT_MODEL])

    def change() -> None:
        move(place, "swap", "cycle")
        place.environment["CODX_INDEX_MODEL"] = next(models)

    look_on(place, words, change, *SPARSE)


@pytest.mark.slow
def test_many_looks_while_the_precision_changes(
    place: Project, tiny_model: str
) -> None:
    """Each vector is computed anew, by the same model."""
    build(place, "swap", "cycle")
    words = contents(place).values()
    place.environment["CODX_INDEX_MODEL"] = tiny_model
    precisions = itertools.cycle(["bf16", "f32"])

    def change() -> None:
        move(place, "swap", "cycle")
        place.environment["CODX_INDEX_PRECISION"] = next(precisions)

    look_on(place, words, change)


@pytest.mark.slow
def test_many_looks_while_an_index_is_repaired(place: Project) -> None:
    build(place, "swap", "cycle")
    words = contents(place).values()
    numbers = itertools.count(1000)

    def repair() -> None:
        move(place, "swap", "cycle")
        build_others(place, next(numbers))
        done = place.command("verify", "--repair", *SPARSE)
        assert done.returncode == 0, done.stdout + done.stderr

    look_on(place, words, repair, *SPARSE)
