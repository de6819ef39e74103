"""Reading a collection where no folder of its project is: by its address and its name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Project, assert_one_line, project_in
from milvus_gate import Gate, gate_before
from milvus_server import served
from pymilvus import MilvusClient
from searched import TEXTS

from indexer import Index
from indexer.errors import ModelError, UsageError
from indexer.milvus.store import HAS_VECTORS
from indexer.search.freshness import UNTOLD

WORDS = ("--mode", "sparse")
QUERY = "fetch_with_retry"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    folder = tmp_path_factory.mktemp("server") / "data"
    with served(folder) as (uri, _), gate_before(uri) as found:
        yield found


@pytest.fixture(scope="module")
def shop(
    gate: Gate, tmp_path_factory: pytest.TempPathFactory, model_cache: Path
) -> Project:
    """The project that CI keeps in the collection `shop`."""
    made = project_in(tmp_path_factory.mktemp("shop"), model_cache)
    for name, text in TEXTS.items():
        made.write(name, text)
    made.run("--uri", gate.uri, "--collection", "shop", *WORDS)
    return made


@pytest.fixture
def place(gate: Gate, shop: Project) -> list[str]:
    gate.calls.clear()
    gate.refuse = lambda method: None
    return ["--uri", gate.uri, "--collection", "shop"]


@pytest.fixture
def desk(project: Project) -> Project:
    """Somebody's folder, that of another project, whose settings nobody trusts."""
    project.write("net/retry.py", "# another\n")
    project.write("codx-index.toml", 'uri = "http://127.0.0.1:1"\n')
    return project


def test_search(desk: Project, place: list[str], shop: Project) -> None:
    done = desk.command("search", QUERY, *place, *WORDS, folder=desk.root / "net")
    assert done.stdout.startswith("net/retry.py:")  # as in the index, not as seen here
    assert done.stderr == ""
    found = desk.report("search", QUERY, *place, *WORDS)
    assert found["hits"][0]["project"] == str(shop.root)
    assert found["notes"][-1] == UNTOLD
    desk.environment |= {"CODX_INDEX_URI": place[1], "CODX_INDEX_COLLECTION": "shop"}
    assert desk.report("search", QUERY, *WORDS) == found
    assert not (desk.root / ".codx").exists()


def test_a_path_is_a_project(place: list[str], shop: Project) -> None:
    done = shop.command("search", QUERY, "net", *place, *WORDS)
    assert (
        done.returncode == 0 and done.stderr == ""
    )  # it is up to date, as far as known
    assert UNTOLD not in shop.report("search", QUERY, ".", *place, *WORDS)["notes"]


def test_two_collections_of_one_project(place: list[str], shop: Project) -> None:
    """What the last run of this folder left says nothing of another index."""
    found = shop.report(
        "search", QUERY, ".", *place[:2], "--collection", "shop", *WORDS
    )
    assert UNTOLD not in found["notes"]
    shop.run("--state-dir", str(shop.cache_dir / "state"), *WORDS, *place[:3], "other")
    found = shop.report("search", QUERY, ".", *place[:3], "other", *WORDS)
    assert found["hits"][0]["path"] == "net/retry.py" and UNTOLD in found["notes"]


def test_like(desk: Project, place: list[str]) -> None:
    like = ("search", "--like", "net/retry.py:4", *place, *WORDS)
    assert desk.report(*like)["hits"][0]["path"] == "billing/tax.py"
    line = assert_one_line(desk.command(*like[:2], "no.py:1", *place), 2)
    assert line == "codx-index: no.py is not in the index\n"


def test_status(tmp_path: Path, shop: Project, place: list[str]) -> None:
    nowhere = Project(tmp_path, shop.cache_dir)
    told = nowhere.report("status", *place)
    assert (told["status"], told["up_to_date"], told["remark"]) == (
        "untold",
        None,
        UNTOLD,
    )
    assert (told["project"], told["chunks"]["total"]) == (str(shop.root), len(TEXTS))
    lines = nowhere.command("status", *place).stdout.splitlines()
    assert lines[0] == f"project    {shop.root}"
    assert lines[-2:] == [
        f"index      {len(TEXTS)} chunks, 0 of them embedded",
        f"state      {UNTOLD}",
    ]
    assert "give their folder" in assert_one_line(
        nowhere.command("status", *place, "--check"), 2
    )
    # In a project it is about the project, as it is for CI.
    assert shop.report("status", *place, *WORDS)["up_to_date"] is True


def test_what_is_not_there(desk: Project, place: list[str], shop: Project) -> None:
    absent = desk.command("search", "x", *place[:3], "absent", *WORDS)
    line = assert_one_line(absent, 1)
    assert "no collection 'absent'" in line and "--collection (" in line
    assert "shop" in line.partition("--collection (")[2]
    for command in (["search", "x"], ["run"], ["status"], ["mcp"]):
        line = assert_one_line(desk.command(*command, f"{place[1]}?token=hush"), 2)
        assert "is an address, not a folder: give it with --uri" in line
        assert "hush" not in line


