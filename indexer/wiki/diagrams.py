"""A graph as Mermaid, for readers that can draw it, and as a drawing, for those that cannot.

GitHub, GitLab and editors draw Mermaid. MkDocs would have the reader's browser fetch a program for
it from the network, so its pages have an SVG instead.
"""

from __future__ import annotations

from html import escape

from indexer.wiki.graphs import Graph
from indexer.wiki.layout import HEIGHT, Box, laid_out
from indexer.wiki.markdown import in_markdown, shown

_LONGEST = 28  # characters of a label


def mermaid(graph: Graph, around: str) -> str:
    """A block of Markdown; labels are relative to the folder `around`."""
    lines = ["```mermaid", "graph TD"]
    for number, node in enumerate(graph.nodes):
        # In a label `#35;` stands for `#`: Mermaid's own way to write any character.
        text = in_markdown(label(node, around)).replace("&#", "#")
        lines.append(f'    n{number}["{text}"]')
    lines += (f"    n{start} --> n{end}" for start, end in graph.edges)
    return "\n".join([*lines, "```"])


def label(node: str, around: str) -> str:
    """What a node is called on the page of the folder `around`."""
    name = shown(node.removeprefix(f"{around}/" if around else ""))
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST:]}"


def svg(graph: Graph, around: str, targets: dict[str, str]) -> str:
    """A drawing in which each node leads to the page that `targets` has for it."""
    labels = [label(node, around) for node in graph.nodes]
    width, height, boxes = laid_out(graph, labels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        "<!-- Written by codx-index -->",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#8a94a6"/></marker></defs>',
        '<g fill="none" stroke="#8a94a6" stroke-width="1.2" opacity="0.8">',
        *(_edge(boxes[start], boxes[end]) for start, end in graph.edges),
        "</g>",
    ]
    for node, text, box in zip(graph.nodes, labels, boxes, strict=True):
        fill = "#3f51b5" if node.endswith("/") else "#5c6f8a"
        parts.append(
            f'<a href="{escape(targets[node])}" target="_top">'
            f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{HEIGHT}" rx="5" '
            f'fill="{fill}"/><text x="{box.x + box.width // 2}" y="{box.y + 18}" fill="#fff" '
            f'text-anchor="middle">{escape(text)}</text></a>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _edge(start: Box, end: Box) -> str:
    if end.y > start.y:
        x1, y1 = start.x + start.width // 2, start.y + HEIGHT
        x2, y2 = end.x + end.width // 2, end.y - 1
        bend = max(24, (y2 - y1) // 2)
        curve = f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
    else:  # back to an earlier level, beside the boxes
        x1, y1 = start.x + start.width, start.y + HEIGHT // 2
        x2, y2 = end.x + end.width + 1, end.y + HEIGHT // 2
        far = max(x1, x2) + 50
        curve = f"M{x1} {y1}C{far} {y1} {far} {y2} {x2} {y2}"
    return f'<path d="{curve}" marker-end="url(#a)"/>'
