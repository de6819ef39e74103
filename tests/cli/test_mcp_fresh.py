"""The answers of the MCP server are as new as the files, or say that they are not."""

from __future__ import annotations

import fcntl

import pytest
from conftest import Project, wait_for
from mcp_client import answer_of, text_of, tools_of

from indexer.cli.fresh import AT_WORK
from indexer.search.answers import CHANGED_SINCE
from indexer.settings.assembly import settings_for


@pytest.fixture
def here(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose settings are those of this process, by words alone."""
    project.environment["CODX_INDEX_MODE"] = "sparse"
    for name, value in project.variables().items():
        monkeypatch.setenv(name, value)
    project.write("pear.py", "def pearwood():\n    return 1\n")
    return project


def test_what_changed_is_indexed_before_the_answer(here: Project) -> None:
    here.run()
    with tools_of([settings_for(str(here.root), {})]) as tools:
        assert answer_of(tools.search("pearwood", mode="sparse")).paths == ["pear.py"]
        here.write("new.py", "def medlarwood():\n    return pearwood()\n")
        found = answer_of(tools.search("medlarwood", mode="sparse"))
        assert (found.paths, found.notes) == (["new.py"], [])
        (here.root / "new.py").rename(here.root / "old.py")
        assert "old.py" in text_of(tools.uses("medlarwood"))
        here.write("old.py", "def quincewood():\n    return 2\n")
        assert "quincewood" in text_of(tools.outline("old.py"))
        with open(here.root / ".codx" / "index" / "lock", "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            here.write("old.py", "def sorbwood():\n    return 3\n")
            found = answer_of(tools.search("quincewood", mode="sparse"))
            assert found.notes == [AT_WORK]
            assert found.hits[0].symbol == f"quincewood  ({CHANGED_SINCE})"
            assert f"old.py  ({CHANGED_SINCE})" in text_of(tools.uses("quincewood"))
            assert CHANGED_SINCE in text_of(tools.outline("old.py"))
            assert CHANGED_SINCE in text_of(tools.outline(""))
        assert answer_of(tools.search("sorbwood", mode="sparse")).paths == ["old.py"]
    assert here.command("verify").returncode == 0


def test_a_missing_index_is_built_in_the_background(here: Project) -> None:
    with tools_of([settings_for(str(here.root), {})]) as tools:
        first = tools.search("pearwood", mode="sparse")  # waits for a moment
        said = text_of(first)
        assert "pear.py" in said or "being built in the background" in said
        wait_for(lambda: "up to date" in text_of(tools.status()))
        found = answer_of(tools.search("pearwood", mode="sparse"))
        assert (found.paths, found.notes) == (["pear.py"], [])
