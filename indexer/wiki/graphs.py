"""Who imports whom among a few folders and files, as a graph that fits a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from indexer.wiki.folders import Folder, inside

MAX_NODES = 32
FEW_NODES = 8
MAX_EDGES = 60
CLEAR_EDGES = 30
"""With more edges, those that follow from others are left out."""


class Graph(Struct, frozen=True):
    """Paths of folders, which end with `/`, and of files, and which of them (by their places in
    `nodes`) imports which other; both sorted.

    If it is `reduced`, an edge that follows from others is not among them.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    reduced: bool = False


def import_graph(
    nodes: Iterable[str], imports: Mapping[str, Sequence[str]]
) -> Graph | None:
    """The imports between nodes, without those that have none; None if there are too few or too
    many to look at. A file belongs to the innermost node around it, or to none."""
    known = set(nodes)
    edges = {
        (start, end)
        for path, targets in imports.items()
        if (start := _node_of(path, known))
        for target in targets
        if (end := _node_of(target, known)) and end != start
    }
    used = tuple(sorted({node for edge in edges for node in edge}))
    if not 2 <= len(used) <= MAX_NODES:
        return None
    places = {node: number for number, node in enumerate(used)}
    found = sorted((places[start], places[end]) for start, end in edges)
    if is_reduced := len(found) > CLEAR_EDGES:
        found = _reduced(found)
    return Graph(used, tuple(found), is_reduced) if len(found) <= MAX_EDGES else None


def _reduced(edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges without those whose end is reached by a longer way (the transitive reduction; in
    circles one of several)."""
    kept = list(edges)
    for edge in edges:
        others = [other for other in kept if other != edge]
        if edge[1] in _reached(edge[0], others):
            kept = others
    return kept


def _reached(start: int, edges: Sequence[tuple[int, int]]) -> set[int]:
    found: set[int] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        ends = {b for a, b in edges if a == node} - found
        found |= ends
        pending += ends
    return found


def _node_of(path: str, known: set[str]) -> str:
    if path in known:
        return path
    while path := path.rpartition("/")[0]:
        if f"{path}/" in known:
            return f"{path}/"
    return ""


def _import_each_other(nodes: set[str], imports: Mapping[str, Sequence[str]]) -> bool:
    """Whether a graph says more with these nodes than with the folder around them."""
    return any(
        (end := _node_of(target, nodes)) and end != start
        for path, targets in imports.items()
        if (start := _node_of(path, nodes))
        for target in targets
    )


def nodes_in(folder: Folder) -> list[str]:
    """What is directly in a folder."""
    folders = (f"{inside(folder.path, name)}/" for name in folder.folders)
    return [*folders, *(inside(folder.path, name) for name in folder.files)]


def finest_graph(
    folders: Mapping[str, Folder], imports: Mapping[str, Sequence[str]]
) -> Graph | None:
    """The graph of a whole project: of its folders, opened from the largest on as long as the
    graph says more and is small enough; of files too, if it has few folders."""
    nodes = set(nodes_in(folders[""]))
    graph = import_graph(nodes, imports)
    for with_files in (False, True):
        if graph and len(graph.nodes) >= FEW_NODES:
            break
        closed = {node for node in nodes if node.endswith("/")}
        while closed:
            largest = max(closed, key=lambda node: (folders[node[:-1]].count, node))
            closed.remove(largest)
            below = set(nodes_in(folders[largest[:-1]]))
            inner = {node for node in below if node.endswith("/")}
            is_path = len(inner) == 1 and inner == below  # such as src/
            if not with_files:
                below = inner
            # What is left in the folder goes on under its name.
            if not is_path and not _import_each_other(below, imports):
                continue
            if finer := import_graph(nodes | below, imports):
                nodes, graph = nodes | below, finer
                closed |= inner
    return graph
