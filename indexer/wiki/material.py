"""What pages are made of."""

from __future__ import annotations

import hashlib
import json

from msgspec import Struct

from indexer.wiki.folders import Folder
from indexer.wiki.related import Related, cosine
from indexer.wiki.state import KnownFile

RENDERER_VERSION = 2
"""To be raised whenever the same material may result in another page."""


class Material(Struct, frozen=True):
    """Everything that pages show, except definitions and texts.

    `imports` and `importers`, `links` and `linkers` are paths by path: of code what it imports, of
    documents what they link to. `summaries` are by file_hash.
    """

    files: dict[str, KnownFile]
    folders: dict[str, Folder]
    imports: dict[str, tuple[str, ...]]
    importers: dict[str, list[str]]
    links: dict[str, tuple[str, ...]]
    linkers: dict[str, list[str]]
    related: dict[str, Related]
    summaries: dict[str, str]

    def key(self, path: str) -> str:
        """A hash that changes with the page of a file. Definitions and text need no part in it:
        they depend on the bytes, as the file_hash does."""
        file = self.files[path]
        about = [
            *(RENDERER_VERSION, path, file.file_hash),
            *(self.imports.get(path, ()), self.importers.get(path, ())),
            *(self.links.get(path, ()), self.linkers.get(path, ())),
            self.cosines(path),
            self.summaries.get(file.file_hash, ""),
        ]
        return sha256(json.dumps(about))

    def cosines(self, path: str) -> list[tuple[str, float]]:
        """The related files of a file, with their cosines as they are shown."""
        return [(other, round(cosine(n), 2)) for other, n in self.related[path]]


def sha256(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
