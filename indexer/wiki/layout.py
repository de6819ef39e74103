"""Where the boxes of a graph go: in levels, with most arrows pointing down.

The steps are Sugiyama's (Sugiyama, Tagawa, Toda 1981): levels by longest path, then an order in each
level by the middle of the neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from indexer.wiki.graphs import Graph

HEIGHT = 28  # of a box, in pixels, as all that follow
_ROW = 66
_GAP = 18  # between boxes
_MARGIN = 12
_BESIDE = 40  # room for arrows back
_CHARACTER = 8
_LONGEST_ROW = 680  # what a page has room for
_ROUNDS = 8


class Box(Struct, frozen=True):
    """The top left corner of a box, and its width."""

    x: int
    y: int
    width: int


def laid_out(graph: Graph, labels: Sequence[str]) -> tuple[int, int, list[Box]]:
    """The width and height of a drawing, and the box of each node."""
    forward = _without_circles(graph)
    widths = [len(label) * _CHARACTER + 16 for label in labels]
    rows = [
        row
        for level in _ordered(_levels(graph, forward), forward)
        for row in _wrapped(level, widths)
    ]
    lengths = [sum(widths[n] + _GAP for n in row) - _GAP for row in rows]
    boxes: dict[int, Box] = {}
    for number, row in enumerate(rows):
        x = _MARGIN + (max(lengths) - lengths[number]) // 2
        for node in row:
            boxes[node] = Box(x, _MARGIN + number * _ROW, widths[node])
            x += widths[node] + _GAP
    width = 2 * _MARGIN + max(lengths) + _BESIDE
    height = 2 * _MARGIN + (len(rows) - 1) * _ROW + HEIGHT
    return width, height, [boxes[n] for n in range(len(graph.nodes))]


def _wrapped(level: Sequence[int], widths: Sequence[int]) -> list[list[int]]:
    """A level in rows that are not too long."""
    rows: list[list[int]] = [[]]
    length = 0
    for node in level:
        length += widths[node] + _GAP
        if rows[-1] and length > _LONGEST_ROW:
            rows.append([])
            length = widths[node] + _GAP
        rows[-1].append(node)
    return rows


def _without_circles(graph: Graph) -> set[tuple[int, int]]:
    """The edges except those that lead back to a node on the way to them."""
    after: dict[int, list[int]] = {n: [] for n in range(len(graph.nodes))}
    for start, end in graph.edges:
        after[start].append(end)
    kept: set[tuple[int, int]] = set()
    done: set[int] = set()
    around: list[int] = []

    def visit(node: int) -> None:
        around.append(node)
        for end in after[node]:
            if end not in around:
                kept.add((node, end))
                if end not in done:
                    visit(end)
        around.pop()
        done.add(node)

    # First the nodes that few import: their arrows lead away.
    imported = [sum(end == node for _, end in graph.edges) for node in after]
    for node in sorted(after, key=lambda node: (imported[node], node)):
        if node not in done:
            visit(node)
    return kept


def _levels(graph: Graph, forward: set[tuple[int, int]]) -> list[list[int]]:
    depth = [0] * len(graph.nodes)
    for _ in graph.nodes:
        for start, end in sorted(forward):
            depth[end] = max(depth[end], depth[start] + 1)
    levels: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for node, level in enumerate(depth):
        levels[level].append(node)
    return levels


def _ordered(levels: list[list[int]], forward: set[tuple[int, int]]) -> list[list[int]]:
    near: dict[int, list[int]] = {}
    for start, end in sorted(forward):
        near.setdefault(start, []).append(end)
        near.setdefault(end, []).append(start)
    for _ in range(_ROUNDS):
        for number, level in enumerate(levels):
            # From the middle of each level, in units that do not depend on its length.
            rows = {n: 2 * r - len(c) for c in levels for r, n in enumerate(c)}
            middle = {
                n: sum(rows[m] for m in near.get(n, ()))
                * 1_000
                // max(1, len(near.get(n, ())))
                for n in level
            }
            levels[number] = sorted(level, key=lambda n: (middle[n], n))
    return levels
