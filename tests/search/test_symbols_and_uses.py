"""Outlines and uses from the rows, compared with the files themselves."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest
from conftest import Project, project_in

from indexer import Index
from indexer.errors import UsageError
from indexer.milvus.store import Store
from indexer.search import symbols as symbols_module
from indexer.search import uses as uses_module
from indexer.search.scope import Scope
from indexer.search.symbols import Symbol, _lines_of
from indexer.text.outline import definitions

ROOT = Path(__file__).parents[2]
# Long enough for many chunks, and hard ones: classes in classes, long lines, blank lines.
SOURCES = {
    "store/searcher.py": (ROOT / "indexer/search/searcher.py").read_text(),
    "store/scope.py": (ROOT / "indexer/search/scope.py").read_text(),
    "store/inner/parts.py": (ROOT / "indexer/text/parts.py").read_text(),
    "small.py": "class Lonely:\n    def get(self):\n        return self.x\n\n\ndef x():\n    pass\n",
    "long.py": "def first():\n    pass\n\n\nWORDS = '"
    + " ".join(f"word{n}" for n in range(2_000))
    + "'\n\n\ndef last():\n    return get_WORDS, WORDS.get(1)\n",
    "plain.txt": "A file without syntax names Lonely, lonely and WORDS.\n",
    "s.sh": "#!/bin/sh\nget() {\n  echo $x\n}\n",
}
NAMES = (
    *("Searcher", "Store", "symbols", "self", "get", "x", "WORDS", "Lonely", "word77"),
    *("_lock", "__init__", "self._connection.ask", "find_candidates", "no_such_name"),
)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    project = project_in(tmp_path_factory.mktemp("symbols") / "x", model_cache)
    for name, text in SOURCES.items():
        project.write(name, text)
    project.run("--mode", "sparse", "--executor", "serial")
    return project


@pytest.fixture(scope="module")
def index(indexed: Project) -> Index:
    return Index.open(indexed.root, cache_dir=str(indexed.cache_dir))


@pytest.mark.parametrize("name", [one for one in SOURCES if one.endswith(".py")])
def test_the_symbols_of_a_file(name: str, index: Index) -> None:
    """They are those of the file itself, although its chunks are far apart from it."""
    (file,) = index.outline(name).files
    expected = [Symbol(*one) for one in definitions(SOURCES[name], "python")]
    assert file.symbols == expected and expected
    assert file.language == "python"
    assert file.last_line == len(SOURCES[name].rstrip().split("\n"))


def test_the_text_is_put_together_again(index: Index) -> None:
    for name, text in SOURCES.items():
        rows = index._searcher.ask(partial(rows_of_all, name))
        assert "\n".join(_lines_of(rows)) == text.rstrip("\n"), name
    assert len(rows) == 1


def rows_of_all(name: str, store: Store) -> list[dict[str, object]]:
    store.open()
    fields = ["path", "chunk_no", "start_line", "end_line", "text"]
    rows = [row for row in store.rows("", fields) if row["path"] == name]
    return sorted(rows, key=lambda row: int(row["chunk_no"]))


def test_what_is_in_a_folder(index: Index) -> None:
    root = index.outline()
    assert root.is_folder and root.folders == {"store": 3} and not root.is_cut
    found = {one.path: [symbol.name for symbol in one.symbols] for one in root.files}
    assert found["small.py"] == ["Lonely", "x"]
    assert found["long.py"] == ["first", "last"]
    assert found["plain.txt"] == []
    store = index.outline("store")
    assert [one.path for one in store.files] == [
        "store/scope.py",
        "store/searcher.py",
    ]
    assert store.folders == {"inner": 1}
    with pytest.raises(UsageError, match="stor is not in the index"):
        index.outline("stor")


def test_a_file_at_which_a_grammar_crashed_is_not_parsed(index: Index) -> None:
    """None of its chunks has a symbol."""
    rows = [{"text": "def f():", "start_line": n, "symbol": ""} for n in (1, 2)]
    from indexer.search.symbols import _of_text

    assert _of_text(rows, "python") == []
    assert _of_text([{**rows[0], "end_line": 1}], "python") != []


@pytest.mark.parametrize("name", NAMES)
def test_the_uses_of_a_name(name: str, index: Index) -> None:
    """They are those that a search through the files finds."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    expected = {
        (path, number)
        for path, text in SOURCES.items()
        for number, line in enumerate(text.split("\n"), 1)
        if word.search(line)
    }
    found = index.uses(name)
    assert {(one.path, one.line) for one in found} == expected
    assert len(found) == len(expected)
    for one in found:
        assert name in one.text and len(one.text) <= uses_module.COLUMNS


def test_files_that_define_it_come_first(index: Index) -> None:
    found = index.uses("Lonely")
    assert [one.path for one in found] == ["small.py", "plain.txt"]
    assert [one.is_definition for one in found] == [True, False]
    assert [one.path for one in index.uses("Lonely", paths=["*.txt"])] == ["plain.txt"]
    assert index.uses("Lonely", language="go") == []


def test_a_common_name_is_cut_and_says_so(index: Index) -> None:
    for name in ("self", "get"):
        found = uses_module.uses(index._searcher, name, Scope(), most_chunks=2)
        assert found.uses and "only part of the index was searched" in found.notes[0]
    found = uses_module.uses(index._searcher, "Lonely", Scope(), most_chunks=3)
    assert len(found.uses) == 2 and not found.notes


@pytest.mark.parametrize(
    "name", ["", " ", "two words", "a(b)", "x;y", '"', "%", "a\nb"]
)
def test_what_is_no_name(name: str, index: Index) -> None:
    with pytest.raises(UsageError, match="not an identifier|no word"):
        index.uses(name)


def test_a_folder_without_what_a_run_left_beside_it(
    index: Index, indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader elsewhere has the rows alone, and of many files some."""
    for path in ("", "store"):
        known = index.outline(path)
        monkeypatch.setattr(symbols_module, "_recorded", lambda searcher: None)
        assert index.outline(path) == known
        monkeypatch.undo()
    monkeypatch.setattr(symbols_module, "_recorded", lambda searcher: None)
    monkeypatch.setattr(symbols_module, "MOST_FILES", 2)
    assert index.outline().is_cut


def test_many_files_that_use_a_name(index: Index) -> None:
    found = uses_module.uses(index._searcher, "WORDS", Scope(), most_files=1)
    assert {one.path for one in found.uses} == {"long.py"}
    assert found.notes == ["2 files have WORDS; 1 are shown"]
