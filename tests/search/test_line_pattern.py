"""The patterns of `--grep`: which lines match, and which patterns are refused."""

from __future__ import annotations

import time

import pytest

from indexer.errors import UsageError
from indexer.search.best_line import CUT, shortened
from indexer.search.scope import line_pattern

TEXT = (
    "import os\n\n\nclass Store:\n    def open(self): ...\n    def close(self): ...\n"
)


@pytest.mark.parametrize(
    "pattern, row",
    [
        ("def", 4),
        (r"^\s+def close", 5),
        ("^class", 3),
        ("Store:$", 3),
        ("^$", 1),
        ("store", None),
        ("(?i)STORE", 3),
        (r"os\s+class", None),  # on no single line
        (r"\Aclass", 3),  # a line is a text of its own
        ("open|close", 4),
    ],
)
def test_the_first_line_that_matches(pattern: str, row: int | None) -> None:
    found = line_pattern(pattern)
    assert found is not None
    assert found.row(TEXT) == row
    assert found.rows(["", TEXT, "x"])[1] == row


def test_case_is_ignored_on_demand_alone() -> None:
    found = line_pattern("STORE|xx", ignores_case=True)
    assert found is not None
    assert found.rows([TEXT, "a\nXX"]) == [3, 1]
    assert line_pattern("") is None


@pytest.mark.parametrize(
    "pattern", ["(", "a{2,1}", "(?=a)", r"(a)\1", "[z-a]", "\udcff"]
)
def test_a_pattern_that_the_engine_does_not_know_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError, match="^not a regular expression[^\n]*$"):
        line_pattern(pattern)


def test_no_pattern_takes_more_than_linear_time() -> None:
    found = line_pattern(r"(a+)+$|(a|a?)+b")
    assert found is not None
    started = time.process_time()
    assert found.row("a" * 60_000 + "!") is None
    assert (
        time.process_time() - started < 10
    )  # `re` would take longer than the earth is old


def test_a_long_line_is_cut_around_the_match() -> None:
    line = "é " * 90 + "needle" + " x" * 90
    shown = shortened(line, "query", 30, line_pattern("ne+dle"))
    assert "needle" in shown and shown.startswith(CUT) and len(shown) <= 30
