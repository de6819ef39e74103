"""What was written for a client, kept so that exactly that can be taken back.

A receipt holds only what is ours: the bytes that were put in, their places, and digests. Nothing else
of a file is copied, because it may have secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from indexer.clients import files
from indexer.clients.pieces import Piece
from indexer.errors import ClientFileError

FILE = "clients.json"
_VERSION = 1


class Receipt(Struct, frozen=True):
    """What was done to one file.

    `after` is the digest of the file as we left it, and `entry` that of our entry in it. The innermost
    `made_keys` objects around the entry were made for it.
    """

    clients: tuple[str, ...]
    after: str
    entry: str = ""
    pieces: tuple[tuple[int, str], ...] = ()
    made_keys: int = 0
    made_file: bool = False
    folders: tuple[str, ...] = ()

    @property
    def put_in(self) -> list[Piece]:
        """What was put in, as bytes."""
        return [(offset, text.encode()) for offset, text in self.pieces]


class Receipts(Struct):
    """A user's receipts, by the real path of the file that each is about."""

    path: str
    found: dict[str, Receipt] = field(default_factory=dict)

    def keep(self, path: str, receipt: Receipt | None) -> None:
        """Keep a receipt for this file, or forget the one that there is. Raises `ClientFileError`."""
        self.found = _found(self.path)
        if self.found.get(path) == receipt:
            return
        if receipt:
            self.found[path] = receipt
        else:
            self.found.pop(path, None)
        self._save()

    def hand_on(self, folders: Sequence[str]) -> None:
        """Leave folders that were made for a file to our other files in them, with which they go."""
        for path, receipt in [*self.found.items()]:
            around = [one for one in folders if path.startswith(f"{one}{os.sep}")]
            if around:
                whole = tuple(dict.fromkeys([*around, *receipt.folders]))
                self.keep(path, replace(receipt, folders=whole))

    def _save(self) -> None:
        shown = {name: asdict(one) for name, one in sorted(self.found.items())}
        text = json.dumps({"version": _VERSION, "files": shown}, indent=1)
        with files.about(self.path):
            before = files.read(self.path)
            if before is not None and not self.found:
                files.remove(self.path, before, [os.path.dirname(self.path)])
                return
            files.replace(self.path, before, text.encode(), is_shared=False)


def load() -> Receipts:
    """The user's receipts, none if they cannot be read: then less can be taken back exactly."""
    path = os.path.join(_folder(), FILE)
    real = os.path.realpath(path)
    return Receipts(real, _found(real))


def _found(path: str) -> dict[str, Receipt]:
    found = {}
    try:
        known = json.loads(files.read(path) or b"{}")
        for name, one in known.get("files", {}).items():
            one["pieces"] = tuple((offset, text) for offset, text in one["pieces"])
            for several in ("clients", "folders"):
                one[several] = tuple(one[several])
            found[name] = Receipt(**one)
    except (OSError, ClientFileError, ValueError, TypeError, KeyError, AttributeError):
        return {}
    return found


def digest(data: bytes) -> str:
    """The digest of some bytes."""
    return sha256(data).hexdigest()


def digest_of(entry: object) -> str:
    """The digest of an entry, however it is written."""
    return digest(json.dumps(entry, sort_keys=True).encode())


def _folder() -> str:
    import platformdirs

    try:
        return platformdirs.user_state_dir("codx-index", appauthor=False)
    except RuntimeError:  # no HOME, and no entry for the user
        raise ClientFileError("it is not known where your home folder is") from None
