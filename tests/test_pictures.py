"""The pictures of the README: whole, and with nothing that a page would load from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_whole_and_loads_nothing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert not re.search(r"url\(\W?https?:|@import|<script|<image", text)
    linked = [
        value for one in root.iter() for name, value in one.items() if "href" in name
    ]
    assert all(value.startswith("#") for value in linked)


@pytest.mark.parametrize("page", ["light", "dark"])
def test_sessions_show_what_commands_print(page: str) -> None:
    drawn = {path.name: "".join(texts(path)) for path in PICTURES}
    run, search = drawn[f"run-{page}.svg"], drawn[f"search-{page}.svg"]
    assert "$ codx-index run" in run and "equal the tree" in run
    path, *_ = re.findall(r"(indexer/[\w/]+\.py):\d+", search)
    assert (ROOT / path).is_file()


def test_the_chart_has_the_figures_of_the_benchmark() -> None:
    results = ROOT / "benchmarks" / "results" / "conformance.json"
    programs = json.loads(results.read_text())["programs"]
    for page in ("light", "dark"):
        drawn = "".join(texts(ROOT / "docs" / "pictures" / f"conformance-{page}.svg"))
        for name, found in programs.items():
            assert f"{name} {found['version']}" in drawn
            wrong = found["claimed"] - found["right"]
            assert f"{wrong} of {found['claimed']}" in drawn


def texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    found = [
        "".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text")
    ]
    return [one.replace("\N{NO-BREAK SPACE}", " ") for one in found]