def test_a_database_without_a_folder(desk: Project, shop: Project) -> None:
    shared = [*("--uri", str(desk.root.parent / "x.db")), *("--collection", "shop")]
    shop.run(*shared, *WORDS, "--state-dir", str(shop.cache_dir / "of-database"))
    before = sorted(desk.root.rglob("*"))
    found = desk.report("search", QUERY, *shared, *WORDS)
    assert found["hits"][0]["path"] == "net/retry.py"
    assert sorted(desk.root.rglob("*")) == before
    line = assert_one_line(desk.command("search", "x", *shared[:3], "no", *WORDS), 1)
    assert "no collection 'no'" in line and "(shop)" in line


@pytest.mark.parametrize("rights", ["all", "not to load", "not to ask either"])
def test_rights_of_a_reader(
    rights: str, desk: Project, gate: Gate, place: list[str]
) -> None:
    denied = {"all": (), "not to load": ("LoadCollection", "ShowCollections")}
    gate.deny(*denied.get(rights, ("LoadCollection", "GetLoadState")))
    found = desk.report("search", QUERY, *place, *WORDS, "-C", "3")
    assert found["hits"][0]["path"] == "net/retry.py"
    assert (gate.calls["LoadCollection"] > 0) == (rights == "not to ask either")
    assert gate.calls["GetLoadState"] == 1, gate.calls
    absent = desk.command("search", "x", *place[:3], "absent", *WORDS)
    line = assert_one_line(absent, 1)
    assert ("shop" in line) == (rights != "not to load")


def test_a_released_collection(desk: Project, gate: Gate, place: list[str]) -> None:
    """One that somebody released while a reader keeps it open is loaded once more."""
    with Index.open(
        gate.uri, collection="shop", cache_dir=str(desk.cache_dir)
    ) as index:
        assert index.search(QUERY, mode="sparse")
        client = MilvusClient(gate.uri)
        client.release_collection("shop")
        assert index.search(QUERY, mode="sparse")[0].path == "net/retry.py"
        client.close()
    assert gate.calls["LoadCollection"] == 1


def test_from_python(
    desk: Project, gate: Gate, place: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in desk.variables().items():
        if name.startswith("CODX_INDEX_"):
            monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="which collection of"):
        Index.open(gate.uri)
    monkeypatch.setenv("CODX_INDEX_COLLECTION", "shop")
    monkeypatch.setenv("CODX_INDEX_TOKEN", "a:b")
    with Index.open(gate.uri) as index:
        settings = index._searcher.settings
        assert settings.cache_dir == str(desk.cache_dir)
        assert (settings.token, settings.project, settings.state_dir) == ("a:b", "", "")
        about = index.status()
        assert (about["collection"], about["remark"]) == ("shop", UNTOLD)
        (hit,) = index.similar("net/retry.py", 4, limit=1)
        assert hit.project == about["project"]


def test_the_tools_of_an_agent(gate: Gate, place: list[str], shop: Project) -> None:
    from mcp_client import answer_of, text_of, tools_of

    with Index.open(
        gate.uri, collection="shop", cache_dir=str(shop.cache_dir)
    ) as index:
        settings = index._searcher.settings
    other = replace(settings, collection="other_one")
    with tools_of([settings, other, settings]) as tools:
        found = answer_of(tools.search(QUERY, mode="sparse"))
        assert found.paths[0] == "shop/net/retry.py"
        assert any("'other_one'" in note for note in found.notes)
        assert f"shop: {UNTOLD}" in found.notes
        whole = str(shop.root / "net/retry.py")
        assert not tools.similar(whole, 4).is_error
        assert not tools.similar(found.paths[0], 4).is_error
        one, two = text_of(tools.status()).split("\n\n")
        assert one.startswith(f"{shop.root}: ") and "chunks" in one
        assert two.startswith(f"{other.title}: ") and "'other_one'" in two
        assert "no folder" in text_of(tools.index("shop"))


def test_a_model_that_the_reader_does_not_have(
    desk: Project, gate: Gate, shop: Project, place: list[str]
) -> None:
    where = [*place[:3], "modelled"]
    shop.run(*where, "--state-dir", str(shop.cache_dir / "modelled"), *WORDS)
    client = MilvusClient(gate.uri)
    said = {"codx.model": "/models/of-ci", HAS_VECTORS: "yes"}
    client.alter_collection_properties("modelled", said)
    client.close()
    line = assert_one_line(desk.command("search", "pay again", *where), 1)
    assert (
        "needs the model of the index, /models/of-ci" in line
        and "--mode sparse" in line
    )
    assert desk.report("search", QUERY, *where, *WORDS)["hits"]
    cache = str(desk.cache_dir)
    with Index.open(gate.uri, collection="modelled", cache_dir=cache) as index:
        with pytest.raises(ModelError, match="of-ci"):
            index.embed("x")


def test_an_unreachable_server(desk: Project, place: list[str]) -> None:
    gone = desk.command(
        "search", "x", "--uri", "http://127.0.0.1:1", *place[2:], *WORDS
    )
    assert_one_line(gone, 69)
