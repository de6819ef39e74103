"""The outline of a source: its definitions, and what a cut at each line would cost."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from msgspec import Struct

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


class Tree(Struct, frozen=True):
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


class _Rows:
    """The rows of a source. Its nodes know theirs as well, but take longer to tell them."""

    def __init__(self, source: bytes) -> None:
        ends = accumulate(len(line) + 1 for line in source.split(b"\n"))
        self._starts = [0, *ends]
        self._starts[-1] += 1  # a node may begin at the end of the source
        self._row, self._start, self._next = 0, 0, self._starts[1]

    def of(self, start: int, end: int) -> tuple[int, int, bool]:
        """The first and the last row of the bytes [start, end), and whether a line ends in them.

        A line end at the end of the bytes belongs to the last row.
        """
        if not self._start <= start < self._next:
            self._row = bisect_right(self._starts, start) - 1
            self._start = self._starts[self._row]
            self._next = self._starts[self._row + 1]
        row, after = self._row, self._next
        last = row if end <= after else bisect_right(self._starts, end - 1) - 1
        return row, last, end >= after


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
        rows = _Rows(tree.source)
        stack = [(tree.root, 0, self._before[tree.top])]
        while stack:
            node, scope, first = stack.pop()
            is_shallow = self.levels[scope] < _MAX_NESTING
            named_before, scope_before = "", 0
            for child, kind, start, end, has_lines in self._children(
                node, first, tree.top, rows
            ):
                rule = name_of.get(kind)
                name = None
                if rule and is_shallow and child.is_named:
                    name = rule(child, tree.source)
                inner = scope
                if name:
                    # Clauses and overloads of one function that follow each other are one.
                    is_same = name == named_before
                    inner = scope_before if is_same else self._define(scope, name)
                    named_before, scope_before = name, inner
                    self._extend(inner, child, tree.top)
                    self._own(inner, start, end)
                    _raise(self.opened, start, end)
                if start < end:
                    _raise(self.crossed, start, end)
                if has_lines or kind in WRAPPERS:
                    stack.append((child, inner, start))

    def common(self, one: int, other: int) -> int:
        """The innermost definition that holds both definitions."""
        while one != other:
            if self.levels[one] < self.levels[other]:
                one, other = other, one
            one = self.parents[one]
        return one

    def _children(
        self, node: Node, first: int, shift: int, rows: _Rows
    ) -> Iterator[tuple[Node, str, int, int, bool]]:
        """Yield the children of a node with their type, their first and last line, and whether
        they go across a line end.

        The tree begins on the row `shift` of the file.

        Comments and decorators directly before a child count as part of it. `first` is the
        line where `node` itself begins in this sense.
        """
        before = self._before
        bodies: set[int] | None = None
        lead, lead_bottom = None, -1
        if node.type in WRAPPERS:
            lead, lead_bottom = first, node.end_point.row + shift
        bottom = -1
        for child in node.children:
            kind, previous_bottom = child.type, bottom
            top, bottom, has_lines = rows.of(child.start_byte, child.end_byte)
            top, bottom = top + shift, bottom + shift
            start, end = before[top], before[bottom + 1] - 1
            if kind in PREFIXES:
                # A comment behind something on the same line is not about what follows.
                if top > previous_bottom:
                    if lead is None or top > lead_bottom + 1:
                        lead = start
                    lead_bottom = max(lead_bottom, bottom)
            elif child.is_named:
                is_led = lead is not None and top <= lead_bottom + 1
                if is_led or start != first:
                    if bodies is None:
                        bodies = _bodies(node)
                    if child.id in bodies or kind in _BODY_TYPES:
                        start = first
                    elif is_led and lead is not None:
                        start = lead
                lead, lead_bottom = None, -1
            if start <= end:
                yield child, kind, start, end, has_lines

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


def _bodies(node: Node) -> set[int]:
    """The ids of the children that are bodies by their field."""
    found = map(node.child_by_field_name, _BODY_FIELDS)
    return {child.id for child in found if child is not None}


def _raise(steps: list[int], start: int, end: int) -> None:
    """Add one to every cut between the lines `start` and `end`, once `steps` is accumulated."""
    if start < end:
        steps[start + 1] += 1
        steps[end + 1] -= 1


def _last_row(start: Point, end: Point) -> int:
    """The last row of a node. Some grammars count the line break as part of the node, which
    then ends before the next row."""
    return end.row - 1 if end.column == 0 and end.row > start.row else end.row
