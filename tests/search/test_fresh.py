"""`search --refresh`: answers as new as the tree, and what is said where they cannot be."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from terminals import at_a_terminal

from indexer.cli import fresh
from indexer.cli.background import BackgroundRun, Ending
from indexer.cli.continuation import OTHER_INDEX, OTHER_SETTINGS
from indexer.cli.fresh import AT_WORK, CUT, Refresher
from indexer.cli.refresh import bring_up_to_date
from indexer.config import Settings
from indexer.index import stamp
from indexer.index.manifest import COMPLETE, Manifest
from indexer.milvus import engine
from indexer.milvus.client_errors import EngineError
from indexer.milvus.engine import EngineClient
from indexer.milvus.internals import open_engine
from indexer.run.budget import Budget
from indexer.run.extent import Extent
from indexer.search.answers import CHANGED_SINCE
from indexer.settings.assembly import settings_for
from indexer.settings.declarations import CACHE_DIR, TOKEN
from indexer.settings.values import option_values


@pytest.fixture
def indexed(project: Project) -> Project:
    """A project with a commit, indexed by words alone."""
    project.environment["CODX_INDEX_MODE"] = "sparse"
    for name in ("apple", "pear", "quince"):
        project.write(f"{name}.py", f"def {name}wood():\n    return 1\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "one")
    project.run()
    return project


def found(project: Project, query: str, *arguments: str) -> dict[str, bool | None]:
    """Whether each hit is stale, by its path."""
    done = project.command("search", query, "--json", *arguments)
    return {hit["path"]: hit["stale"] for hit in json.loads(done.stdout)["hits"]}


def notes(project: Project, query: str, *arguments: str) -> str:
    done = project.command("search", query, "--json", *arguments)
    return "\n".join(json.loads(done.stdout)["notes"])


def test_what_changed_is_found_and_nothing_of_it_is_stale(indexed: Project) -> None:
    indexed.write("pear.py", "def medlarwood():\n    return 2\n")
    (indexed.root / "quince.py").rename(indexed.root / "hedge.py")
    (indexed.root / "apple.py").unlink()
    assert found(indexed, "medlarwood", "--refresh") == {"pear.py": False}
    assert found(indexed, "quincewood") == {"hedge.py": False}
    assert found(indexed, "applewood") == {}
    assert indexed.command("verify").returncode == 0
    assert indexed.run()["status"] == "unchanged"


def test_a_hit_says_that_its_file_has_changed(indexed: Project) -> None:
    indexed.write("pear.py", "def medlarwood():\n    return 2\n")
    assert found(indexed, "pearwood") == {"pear.py": True}
    done = indexed.command("search", "pearwood")
    assert done.stdout == "pear.py:1:def pearwood():\n"  # as of grep
    assert f"pear.py {CHANGED_SINCE}" in done.stderr


def test_nothing_is_updated_while_another_run_is_at_work(indexed: Project) -> None:
    indexed.write("pear.py", "def medlarwood():\n    return 2\n")
    with open(indexed.root / ".codx" / "index" / "lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert AT_WORK.partition(",")[0] in notes(indexed, "pearwood", "--refresh")
        assert found(indexed, "pearwood", "--refresh") == {"pear.py": True}
    assert found(indexed, "pearwood", "--refresh") == {}


def test_the_settings_of_the_last_run_are_kept(indexed: Project) -> None:
    indexed.run("--ignore", "pear.py")
    indexed.write("apple.py", "def medlarwood():\n    return 2\n")
    assert OTHER_SETTINGS in notes(indexed, "medlarwood", "--refresh")
    assert found(indexed, "medlarwood", "--refresh") == {"apple.py": False}
    assert found(indexed, "pearwood", "--refresh") == {}


def test_an_index_of_other_vectors_is_left_as_it_is(indexed: Project) -> None:
    indexed.write("codx-index.toml", 'secrets = "off"\n')
    done = indexed.command("search", "pearwood", "--json", "--refresh", "--trust")
    assert OTHER_INDEX in "\n".join(json.loads(done.stdout)["notes"])


def test_a_search_builds_the_first_index_if_it_may(project: Project) -> None:
    project.environment["CODX_INDEX_MODE"] = "sparse"
    project.write("pear.py", "def pearwood():\n    return 1\n")
    done = project.command("search", "pearwood")
    assert done.returncode == 1 and "build it with codx-index run" in done.stderr
    code, shown = at_a_terminal(project, "search", "pearwood", answer="n\n")
    assert code == 1 and "Build one?" in shown
    assert not (project.root / ".codx").exists()
    code, shown = at_a_terminal(project, "search", "pearwood", answer="y\n")
    assert code == 0 and "pear.py:1" in shown
    assert project.command("verify").returncode == 0


def test_the_database_is_opened_once(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def opening(database: str) -> Any:
        opened.append(database)
        return open_engine(database)

    monkeypatch.setattr(engine, "open_engine", opening)
    indexed.write("pear.py", "def medlarwood():\n    return 2\n")
    assert found(indexed, "medlarwood", "--refresh") == {"pear.py": False}
    assert len(opened) == 1
    assert indexed.command("verify").returncode == 0


@pytest.mark.parametrize("method", ["upsert", "delete", "flush"])
def test_a_search_answers_although_its_update_fails(
    indexed: Project, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    indexed.write("pear.py", "def medlarwood():\n    return 2\n")
    (indexed.root / "apple.py").unlink()

    def fail(*given: Any, **options: Any) -> None:
        raise EngineError(os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(EngineClient, method, fail)
        said = notes(indexed, "quincewood", "--refresh")
        assert os.strerror(errno.ENOSPC) in said
    assert set(found(indexed, "quincewood")) == {"quince.py"}
    assert indexed.run()["chunks"]["total"] == 2
    assert found(indexed, "medlarwood", "--refresh") == {"pear.py": False}
    assert indexed.command("verify").returncode == 0


def test_many_searches_at_once_take_turns(indexed: Project) -> None:
    def search(number: int) -> str:
        refresh = ["--refresh"] if number % 2 else []
        done = indexed.installed.command("search", "pearwood", *refresh)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        answers = {*pool.map(search, range(4))}
    assert answers == {"pear.py:1:def pearwood():\n"}


def test_no_hits_are_explained(indexed: Project) -> None:
    indexed.write(".gitignore", "built/\n")
    indexed.write("built/x.js", "let pear = 1\n")
    indexed.write("long.js", "x" * 3000)
    indexed.run("--max-file-size", "2000")
    said = notes(indexed, "pear", "-t", "js")
    assert "no file of the index is in this scope; 4 are outside it" in said
    assert "1 ignored (built/x.js)" in said and "1 too large (long.js)" in said
    indexed.write("new.js", "let medlar = 1\n")
    assert "1 not indexed yet (new.js)" in notes(indexed, "medlar", "-t", "js")
    indexed.write("blob.py", b"\0\1")
    indexed.run("--max-file-size", "2000")
    said = notes(indexed, "zebra", "-t", "py")
    assert "3 files of the index are in this scope" in said
    assert "1 binary (blob.py)" in said
    assert "not in the index: 1 binary" in notes(indexed, "zebra")


# ---- The run in the background


def settings_in(project: Project, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in project.variables().items():
        monkeypatch.setenv(name, value)
    return settings_for(str(project.root), {})


def ending(run: BackgroundRun) -> Ending | None:
    return run.ending


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_run_in_the_background(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(indexed, monkeypatch)
    given = option_values({CACHE_DIR: str(indexed.cache_dir), TOKEN: "secret"})
    first, second = BackgroundRun(settings, given), BackgroundRun(settings, given)
    assert ending(first) is None
    assert first.begin()
    assert not second.begin()
    assert ending(first) is None  # as long as it is at work
    processes = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc")]
    lines = [one.read_bytes() for one in processes if one.exists()]
    ours = [one for one in lines if os.fsencode(settings.project) in one]
    assert ours and not any(b"secret" in one for one in ours)
    wait_until(lambda: not second.is_at_work)
    assert ending(second) == Ending(0, "")
    log = indexed.root / ".codx" / "index" / "background.log"
    assert log.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("CODX_INDEX_JOBS", "many")
    assert second.begin()
    wait_until(lambda: not first.is_at_work)
    failed = ending(first)
    assert failed and failed.exit_code is None and "many" in failed.error


def test_vectors_follow_and_give_way(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refresh comes at once, whatever the run in the background is about."""
    del indexed.environment["CODX_INDEX_MODE"]
    indexed.run()
    settings = settings_in(indexed, monkeypatch)
    refresher = Refresher([settings], {})
    for number in range(3):
        word = f"medlar{number}"
        indexed.write("pear.py", f"def {word}():\n    return 2\n")
        assert refresher.update(5).current == {settings.project}
        assert refresher.at_work(settings)
        assert found(indexed, word, "--mode", "sparse") == {"pear.py": False}
    assert refresher.update(5).current == {settings.project}  # and is not interrupted
    wait_until(lambda: not refresher.at_work(settings))
    assert refresher.problem(settings) == ""
    assert refresher.coverage(settings).unembedded == 0
    assert indexed.command("verify").returncode == 0


