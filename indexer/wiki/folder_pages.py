"""The pages of folders, the home page among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from indexer.wiki.diagrams import mermaid, svg
from indexer.wiki.folders import Folder, inside
from indexer.wiki.graphs import Graph, finest_graph, import_graph, nodes_in
from indexer.wiki.markdown import (
    PAGE_MARKER,
    counted,
    in_markdown,
    link_to_file,
    link_to_page,
    paragraphs,
    prose,
    relative,
    section,
    shown,
    trail,
)
from indexer.wiki.material import Material
from indexer.wiki.names import drawing_of, folder_page_of, page_of
from indexer.wiki.purpose import first_sentence

MAX_HOME_FILES = 10
MAX_TREE = 40
"""Folders of which a page shows a tree; of more, only those directly in it."""

MAX_DEPTH = 4


def graph_of(folder: Folder, material: Material) -> Graph | None:
    """The graph on the page of a folder: who imports whom in it."""
    if folder.path:
        return import_graph(nodes_in(folder), material.imports)
    return finest_graph(material.folders, material.imports)


def drawing(graph: Graph, folder: str) -> str:
    """The graph of a folder as SVG, for its page as MkDocs builds it."""
    page = folder_page_of(folder)
    targets = {}
    for node in graph.nodes:
        is_folder = node.endswith("/")
        target = folder_page_of(node[:-1]) if is_folder else page_of(node)
        targets[node] = f"{relative(target, page).removesuffix('.md')}.html"
    return f"{PAGE_MARKER}\n{svg(graph, folder, targets)}"


def _diagram(graph: Graph | None, folder: str) -> list[str]:
    if graph is None:
        return []
    name = drawing_of(folder).rpartition("/")[2]
    # GitHub leaves the drawing out, and MkDocs hides the Mermaid after it: see the style sheet.
    image = f'<object class="imports" type="image/svg+xml" data="{name}"></object>'
    blocks = ["## Imports", image, mermaid(graph, folder)]
    if graph.reduced:
        blocks.append("Arrows that follow from others are left out.")
    return blocks


def home_page(title: str, material: Material, graph: Graph | None) -> str:
    """The page of the project, as Markdown."""
    root = material.folders[""]
    blocks = [
        PAGE_MARKER,
        f"# {in_markdown(shown(title))}",
        *paragraphs(_folder_purpose(root, material)),
        f"{counted(root.count, 'file')}: {', '.join(_languages(material))}.",
        *_tree(root, material),
        *_diagram(graph, ""),
        *_files(root, material),
        *section("Most imported", _most_imported(material)),
    ]
    return "\n\n".join(blocks) + "\n"


def _most_imported(material: Material) -> Iterator[str]:
    page = folder_page_of("")
    counts = {path: len(found) for path, found in material.importers.items()}
    for path in sorted(counts, key=lambda path: (-counts[path], path))[:MAX_HOME_FILES]:
        yield f"- {link_to_file(path, page)} ({counted(counts[path], 'file')})"


def _languages(material: Material) -> Iterator[str]:
    counts = Counter(file.language for file in material.files.values())
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        yield f"{in_markdown(name or 'other')} ({counts[name]:,})"


def folder_page(folder: Folder, material: Material, graph: Graph | None) -> str:
    """The page of a folder, as Markdown."""
    page = folder_page_of(folder.path)
    around, _, name = folder.path.rpartition("/")
    blocks = [
        PAGE_MARKER,
        f"{trail(around, page)} / {in_markdown(shown(name))}",
        f"# {in_markdown(shown(name))}/",
        *paragraphs(_folder_purpose(folder, material)),
        *_tree(folder, material),
        *_files(folder, material),
        *_diagram(graph, folder.path),
    ]
    return "\n\n".join(blocks) + "\n"


# Files that speak for their folder, in lower case and in order of preference.
_SPEAKERS = (
    *("readme.md", "readme.rst", "readme", "__init__.py", "mod.rs", "lib.rs", "doc.go"),
    *("index.ts", "index.js", "package-info.java"),
)


def _folder_purpose(folder: Folder, material: Material) -> str:
    """The purpose of the first file that speaks for a folder; "" if none has one."""
    names = {name.lower(): name for name in reversed(folder.files)}
    for speaker in _SPEAKERS:
        if speaker in names:
            if purpose := material.files[inside(folder.path, names[speaker])].purpose:
                return purpose
    return ""


def _tree(folder: Folder, material: Material) -> list[str]:
    """The folders in a folder, with those in them for as long as there are few."""
    depth = 1
    while depth < MAX_DEPTH and _count(folder, material, depth + 1) <= MAX_TREE:
        depth += 1
    page = folder_page_of(folder.path)
    return section("Folders", _branches(folder, page, material, depth))


def _inner(folder: Folder, material: Material) -> list[Folder]:
    return [material.folders[inside(folder.path, name)] for name in folder.folders]


def _count(folder: Folder, material: Material, depth: int) -> int:
    if not depth:
        return 0
    inner = _inner(folder, material)
    return len(inner) + sum(_count(one, material, depth - 1) for one in inner)


def _branches(
    folder: Folder, page: str, material: Material, depth: int
) -> Iterator[str]:
    for one in _inner(folder, material) if depth else ():
        yield _folder_line(one, page, material)
        for line in _branches(one, page, material, depth - 1):
            yield f"    {line}"


def _files(folder: Folder, material: Material) -> list[str]:
    page = folder_page_of(folder.path)
    files = (inside(folder.path, name) for name in folder.files)
    return section("Files", (_file_line(path, page, material) for path in files))


def _folder_line(folder: Folder, page: str, material: Material) -> str:
    name = folder.path.rpartition("/")[2]
    link = link_to_page(f"{shown(name)}/", page, folder_page_of(folder.path))
    sentence = first_sentence(_folder_purpose(folder, material))
    return _listed(f"{link} ({counted(folder.count, 'file')})", sentence)


def _file_line(path: str, page: str, material: Material) -> str:
    link = link_to_page(shown(path.rpartition("/")[2]), page, page_of(path))
    return _listed(link, first_sentence(material.files[path].purpose))


def _listed(link: str, sentence: str) -> str:
    return f"- {link}: {prose(sentence)}" if sentence else f"- {link}"
