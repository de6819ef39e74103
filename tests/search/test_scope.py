"""Which files `--path` and the MCP server's `paths` mean."""

from __future__ import annotations

import pytest

from indexer.errors import UsageError
from indexer.paths import escape_path
from indexer.search.scope import make_scope


@pytest.mark.parametrize(
    "patterns, kept, left_out",
    [
        (["src"], ["src", "src/a.py", "lib/src/b/c.py"], ["srcs/a.py"]),
        (["src/"], ["src/a.py", "lib/src/b/c.py"], ["src"]),
        (["/src/*.py"], ["src/a.py"], ["src/b/a.py", "lib/src/a.py"]),
        (["src/**/*.py  "], ["src/a.py", "src/b/c/a.py"], ["src/a.go"]),
        (["src", "!src/gen"], ["src/a.py"], ["src/gen/a.py"]),
        (["!src/gen", "src"], ["src/gen/a.py"], ["lib/a.py"]),
        (["*.py", "!test_*"], ["a.py"], ["test_a.py", "test_x/a.py", "a.go"]),
        (["x\\\\y.py", "é*"], ["x\\y.py", "é.py"], ["xy.py"]),
        (["ext/*.py"], ["/ext/a.py"], ["/ext/b/a.py"]),  # of an external folder
    ],
)
def test_a_path_is_in_the_scope(
    patterns: list[str], kept: list[str], left_out: list[str]
) -> None:
    scope = make_scope(paths=patterns)
    for path in kept:
        assert scope.holds(escape_path(path), "python"), path
    for path in left_out:
        assert not scope.holds(escape_path(path), "python"), path


@pytest.mark.parametrize("pattern", ["!", "/", "#x", "[a", "x\\"])
def test_a_pattern_that_matches_nothing_is_named(pattern: str) -> None:
    with pytest.raises(UsageError, match="not a pattern of paths"):
        make_scope(paths=["*.py", pattern])


def test_a_hostile_pattern_takes_no_time() -> None:
    long = "/".join(["a" * 255] * 15)
    for pattern in ["*a" * 2000 + "b", "*a*a*a*a*b/" * 15, "**/a/" * 800 + "b"]:
        assert not make_scope(paths=[pattern]).holds(long, "python")