def test_threads_that_wait_share_an_update(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(indexed, monkeypatch)
    refresher = Refresher([settings], {})
    begun, others_wait = [], threading.Event()

    def update(*arguments: Any) -> None:
        begun.append(time.monotonic())
        assert others_wait.wait(60)
        bring_up_to_date(*arguments)

    monkeypatch.setattr(fresh, "bring_up_to_date", update)
    with ThreadPoolExecutor() as threads:
        first = threads.submit(refresher.update, 60)
        wait_until(lambda: bool(begun))
        # The first one has looked at the tree, perhaps, so it cannot answer for these.
        indexed.write("pear.py", "def medlarwood():\n    return 2\n")
        later = [threads.submit(refresher.update, 60) for _ in range(4)]
        time.sleep(0.2)
        others_wait.set()
        for one in [first, *later]:
            assert one.result().current == {settings.project}
    assert len(begun) == 2
    assert found(indexed, "medlarwood") == {"pear.py": False}


def test_a_small_change_gets_its_time() -> None:
    budget = Budget(0.001, least=5)
    assert budget.seconds_left < 0
    budget.begin_small_work()
    assert budget.seconds_left > 4


@pytest.mark.parametrize("is_enough", [True, False])
def test_what_is_found_by_words_is_whole_without_vectors(is_enough: bool) -> None:
    words = Extent(False, True, True, True)
    cut = words.then(Extent(True, False, False, True), is_enough=is_enough)
    assert cut == Extent(True, is_enough, is_enough, True)


@pytest.mark.slow
def test_an_update_that_is_cut_says_so(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        indexed.write(f"many/f{number}.py", f"def f{number}():\n    return 1\n" * 250)
    settings = settings_in(indexed, monkeypatch)
    refresher = Refresher([settings], {})
    update = refresher.update(0.0)
    assert update.current == set()
    assert update.notes == {settings.project: CUT}
    wait_until(lambda: not refresher.at_work(settings))
    assert indexed.command("verify").returncode == 0


def test_the_stamp_counts_what_differs(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(indexed, monkeypatch)
    assert stamp.differing(settings) == 0
    indexed.write("pear.py", "def medlar():\n    return 2\n")
    (indexed.root / "apple.py").unlink()
    assert stamp.differing(settings) == 3  # two files, and the folder
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        assert manifest.get("state") == COMPLETE
