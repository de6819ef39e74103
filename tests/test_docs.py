"""The pages about the source name what there is: files, functions, tests, rooms, anchors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_layers import ROOMS, WORDS

ROOT = Path(__file__).parent.parent
INDEXER = ROOT / "indexer"
DOCS = ROOT / "docs"
PAGES = [
    *(
        ROOT / name
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
    ),
    *sorted(DOCS.glob("**/*.md")),
]
# A page about several rooms, or about none.
ROOMS_OF_PAGE = {
    "work": ["work", "pool"],
    "errors": [],
    "libraries": [],
    "overview": [],
}


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the Markdown tables in a text."""
    lines = re.findall(r"^\| (.*) \|$", text, re.M)
    return [line.replace(" | | ", " |  | ").split(" | ") for line in lines]


def names_in(text: str) -> list[str]:
    """What a text has between backticks."""
    return re.findall(r"`([^`]+)`", text)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in titles}


def defined(file: Path) -> Iterator[str]:
    """What a module defines, methods as `Class.method`."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}"
        elif isinstance(node, ast.Assign):
            yield from (ast.unparse(target) for target in node.targets)
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            found = (page.parent / path) if path else page
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def test_each_answer_of_contributing_is_one_file_that_has_what_is_named() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("Where would you")[2]
    answers = rows(section.partition("\n## ")[0])[1:]
    assert len(answers) > 20
    for _, where, what in answers:
        (path,) = names_in(where)
        file = INDEXER / path
        assert file.is_file(), path
        if names := names_in(what):
            assert set(names) <= set(defined(file)), path


def test_the_design_page_is_short() -> None:
    assert len((DOCS / "design" / "overview.md").read_text().splitlines()) <= 120


def test_the_design_page_has_the_table_of_rooms() -> None:
    section = (DOCS / "design" / "overview.md").read_text().partition("\n## Rooms")[2]
    section = section.partition("\n## ")[0]
    assert set(names_in(section.partition("(")[2].partition(")")[0])) == WORDS
    told = {
        name.strip("`/").removesuffix(".py"): set(" ".join(names_in(allowed)).split())
        for name, _, _, allowed in rows(section)[1:]
    }
    plain = "text pool cache milvus settings hooks clients vectors tree index work search wiki"
    for room in [*plain.split(), "api", "githooks"]:
        assert told[room] == set(ROOMS[room].split()), room
    below = {*plain.split()}
    assert below - told["run"] == set(ROOMS["run"].split())
    assert set(ROOMS["pipeline"].split()) <= {"run", *ROOMS["run"].split()}
    everything = {*below, "run", "pipeline", "api", "githooks", "__init__"}
    assert everything - told["cli"] == set(ROOMS["cli"].split())


@pytest.mark.parametrize(
    "page", sorted((DOCS / "design").glob("*.md")), ids=lambda page: str(page.stem)
)
def test_a_rooms_page_names_files_of_the_room(page: Path) -> None:
    rooms = ROOMS_OF_PAGE.get(page.stem, [page.stem])
    places = [*(INDEXER / room for room in rooms), INDEXER, ROOT]
    for name in names_in(page.read_text()):
        if re.fullmatch(r"[\w/]+\.(py|tsv|txt)", name):
            assert any((place / name).is_file() for place in places), name


def test_the_page_of_the_origin_names_files_and_tests() -> None:
    found = {
        name
        for file in (ROOT / "tests").glob("**/test_*.py")
        for name in defined(file)
        if name.startswith("test_")
    }
    for _, _, where, shown in rows((DOCS / "explanation" / "origin.md").read_text())[
        1:
    ]:
        assert all((INDEXER / path).exists() for path in names_in(where)), where
        for name in names_in(shown):
            assert name in found or (ROOT / name).is_file(), name
