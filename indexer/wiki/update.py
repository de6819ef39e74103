"""The wiki: a page for every indexed file and folder, ready for MkDocs.

What it was made of last time is in a state file, so an update reads what has changed and
writes the pages that are others than before. What comes out is what would be made afresh. A
page that cannot be written is told of and tried again; nothing here makes a run fail.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from indexer.config import WIKI_SETTINGS
from indexer.paths import escape_path
from indexer.tree.git import blob_id
from indexer.types import WikiCounts
from indexer.wiki import markdown, navigation, pages
from indexer.wiki.describe import Description
from indexer.wiki.output import Output
from indexer.wiki.pages import DOCS, FilePage
from indexer.wiki.related import packed_mean, update_related
from indexer.wiki.resolver import Resolver
from indexer.wiki.sources import (
    Material,
    Sources,
    WikiError,
    _name,
    batches,
    hash,
    valid,
)
from indexer.wiki.state import KnownPage, WikiState

_BATCH = 256  # files between two commits
_SUMMARIES = 32  # files asked about at once


def update_wiki(
    folder: str,
    state_path: str,
    title: str,
    sources: Sources,
    on_failure: Callable[[str, str], None],
    *,
    mode: int = 0o644,
    folder_mode: int = 0o755,
) -> WikiCounts:
    """Make the wiki in `folder` that of the sources; returns what was done.

    `on_failure` is told of each page (relative to `folder`) that could not be written, and
    why, in one line; of "." where nothing more could be done. Raises `WikiError` where the
    folder holds something else, and what the sources raise; neither OSError nor
    sqlite3.Error.
    """
    counts = WikiCounts()
    try:
        with Output(folder, mode, folder_mode) as output:
            _claim(output, folder)
            with _open_state(state_path, sources.key) as state:
                known_as = escape_path(os.path.realpath(folder))
                update = _Update(
                    output, state, known_as, title, sources, on_failure, counts
                )
                update.run()
    except (OSError, sqlite3.Error) as error:
        counts.failed += 1
        on_failure(".", _reason(error))
    return counts


def _claim(output: Output, folder: str) -> None:
    """Leave our mark in an empty folder, before anything else is in it."""
    marker = pages.MARKER.encode()
    if output.is_empty():
        output.write(WIKI_SETTINGS, marker + b"\n")
    elif output.head(WIKI_SETTINGS, len(marker)) != marker:
        raise WikiError(
            f"{folder} was not written by codx-index: give another folder with --wiki-path"
        )


def _open_state(path: str, key: str) -> WikiState:
    """The state; one in memory where there cannot be a file: the wiki is made anew then."""
    try:
        return WikiState(path, key)
    except sqlite3.Error:
        return WikiState(":memory:", key)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())


class _Update:
    """One update, on one screen: `run`."""

    def __init__(
        self,
        output: Output,
        state: WikiState,
        folder: str,
        title: str,
        sources: Sources,
        on_failure: Callable[[str, str], None],
        counts: WikiCounts,
    ) -> None:
        self._output = output
        self._state = state
        self._folder = folder
        self._title = title
        self._sources = sources
        self._on_failure = on_failure
        self._counts = counts
        self._records = {
            path: record
            for path, record in sources.records.items()
            if record.chunk_count > 0
        }

    def run(self) -> None:
        """Learn what has changed, then write what follows from it."""
        if self._state.folder != self._folder:
            self._state.claim(self._pages_of_before())
            self._state.set_folder(self._folder)
        self._describe_changed()
        self._fetch_vectors()
        self._relate()
        material = self._material()
        material.summaries = self._summaries(material)
        known = self._state.pages()
        wanted = self._small_pages(material)
        self._write_small(wanted, known)
        files = {_name(markdown.page_of(path)): path for path in material.files}
        self._write_files(files, material, known)
        self._delete(known.keys() - wanted.keys() - files.keys())
        self._count(self._state.pages())

    def _pages_of_before(self) -> list[str]:
        """The pages in a folder that the state knows nothing of, by their mark."""
        marker = pages.PAGE_MARKER.encode()
        return [
            name
            for name in self._output.names(DOCS)
            if name.endswith(".md") and self._output.head(name, len(marker)) == marker
        ]

    # -- Learning --

    def _describe_changed(self) -> None:
        known = self._state.files()
        changed = [
            path
            for path, record in self._records.items()
            if path not in known or known[path].file_hash != record.file_hash
        ]
        for batch in batches(self._descriptions(sorted(changed)), _BATCH):
            self._state.describe(batch)
            self._keep(batch)

    def _descriptions(self, paths: Iterable[str]) -> Iterator[Description]:
        """Of those files that are still what the index has of them."""
        return self._sources.describe(self._current(paths))

    def _current(self, paths: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        for path in paths:
            data = self._sources.read(path)
            file_hash = self._records[path].file_hash
            object_format = "sha256" if len(file_hash) == 64 else "sha1"
            if data is not None and blob_id(data, object_format) == file_hash:
                yield path, file_hash, data

    def _keep(self, found: Iterable[Description]) -> None:
        self._state.keep_texts((file.path, file.text) for file in found)

    def _fetch_vectors(self) -> None:
        wanted = [p for p in self._state.without_vector() if p in self._records]
        for batch in batches(iter(wanted), _BATCH):
            records = [self._records[path] for path in batch]
            self._state.set_vectors(
                (path, packed_mean(vectors))
                for path, vectors in self._sources.vectors(records)
            )

    def _relate(self) -> None:
        places = self._state.places()
        gone = places.keys() - self._records.keys()
        current = {path: place for path, place in places.items() if path not in gone}
        self._state.relate(update_related(current).items(), gone)

    def _material(self) -> Material:
        files = self._state.files()
        modules = {path: file.module for path, file in files.items() if file.module}
        resolver = Resolver(files, modules)
        imports = {
            path: resolver.resolve(path, file.language, file.imports)
            for path, file in files.items()
        }
        importers = defaultdict(list)
        for path in sorted(imports):
            for target in imports[path]:
                importers[target].append(path)
        related = {
            path: place.related or () for path, place in self._state.places().items()
        }
        return Material(files, pages.folders_of(files), imports, importers, related)

    def _summaries(self, material: Material) -> dict[str, str]:
        """By file_hash. A command that has none to give is asked again next time."""
        summarize, key = self._sources.summarize, self._sources.summary_key
        if summarize is None:
            return {}
        known = self._state.summaries(key)
        by_hash = {
            material.files[path].file_hash: path
            for path in sorted(material.files, reverse=True)
        }
        lacking = [
            path for file_hash, path in by_hash.items() if file_hash not in known
        ]
        for batch in batches(
            self._current_descriptions(sorted(lacking), material), _SUMMARIES
        ):
            by_path = {file.path: file.file_hash for file in batch}
            found = {
                by_path[path]: valid(summary)
                for path, summary in summarize(batch)
                if path in by_path and summary.strip()
            }
            self._state.set_summaries(key, found.items())
            known |= found
        return known

    def _current_descriptions(
        self, paths: Sequence[str], material: Material
    ) -> Iterator[Description]:
        for file in self._descriptions(paths):
            # What could not be read again may be known by other bytes.
            if file.file_hash == material.files[file.path].file_hash:
                yield file

    # -- Writing --

    def _small_pages(self, material: Material) -> dict[str, bytes]:
        """All that is not the page of a file: cheap enough to make each time."""
        purposes = {path: file.purpose for path, file in material.files.items()}
        languages = Counter(file.language for file in material.files.values())
        folders = material.folders
        texts = {
            WIKI_SETTINGS: navigation.mkdocs_settings(self._title, folders),
            _name(pages.STYLE): navigation.STYLE_SHEET,
            _name(markdown.folder_page_of("")): pages.home_page(
                self._title, folders, purposes, languages, material.importers
            ),
        }
        for path, folder in folders.items():
            if path:
                name = _name(markdown.folder_page_of(path))
                texts[name] = pages.folder_page(folder, folders, purposes)
        return {name: text.encode() for name, text in texts.items()}

    def _write_small(
        self, wanted: Mapping[str, bytes], known: Mapping[str, KnownPage]
    ) -> None:
        keys = {name: hash(data) for name, data in wanted.items()}
        stale = self._stale(keys, known)
        self._state.claim(stale)
        self._state.set_pages(self._written((n, keys[n], wanted[n]) for n in stale))

    def _write_files(
        self,
        files: Mapping[str, str],
        material: Material,
        known: Mapping[str, KnownPage],
    ) -> None:
        keys = {name: material.key(path) for name, path in files.items()}
        stale = self._stale(keys, known)
        self._read_texts([files[name] for name in stale], material)
        for batch in batches(iter(stale), _BATCH):
            ready = [
                (name, keys[name], page.encode())
                for name in batch
                if (page := self._file_page(files[name], material)) is not None
            ]
            self._state.claim(name for name, _, _ in ready)
            self._state.set_pages(self._written(ready))

    def _stale(
        self, keys: Mapping[str, str], known: Mapping[str, KnownPage]
    ) -> list[str]:
        """The pages that are not what they should be, or have been changed by others."""
        return [
            name
            for name, key in sorted(keys.items())
            if not self._is_current(name, key, known.get(name))
        ]

    def _is_current(self, name: str, key: str, page: KnownPage | None) -> bool:
        if page is None or page.fields is None or page.key != key:
            return False
        return self._output.fields(name) == page.fields

    def _read_texts(self, paths: Sequence[str], material: Material) -> None:
        kept = self._state.kept()
        missing = sorted(path for path in paths if path not in kept)
        for batch in batches(self._current_descriptions(missing, material), _BATCH):
            self._keep(batch)

    def _file_page(self, path: str, material: Material) -> str | None:
        """None where the file is not what it was: the page stays until the next update."""
        text = self._state.text(path)
        if text is None:
            return None
        file = material.files[path]
        return pages.file_page(
            FilePage(
                path,
                file.language,
                file.lines,
                file.purpose,
                material.summaries.get(file.file_hash, ""),
                self._state.definitions(path),
                material.imports[path],
                material.importers.get(path, ()),
                material.cosines(path),
                text,
            )
        )

    def _written(
        self, wanted: Iterable[tuple[str, str, bytes]]
    ) -> Iterator[tuple[str, KnownPage]]:
        for name, key, data in wanted:
            try:
                fields = self._output.write(name, data)
            except OSError as error:
                self._fail(name, error)
                continue
            self._counts.written += name.endswith(".md")
            yield name, KnownPage(key, fields)

    def _delete(self, names: Iterable[str]) -> None:
        gone = []
        for name in sorted(names):
            try:
                self._counts.deleted += self._output.delete(name)
            except OSError as error:
                self._fail(name, error)
                continue
            gone.append(name)
        self._state.forget_pages(gone)

    def _fail(self, name: str, error: OSError) -> None:
        self._counts.failed += 1
        self._on_failure(name, _reason(error))

    def _count(self, known: Mapping[str, KnownPage]) -> None:
        self._counts.pages = sum(
            name.endswith(".md") and page.fields is not None
            for name, page in known.items()
        )
