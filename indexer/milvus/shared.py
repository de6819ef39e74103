"""One project's part of a collection that projects share.

Every row has the key of its project, which is a hash, so that a condition on it can mean nothing
else. A run reads, counts and deletes only the rows of its own project, and the rows that it writes have
ids that no other project's rows have. Milvus needs no further collection: rows of this one, under a key
that is no project's, say who writes, who wrote last and who owns a project.

There is no alias, because all the projects have one fingerprint: a run with another is refused.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from indexer.address import Address
from indexer.errors import ForeignCollectionError, NoIndexError, StoreError, UsageError
from indexer.faults import reach
from indexer.milvus.board import LEASE, Board
from indexer.milvus.ledger import Ledger
from indexer.milvus.owner import OWN_DATABASE, Claim
from indexer.milvus.rows import PROJECT, Row
from indexer.milvus.schema import (
    collection_schema,
    dimension_of,
    field_names,
    of_projects,
)
from indexer.milvus.store import FINGERPRINT, HAS_VECTORS, SHARED, Store

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

BOARD = "board"  # in place of a project's key
OWNER = "owner"  # the kind of text that says who owns a project
IS_NO_BOARD = f'{PROJECT} != "{BOARD}"'
IS_OWNER = f'{PROJECT} == "{BOARD}" and language == "{OWNER}"'

# What a person can change in a fingerprint, by the properties that show it.
_TOLD = {
    "codx.model": "model",
    "codx.precision": "precision",
    "codx.secrets": "secrets",
    "codx.languages": "languages",
}


class SharedBoard(Board):
    """The lease, the mark of the last writer and the owner of the project with the key `project`."""

    kinds = (*Board.kinds, OWNER)

    def __init__(
        self,
        client: MilvusClient,
        where: Address | str,
        name: str,
        patience: float,
        project: str,
    ) -> None:
        super().__init__(client, where, name, patience)
        self.place = name
        self._project = project
        self._dimension = 0
        self._is_sparse = False
        self._is_dropped = False
        self._owner: dict[str, str] | None = None

    def use(self, dimension: int, *, is_sparse: bool) -> None:
        """Write rows with vectors of this length, and perhaps sparse ones, from now on."""
        self._dimension, self._is_sparse = dimension, is_sparse

    @property
    def owner(self) -> Mapping[str, str]:
        """The `path` of the project and the `name` that it is shown by, {} if it has no rows."""
        if self._owner is None:
            self._read()
        return self._owner or {}

    def write_owner(self, path: str, name: str) -> None:
        """Say who owns the rows of the project."""
        owner = {"path": path, "name": name}
        self._write(OWNER, json.dumps(owner))
        self._owner = owner

    def names(self, projects: Collection[str] | None) -> dict[str, str]:
        """The names under which projects are shown, by their keys: those of these projects that have
        rows; with None, all."""
        where = IS_OWNER
        if projects is not None:
            ids = json.dumps([f"{OWNER}-{key}" for key in projects])
            where = f"id in {ids} and {where}"
        rows: list[Row] = self._guard.call(
            self._client.query,
            self.place,
            filter=where,
            output_fields=["text"],
            consistency_level="Strong",
        )
        return {
            row["id"].removeprefix(f"{OWNER}-"): json.loads(row["text"])["name"]
            for row in rows
        }

    def write(self, text: str) -> None:
        if text or not self._is_dropped:
            super().write(text)
        else:  # a renewal may have come after it was removed
            self._delete([LEASE])

    def drop(self) -> None:
        """Remove what the board says about the project."""
        self._delete(self.kinds)
        self._is_dropped = True

    def _delete(self, kinds: Collection[str]) -> None:
        ids = [self._id(kind) for kind in kinds]
        self._guard.call(self._client.delete, self.place, ids=ids)

    def _id(self, kind: str) -> str:
        return f"{kind}-{self._project}"

    def _read(self) -> dict[str, str]:
        texts = super()._read()
        self._owner = json.loads(texts.get(OWNER) or "{}")
        return texts

    def _row(self, kind: str, text: str) -> Row:
        vector = [1.0] + [0.0] * (self._dimension - 1)
        sparse = {"sparse": {0: 1.0}} if self._is_sparse else {}
        about = {PROJECT: BOARD, "language": kind, "vector": vector}
        return {**super()._row(kind, text), **about, **sparse}

    def _remember_schema(self) -> None:
        """The store does, because it is its collection."""

    def _make(self) -> None:
        if not self._exists():
            raise StoreError(
                f"the shared collection {self.place!r} was dropped during a run"
            )
        self._load()


class SharedStore(Store):
    """The part of a project in the collection that it shares.

    The project has the key `project` and is shown by its `label`. Rows are read of the projects
    whose labels the mapping `read` has by their keys; None means all projects. `ledger` is that of an
    embedded database.
    """

    board: SharedBoard

    def __init__(
        self,
        client: MilvusClient,
        name: str,
        where: Address | str,
        *,
        project: str,
        label: str,
        read: Mapping[str, str] | None,
        ledger: Ledger | None,
        **options: Any,
    ) -> None:
        self._project, self._label = project, label
        self._wanted = read
        self._is_chosen = read is None
        self._ledger = ledger
        self._has_written = False
        self._claim = OWN_DATABASE
        super().__init__(client, name, where, **options)
        self.ours = IS_NO_BOARD if read is None else of_projects(read)

    def _make_board(self, where: Address | str, patience: float) -> Board:
        board = SharedBoard(self._client, where, self.name, patience, self._project)
        if self.embedded:  # what it cannot write must not be flushed either
            board._guard = self._guard
        return board

    def close(self) -> None:
        super().close()
        if self._ledger and self._has_written and not self._guard.is_broken:
            self._ledger.settle()

    def describe(self, name: str) -> dict[str, Any] | None:
        found = self._description(name)
        if found is not None and SHARED not in found.get("properties", {}):
            raise ForeignCollectionError(
                f"the collection {name!r} at {self._guard.uri} is not a shared collection: "
                "choose another name with --shared-collection"
            )
        if found is not None:
            is_sparse = "sparse" in field_names(found)
            self.board.use(dimension_of(found), is_sparse=is_sparse)
        return found

    def names(self, projects: Collection[str]) -> dict[str, str]:
        return self.board.names(projects) if projects else {}

    def _choose(self) -> None:
        if self._is_chosen or not self._wanted:
            return
        known = self.board.names([*self._wanted])
        chosen = dict(known)
        for key, label in self._wanted.items():
            if key not in known:
                found = None if key == self._project else self._meant(label)
                if found is None:
                    raise NoIndexError(
                        f"no project {label!r} in the shared collection {self.name!r} at "
                        f"{self._guard.uri}: build its index with codx-index run"
                    )
                chosen[found] = label
        self.ours = of_projects(chosen)
        self._is_chosen = True

    def _meant(self, label: str) -> str | None:
        """The key of the one project whose name ends in this, None if there is none.

        Raises `UsageError` if there are several.
        """
        ending = "/" + label.strip("/")
        names = self.board.names(None)
        found = [key for key, name in names.items() if name.endswith(ending)]
        if len(found) > 1:
            which = ", ".join(sorted(names[key] for key in found))
            raise UsageError(
                f"--project {label} is ambiguous: it could be any of {which}"
            )
        return found[0] if found else None

    def prepare(
        self,
        fingerprint: str,
        dimension: int,
        properties: dict[str, str],
        claim: Claim = OWN_DATABASE,
    ) -> None:
        """Create or open the shared collection, for writing.

        Raises `ForeignCollectionError` for one with another fingerprint, and for a project
        that the `claim` does not allow.
        """
        found = self._looked or self._look()
        self.physical = self.name
        ours = {**properties, FINGERPRINT: fingerprint, SHARED: "yes"}
        if found is None:
            self._create(dimension, ours)
            reach("created")
            found = self._look()
            assert found is not None
        refuse_other_settings(self.name, self._guard.uri, found["properties"], ours)
        self._use(found)
        if self.embedded or not self._is_loaded():
            self._add_missing_indexes()
            self._load(is_whole=False)
        self.check(claim)
        reach("prepared")

    def _schema(self, dimension: int, *, sparse: bool) -> CollectionSchema:
        # In milvus-lite, partitions mean 16 times as many files and no quicker search. Milvus
        # before 2.4 upserts rows into partitions in which it does not look for them.
        return collection_schema(
            dimension,
            sparse=sparse,
            projects=True,
            partitions=sparse and not self.embedded,
        )

    def _is_made(self) -> bool:
        return self.describe(self.name) is not None  # perhaps by another project

    def check(self, claim: Claim) -> None:
        self._claim = claim
        path = self.board.owner.get("path", "")
        if path and claim.project and path != claim.project and not claim.takes_over:
            raise ForeignCollectionError(
                f"the project {self._label!r} in the shared collection {self.name!r} at "
                f"{self._guard.uri} belongs to {path}: choose another name with --project, or "
                "make it this project's with --take-over"
            )

    def claim(self, writer: str, *, embeds: bool = True) -> None:
        self._has_written = True
        if self._ledger:
            self._ledger.claim(self._project, writer)
        if self.board.owner.get("path") != self._claim.project:
            self.board.write_owner(self._claim.project, self._label)
        if not self.embedded:
            self.board.write_mark(writer)
        if embeds and HAS_VECTORS not in self._properties:
            self._guard.call(
                self._client.alter_collection_properties,
                self.physical,
                {HAS_VECTORS: "yes"},
            )

    def finish(self, *, sweeps: bool = True) -> None:
        """Flush. There is no alias to move, and nothing to drop."""
        self.flush()
        reach("flushed")

    def drop(self, claim: Claim = OWN_DATABASE) -> bool:
        """Remove the rows of the project, and what the board says about it.

        Returns whether there were any. Raises `ForeignCollectionError` for a project that the
        `claim` does not allow.
        """
        found = self.describe(self.name)
        if found is None:
            return False
        self._use(found)
        self._load(is_whole=True)
        self.check(claim)
        ids = [key.id for key in self.keys()]
        had_any = bool(ids or self.board.owner)
        self._has_written = True
        if self._ledger:
            self._ledger.forget(self._project)
        self.delete(ids)
        reach("deleted")
        self.board.drop()
        self.flush()
        return had_any


def refuse_other_settings(
    name: str, where: str, found: Mapping[str, str], ours: Mapping[str, str]
) -> None:
    """Raise `ForeignCollectionError` unless a shared collection has our fingerprint.

    Both arguments are properties of a collection; `found` is empty if there is no collection.
    """
    if found.get(FINGERPRINT, ours[FINGERPRINT]) == ours[FINGERPRINT]:
        return
    differences = [
        f"{label} {_shown(found.get(key))} where this run has {_shown(ours[key])}"
        for key, label in _TOLD.items()
        if found.get(key) != ours[key]
    ]
    what = "; ".join(differences) or "rows of another version of codx-index"
    raise ForeignCollectionError(
        f"the shared collection {name!r} at {where} has {what}, but all of its projects must "
        "agree: run with its settings, or start a new one with --shared-collection"
    )


def _shown(value: str | None) -> str:
    return value or "none"
