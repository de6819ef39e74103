from __future__ import annotations

import pytest

from indexer.config import Reading
from indexer.text.decode import read_text
from indexer.text.lines import with_line_feeds
from indexer.text.source import read_source


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", ["a", "b", ""]),
        ("a\r\nb\r\n", ["a", "b", ""]),
        ("a\r\nb\nc", ["a", "b", "c"]),
        ("a\r\r\nb\n", ["a", "b", ""]),
        # A file of the first Macintosh, as vim and others read it too.
        ("a\rb\r", ["a", "b", ""]),
        ("\r", ["", ""]),
        # git and grep count line feeds: the number of `20%` is 1 to them.
        ("10%\r20%\nb\n", ["10% 20%", "b", ""]),
        ("\r\n\r\n", ["", "", ""]),
    ],
)
def test_a_line_has_no_carriage_return(text: str, lines: list[str]) -> None:
    found = with_line_feeds(text)
    assert found.split("\n") == lines
    assert with_line_feeds(found) == found
    if text.strip():
        assert read_text("a.txt", text.encode()) == (found, "")
        assert read_text("a.txt", text.encode("utf-16")) == (found, "")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_secrets_are_masked_whatever_ends_the_lines(ending: str) -> None:
    key = ["-----BEGIN RSA PRIVATE KEY-----", *["MIIEowIBAAKCAQEA7" * 3] * 3]
    lines = [*key, "-----END RSA PRIVATE KEY-----", 'password = "hunter22x"', "x = 1"]
    source = read_source("a.py", ending.join(lines).encode(), Reading())
    assert source.masked == 2
    assert "hunter22x" not in source.text and "MIIEow" not in source.text
    assert source.text.split("\n")[-1] == "x = 1"
    assert source.text.count("\n") == len(lines) - 1
