"""What a file tells about itself, in each language."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.config import Reading
from indexer.languages import FILES
from indexer.text.languages import language_of
from indexer.text.outline import definitions
from indexer.wiki.describe import Definition, Description, describe_files
from indexer.wiki.purpose import MAX_PURPOSE, first_sentence, purpose_of

MIT = """Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND.
"""


def commented(text: str, mark: str) -> str:
    return "".join(f"{mark} {line}".rstrip() + "\n" for line in text.splitlines())


def purpose(name: str, text: str) -> str:
    return purpose_of(name, text, language_of(name, text.partition("\n")[0]) or "")


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.py", '"""Does it."""\nx = 1\n'),
        ("a.py", "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n'''Does it.'''\n"),
        ("a.py", '# No.\n\nr"""\n    Does it.\n    """\n'),
        ("a.py", f'{commented(MIT, "#")}\n"""Does it."""\n'),
        ("a.py", f"{commented(MIT, '#')}\n# Does it.\nimport os\n"),
        ("a.py", "#!/usr/bin/python3\n# Does\n# it.\nimport os\n"),
        ("a.js", "'use strict';\n// eslint-disable\n\n// Does it.\nlet x;\n"),
        ("a.ts", "/**\n * @fileoverview Does it.\n * @author me\n */\nimport 'x';\n"),
        ("a.tsx", f"/*\n{MIT}*/\n\n/* Does it. */\n"),
        ("a.c", f"/*\n * a.c - Does it.\n *\n{commented(MIT, ' *')} */\n#include <x.h>\n"),
        ("a.h", "#ifndef A_H\n#define A_H\n\n/** @file a.h\n *  @brief Does it. */\n"),
        ("a.hpp", "#pragma once\n/// Does it.\nclass A;\n"),
        ("a.cpp", "// SPDX-License-Identifier: MIT\n// Does it.\nint x;\n"),
        ("A.java", "package a.b;\n\nimport c.D;\n\n/**\n * Does it.\n * @since 1\n */\nclass A {}\n"),
        ("A.kt", "package a\nimport b.C\n/** Does it. */\nclass A\n"),
        ("A.cs", "using System;\n// Does it.\nnamespace A {}\n"),
        ("a.go", "//go:build linux\n\n// Does it.\npackage a\n"),
        ("a.rs", "#![allow(x)]\n//! Does it.\n\nuse x;\n"),
        ("a.rb", "# frozen_string_literal: true\n\n# Does it.\nclass A; end\n"),
        ("a.rb", "=begin\nDoes it.\n=end\n"),
        ("a.php", "<?php\ndeclare(strict_types=1);\nnamespace A;\n/** Does it. */\nclass A {}\n"),
        ("a.sh", "#!/bin/bash\nset -euo pipefail\n# Does it.\necho\n"),
        ("a.sql", "-- Does it.\nSELECT 1;\n"),
        ("a.lua", "--[[ Does it. ]]\nlocal x\n"),
        ("a.hs", "{-# LANGUAGE X #-}\n-- | Does it.\nmodule A where\n"),
        ("a.el", ";;; Does it.\n(x)\n"),
        ("a.erl", "%% Does it.\n-module(a).\n"),
        ("a.ml", "(* Does it. *)\nlet x = 1\n"),
        ("a.jl", "#= Does it. =#\nx = 1\n"),
        ("a.vim", '" Does it.\nset x\n'),
        ("a.css", '@charset "utf-8";\n/* Does it. */\na {}\n'),
        ("a.yaml", "---\n# Does it.\nx: 1\n"),
        ("a.toml", "# Does it.\n[x]\n"),
        ("Makefile", "# Does it.\nall:\n"),
        ("Dockerfile", "# syntax=docker/dockerfile:1\n# Does it.\nFROM x\n"),
        ("a.html", "<!DOCTYPE html>\n<html><title>Does\nit.</title>\n"),
        ("a.xml", '<?xml version="1.0"?>\n<!-- Does it. -->\n<x/>\n'),
        ("a.vue", "<!-- Does it. -->\n<template></template>\n"),
        ("a.ps1", "<#\n Does it.\n#>\n"),
    ],
)  # fmt: skip
def test_purpose(name: str, text: str) -> None:
    assert purpose(name, text) == "Does it."
    assert purpose(name, text.replace("\n", "\r\n")) == "Does it."


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.py", "import os\n# Not of the file.\n"),
        ("a.py", commented(MIT, "#") + "x = 1\n"),
        ("a.py", "# vim: set ts=4:\n# noqa: E501\n\nx = 1\n"),
        ("a.py", "x = '''no'''\n"),
        ("a.js", f"/*\n{MIT}*/\nlet x; // no\n"),
        ("a.c", "int x; /* no */\n"),
        ("a.txt", "# text\n"),
        ("a.py", "#" * 60 + "\n# a.py\n" + "#" * 60 + "\n"),
        ("a.md", ""),
        ("Makefile", "# make run   runs it\n# make test  tests it\nall:\n"),
    ],
)
def test_no_purpose(name: str, text: str) -> None:
    assert purpose(name, text) == ""


@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "# Title\n\nA *first* `one`\nof [many](x.md).\n\nMore.\n",
            "Title: A first `one` of many.",
        ),
        ("---\nx: 1\n---\n<!-- no -->\n# Title #\n\n- list\n\nText.\n", "Title: Text."),
        ("Title\n=====\n\nText.\n", "Title: Text."),
        ("# Title\n\n[![badge](a.svg)](b)\n\nText.\n", "Title: Text."),
        ("# <b>Who?</b>\n\nText.\n", "Who? Text."),
        ("Only text.\n\nMore.\n", "Only text."),
        ("# Only a title\n", "Only a title"),
        (
            '<h1 align="center">Title</h1>\n<p><img src="x">\n  Some <b>text</b>.</p>\n',
            "Title: Some text.",
        ),
        (
            "# Title\n\n[![b](c)][d] [![b][e]](f)\n\n[d]: x\n[e]: y\n\nText [with][g].\n\n[g]: h\n",
            "Title: Text with.",
        ),
        (
            "# Title\n\n<Tabs items={['a']}>\n\n| a |\n|---|\n| b |\n\nText.\n",
            "Title: Text.",
        ),
        (
            "# Title\n\n> note\n\n```\ncode\n```\n\nText [gone][x].\n",
            "Title: Text gone.",
        ),
        ("# Title\nText.\n", "Title: Text."),
    ],
)
def test_markdown(text: str, expected: str) -> None:
    assert purpose("a.md", text) == expected


def test_restructured_text() -> None:
    text = "=====\nTitle\n=====\n\n.. note:: no\n\n:author: no\n\nSome ``text``.\n\nMore.\n"
    assert purpose("a.rst", text) == "Title: Some `text`."


def test_paragraphs_up_to_what_is_no_prose() -> None:
    text = '"""One\nline.\n\nTwo:\n\n    example\n\nThree.\n"""\n'
    assert purpose("a.py", text) == "One line."
    text = '"""One.\n\nTwo.\n\nArgs:\n    x: no\n"""\n'
    assert purpose("a.py", text) == "One.\n\nTwo."


def test_long_purposes_end_with_a_sentence() -> None:
    sentence = "This is one sentence of many, e.g. this."
    found = purpose("a.py", f'"""{" ".join([sentence] * 50)}"""\n')
    assert found == " ".join([sentence] * found.count("This"))
    assert MAX_PURPOSE - len(sentence) - 1 <= len(found) <= MAX_PURPOSE
    found = purpose("a.py", f'"""{"word " * 500}"""\n')
    assert found.endswith("word…") and len(found) <= MAX_PURPOSE


def test_first_sentence() -> None:
    assert first_sentence("One, e.g. this. Two.\n\nThree.") == "One, e.g. this."
    assert first_sentence("A title\n\nText.") == "A title"
    assert len(first_sentence("word " * 100)) <= 200
    assert first_sentence("") == ""


PARTS = ["#", "//", "/*", "*/", '"""', "\n", "[", "![", "](", "<", "{-", "--", "# ", " ", "=",
         "a", "* ", ". ", "<!--", "---\n", "@file ", "copyright", "(c)", "\\", "-*-"]  # fmt: skip


