"""Which project a collection belongs to, if projects share a Milvus.

The project's path is a property of the collection from its creation on. A collection
that is older than this property belongs to the first project that writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from indexer.errors import ForeignCollectionError

OWNER = "codx.project"


class Claim(Struct, frozen=True):
    """The project, by its escaped path, that wants to write or drop a collection.

    `project` "" means that the project has a database of its own, in which everything is its own.
    `takes_over` means that somebody said that the collection is this project's, whoever had it.
    With `is_foreign_name`, the name is one that another folder gets by default.
    """

    project: str = ""
    takes_over: bool = False
    is_foreign_name: bool = False

    @property
    def properties(self) -> dict[str, str]:
        """What the collection should say about its owner."""
        return {OWNER: self.project} if self.project else {}

    def is_settled(self, collection: Mapping[str, Any]) -> bool:
        """Whether the collection, as Milvus describes it, already names the project."""
        return not self.project or self._owner(collection) == self.project

    def problem(self, collection: Mapping[str, Any]) -> str:
        """Why the project may not have the collection, "" if it may."""
        owner = self._owner(collection)
        if self.takes_over or self.is_settled(collection):
            return ""
        if owner:
            return f"belongs to the project {owner}"
        if self.is_foreign_name:
            return "has a name that comes from another project's folder"
        return ""

    @staticmethod
    def _owner(collection: Mapping[str, Any]) -> str:
        return str(collection.get("properties", {}).get(OWNER, ""))


OWN_DATABASE = Claim()


def refuse(
    claim: Claim, name: str, where: str, found: Iterable[Mapping[str, Any]]
) -> None:
    """Raise `ForeignCollectionError` for collections that the claim does not allow.

    `name` is the name of the alias, and `found` has Milvus's descriptions of the collections.
    """
    for one in found:
        if problem := claim.problem(one):
            remedy = ", or make it this project's with --take-over"
            raise foreign(name, where, problem, remedy)


def foreign(
    name: str, where: str, problem: str, remedy: str = ""
) -> ForeignCollectionError:
    """The error for a collection at the address `where` that is not ours."""
    return ForeignCollectionError(
        f"the collection {name!r} at {where} {problem}: "
        f"choose another name with --collection{remedy}"
    )
