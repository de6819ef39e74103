"""The line of a hit that is shown, and what of a long one."""

from __future__ import annotations

import pytest
from conftest import Project
from hypothesis import given
from hypothesis import strategies as st

from indexer.search.best_line import CUT, shortened

LONG = "x = 1; " * 300 + "def parse_date(text): return text; " + "y = 2; " * 300


@pytest.mark.parametrize(
    "query", ["parse_date", "parse a date", "where are dates parsed"]
)
def test_a_long_line_is_cut_around_what_matches(query: str) -> None:
    for columns in (30, 80, 400):
        shown = shortened(LONG, query, columns)
        assert len(shown) == columns and shown[0] == shown[-1] == CUT
        assert "def parse" in shown
    assert shortened(LONG, query, 0) == LONG
    assert shortened("short", query, 5) == "short"


def test_at_the_ends() -> None:
    assert shortened("date " + "x " * 90, "date", 20).startswith("date ")
    assert shortened("x " * 90 + "date", "date", 20).endswith("date")
    assert shortened("x" * 90, "date", 20) == "x" * 18 + CUT  # nothing matches


@given(st.text(max_size=300), st.text(max_size=20), st.integers(1, 120))
def test_any_line(line: str, query: str, columns: int) -> None:
    shown = shortened(line, query, columns)
    if len(line) <= columns:
        assert shown == line
    else:
        assert len(shown) <= max(columns, 3)
        assert shown.strip(CUT) in line or CUT in line


def test_the_command(project: Project) -> None:
    project.write("a.js", LONG.replace("def ", "function ") + "\n")
    project.run("--mode", "sparse", "--executor", "serial")
    search = ["search", "parse_date", "--mode", "sparse"]
    (line,) = project.command(*search).stdout.splitlines()
    assert "function parse_date" in line and len(line) <= 400 + len("a.js:1:")
    (line,) = project.command(*search, "--max-columns", "40").stdout.splitlines()
    assert "function parse_date" in line and len(line) <= 40 + len("a.js:1:")
    (whole,) = project.command(*search, "-M", "0").stdout.splitlines()
    assert len(whole) > 400 + len("a.js:1:")
    (hit,) = project.report(*search, "--max-columns", "40")["hits"]
    assert (hit["line"], hit["line_text"]) == (1, line.removeprefix("a.js:1:"))
    assert project.command(*search, "-M", "-1").returncode == 2
