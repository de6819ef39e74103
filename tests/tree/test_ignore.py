"""Ignore files mean what git takes them to mean: git is the oracle."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from git_calls import run_git
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexer.tree.ignore import IgnoreRules

# Names with the characters that patterns give a meaning to.
NAMES = [
    "a",
    "b",
    "ab",
    "a.c",
    "b.c",
    "[x]",
    "a b",
    "-",
    "é",
    "foo ",
    "x\\y",
    "!n",
    "#h",
    "A1",
]
FOLDERS = ["", "a/", "a/b/", "b/", "b/a/", "b/a/b/", "ab/", "ab/a/"]


def walk(top: Path, rules: dict[str, str]) -> list[str]:
    """The files that nested rules keep, decided path by path."""
    parsed = {folder: IgnoreRules(text.encode()) for folder, text in rules.items()}

    def ignored(path: str) -> bool:
        for folder in sorted(parsed, key=len, reverse=True):
            if path.startswith(folder) and path != folder:
                verdict = parsed[folder].verdict(path[len(folder) :].encode())
                if verdict is not None:
                    return verdict
        return False

    def any_ignored(path: str) -> bool:
        return any(ignored(path[: slash.end()]) for slash in re.finditer("/", path))

    files = [
        folder + name
        for folder in FOLDERS
        for name in NAMES
        if (top / folder / name).is_file()
    ]
    return sorted(path for path in files if not any_ignored(path) and not ignored(path))


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("oracle")
    run_git(top, "init", "-q")
    for folder in FOLDERS:
        (top / folder).mkdir(exist_ok=True)
    for folder in FOLDERS:
        for name in NAMES:
            if not (top / folder / name).exists():
                (top / folder / name).touch()
    return top


def check_rules(top: Path, rules: dict[str, str]) -> None:
    for folder, text in rules.items():
        (top / folder / ".gitignore").write_bytes(text.encode())
    listed = run_git(top, "ls-files", "-z", "--others", "--exclude-standard").decode()
    kept = {path for path in listed.split("\0")[:-1] if not path.endswith(".gitignore")}
    assert walk(top, rules) == sorted(kept)


NO_RULES = {"": "", "a/": "", "b/a/": ""}


@pytest.mark.parametrize(
    "rules",
    [
        {"": "a"},
        {"": "/a"},
        {"": "a/"},
        {"": "a/*\n!a/b"},
        {"": "a/**\n!a/b/"},
        {"": "**/b"},
        {"": "b/**/b"},
        {"": "*\n!*/\n!*.c"},
        {"": "a\n!a/b/a.c"},
        {"": "*.c", "a/": "!b.c"},
        {"": "*.c", "a/": "!b"},
        {"": "*.c", "b/": "!*.c", "b/a/": "a.c"},
        {"": "!a.c\n*.c\n!a.c"},
        {"": "[!b].c"},
        {"": "[^b].c"},
        {"": "[]x[].c\n\\[x\\]"},
        {"": "[x\n[[:nonsense:]]"},
        {"": "[[:[[:alpha:]]\n[a[::]]\n[a[:]\n[[:a]"},
        {"": "\\!n\n\\#h\n# comment\n!"},
        {"": "foo\\ \na b   "},
        {"": "foo "},
        {"": "foo\\"},
        {"": "x\\\\y"},
        {"": "??\n"},
        {"": "/\n//\n//a\na//b"},
        {"": "*.c\r\n\r\n!a.c\r\n"},
        {"": "\ufeffa.c\n"},
        {"": "\t\n  \n\\\n"},
    ],
)
def test_rules_mean_what_git_takes_them_to_mean(
    oracle: Path, rules: dict[str, str]
) -> None:
    check_rules(oracle, NO_RULES | {"b/": ""} | rules)


TOKENS = [
    "a", "b", "ab", "*", "?", "[ab]", "[a-c]", ".c", "/", "/", "!", "\\!", "\\#",
    "#", "x", "foo", "-", "1",
]  # fmt: skip
# Left out: `**`, spaces and odd brackets, where pathspec and git differ in rare corners.
UNCLEAR = re.compile(r"[^/!]\*\*|.!\*\*|\*\*[^/*]|\*\*\*|\[[^]]*/")
LINE = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4).map("".join)
LINES = st.lists(
    st.builds("".join, st.tuples(st.sampled_from(["", "", "!"]), LINE)).filter(
        lambda line: bool(line.strip("!/")) and not UNCLEAR.search(line)
    ),
    max_size=4,
).map("\n".join)


@given(rules=st.fixed_dictionaries({folder: LINES for folder in NO_RULES}))
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_rules_mean_what_git_takes_them_to_mean(
    oracle: Path, rules: dict[str, str]
) -> None:
    check_rules(oracle, {"b/": ""} | rules)


def test_rules_match_bytes() -> None:
    rules = IgnoreRules(b"\xff*\ncaf?.py\n")
    assert rules.verdict(b"\xff\xfe") is True
    assert rules.verdict(b"a/\xff\n") is True
    assert rules.verdict("café.py".encode()) is None  # As in git, `?` is one byte.


def test_hostile_pattern_takes_no_time_and_is_named() -> None:
    rules = IgnoreRules(b"*a" * 40 + b"b\n" + b"/".join([b"*a*a*a*b"] * 3))
    started = time.process_time()
    assert rules.verdict(b"a" * 255) is None
    assert rules.verdict(b"/".join([b"a" * 255] * 3)) is None
    assert time.process_time() - started < 10  # hours if every way were tried
    assert rules.unusable == ["*a" * 40 + "b"]
