"""A change of one file of a client, which a person is shown before it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass

from indexer.clients import files
from indexer.clients.receipts import Receipt, Receipts
from indexer.errors import ClientFileError


@dataclass(frozen=True, slots=True)
class Change:
    """One file as it is and as it is to be, None where it is not there.

    `lines` show a person what is ours of that, each with `+`, `-` or a space before it. Something
    that a person wrote is lost where `is_by_hand`. The `receipt` is kept once it is made.
    """

    path: str
    before: bytes | None
    after: bytes | None
    lines: tuple[str, ...]
    receipt: Receipt | None
    is_shared: bool
    is_by_hand: bool = False

    def make(self, receipts: Receipts) -> None:
        """Make it so. Raises `ClientFileError`, and then the file is what it was before.

        The receipt comes first: where it is lost, less can be taken back than where it is early.
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