@pytest.mark.parametrize("language", sorted(FILES))
def test_no_purpose_takes_long(language: str) -> None:
    started = time.process_time()
    for part in PARTS:
        purpose_of("a", part * (60_000 // len(part)), language)
        purpose_of("a", f"# {part * (60_000 // len(part))}x", language)
    assert time.process_time() - started < 15


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PARTS)).map("".join), st.sampled_from(sorted(FILES)))
def test_any_text_has_a_purpose_of_bounded_size(text: str, language: str) -> None:
    found = purpose_of("a", text, language)
    assert len(found) <= MAX_PURPOSE and found == found.strip()


# ---- Definitions ----


def test_definitions_have_the_lines_of_the_code() -> None:
    text = """import os

# About A.
@decorated
class A:
    x = 1

    # About f.
    def f(self):
        def g():
            pass

        return g


def h(): pass
"""
    assert definitions(text, "python") == [
        ("A", 5, 13),
        ("A.f", 9, 13),
        ("A.f.g", 10, 11),
        ("h", 16, 16),
    ]


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("a.js", "\nexport const f = () => {\n  1;\n};\n", [("f", 2, 4)]),
        ("a.c", "int f(void)\n{\n}\n", [("f", 1, 3)]),
        ("a.rs", "impl A {\n    fn f() {\n    }\n}\n", [("A", 1, 4), ("A.f", 2, 3)]),
        ("a.md", "# A\n\nx\n\n## B\n\ny\n", [("A", 1, 7), ("A.B", 5, 7)]),
        ("a.hs", "f 0 = 1\nf n =\n  n\n", [("f", 1, 3)]),
    ],
)
def test_definitions_by_language(
    name: str, text: str, expected: list[tuple[str, int, int]]
) -> None:
    assert definitions(text, language_of(name)) == expected


