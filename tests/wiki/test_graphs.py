"""Graphs of imports: what is in them, and that any name can be."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.wiki.diagrams import mermaid, svg
from indexer.wiki.folders import folders_of
from indexer.wiki.graphs import (
    MAX_EDGES,
    MAX_NODES,
    Graph,
    finest_graph,
    import_graph,
    nodes_in,
)
from indexer.wiki.layout import laid_out

HOSTILE = """"]; click n0 "javascript:x"\n```\n<script>&%%{init}</script>"""


def chain(*paths: str) -> dict[str, tuple[str, ...]]:
    return {path: (after,) for path, after in zip(paths, paths[1:])}


def test_a_graph_has_what_is_in_a_folder() -> None:
    imports = chain("a/x.py", "a/b/y.py", "a/c/d/z.py", "e.py")
    folder = folders_of([*imports, "e.py"])["a"]
    assert import_graph(nodes_in(folder), imports) == Graph(
        ("a/b/", "a/c/", "a/x.py"), ((0, 1), (2, 0))
    )
    assert import_graph(nodes_in(folder), {}) is None


def test_a_large_graph_is_reduced_or_left_out() -> None:
    names = [f"f{n:02}.py" for n in range(9)]
    imports = {name: tuple(names[n + 1 :]) for n, name in enumerate(names)}
    graph = import_graph(names, imports)
    assert graph and graph.reduced
    assert graph.edges == tuple((n, n + 1) for n in range(8))
    many = [f"f{n}.py" for n in range(MAX_NODES + 1)]
    assert import_graph(many, chain(*many)) is None
    two = {f"a{n}": tuple(f"b{m}" for m in range(8)) for n in range(8)}
    assert 64 > MAX_EDGES and import_graph([*two, *two["a0"]], two) is None


def test_a_project_is_opened_where_that_says_more() -> None:
    files = [f"src/lib/{name}/x.py" for name in "abcdefgh"]
    imports = chain(*files) | {f"tests/{n}/t.py": (files[0],) for n in range(30)}
    graph = finest_graph(folders_of([*files, *imports]), imports)
    assert graph
    assert graph.nodes == (*(f"src/lib/{name}/" for name in "abcdefgh"), "tests/")
    files = ["src/lib/a.py", "src/lib/b.py", "run.py"]
    graph = finest_graph(folders_of(files), chain("run.py", *files[:2]))
    assert graph and graph.nodes == ("run.py", "src/lib/a.py", "src/lib/b.py")


def test_any_name_can_be_in_a_graph() -> None:
    graph = Graph((f"{HOSTILE}/", "b.py"), ((0, 1),))
    text = mermaid(graph, "")
    assert text.count("\n") == 5 and text.count("```") == 2
    assert text.splitlines()[2].count('"') == 2 and "<" not in text
    root = ElementTree.fromstring(svg(graph, "", {graph.nodes[0]: "a&b", "b.py": "c"}))
    assert {one.tag.rpartition("}")[2] for one in root.iter()} == set(
        "svg defs marker path g a rect text".split()
    )


EDGES = st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(EDGES)
def test_boxes_do_not_overlap(edges: set[tuple[int, int]]) -> None:
    found = tuple(sorted((a, b) for a, b in edges if a != b))
    graph = Graph(tuple(f"n{n:02}" for n in range(12)), found)
    width, height, boxes = laid_out(graph, ["label" * (n + 1) for n in range(12)])
    for number, box in enumerate(boxes):
        assert 0 <= box.x and box.x + box.width < width and 0 <= box.y < height
        for other in boxes[:number]:
            assert (
                box.y != other.y
                or box.x >= other.x + other.width
                or other.x >= box.x + box.width
            )
