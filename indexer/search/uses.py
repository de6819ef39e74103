"""Where an identifier occurs in the indexed text, as a whole word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct, field

from indexer.errors import UsageError
from indexer.milvus.rows import Row
from indexer.milvus.store import Store
from indexer.milvus.table import MOST_HITS
from indexer.search.best_line import shortened
from indexer.search.question import name_place
from indexer.search.retrieval import NO_SPARSE, OTHER_SPARSE
from indexer.search.scope import Scope
from indexer.text.terms import idf, term_id, terms
from indexer.text.versions import SPARSE_VERSION

if TYPE_CHECKING:
    from indexer.search.searcher import Searcher

COLUMNS = 200  # characters of a line that are shown

# Letters, digits and _, or such words with what joins names in some language between them.
_NAME = re.compile(r"[\w$@#:.\->]*\w[?!]?")


class Use(Struct, frozen=True):
    """A line (1-based) of a file in which an identifier occurs.

    `is_definition` says whether its definition begins there.
    `text` is the line without white space around it, cut around the identifier if it is long.
    `file_hash` is the blob id of the bytes that it comes from.
    """

    path: str
    line: int
    text: str
    is_definition: bool = False
    file_hash: str = ""


class Uses(Struct, frozen=True):
    """The uses of an identifier: those in files that define it first, then by path and line.

    `notes` say why there may be more. `project` is as in `Hit`. `stale` has the paths of the files that
    have other bytes now.
    """

    uses: Sequence[Use]
    project: str = ""
    notes: Sequence[str] = field(default_factory=list)
    stale: Set[str] = frozenset()


def uses(
    searcher: Searcher,
    name: str,
    scope: Scope,
    most_chunks: int = MOST_HITS,
    most_files: int = 0,
) -> Uses:
    """Where an identifier occurs as a whole word in the indexed text; case matters.

    At most `most_chunks` that have it are looked at. With `most_files`, only the uses in that many
    first files are returned, and these files are compared with what they are now. Raises `UsageError`
    if the name is not an identifier.
    """
    name = name.strip().removesuffix("()")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is not an identifier: give one name, as it appears in the code"
        )
    scope = searcher.limited(scope)
    found, notes = searcher.ask(partial(_uses, name, scope, most_chunks))
    defining = {one.path for one in found if one.is_definition}
    found.sort(key=lambda one: (one.path not in defining, one.path, one.line))
    if not most_files:
        return Uses(found, searcher.project, notes)
    hashes: dict[str, set[str]] = {}
    for one in found:
        hashes.setdefault(one.path, set()).add(one.file_hash)
    if len(hashes) > most_files:
        notes.append(f"{len(hashes):,} files have {name}; {most_files:,} are shown")
        hashes = dict(islice(hashes.items(), most_files))
        found = [one for one in found if one.path in hashes]
    stale = {path for path, of in hashes.items() if searcher.is_stale(path, of)}
    return Uses(found, searcher.project, notes, stale)


def _uses(
    name: str, scope: Scope, most: int, store: Store
) -> tuple[list[Use], list[str]]:
    current = store.open()
    rarest = max(terms(name), key=idf, default="")
    version = current.get("codx.sparse")
    if not store.has_sparse or version != str(SPARSE_VERSION):
        is_old = not version or store.has_sparse
        raise UsageError(OTHER_SPARSE if is_old else NO_SPARSE)
    rows = (
        # A term is in the sparse vector of every row that has it.
        store.search("sparse", {term_id(rarest): 1.0}, most, scope.condition)
        if rarest
        else _with_text(store, name, scope, most)
    )
    notes = []
    if len(rows) >= most:
        notes.append(
            f"{name} is so common that only part of the index was searched: narrow it with "
            "paths"
        )
    seen = {
        (one.path, one.line): one
        for row in rows
        if scope.holds(row["path"], row["language"])
        for one in _uses_in(name, row)
    }
    return list(seen.values()), notes


def _with_text(store: Store, name: str, scope: Scope, most: int) -> list[Row]:
    """Rows whose text has a name that is not a term: a letter, or a word such as `get`."""
    if not re.fullmatch(r"\w+", name, re.ASCII):
        raise UsageError(f"{name!r} has no word that distinguishes files")
    # In Milvus, _ stands for any character; rows that match only because of it are left out later.
    where = " and ".join(filter(None, [scope.condition, f'text like "%{name}%"']))
    fields = ["path", "file_hash", "start_line", "end_line", "language", "text"]
    return list(islice(store.rows(where, fields, most), most))


def _uses_in(name: str, row: Row) -> Iterator[Use]:
    text = str(row["text"])
    if name not in text:
        return
    word = _whole_word(name)
    for number, line in enumerate(text.split("\n")):
        if name in line and word.search(line):
            yield Use(
                str(row["path"]),
                min(int(row["start_line"]) + number, int(row["end_line"])),
                shortened(line.strip(), name, COLUMNS),
                name_place(name, line) is not None,
                str(row["file_hash"]),
            )


def _whole_word(name: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    after = r"(?!\w)" if re.search(r"\w$", name) else ""
    return re.compile(before + re.escape(name) + after)