def test_no_definitions_without_syntax_or_in_wild_text() -> None:
    assert definitions("sub f {}", "perl") == []
    assert definitions("x", None) == []
    assert definitions("(" * 1_000, "python") == []
    assert definitions("", "python") == []


@pytest.mark.parametrize(
    "name, text, found",
    [
        ("a.py", 'def f(a: "x" = "):", *, b=[(1)]) -> {}:  # c: d\n    """Does\n    it. More."""\n', "Does it."),
        ("a.py", "class A(B[int]):\n    'Is :class:`it`.'\n", "Is `it`."),
        ("a.py", "# About f.\ndef f():\n    x = 'no'\n", ""),
        ("a.ts", "/** Adds {@link x}.\n * @param y no\n */\nexport function f() {}\n", "Adds `x`."),
        ("a.go", "package a\n\n// F does\n// it. More.\nfunc F() {}\n", "F does it."),
        ("a.go", "package a\n\n// Not of F.\n\nfunc F() {}\n", ""),
        ("a.rs", "/// Does it.\n#[inline]\npub fn f() {}\n", "Does it."),
        ("a.c", "int x; /* no */\nint f(void) {}\n", ""),
    ],
)  # fmt: skip
def test_definitions_say_what_they_are(name: str, text: str, found: str) -> None:
    (described,) = describe_files([(name, "hash", text.encode())], Reading())
    assert described.definitions[-1].summary == found


# ---- Files ----


def test_a_file_is_described() -> None:
    text = '"""Does it."""\nfrom . import b\n\n\ndef f():\n    pass\n'
    assert describe_files([("p/a.py", "hash", text.encode())], Reading()) == [
        Description(
            "p/a.py",
            "hash",
            "python",
            "Does it.",
            (Definition("f", 5, 6),),
            (".:b",),
            text,
        )
    ]


def test_what_is_no_text_has_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [("a", "1", b"\0\1"), ("b", "2", b""), ("c.py", "3", b"x = 1\n")]
    first, second, third = describe_files(files, Reading())
    assert first == Description("a", "1", "", "", (), (), "")
    assert second == Description("b", "2", "", "", (), (), "")
    assert third.text == "x = 1\n"
    monkeypatch.setattr("indexer.wiki.imports.imports_of", lambda *_: 1 / 0)
    assert describe_files(files[2:], Reading()) == [
        Description("c.py", "3", "", "", (), (), "")
    ]


def test_secrets_are_masked_everywhere() -> None:
    key = "AKIA" + "QWERTYUIOPASDFGH"
    text = f'"""Uses {key}."""\nimport {key}\n\n\ndef f():\n    x = "{key}"\n'
    (found,) = describe_files([("a.py", "hash", text.encode())], Reading())
    assert key not in repr(found)
