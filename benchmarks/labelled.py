"""Labelled queries: which files of a repository answer them. Two formats are read.

The first is a JSON list of repositories. Each has a `name`, a `repository` (owner/name), a `commit`,
the folder `root` to index, and `queries`. Each query has a `query`, a `category`, and the files
that answer it as paths in the repository: `relevant` and `secondary`.

The second is that of open-codebase-index' golden sets (its `src/eval/schema.ts`): a `cohort.json`, or
its folder, names repositories with `url` and `revision`, and for each a file beside it with the
`queries`. Such a file alone is a set too, of a folder with the file's name. A query has a `query`, a
`queryType`, perhaps a symbol to look up (`args.symbol`), and what is `expected`: `filePath`,
`acceptableFiles`, `gradedEvidence` with a `path` and its `relevance` each. Files of less relevance
than the best become `secondary`. Queries that are to find nothing are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

_NAME = re.compile(r"\w[\w.-]*")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_URL = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")
_COHORT = "cohort.json"


class Refused(Exception):
    """The benchmark cannot begin; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the files that answer it. `symbol` is the definition that it asks for, or ""."""

    query: str
    category: str
    relevant: tuple[str, ...]
    secondary: tuple[str, ...]
    symbol: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Every file that answers the query, once."""
        return tuple(dict.fromkeys(self.relevant + self.secondary))


@dataclass(frozen=True, slots=True)
class Entry:
    """A repository and its queries; `commit` and `repository` are "" for a plain folder."""

    name: str
    repository: str
    commit: str
    root: str
    queries: tuple[Query, ...]


def read_set(path: Path) -> list[Entry]:
    """The entries of a set. Raises `Refused` when the set is missing or malformed."""
    if path.is_dir():
        path /= _COHORT
    data = _json(path)
    entries = []
    make: Callable[[object], Entry] = partial(_of_cohort, path.parent)
    if isinstance(data, dict) and "repositories" in data:
        items = _list(path, data["repositories"])
    elif isinstance(data, dict) and "queries" in data:
        items = [{"dataset": path.name}]
    else:
        items, make = _list(path, data), _entry
    for number, item in enumerate(items, 1):
        try:
            entries.append(make(item))
        except ValueError as error:
            raise Refused(f"{path}: entry {number}: {error}") from error
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise Refused(f"{path}: two entries have the same name")
    return entries


def asked_by_symbol(entry: Entry) -> Entry:
    """The entry with the symbols that its queries ask for in place of the sentences."""
    queries = [replace(one, query=one.symbol or one.query) for one in entry.queries]
    return replace(entry, queries=tuple(queries))


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Refused(f"{path} is not JSON: {error}") from error


def _list(path: Path, data: object) -> list[object]:
    if not isinstance(data, list) or not data:
        raise Refused(f"{path}: a set is a list of repositories, with at least one")
    return data


def _of_cohort(folder: Path, item: object) -> Entry:
    """A repository of a cohort, whose queries are in a file of this folder."""
    fields = _mapping(item, "a repository")
    dataset = _text(fields, "dataset")
    if not _NAME.fullmatch(dataset):
        raise ValueError(f"the dataset {dataset!r} is not the name of a file")
    url = _text(fields, "url", "")
    found = _URL.fullmatch(url)
    if url and found is None:
        raise ValueError(f"{url!r} is no address on GitHub")
    made = {
        "name": _text(fields, "name", Path(dataset).stem),
        "repository": found[1] if found else "",
        "commit": _text(fields, "revision", ""),
    }
    queries = _mapping(_json(folder / dataset), dataset).get("queries")
    if not isinstance(queries, list):
        raise ValueError(f"{dataset} has no list of queries")
    asked = [one for one in map(_golden_query, queries) if one]
    return _entry({**made, "queries": asked})


def _golden_query(item: object) -> dict[str, object] | None:
    """A query as an entry has it, None if nothing is to be found."""
    fields = _mapping(item, "a query")
    expected = _mapping(fields.get("expected"), "what is expected")
    if expected.get("expectedOutcome") == "no-results":
        return None
    grades: dict[str, float] = {}
    for one in _items(expected, "gradedEvidence"):
        evidence = _mapping(one, "evidence")
        relevance = evidence.get("relevance")
        if not isinstance(relevance, int | float):
            raise ValueError(f"'relevance' has to be a number, not {relevance!r:.40}")
        path = _text(evidence, "path")
        grades[path] = max(relevance, grades.get(path, 0))
    best = max(grades.values(), default=0)
    for one in [expected.get("filePath"), *_items(expected, "acceptableFiles")]:
        if isinstance(one, str):
            grades[one] = best
    args = _mapping(fields.get("args", {}), "'args'")
    return {
        "query": _text(fields, "query"),
        "category": _text(fields, "queryType"),
        "relevant": [path for path, grade in grades.items() if grade == best],
        "secondary": [path for path, grade in grades.items() if grade != best],
        "symbol": _text(args, "symbol", ""),
    }


def _items(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name!r} has to be a list")
    return value


def _entry(item: object) -> Entry:
    fields = _mapping(item, "an entry")
    name = _text(fields, "name")
    repository = _text(fields, "repository", "")
    commit = _text(fields, "commit", "")
    root = _text(fields, "root", "").strip("/")
    # They become paths and arguments of git.
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} is not that of a folder")
    if repository and not _REPOSITORY.fullmatch(repository):
        raise ValueError(f"the repository {repository!r} is not owner/name")
    if commit and not _COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is not the id of a commit")
    if ".." in root.split("/"):
        raise ValueError(f"the root {root!r} leads out of the repository")
    queries = fields.get("queries")
    if not isinstance(queries, list) or not queries:
        raise ValueError("'queries' has to be a list with at least one query")
    return Entry(name, repository, commit, root, tuple(map(_query, queries)))


def _query(item: object) -> Query:
    fields = _mapping(item, "a query")
    query = _text(fields, "query")
    found = Query(
        query,
        _text(fields, "category"),
        _paths(fields, "relevant"),
        _paths(fields, "secondary"),
        _text(fields, "symbol", ""),
    )
    if not found.relevant:
        raise ValueError(f"no file is relevant to {query!r}")
    return found


def _mapping(item: object, what: str) -> Mapping[str, object]:
    if not isinstance(item, dict):
        raise ValueError(f"{what} has to be an object, not {item!r:.40}")
    return item


def _text(fields: Mapping[str, object], name: str, default: str | None = None) -> str:
    """A text field; without a default it must be present and not blank."""
    value = fields.get(name, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise ValueError(f"{name!r} has to be a text")
    return value


def _paths(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"{name!r} has to be a list of paths")
    for path in value:
        if not isinstance(path, str) or not path.strip("/"):
            raise ValueError(f"{name!r} has to be a list of paths, not {path!r:.40}")
    return tuple(value)
