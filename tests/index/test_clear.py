"""`codx-index clear`: the index goes, the project stays."""

from __future__ import annotations

import pytest
from conftest import Project, assert_one_line
from terminals import at_a_terminal

from indexer.index.lock import run_lock


@pytest.fixture
def indexed(project: Project) -> Project:
    project.write("a.py", "x = 1\n")
    project.run()
    return project


CTRL_D = "\4"


def test_it_asks(indexed: Project) -> None:
    state = indexed.root / ".codx/index"
    for answer, code in (("n\n", 1), ("\n", 1), (CTRL_D, 130)):
        ended, text = at_a_terminal(indexed, "clear", answer=answer)
        assert ended == code and "Traceback" not in text
        assert f"Remove codx_index at {state / 'milvus.db'}?" in text
        assert len(indexed.rows()) == 1
    ended, text = at_a_terminal(indexed, "clear", answer="y\n")
    assert ended == 0 and "removed" in text
    assert not state.exists()


def test_a_script_is_not_asked(indexed: Project) -> None:
    for given in (b"", b"y\n"):
        line = assert_one_line(indexed.command("clear", given=given), 2)
        assert "cannot ask without a terminal: --yes removes codx_index" in line
    assert len(indexed.rows()) == 1


def test_yes_removes_the_index_and_nothing_else(indexed: Project) -> None:
    done = indexed.command("clear", "--yes")
    assert (done.returncode, done.stdout, done.stderr) == (0, "removed\n", "")
    assert not (indexed.root / ".codx/index").exists()
    assert (indexed.root / "a.py").read_text() == "x = 1\n"
    assert list(indexed.cache_dir.glob("embeddings-*"))
    again = indexed.command("clear", "--yes")
    assert (again.returncode, again.stdout) == (0, "there was no index\n")
    report = indexed.run()
    assert (report["files"]["added"], report["chunks"]["embedded"]) == (1, 0)


def test_a_database_that_is_shared_keeps_its_other_collections(
    indexed: Project,
) -> None:
    shared = str(indexed.root.parent / "shared.db")
    indexed.run("--uri", shared)
    indexed.run("--uri", shared, "--collection", "other")
    done = indexed.command("clear", "--yes", "--uri", shared)
    assert (done.returncode, done.stdout) == (0, "removed\n")
    status = indexed.run("--uri", shared, "--collection", "other")
    assert (status["chunks"]["total"], status["chunks"]["upserted"]) == (1, 0)


def test_it_waits_for_no_run(indexed: Project) -> None:
    with run_lock(str(indexed.root / ".codx/index/lock")):
        done = indexed.command("clear", "--yes")
        assert (done.returncode, done.stdout) == (75, "")
        assert done.stderr.startswith("codx-index: another run holds this index (pid ")
        assert done.stderr.count("\n") == 1
    assert len(indexed.rows()) == 1
