"""The wiki: a page for every indexed file and folder, ready for MkDocs.

A state file holds what the pages were made of last time. So an update reads only files that have
changed and writes only pages that differ. The result is the same as if all were made afresh. A page
that cannot be written is reported and tried again by the next update.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress

from msgspec import Struct

from indexer.config import WIKI_MARKER, WIKI_SETTINGS
from indexer.errors import CodxIndexError
from indexer.paths import escape_path
from indexer.report import WikiCounts
from indexer.wiki.file_page import FilePage, file_page
from indexer.wiki.folder_pages import drawing, folder_page, graph_of, home_page
from indexer.wiki.learner import Learner
from indexer.wiki.markdown import PAGE_MARKER
from indexer.wiki.material import Material, sha256
from indexer.wiki.names import DOCS, STYLE, drawing_of, folder_page_of, in_docs, page_of
from indexer.wiki.navigation import STYLE_SHEET, mkdocs_settings
from indexer.wiki.output import Output
from indexer.wiki.sources import Sources
from indexer.wiki.state import WikiState
from indexer.wiki.writer import PageWriter

_IGNORE_FILE = ".gitignore"
_RULES = b"# Written by codx-index: a wiki with a folder of its own (wiki.path) has no such file.\n*\n"


class WikiError(CodxIndexError):
    """The wiki's folder is not ours to write."""


class Wiki(Struct, frozen=True):
    """A wiki's folder, its state file, its title, and the modes of what is in the folder.

    Of one that `is_hidden`, git is to see nothing.
    """

    folder: str
    state_path: str
    title: str
    is_hidden: bool = False
    mode: int = 0o644
    folder_mode: int = 0o755


def update_wiki(
    wiki: Wiki, sources: Sources, on_failure: Callable[[str, str], None]
) -> WikiCounts:
    """Make a wiki that of the sources; returns what was done.

    `on_failure` gets the name of each page (relative to the wiki's folder) that could not be
    written and the reason in one line; "." stands for the rest of the update. Raises `WikiError`
    if the folder holds something else, and whatever the sources raise, but neither OSError nor
    sqlite3.Error.
    """
    counts = WikiCounts()

    def fail(name: str, error: Exception) -> None:
        counts.failed += 1
        reason = getattr(error, "strerror", None) or error
        on_failure(name, " ".join(str(reason).split()))

    try:
        with closing(Output(wiki.folder, wiki.mode, wiki.folder_mode)) as output:
            _claim(output, wiki.folder)
            _hide(output, wiki.is_hidden)
            with closing(_open_state(wiki.state_path, sources.key)) as state:
                _claim_pages(output, state, escape_path(os.path.realpath(wiki.folder)))
                learner = Learner(state, sources)
                material = learner.learn()
                writer = PageWriter(output, state, counts, fail)
                _write(wiki.title, material, writer, learner, state)
                counts.pages = sum(
                    name.endswith(".md") and page.fields is not None
                    for name, page in state.pages().items()
                )
    except (OSError, sqlite3.Error) as error:
        fail(".", error)
    return counts


def _claim(output: Output, folder: str) -> None:
    """Put our mark into an empty folder before anything else."""
    marker = WIKI_MARKER.encode()
    if output.is_empty():
        output.write(WIKI_SETTINGS, marker + b"\n")
    elif output.head(WIKI_SETTINGS, len(marker)) != marker:
        raise WikiError(
            f"{folder} was not written by codx-index: give another folder with --wiki-path"
        )


def _hide(output: Output, is_hidden: bool) -> None:
    """Have git ignore the folder, or stop ignoring it. A file with somebody else's rules stays."""
    with suppress(OSError):  # it matters to nobody but git
        if not is_hidden and output.head(_IGNORE_FILE, len(_RULES) + 1) == _RULES:
            output.delete(_IGNORE_FILE)
        elif is_hidden and output.fields(_IGNORE_FILE) is None:
            output.write(_IGNORE_FILE, _RULES)


def _open_state(path: str, key: str) -> WikiState:
    """The state. If it cannot be a file it is in memory, and the wiki is made afresh."""
    try:
        return WikiState(path, key)
    except sqlite3.Error:
        return WikiState(":memory:", key)


def _claim_pages(output: Output, state: WikiState, folder: str) -> None:
    """Recognize our pages by their mark in a folder that the state does not know."""
    if state.folder == folder:
        return
    marker = PAGE_MARKER.encode()
    state.claim(
        name
        for name in output.names(DOCS)
        if name.endswith((".md", ".svg")) and output.head(name, len(marker)) == marker
    )
    state.set_folder(folder)


def _write(
    title: str,
    material: Material,
    writer: PageWriter,
    learner: Learner,
    state: WikiState,
) -> None:
    """Write and delete what follows from the material."""
    small = _small_pages(title, material)
    keys = {name: sha256(text) for name, text in small.items()}
    writer.write(writer.stale(keys), small.get)

    files = {in_docs(page_of(path)): path for path in material.files}
    keys = {name: material.key(path) for name, path in files.items()}
    stale = writer.stale(keys)
    learner.keep_texts([files[name] for name in stale], material)
    writer.write(stale, lambda name: _file_page(files[name], material, state))

    writer.delete_others(small.keys() | files.keys())


def _small_pages(title: str, material: Material) -> dict[str, str]:
    """Everything but the pages of files; making it each time is cheap."""
    folders = material.folders
    pages = {
        WIKI_SETTINGS: mkdocs_settings(title, folders),
        in_docs(STYLE): STYLE_SHEET,
    }
    for path, folder in folders.items():
        graph = graph_of(folder, material)
        if path:
            page = folder_page(folder, material, graph)
            pages[in_docs(folder_page_of(path))] = page
        else:
            pages[in_docs(folder_page_of(""))] = home_page(title, material, graph)
        if graph:
            pages[in_docs(drawing_of(path))] = drawing(graph, path)
    return pages


def _file_page(path: str, material: Material, state: WikiState) -> str | None:
    """The page of a file; None if the file has changed since it was described."""
    text = state.text(path)
    if text is None:
        return None
    file = material.files[path]
    return file_page(
        FilePage(
            path=path,
            language=file.language,
            lines=file.lines,
            purpose=file.purpose,
            summary=material.summaries.get(file.file_hash, ""),
            definitions=state.definitions(path),
            imports=material.imports.get(path, ()),
            importers=material.importers.get(path, ()),
            links=material.links.get(path, ()),
            linkers=material.linkers.get(path, ()),
            related=material.cosines(path),
            text=text,
        )
    )
