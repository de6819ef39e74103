"""A change to one file of a client. A person sees it before it is made."""

from __future__ import annotations

import os

from msgspec import Struct

from indexer.clients import files
from indexer.clients.receipts import Receipt, Receipts
from indexer.errors import ClientFileError


class Change(Struct, frozen=True):
    """One file as it is and as it will be; None means that there is no file.

    `lines` show a person our part of it, each with `+`, `-` or a space before it. If `is_by_hand`,
    something that a person wrote is lost. The `receipt` is kept when the change is made.
    """

    path: str
    before: bytes | None
    after: bytes | None
    lines: tuple[str, ...]
    receipt: Receipt | None
    is_shared: bool
    is_by_hand: bool = False

    def make(self, receipts: Receipts) -> None:
        """Make the change. Raises `ClientFileError`, and then the file is what it was before.

        The receipt comes first: if it were lost, less could be taken back than if it is early.
        """
        real = os.path.realpath(self.path)
        known = receipts.found.get(real)
        if self.receipt:
            receipts.keep(real, self.receipt)
        try:
            with files.about(self.path):
                self._write(real, known)
        except ClientFileError:
            receipts.keep(real, known)
            raise
        receipts.keep(real, self.receipt)
        if known and self.after is None:
            receipts.hand_on([one for one in known.folders if os.path.isdir(one)])

    def _write(self, real: str, known: Receipt | None) -> None:
        if self.after == self.before:
            return
        if self.after is not None:
            files.replace(real, self.before, self.after, is_shared=self.is_shared)
        elif self.before is not None:
            files.remove(real, self.before, known.folders if known else ())
