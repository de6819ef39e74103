"""Another index that a first index may start from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from indexer.config import Settings
from indexer.errors import NoIndexError
from indexer.index.gate import admit
from indexer.index.manifest import Manifest
from indexer.milvus.snapshot import snapshot
from indexer.types import FileRecord

NO_INDEX = "there is no index"


class About(Struct, frozen=True):
    """What is known about an index: the `records` of its files, by path, and the values of its manifest that say
    which index it is and how it was left."""

    place: str
    fingerprint: str
    state: str
    mark: str
    records: Mapping[str, FileRecord]


class Seed(Protocol):
    """An index to start from; `origin` is how a person would name it."""

    @property
    def origin(self) -> str: ...

    def about(self, draft: str) -> About:
        """What is known about it. It may be unpacked into the folder `draft` for that.

        Raises a `CodxIndexError` or `OSError` that says why it cannot be used.
        """

    def copy_to(self, draft: str) -> str:
        """Copy its database into the folder `draft`. Returns its path there. Raises as `about` does."""


class FolderSeed(Struct, frozen=True):
    """The index of a project on this machine, with our settings except for the folder."""

    settings: Settings

    @property
    def origin(self) -> str:
        """The folder of the project."""
        return self.settings.project

    def about(self, draft: str = "") -> About:
        """See `Seed`. What the gate refuses is not read."""
        admit(self.settings)
        if not self.settings.has_state:
            raise NoIndexError(NO_INDEX)
        with Manifest(self.settings.manifest_path, readonly=True) as manifest:
            return about(manifest)

    def copy_to(self, draft: str) -> str:
        """See `Seed`. A run may be at work there."""
        target = os.path.join(draft, os.path.basename(self.settings.database))
        with snapshot(self.settings.database) as found:
            found.copy_to(target)
        return target


def about(manifest: Manifest) -> About:
    """What a manifest says."""
    names = ("place", "fingerprint", "state", "mark")
    place, fingerprint, state, mark = map(manifest.get, names)
    return About(place, fingerprint, state, mark, manifest.records())
