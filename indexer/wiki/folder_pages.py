"""The pages of folders, the home page among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from indexer.wiki.folders import Folder, inside
from indexer.wiki.markdown import (
    PAGE_MARKER,
    counted,
    in_markdown,
    link_to_file,
    link_to_page,
    paragraphs,
    section,
    shown,
    trail,
)
from indexer.wiki.material import Material
from indexer.wiki.names import folder_page_of, page_of
from indexer.wiki.purpose import first_sentence

MAX_HOME_FILES = 10


def home_page(title: str, material: Material) -> str:
    """The page of the project, as Markdown."""
    root = material.folders[""]
    blocks = [
        PAGE_MARKER,
        f"# {in_markdown(shown(title))}",
        *paragraphs(_folder_purpose(root, material)),
        f"{counted(root.count, 'file')}.",
        *_contents(root, material),
        *section("Most imported", _most_imported(material)),
        *section("Languages", _languages(material)),
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
        yield f"- {in_markdown(name or 'other')} ({counted(counts[name], 'file')})"


def folder_page(folder: Folder, material: Material) -> str:
    """The page of a folder, as Markdown."""
    page = folder_page_of(folder.path)
    around, _, name = folder.path.rpartition("/")
    blocks = [
        PAGE_MARKER,
        f"{trail(around, page)} / {in_markdown(shown(name))}",
        f"# {in_markdown(shown(name))}/",
        *paragraphs(_folder_purpose(folder, material)),
        *_contents(folder, material),
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


def _contents(folder: Folder, material: Material) -> Iterator[str]:
    page = folder_page_of(folder.path)
    inner = [material.folders[inside(folder.path, name)] for name in folder.folders]
    yield from section("Folders", (_folder_line(one, page, material) for one in inner))
    files = (inside(folder.path, name) for name in folder.files)
    yield from section("Files", (_file_line(path, page, material) for path in files))


def _folder_line(folder: Folder, page: str, material: Material) -> str:
    name = folder.path.rpartition("/")[2]
    link = link_to_page(f"{shown(name)}/", page, folder_page_of(folder.path))
    sentence = first_sentence(_folder_purpose(folder, material))
    return _listed(f"{link} ({counted(folder.count, 'file')})", sentence)


def _file_line(path: str, page: str, material: Material) -> str:
    link = link_to_page(shown(path.rpartition("/")[2]), page, page_of(path))
    return _listed(link, first_sentence(material.files[path].purpose))


def _listed(link: str, sentence: str) -> str:
    return f"- {link}: {in_markdown(sentence)}" if sentence else f"- {link}"
