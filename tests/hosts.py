"""Places that share one collection of a server, as projects on hosts of their own do."""

from __future__ import annotations

from conftest import Project, python_text

from indexer.milvus.remote import connect
from indexer.milvus.store import Store

NAME = "shared"


def fill_host(project: Project, **environment: str) -> None:
    """Make a project of three committed files one that shares the collection."""
    project.environment |= {
        "CODX_INDEX_COLLECTION": NAME,
        "CODX_INDEX_EXECUTOR": "serial",
        "CODX_INDEX_TAKE_OVER": "1",
        **environment,
    }
    project.git("init", "-q")
    for number in range(3):
        project.write(f"{number}.py", python_text(number, 1))
    project.git("add", "-A")
    project.git("commit", "-qm", "three files")


def store_of(project: Project) -> Store:
    return connect(project.environment["CODX_INDEX_URI"], "", NAME)


def assert_equal(project: Project) -> None:
    done = project.command("verify")
    assert done.returncode == 0, done.stderr


def write_in_turn(here: Project, there: Project) -> None:
    """Two runs here, which leave an index that is known to be whole, and one there."""
    here.run()
    here.write("0.py", "first = 1\n")
    here.run()
    assert here.run()["status"] == "unchanged"
    there.write("0.py", "second = 2\n")
    there.run()


def assert_put_right(here: Project) -> None:
    """The next run here sees what was written there, whatever the server lost."""
    report = here.run()
    assert (report["status"], report["chunks"]["upserted"]) == ("updated", 1)
    assert_equal(here)
    assert here.run()["status"] == "unchanged"
