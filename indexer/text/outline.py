"""The outline of a source: its definitions, and what a cut at each line would cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from indexer.text.definitions import PREFIXES, WRAPPERS, definitions_of
from indexer.text.languages import grammar_of

if TYPE_CHECKING:
    from tree_sitter import Node, Point


# Deeper syntax is cut as if it were flat: both bound the work for a hostile text.
MAX_DEPTH = 64


_MAX_NESTING = 16


CLOSING = re.compile(
    r"[\s})\];,]*+(?:(?:end|fi|done|esac)\b)?+[\s})\];,.]*+"
    r"|\s*+</[\w:.-]++>\s*+|\s*+\#\s*+endif\b.*+",
)


# A body begins where its definition begins, so that a header is never cut from it first.
_BODY_FIELDS = ("body", "consequence", "value")


_BODY_TYPES = frozenset(("block", "class_body", "do_block", "function_body"))


def definitions(text: str, language: str | None) -> list[tuple[str, int, int]]:
    """The definitions in a text, in the order of their lines: dotted symbol, first and last
    line, both 1-based and inclusive, without the comments before it. Clauses and overloads
    that follow each other are one.

    `language` as in `chunk_text`; [] without syntax.
    """
    lines = text.split("\n")
    rows = [row for row, line in enumerate(lines) if line.strip()]
    source = text.encode()
    if not language or not (root := parse(source, language)):
        return []
    outline = Outline(lines, rows)
    outline.read(root, source, language)
    found = zip(outline.symbols[1:], outline.extents[1:], strict=True)
    return sorted(
        ((symbol, first + 1, last + 1) for symbol, (first, last) in found),
        key=lambda one: (one[1], -one[2]),
    )


class Outline:
    """What the syntax tells about the lines that are not blank, numbered from 0.

    `crossed[i]` counts the syntax nodes, and `opened[i]` the definitions, that a cut before
    line i would go through. `owner[i]` is the innermost definition of line i: an index into
    `symbols`, `parents`, `levels` and `extents` (first and last row of the file, without
    what is written before), where 0 stands for the file itself.
    """

    def __init__(self, lines: Sequence[str], rows: Sequence[int]) -> None:
        self.symbols, self.parents, self.levels = [""], [0], [0]
        self.extents = [(0, len(lines) - 1)]
        self.owner = [0] * len(rows)
        self.crossed = [0] * (len(rows) + 1)
        self.opened = [0] * (len(rows) + 1)
        # Of the lines before each row of the file, how many are not blank.
        self._before = [0, *accumulate(bool(line.strip()) for line in lines)]

    def read(self, root: Node, source: bytes, language: str) -> None:
        """Fills in the lists from a syntax tree, without recursion: trees may be deep."""
        name_of = definitions_of(language)
        stack = [(root, 0, 0)]
        while stack:
            node, scope, first = stack.pop()
            is_shallow = self.levels[scope] < _MAX_NESTING
            named_before, scope_before = "", 0
            for child, start, end in self._children(node, first):
                rule = name_of.get(child.type) if child.is_named else None
                name = rule(child, source) if rule and is_shallow else None
                inner = scope
                if name:
                    # Clauses and overloads of one function that follow each other are one.
                    is_same = name == named_before
                    inner = scope_before if is_same else self._define(scope, name)
                    named_before, scope_before = name, inner
                    self._extend(inner, child)
                    self._own(inner, start, end)
                    _raise(self.opened, start, end)
                _raise(self.crossed, start, end)
                has_lines = child.start_point.row < child.end_point.row
                if has_lines or child.type in WRAPPERS:
                    stack.append((child, inner, start))
        self.crossed = [min(depth, MAX_DEPTH) for depth in accumulate(self.crossed)]
        self.opened = list(accumulate(self.opened))

    def common(self, one: int, other: int) -> int:
        """The innermost definition that holds both."""
        while one != other:
            if self.levels[one] < self.levels[other]:
                one, other = other, one
            one = self.parents[one]
        return one

    def _children(self, node: Node, first: int) -> Iterator[tuple[Node, int, int]]:
        """Children with their first and last line, where what is written directly before a
        child (comments, decorators) counts as part of it, and `first` is where `node` itself
        begins in this sense."""
        bodies = [node.child_by_field_name(field) for field in _BODY_FIELDS]
        lead = first if node.type in WRAPPERS else None
        lead_bottom = node.end_point.row if lead is not None else -1
        bottom = -1
        for child in node.children:
            top, previous_bottom = child.start_point.row, bottom
            bottom = _last_row(child.start_point, child.end_point)
            start, end = self._before[top], self._before[bottom + 1] - 1
            if child.type in PREFIXES:
                if (
                    top > previous_bottom
                ):  # not a comment behind something on the same line
                    if lead is None or top > lead_bottom + 1:
                        lead = start
                    lead_bottom = max(lead_bottom, bottom)
            elif child.is_named:
                if child in bodies or child.type in _BODY_TYPES:
                    start = first
                elif lead is not None and top <= lead_bottom + 1:
                    start = lead
                lead, lead_bottom = None, -1
            if start <= end:
                yield child, start, end

    def _define(self, parent: int, name: str) -> int:
        path = self.symbols[parent]
        self.symbols.append(f"{path}.{name}" if path else name)
        self.parents.append(parent)
        self.levels.append(self.levels[parent] + 1)
        return len(self.symbols) - 1

    def _extend(self, scope: int, node: Node) -> None:
        last = _last_row(node.start_point, node.end_point)
        if scope == len(self.extents):
            self.extents.append((node.start_point.row, last))
        else:
            self.extents[scope] = (self.extents[scope][0], last)

    def _own(self, scope: int, start: int, end: int) -> None:
        # A line that a sibling has a part of already belongs to what holds both.
        parent = self.parents[scope]
        for line in range(start, end + 1):
            owner = self.owner[line]
            self.owner[line] = scope if owner == parent else self.common(owner, scope)


def _raise(steps: list[int], start: int, end: int) -> None:
    """One more for every cut between the lines `start` and `end`, once accumulated."""
    if start < end:
        steps[start + 1] += 1
        steps[end + 1] -= 1


def _last_row(start: Point, end: Point) -> int:
    """Where a grammar counts the line break as part of a node, it ends before the next row."""
    return end.row - 1 if end.column == 0 and end.row > start.row else end.row


_LAYOUT_PREFIX = re.compile(rb"^[\s>\-+*?:\d.)#]{100}", re.MULTILINE)


_BRACKET = re.compile(rb"[()\[\]{}]")


_OPERATORS = re.compile(rb"[-+*/%&|^~!<>=@\s]+")


def parse(source: bytes, language: str) -> Node | None:
    """The root of the syntax tree; None without a grammar, or where parsing is too costly."""
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


# Some texts make a parser try very many readings, or scan on to the end again and again.
# Budgets in steps and bytes, unlike one in seconds, stop it at the same place on every
# machine. Of 700 real files none took half of either.
_READ_SIZE = 512


_PARSE_BYTES = 10_000_000


_PARSE_BYTES_PER_BYTE = 300


_PARSE_STEPS = 500


_BYTES_PER_PARSE_STEP = 20


def _is_tame(source: bytes, language: str) -> bool:
    """False for nesting that no one writes (brackets, operators, tags, indentation), at which
    parsers may take quadratic time and memory, and some (markdown, yaml) overflow a buffer of
    fixed size and crash the process."""
    if language in ("markdown", "yaml", "rst") and _LAYOUT_PREFIX.search(source):
        return False
    if language in ("html", "xml", "vue", "svelte", "markdown"):
        if source.count(b"<") - 2 * source.count(b"</") > 10_000:
            return False
    if max(map(len, _OPERATORS.findall(source)), default=0) > 1_000:
        return False
    depth = 0
    for bracket in _BRACKET.findall(source):
        depth = depth + 1 if bracket in b"([{" else max(0, depth - 1)
        if depth > 500:
            return False
    return True
