"""Escaped paths: valid, different for different paths, and reversible."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.paths import escape_path, unescape_path


@given(st.binary())
def test_any_path_can_be_escaped_and_back(path: bytes) -> None:
    text = escape_path(os.fsdecode(path))
    assert os.fsencode(unescape_path(text)) == path
    assert text.encode().decode() == text


@given(st.binary(), st.binary())
def test_escaped_paths_are_as_different_as_the_paths(one: bytes, other: bytes) -> None:
    assert (escape_path(os.fsdecode(one)) == escape_path(os.fsdecode(other))) == (
        one == other
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"src/a.py", "src/a.py"),
        ("caf\u00e9/\U0001f40d".encode(), "caf\u00e9/\U0001f40d"),
        (b"back\\slash", r"back\\slash"),
        (b"\xff\x80", r"\xff\x80"),
        (rb"\xff", r"\\xff"),
        (b"\\\xff", r"\\\xff"),
    ],
)
def test_escape_path(path: bytes, text: str) -> None:
    assert escape_path(os.fsdecode(path)) == text
    assert unescape_path(text) == os.fsdecode(path)
