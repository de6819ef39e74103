"""Ignore files mean what git takes them to mean: git is the oracle."""

from __future__ import annotations

import re
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
    "a", "b", "ab", "*", "*", "**", "***", "/", "/", "/", "**/", "/**", "/**/", "?", ".c",
    "[ab]", "[a-c]", "[!a]", "[^b]", "[]a]", "[!/]", "[a/b]", "[a-", "[--0]", "[b-a]",
    "[[:alpha:]]", "[[:digit:]a]", "[[:x:]]", "[[:x]", "[\\]]", "]", "^", "!", "\\!",
    "\\#", "#", "\\a", "\\*", "\\/", "\\\\", "\\", "-", " ", "\\ ", "é", "1", "foo",
]  # fmt: skip
LINE = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=7).map("".join)
LINES = st.lists(
    st.builds("".join, st.tuples(st.sampled_from(["", "", "!"]), LINE)), max_size=4
).map("\n".join)


@given(rules=st.fixed_dictionaries({folder: LINES for folder in NO_RULES}))
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_rules_mean_what_git_takes_them_to_mean(
    oracle: Path, rules: dict[str, str]
) -> None:
    check_rules(oracle, {"b/": ""} | rules)


@pytest.mark.slow
@given(rules=st.fixed_dictionaries({folder: LINES for folder in NO_RULES}))
@settings(
    max_examples=10_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_thousands_of_rules_mean_what_git_takes_them_to_mean(
    oracle: Path, rules: dict[str, str]
) -> None:
    check_rules(oracle, {"b/": ""} | rules)


def test_rules_match_bytes() -> None:
    rules = IgnoreRules(b"\xff*\ncaf?.py\n")
    assert rules.verdict(b"\xff\xfe") is True
    assert rules.verdict(b"a/\xff\n") is True
    assert rules.verdict("café.py".encode()) is None  # As in git, `?` is one byte.


LONG = b"a" * 255
PATHS = [
    LONG,
    b"/".join([LONG] * 15),
    b"a/" * 2000 + b"a",
    b"/".join([LONG] * 15) + b"/",
]
HOSTILE = {
    "stars in one name": b"*a" * 40 + b"b",
    "stars across names": b"*a*a*a*/*a*a*a*b",
    "stars in many names": b"/".join([b"*a*a*a*a*a*b"] * 15),
    "stars and question marks": b"*?" * 120 + b"b",
    "the same in a folder": b"x/" + b"*?" * 120 + b"b\n*/" + b"*?" * 120 + b"b",
    "any folders": b"**/" * 10_000 + b"b",
    "any folders, below": b"/**" * 10_000 + b"/b",
    "any folders between folders": b"**/a/" * 100 + b"b",
    "any folders between stars": b"**/*a*a*/" * 100 + b"*b",
    "a megabyte of stars": b"*a" * 500_000,
    "a megabyte of brackets": b"[a-z]" * 200_000,
    "a megabyte of open brackets": b"[" * 1_000_000,
    "a bracket of brackets": b"[" + b"[:" * 500_000 + b"]",
    "a bracket of classes": b"[" + b"[:alpha:]" * 100_000 + b"]b",
    "twenty thousand lines": b"\n".join(
        b"!"[: i % 2] + b"*.%d" % i for i in range(20_000)
    ),
    "twenty thousand names": b"\n".join(
        b"!"[: i % 2] + b"%d" % i for i in range(20_000)
    ),
    "many lines of stars": b"\n".join(
        [b"**/" + b"*a" * 255 + b"/**/" + b"*a" * 126 + b"*b"] * 50
    ),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_patterns_take_no_time(text: bytes) -> None:
    rules = IgnoreRules(text)
    for path in PATHS:  # for ever, if every way were tried
        assert rules.verdict(path) is None
    assert rules.verdict(b"x/y") is None


def test_no_pattern_is_too_complex() -> None:
    rules = IgnoreRules(b"*a*a*a*a*a*b\n" + b"[a-z]*" * 30 + b"/**/*_*_*_*_*_*.py")
    assert rules.verdict(b"aaaaaab")
    assert rules.verdict(b"a" * 30 + b"/b/c/a_b_c_d_e_f.py")
    assert rules.verdict(b"a" * 30 + b"/b/c/a_b_c_d_e.py") is None
