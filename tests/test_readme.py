"""The README: short, and nothing in it that a test or a benchmark does not back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIGURE = re.compile(r"\d[\d,.]*\d|\d|\b(?:tenth|quarter|half)\b")
PLAIN = re.sub(
    r"<picture>.*?</picture>|```.*?```|\]\([^)]*\)|`[^`]*`", "", README, flags=re.S
)


def measured(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150
    assert len(README.split()) <= 1_200


def test_the_first_screen_shows_what_one_gets() -> None:
    first = "\n".join(README.splitlines()[:10])
    assert "Search any codebase" in first and "docs/pictures/search-light.svg" in first


def test_each_picture_is_there_for_light_and_dark_pages_with_words() -> None:
    pictures = re.findall(r"<picture>(.*?)</picture>", README, re.S)
    assert len(pictures) >= 4
    for picture in pictures:
        (dark,) = re.findall(r'dark\)" srcset="([^"]+)"', picture)
        ((words, light),) = re.findall(r'alt="([^"]+)" src="([^"]+)"', picture)
        assert len(words) > 30
        assert dark == light.replace("-light", "-dark")
        assert (ROOT / dark).is_file() and (ROOT / light).is_file()


def test_each_promise_names_its_proof() -> None:
    section = README.partition("## Four promises")[2].partition("\n## ")[0]
    promises = re.findall(r"^\d\. (.*?)(?=^\d\. |\n\n)", section, re.M | re.S)
    assert len(promises) == 4
    for promise in promises:
        proofs = re.findall(r"\]\(((?:tests|docs/benchmarks)/[^)]+)\)", promise)
        assert proofs, promise
        assert all((ROOT / one).is_file() for one in proofs)


# Each figure, with what it says, and whether that is so.
FIGURES = {
    "Python 3.11 to 3.13": lambda: all(
        f"Programming Language :: Python :: 3.{minor}"
        in (ROOT / "setup.cfg").read_text()
        for minor in (11, 12, 13)
    ),
    "a tenth of a second": lambda: 0.05 < seconds("no-op") < 0.15,
    "59 things": lambda: len(measured("conformance")["events"]) == 59,
    "none of 59": lambda: programs()["codx-index"] == (59, 59),
}


def of_answers() -> tuple[str, list[list[str]]]:
    """The section on the quality of answers, and the cells of its table."""
    section = README.partition("## Answers")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return section, [[one.strip() for one in row.split("|")[1:-1]] for row in rows]


def test_the_figures_of_the_answers_are_measured() -> None:
    _, (head, _, *rows) = of_answers()
    results = [measured("search-tuned"), measured("search-unseen")]
    for column, result in zip(head[1:], results, strict=True):
        asked = sum(one["queries"] for one in result["entries"])
        assert f"{asked} questions, {len(result['entries'])} repositories" in column
    systems = ["hybrid", "sparse", "words"]
    for system, row in zip(systems, rows, strict=True):
        for cell, result in zip(row[1:], results, strict=True):
            (found,) = [one for one in result["systems"] if one["name"] == system]
            assert cell == f"{found['overall']['ndcg']:.3f}".lstrip("0")


def seconds(scenario: str) -> float:
    ours = measured("peers")["contestants"][0]
    assert ours["name"] == "codx-index"
    found: float = ours["scenarios"][scenario]["wall"]
    return found


def test_the_figures_of_the_peers_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "benchmarks" / "speed.md").read_text()
    rows = [re.sub(r" \([^)]*\)", "", one) for one in page.splitlines()]
    for one in measured("peers")["contestants"]:
        walls = " | ".join(f"{each['wall']}" for each in one["scenarios"].values())
        assert any(row.endswith(f"| {walls} |") for row in rows), one["name"]


def programs() -> dict[str, tuple[int, int]]:
    found = measured("conformance")["programs"]
    return {name: (one["right"], one["claimed"]) for name, one in found.items()}


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_is_what_was_measured(figure: str) -> None:
    assert figure in re.sub(r"\s+", " ", README)
    assert FIGURES[figure]()


def test_there_are_no_other_figures() -> None:
    text = PLAIN.replace("NDCG@10 over files (1 is perfect)", "")
    text = "\n".join(one for one in text.splitlines() if not one.startswith("|"))
    text = re.sub(r"^\d\. ", "", re.sub(r"\s+", " ", text), flags=re.M)
    for figure in FIGURES:
        text = text.replace(figure, "")
    text = re.sub(r"\bexits? 0|(?<=[.:)] )\d\. |(?<=promises )\d\. ", "", text)
    assert not FIGURE.findall(text)


def test_peers_were_wrong_after_as_many_events_as_the_picture_says() -> None:
    wrong = [claimed - right for right, claimed in programs().values()]
    (words,) = re.findall(
        r'alt="Events[^"]*: codx-index none of 59, others (\w+) to (\w+)"', README
    )
    numbers = "none one two three four five six seven".split()
    assert [numbers.index(one) for one in words] == [min(wrong[1:]), max(wrong)]
