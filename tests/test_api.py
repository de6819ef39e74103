"""`indexer.Index`, and the examples of docs/how-to/python.md."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import Project, project_in
from milvus_server import free_port, listening

from indexer import Index
from indexer.errors import (
    CodxIndexError,
    NoIndexError,
    ProjectError,
    UsageError,
)
from indexer.search.freshness import BEHIND

TEXTS = {
    "src/payments.py": (
        '"""Payments."""\n\n\nclass RetryPolicy:\n'
        '    """How often a failed payment is tried again."""\n\n'
        "    def __init__(self, max_attempts=3):\n"
        "        self.max_attempts = max_attempts\n\n\n"
        "def charge(card, amount):\n"
        '    """Take the money, or raise where the bank declines."""\n'
        "    return card.bank.transfer(amount)\n"
    ),
    "src/invoices.go": (
        "package invoices\n\n// Total adds up the lines of an invoice.\n"
        "func Total(lines []Line) int {\n\tsum := 0\n"
        "\tfor _, line := range lines {\n\t\tsum += line.Amount\n\t}\n\treturn sum\n}\n"
    ),
    "docs/refunds.md": "# Refunds\n\nMoney goes back to the card within a week.\n",
    "tests/test_charge.py": (
        "def test_declined(bank):\n    bank.declines = True\n    assert not charge(1)\n"
    ),
}
QUESTION = "how is a failed payment tried again"


def fill(project: Project, texts: Mapping[str, str] = TEXTS) -> Project:
    for name, text in texts.items():
        project.write(name, text)
    project.run("--executor", "serial")
    return project


def open_index(project: Project) -> Index:
    return Index.open(project.root, cache_dir=str(project.cache_dir))


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    return fill(project_in(tmp_path_factory.mktemp("api"), model_cache))


@pytest.fixture(scope="module")
def index(indexed: Project) -> Iterator[Index]:
    with open_index(indexed) as opened:
        yield opened


@pytest.mark.parametrize(
    "options, arguments",
    [
        ({}, []),
        ({"limit": 2, "context": 3}, ["-k", "2", "-C", "3"]),
        ({"mode": "dense", "language": "go"}, ["--mode", "dense", "-t", "go"]),
        ({"mode": "sparse", "paths": ["src/"]}, ["--mode", "sparse", "--path", "src/"]),
    ],
)
def test_hits_are_those_of_the_command(
    options: Mapping[str, object], arguments: list[str], index: Index, indexed: Project
) -> None:
    answer = index.answer(QUESTION, **options)  # type: ignore[arg-type]
    told = indexed.report("search", QUESTION, *arguments)
    assert index.search(QUESTION, **options) == answer.hits  # type: ignore[arg-type]
    assert answer.notes == told["notes"]
    assert answer.is_good == told["good_match"] == (answer.notes == [])
    assert len(answer.hits) == len(told["hits"]) > 0
    for hit, expected in zip(answer.hits, told["hits"]):
        assert hit.start_line <= expected.pop("line") <= hit.end_line
        assert expected.pop("line_text") in hit.text.split("\n")
        for name, value in expected.items():
            found = getattr(hit, name)
            if name == "score":
                assert found == pytest.approx(value, abs=1e-3)
            else:
                assert found == value


def test_similar(index: Index, indexed: Project) -> None:
    hits = index.similar("src/payments.py", 11, limit=2)
    told = indexed.report("search", "--like", "src/payments.py:11", "-k", "2")
    assert [hit.path for hit in hits] == [hit["path"] for hit in told["hits"]]
    (only,) = index.similar("src/payments.py", 11, language="markdown")
    assert only.path == "docs/refunds.md"


def test_status(index: Index, indexed: Project) -> None:
    report = indexed.report("status")
    total = report["chunks"]["total"]
    assert index.status() == {
        "project": str(indexed.root),
        "collection": report["collection"],
        "uri": report["uri"],
        "model": report["model"],
        "fingerprint": report["fingerprint"],
        "chunks": total,
        "embedded": total,
        "remark": "",
    }


def test_a_vector_of_a_query(index: Index, indexed: Project) -> None:
    vector = index.embed(QUESTION)
    assert vector.dtype == np.float32 and vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    (best,) = index.search(QUESTION, mode="dense", limit=1)
    index.close()  # for rows() wants to open the database itself
    cosines = {
        row["path"]: float(vector @ np.array(row["vector"]))
        for row in sorted(indexed.rows().values(), key=lambda row: row["chunk_no"])
        if row["chunk_count"] == 1
    }
    assert max(cosines, key=lambda path: cosines[path]) == best.path


def test_threads(index: Index) -> None:
    queries = ["retry policy", "add up an invoice", "money back", "declined"] * 6
    alone = {query: index.search(query) for query in set(queries)}
    index.close()  # so that they open it, at the same time
    with ThreadPoolExecutor(8) as pool:
        vectors = pool.map(index.embed, queries)
        found = pool.map(index.search, queries)
        statuses = pool.map(lambda query: index.status()["chunks"], queries)
        assert [hits == alone[query] for query, hits in zip(queries, found)]
        assert len(set(statuses)) == 1
        assert len({vector.tobytes() for vector in vectors}) == 4


def test_closed_and_opened_again(indexed: Project, index: Index) -> None:
    index.close()  # or it would be the one that has the database open
    opened = open_index(indexed)
    socket_file = indexed.root / ".codx/index/s:0"
    opened.close()  # nothing is open yet
    first = opened.search("retry policy")
    assert socket_file.exists()
    opened.close()
    assert not socket_file.exists()
    assert opened.search("retry policy") == first
    opened.close()
    opened.close()


def test_from_a_folder_of_the_project(
    indexed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODX_INDEX_CACHE_DIR", str(indexed.cache_dir))
    monkeypatch.chdir(indexed.root / "src")
    with Index.open() as opened:
        assert opened.status()["project"] == str(indexed.root)
        assert opened.search("refunds", limit=1)[0].path == "docs/refunds.md"


def test_what_a_run_writes_is_found(project: Project) -> None:
    fill(project)
    with open_index(project) as opened:
        query = "telescope for distant galaxies"
        before = [hit.path for hit in opened.search(query)]
        assert set(before) == set(TEXTS)
        project.write("sky.py", "def telescope():\n    return 'sees galaxies'\n")
        project.write("docs/refunds.md", "# Refunds\n\nThere are none.\n")
        assert opened.status()["remark"] == BEHIND
        project.run("--executor", "serial")
        assert opened.status()["remark"] == ""
        assert opened.search(query, limit=1)[0].path == "sky.py"
        assert opened.similar("sky.py", 1)


def test_errors(index: Index, project: Project, tmp_path: Path) -> None:
    for query in ("", " \n\t"):
        with pytest.raises(UsageError, match="the query is empty"):
            index.search(query)
    with pytest.raises(UsageError, match="unknown language 'klingon'"):
        index.search("x", language="klingon")
    with pytest.raises(UsageError, match="not a pattern of paths"):
        index.search("x", paths=["!"])
    with pytest.raises(UsageError, match="no.py is not in the index"):
        index.similar("no.py", 1)
    with pytest.raises(UsageError, match="has no line 99"):
        index.similar("src/payments.py", 99)
    with pytest.raises(ProjectError, match="no such folder"):
        Index.open(tmp_path / "nowhere")
    with open_index(project) as none:
        for ask in (lambda: none.search("x"), none.status, lambda: none.embed("x")):
            with pytest.raises(NoIndexError, match="codx-index run"):
                ask()
    assert not (project.root / ".codx").exists()
    project.write("codx-index.toml", 'uri = "http://127.0.0.1:1"\n')
    with pytest.raises(UsageError, match="--trust"):
        open_index(project)
    trusting = Index.open(project.root, trust=True)
    assert str(trusting._searcher.settings.uri) == "http://127.0.0.1:1"
    assert not Index.open(project.root, trust=False)._searcher.settings.uri


# --- a server --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server that docs/how-to/python.md names for a try."""
    (command,) = re.findall("`(milvus-lite server .*?)`", PAGE)
    program, *arguments = command.replace("19530", str(port := free_port())).split()
    with listening(program, arguments, tmp_path_factory.mktemp("server"), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def on_server(
    server: str, tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Project:
    made = project_in(tmp_path_factory.mktemp("on-server"), model_cache)
    made.environment["CODX_INDEX_URI"] = server
    return fill(made)


def test_a_collection_of_a_server(on_server: Project, server: str) -> None:
    told = on_server.report("search", QUESTION)["hits"]
    name = on_server.report("status")["collection"]
    folder = str(on_server.cache_dir)
    with Index.open(server, collection=name, cache_dir=folder) as opened:
        found = opened.search(QUESTION)
        assert [hit.path for hit in found] == [hit["path"] for hit in told]
        assert opened.status()["collection"] == name
    with Index.open(server, collection="absent", cache_dir=folder) as absent:
        with pytest.raises(NoIndexError):
            absent.search("x")
    with pytest.raises(UsageError, match="which collection"):
        Index.open(server)


# --- the page --------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "how-to" / "python.md").read_text(
    encoding="utf-8"
)
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
PLACE = re.compile(r"^(\S+):(\d+)-(\d+)  ", re.M)


def example(project: Project, text: str) -> str:
    """What an example of the page prints, run in a project as it stands there."""
    done = project.launch(sys.executable, "-P", "-W", "error", "-c", text)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_first_example(indexed: Project) -> None:
    out = example(indexed, EXAMPLES[0])
    found = [path for path, _, _ in PLACE.findall(out)]
    assert len(found) == len(TEXTS) and found[0] == "src/payments.py"
    assert "class RetryPolicy:" in out


def test_the_second_example(indexed: Project, project: Project) -> None:
    out = example(indexed, EXAMPLES[1])
    assert out.startswith("src/payments.py\n") and "class RetryPolicy:" in out
    assert out.endswith(" up to date\n")
    assert example(project, EXAMPLES[1]) == "run `codx-index run` first\n"


@pytest.mark.slow
def test_langchain_reads_the_collection(
    on_server: Project, server: str, project: Project
) -> None:
    assert len(EXAMPLES) == 3
    out = example(on_server, EXAMPLES[2])
    told = on_server.report("search", QUESTION, "--mode", "dense", "-k", "1")
    places = PLACE.findall(out)
    assert len(places) == 3
    assert places[0][0] == told["hits"][0]["path"] == "src/payments.py"
    assert "class RetryPolicy:" in out
    # Rows without a vector are no documents.
    project.environment["CODX_INDEX_URI"] = server
    project.write("src/payments.py", TEXTS["src/payments.py"])
    project.run("--mode", "sparse")
    assert example(project, EXAMPLES[2]) == ""


def test_the_page_names_what_there_is() -> None:
    methods = re.findall(r"^\| `(\w+)\(", PAGE, re.M)
    assert methods == (
        "search answer similar similar_to outline uses embed status close".split()
    )
    public = {name for name in vars(Index) if not name.startswith("_")}
    assert public == {"open", *methods}
    import indexer.errors

    for name in re.findall(r"`(\w+Error)`", PAGE):
        assert issubclass(getattr(indexer.errors, name), CodxIndexError)
