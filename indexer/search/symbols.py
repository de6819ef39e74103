"""The symbols of an indexed file, and the files of an indexed folder, from the rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from indexer.errors import UsageError
from indexer.index.collection import place_of
from indexer.index.manifest import Manifest
from indexer.languages import NOTEBOOK
from indexer.milvus.rows import Row, row_id
from indexer.milvus.schema import condition
from indexer.milvus.store import Store
from indexer.paths import escape_path, unescape_path
from indexer.search.file_rows import rows_of

if TYPE_CHECKING:
    from indexer.search.searcher import Searcher

MOST_FILES = 16_384  # whose rows are read if nothing else tells what is in a folder
MOST_LISTED = 500  # files of a folder that are listed with their symbols
MOST_READ = 100  # files of a folder whose text is read for them

_FIELDS = (
    *("path", "file_hash", "chunk_no", "start_line", "end_line"),
    *("language", "symbol"),
)


class Symbol(Struct, frozen=True):
    """A definition by its dotted name, with its first and last line (1-based, inclusive)."""

    name: str
    start_line: int
    end_line: int


class FileOutline(Struct, frozen=True):
    """A file: its path as in rows, its last line that is not blank, and its symbols by line.

    `file_hashes` are the blob ids of the bytes that these come from: one, unless a run is at work. An outline
    is `stale` if the file has other bytes now.
    """

    path: str
    language: str
    last_line: int
    symbols: Sequence[Symbol] = ()
    file_hashes: frozenset[str] = frozenset()
    stale: bool = False


class Outline(Struct, frozen=True):
    """A file, or what is directly in a folder.

    For a folder, `folders` has the folders in it with the number of files below each, and files
    have the symbols at their top level. `is_cut` says that there are more than were looked at.
    """

    path: str
    files: Sequence[FileOutline]
    folders: dict[str, int] = field(default_factory=dict)
    is_folder: bool = False
    is_cut: bool = False


def outline(searcher: Searcher, path: str) -> Outline:
    """The outline of a file or folder; `path` is as in rows, "" for the whole project.

    Raises `UsageError` if the index has neither.
    """
    key = searcher.settings.project_key
    ask = partial(_outline, path.rstrip("/"), key, partial(_recorded, searcher))
    found = searcher.ask(ask)
    files = [
        replace(one, stale=searcher.is_stale(one.path, one.file_hashes))
        for one in found.files
    ]
    return replace(found, files=files)


def _recorded(searcher: Searcher) -> Mapping[str, int] | None:
    """The number of chunks of each file by the manifest, None if it is about another index.

    For 50,000 files this takes a tenth of the time that their rows take.
    """
    settings = searcher.settings
    if not settings.project or settings.searched != () or not settings.has_state:
        return None
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if manifest.get("place") != place_of(settings):
            return None
        return {
            escape_path(path): record.chunk_count
            for path, record in manifest.records().items()
            if record.chunk_count
        }


def _outline(
    path: str,
    project: str,
    recorded: Callable[[], Mapping[str, int] | None],
    store: Store,
) -> Outline:
    store.open()
    if path:
        rows = _rows_of_file(store, path, project)
        if rows:
            return Outline(path, [_of_file(path, rows)])
    known = recorded()
    if known is not None:
        return _of_folder(store, path, project, known)
    counted = _counts(store, path)
    found = _of_folder(store, path, project, counted)
    return replace(found, is_cut=found.is_cut or len(counted) >= MOST_FILES)


def _counts(store: Store, folder: str) -> Mapping[str, int]:
    """The number of chunks of the files below a folder, by their rows; if there are many files, of some."""
    start = condition(start=f"{folder}/" if folder else "")
    where = " and ".join(filter(None, ["chunk_no == 0", start]))
    rows = store.rows(where, ["path", "chunk_count"], MOST_FILES)
    return {str(row["path"]): int(row["chunk_count"]) for row in rows}


def _rows_of_file(store: Store, path: str, project: str) -> list[Row]:
    first = rows_of(store, path, [0], ["chunk_count"], project)
    if not first:
        return []
    numbers = range(first[0]["chunk_count"])
    return rows_of(store, path, numbers, ["file_hash"], project)


def _of_file(path: str, rows: Sequence[Row]) -> FileOutline:
    language = str(rows[0]["language"])
    last = max(int(row["end_line"]) for row in rows)
    symbols = _of_text(rows, language) or _of_rows(rows)
    return FileOutline(path, language, last, symbols, _hashes(rows))


def _hashes(rows: Iterable[Row]) -> frozenset[str]:
    return frozenset(str(row["file_hash"]) for row in rows)


def _of_text(rows: Sequence[Row], language: str) -> list[Symbol]:
    """The definitions in the text that the rows have, each with all of its lines.

    There are none without syntax, and none in a notebook, whose cells are in JSON.
    """
    # If none of a file's chunks has a symbol, a grammar may have crashed a worker on it.
    is_tame = len(rows) == 1 or any(row["symbol"] for row in rows)
    if not is_tame or language == NOTEBOOK:
        return []
    from indexer.text.outline import definitions

    found = definitions("\n".join(_lines_of(rows)), language)
    return [Symbol(*one) for one in found]


def _lines_of(rows: Iterable[Row]) -> list[str]:
    """The lines of a file, put together from its chunks. Lines between chunks are blank."""
    lines: list[str] = []
    before = None
    for row in rows:
        start, texts = int(row["start_line"]), str(row["text"]).split("\n")
        if before == (start, row["end_line"]) and len(texts) == 1:
            lines[start - 1] += texts[
                0
            ]  # a piece of a line that is longer than a chunk
            continue
        before = start, row["end_line"]
        lines += [""] * (start - 1 - len(lines))
        lines[start - 1 :] = texts
    return lines


def _of_rows(rows: Iterable[Row]) -> list[Symbol]:
    """The symbols of the chunks, each with the lines of its chunk."""
    found: dict[str, Symbol] = {}
    for row in rows:
        if name := str(row["symbol"]):
            start = found[name].start_line if name in found else int(row["start_line"])
            found[name] = Symbol(name, start, int(row["end_line"]))
    return sorted(found.values(), key=lambda one: one.start_line)


def _of_folder(
    store: Store, path: str, project: str, known: Mapping[str, int]
) -> Outline:
    """What is directly in a folder, among the files that are `known` with their number of chunks."""
    start = f"{path}/" if path else ""
    counts: dict[str, int] = {}
    folders: dict[str, int] = {}
    for name, count in known.items():
        if not name.startswith(start):
            continue
        inner, _, rest = name.removeprefix(start).partition("/")
        if rest:
            folders[inner] = folders.get(inner, 0) + 1
        else:
            counts[name] = count
    if not counts and not folders:
        raise UsageError(
            f"{path} is not in the index" if path else "the index has no files"
        )
    names = sorted(counts)
    listed = names[:MOST_LISTED]
    ids = [
        row_id(unescape_path(name), number, project)
        for name in listed
        for number in range(counts[name])
    ]
    of_files: dict[str, list[Row]] = {name: [] for name in listed}
    has_text = len(listed) <= MOST_READ
    for row in store.fetch(ids, [*_FIELDS, *(["text"] if has_text else [])]):
        of_files[str(row["path"])].append(row)
    files = [_top_of(name, rows, has_text) for name, rows in of_files.items() if rows]
    is_cut = len(names) > len(listed)
    return Outline(path, files, dict(sorted(folders.items())), True, is_cut)


def _top_of(path: str, rows: list[Row], has_text: bool) -> FileOutline:
    """A file with the symbols at its top level; without its text, some may be missing."""
    rows.sort(key=lambda row: int(row["chunk_no"]))
    language = str(rows[0]["language"])
    symbols = _of_text(rows, language) if has_text else []
    tops: dict[str, Symbol] = {}
    for one in symbols or _of_rows(rows):
        top = one.name.partition(".")[0]
        before = tops.setdefault(top, Symbol(top, one.start_line, one.end_line))
        tops[top] = Symbol(top, before.start_line, max(before.end_line, one.end_line))
    last = max(int(row["end_line"]) for row in rows)
    return FileOutline(path, language, last, [*tops.values()], _hashes(rows))
