from __future__ import annotations

import pytest

from indexer.languages import FILES, NOTEBOOK
from indexer.text import definitions, languages
from indexer.text.definitions import definitions_of
from indexer.text.languages import grammar_of, language_of


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a.py", "python"),
        ("src/A.PY", "python"),
        ("stubs/a.pyi", "python"),
        ("a.jsx", "javascript"),
        ("a.mjs", "javascript"),
        ("a.ts", "typescript"),
        ("a.d.ts", "typescript"),
        ("a.tsx", "tsx"),
        ("A.java", "java"),
        ("a.kt", "kotlin"),
        ("a.scala", "scala"),
        ("a.go", "go"),
        ("a.rs", "rust"),
        ("a.h", "c"),
        ("a.hpp", "cpp"),
        ("a.CC", "cpp"),
        ("a.cs", "csharp"),
        ("Gemfile", "ruby"),
        ("a.rb", "ruby"),
        ("a.php", "php"),
        ("a.swift", "swift"),
        ("a.lua", "lua"),
        ("a.exs", "elixir"),
        ("a.hs", "haskell"),
        ("home/.bashrc", "bash"),
        ("a.sh", "bash"),
        ("a.sql", "sql"),
        ("a.htm", "html"),
        ("a.css", "css"),
        ("README.md", "markdown"),
        ("a.json", "json"),
        (".github/a.yml", "yaml"),
        ("Cargo.lock", "toml"),
        ("setup.cfg", "ini"),
        ("Makefile", "make"),
        ("GNUmakefile", "make"),
        ("Makefile.am", "make"),
        ("Dockerfile", "dockerfile"),
        ("ci/Dockerfile.test", "dockerfile"),
        ("CMakeLists.txt", "cmake"),
        ("a.R", "r"),
        ("LICENSE", None),
        ("notes.txt", None),
        ("python", None),
        ("py", None),
        ("a.py/b", None),
        ("", None),
        (".", None),
        ("odd\udcff.py", "python"),
    ],
)
def test_language_by_name(path: str, language: str | None) -> None:
    assert language_of(path) == language


@pytest.mark.parametrize(
    ("first_line", "language"),
    [
        ("#!/bin/sh", "bash"),
        ("#! /usr/bin/python3.11 -u", "python"),
        ("#!/usr/bin/env python3", "python"),
        ("#!/usr/bin/env -S FOO=1 node --x\r", "javascript"),
        ("#!/usr/local/bin/Rscript", "r"),
        ("#!/opt/strange", None),
        ("#!", None),
        ("# not one", None),
        ("#!" + "/a" * 100_000, None),
    ],
)
def test_language_by_interpreter(first_line: str, language: str | None) -> None:
    assert language_of("bin/tool", first_line) == language
    assert language_of("tool.rb", first_line) == "ruby"


def test_no_name_is_claimed_twice() -> None:
    names = [name for names in FILES.values() for name in names.split()]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def test_every_language_has_a_grammar_in_the_installed_pack() -> None:
    missing = {name for name in FILES if grammar_of(name) is None}
    assert missing == languages._UNSAFE_GRAMMARS | {NOTEBOOK}
    assert set(languages._INTERPRETERS.values()) <= FILES.keys()
    assert definitions._DEFINITIONS_IN.keys() <= FILES.keys()


def test_unknown_languages_have_no_grammar() -> None:
    assert grammar_of(None) is None
    assert grammar_of("klingon") is None


def test_definitions_of_one_language_do_not_leak_into_others() -> None:
    assert "pair" in definitions_of("json")
    assert "pair" not in definitions_of("ruby")
    assert "function_definition" in definitions_of("python")
