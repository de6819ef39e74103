"""The outline of a source: its definitions, and what a cut at each line would cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from indexer.text.definitions import PREFIXES, WRAPPERS, definitions_of
from indexer.text.regions import regions_in
from indexer.text.syntax import parse

if TYPE_CHECKING:
    from tree_sitter import Node, Point

# Deeper syntax is cut, and named, as if it were flat. Both bound the work for a hostile text.
MAX_DEPTH = 64
_MAX_NESTING = 16  # definitions

# A body counts as beginning where its definition begins, so that a cut never goes between a
# header and its body before it goes through the body.
_BODY_FIELDS = ("body", "consequence", "value")
_BODY_TYPES = frozenset(("block", "class_body", "do_block", "function_body"))


@dataclass(frozen=True, slots=True)
class Tree:
    """The syntax tree of a text or of a region in it, which begins on the row `top`."""

    root: Node
    source: bytes
    language: str
    top: int = 0


def parsed_trees(text: str, language: str | None) -> Iterator[Tree]:
    """Yield the tree of a text, and those of the regions in it that are in other languages.

    There are none without a language, nor where one has no grammar.
    """
    if not language:
        return
    source = text.encode()
    if root := parse(source, language):
        yield Tree(root, source, language)
    for region in regions_in(text, language):
        source = region.text.encode()
        if root := parse(source, region.language):
            yield Tree(root, source, region.language, region.top)


def definitions(text: str, language: str | None) -> list[tuple[str, int, int]]:
    """The definitions in a text, in the order of their lines.

    Each is its dotted symbol, its first and its last line. Lines are 1-based and inclusive, and
    comments before a definition do not belong to it. Clauses and overloads that follow each
    other are one definition. `language` is as in `chunk_text`; without syntax there are none.
    """
    lines = text.split("\n")
    rows = [row for row, line in enumerate(lines) if line.strip()]
    outline = Outline(lines, rows)
    outline.read(parsed_trees(text, language))
    found = zip(outline.symbols[1:], outline.extents[1:], strict=True)
    return sorted(
        ((symbol, first + 1, last + 1) for symbol, (first, last) in found),
        key=lambda one: (one[1], -one[2]),
    )


class Outline:
    """What the syntax tells about the lines that are not blank, numbered from 0.

    `rows` are the rows of these lines in the file. A cut before line i would go through
    `crossed[i]` syntax nodes and `opened[i]` definitions. `owner[i]` is the innermost
    definition that holds line i, as an index into `symbols`, `parents`, `levels` and `extents`,
    where 0 stands for the file itself. An extent is the first and the last row of a definition
    in the file, without the comments before it.
    """

    def __init__(self, lines: Sequence[str], rows: Sequence[int]) -> None:
        self.symbols, self.parents, self.levels = [""], [0], [0]
        self.extents = [(0, len(lines) - 1)]
        self.owner = [0] * len(rows)
        self.crossed = [0] * (len(rows) + 1)
        self.opened = [0] * (len(rows) + 1)
        # How many of the lines before each row of the file are not blank.
        self._before = [0, *accumulate(bool(line.strip()) for line in lines)]

    def read(self, trees: Iterable[Tree]) -> None:
        """Fill in the lists from the syntax trees of the text."""
        for tree in trees:
            self._walk(tree)
        self.crossed = [min(depth, MAX_DEPTH) for depth in accumulate(self.crossed)]
        self.opened = list(accumulate(self.opened))

    def _walk(self, tree: Tree) -> None:
        """Count the steps of one tree. Does not recurse, because trees may be deep."""
        name_of = definitions_of(tree.language)
        stack = [(tree.root, 0, self._before[tree.top])]
        while stack:
            node, scope, first = stack.pop()
            is_shallow = self.levels[scope] < _MAX_NESTING
            named_before, scope_before = "", 0
            for child, start, end in self._children(node, first, tree.top):
                rule = name_of.get(child.type) if child.is_named else None
                name = rule(child, tree.source) if rule and is_shallow else None
                inner = scope
                if name:
                    # Clauses and overloads of one function that follow each other are one.
                    is_same = name == named_before
                    inner = scope_before if is_same else self._define(scope, name)
                    named_before, scope_before = name, inner
                    self._extend(inner, child, tree.top)
                    self._own(inner, start, end)
                    _raise(self.opened, start, end)
                _raise(self.crossed, start, end)
                has_lines = child.start_point.row < child.end_point.row
                if has_lines or child.type in WRAPPERS:
                    stack.append((child, inner, start))

    def common(self, one: int, other: int) -> int:
        """The innermost definition that holds both definitions."""
        while one != other:
            if self.levels[one] < self.levels[other]:
                one, other = other, one
            one = self.parents[one]
        return one

    def _children(
        self, node: Node, first: int, shift: int
    ) -> Iterator[tuple[Node, int, int]]:
        """Yield the children of a node with their first and last line.

        The tree begins on the row `shift` of the file.

        Comments and decorators directly before a child count as part of it. `first` is the
        line where `node` itself begins in this sense.
        """
        bodies = [node.child_by_field_name(field) for field in _BODY_FIELDS]
        lead = first if node.type in WRAPPERS else None
        lead_bottom = node.end_point.row + shift if lead is not None else -1
        bottom = -1
        for child in node.children:
            top, previous_bottom = child.start_point.row + shift, bottom
            bottom = _last_row(child.start_point, child.end_point) + shift
            start, end = self._before[top], self._before[bottom + 1] - 1
            if child.type in PREFIXES:
                # A comment behind something on the same line is not about what follows.
                if top > previous_bottom:
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

    def _extend(self, scope: int, node: Node, shift: int) -> None:
        last = _last_row(node.start_point, node.end_point) + shift
        if scope == len(self.extents):
            self.extents.append((node.start_point.row + shift, last))
        else:
            self.extents[scope] = (self.extents[scope][0], last)

    def _own(self, scope: int, start: int, end: int) -> None:
        # A line that a sibling already has a part of belongs to what holds both.
        parent = self.parents[scope]
        for line in range(start, end + 1):
            owner = self.owner[line]
            self.owner[line] = scope if owner == parent else self.common(owner, scope)


def _raise(steps: list[int], start: int, end: int) -> None:
    """Add one to every cut between the lines `start` and `end`, once `steps` is accumulated."""
    if start < end:
        steps[start + 1] += 1
        steps[end + 1] -= 1


def _last_row(start: Point, end: Point) -> int:
    """The last row of a node. Some grammars count the line break as part of the node, which
    then ends before the next row."""
    return end.row - 1 if end.column == 0 and end.row > start.row else end.row
