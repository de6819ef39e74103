"""The syntax tree of a source, parsed within a budget."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from indexer.text.languages import grammar_of

if TYPE_CHECKING:
    from tree_sitter import Node, Point

# Some texts make a parser try very many readings, or scan on to the end again and again.
# Budgets in steps and bytes, unlike one in seconds, stop it at the same place on every
# machine. Real files take less than half of either.
_READ_SIZE = 512  # bytes
_PARSE_BYTES = 10_000_000
_PARSE_BYTES_PER_BYTE = 300
_PARSE_STEPS = 500
_BYTES_PER_PARSE_STEP = 20


def parse(source: bytes, language: str) -> Node | None:
    """The root of the syntax tree, None without a grammar or where parsing is too costly."""
    grammar = grammar_of(language)
    if grammar is None or not _is_tame(source, language):
        return None
    from tree_sitter import Parser

    size = len(source)
    bytes_left = _PARSE_BYTES + _PARSE_BYTES_PER_BYTE * size
    steps_left = _PARSE_STEPS + size // _BYTES_PER_PARSE_STEP

    def read(offset: int, _: Point) -> bytes:
        nonlocal bytes_left
        part = source[offset : offset + _READ_SIZE] if bytes_left > 0 else b""
        bytes_left -= len(part)
        return part

    def is_spent(*_: object) -> bool:
        nonlocal steps_left
        steps_left -= 1
        return steps_left < 0 or bytes_left <= 0

    try:
        tree = Parser(grammar).parse(read, progress_callback=is_spent)
    except ValueError:  # what the binding raises for a parse that was stopped
        return None
    return tree.root_node if bytes_left > 0 else None


_LAYOUT_PREFIX = re.compile(rb"^[\s>\-+*?:\d.)#]{100}", re.MULTILINE)
_BRACKET = re.compile(rb"[()\[\]{}]")
_OPERATORS = bytes(
    ord(" " if chr(c) in "-+*/%&|^~!<>=@ \t\n\r\f\v" else "x") for c in range(256)
)
_MANY_OPERATORS = b" " * 1_001
_DEEPEST = 500


def _is_tame(source: bytes, language: str) -> bool:
    """Whether brackets, operators, tags and indentation nest as deep as people write them.

    Deeper nesting can take a parser quadratic time and memory. It makes some parsers
    (markdown, yaml) overflow a buffer of fixed size, which crashes the process.
    """
    if language in ("markdown", "yaml", "rst") and _LAYOUT_PREFIX.search(source):
        return False
    if language in ("html", "xml", "vue", "svelte", "markdown"):
        if source.count(b"<") - 2 * source.count(b"</") > 10_000:
            return False
    if _MANY_OPERATORS in source.translate(_OPERATORS):
        return False
    if sum(map(source.count, (b"(", b"[", b"{"))) <= _DEEPEST:
        return True
    depth = 0
    for bracket in _BRACKET.findall(source):
        depth = depth + 1 if bracket in b"([{" else max(0, depth - 1)
        if depth > _DEEPEST:
            return False
    return True
