"""The file that tells an agent when and how to use our command in a shell."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from indexer.clients import files
from indexer.clients.changes import Change
from indexer.clients.programs import Client
from indexer.clients.receipts import Receipt, Receipts, digest


class SkillFile(Struct, frozen=True):
    """The file that tells an agent when and how to use our command in a shell."""

    client: Client
    path: str
    is_shared: bool

    def written(self, receipts: Receipts) -> Change | None:
        """The change that writes the skill; None if it is there. Raises `ClientFileError`."""
        with files.about(self.path):
            data, text = files.read(self.path), skill_text()
            real = os.path.realpath(self.path)
            known = receipts.found.get(real)
            clients = {*(known.clients if known else ()), self.client.name}
            receipt = Receipt(
                clients=tuple(sorted(clients)),
                after=digest(text),
                made_file=data is None or bool(known and known.made_file),
                folders=tuple(files.missing_folders(real))
                or (known.folders if known else ()),
            )
            if data == text and known == receipt:
                return None
            is_known = bool(known and data is not None and digest(data) == known.after)
            return Change(
                path=self.path,
                before=data,
                after=text,
                lines=() if data == text else tuple(_differences(data, text)),
                receipt=receipt,
                is_shared=self.is_shared,
                is_by_hand=data not in (None, text) and not is_known,
            )

    def removed(self, receipts: Receipts) -> Change | None:
        """The change after which this client does without the skill; None if there is none.

        The file stays if another client that we were installed for reads it too.
        """
        with files.about(self.path):
            data, text = files.read(self.path), skill_text()
            known = receipts.found.get(os.path.realpath(self.path))
            if data is None:
                return None
            others = {*(known.clients if known else ())} - {self.client.name}
            if known and others:
                fewer = replace(known, clients=tuple(sorted(others)))
                return Change(self.path, data, data, (), fewer, self.is_shared)
            is_known = data == text or bool(known and digest(data) == known.after)
            return Change(
                path=self.path,
                before=data,
                after=None,
                lines=tuple(_differences(data, None)),
                receipt=None,
                is_shared=self.is_shared,
                is_by_hand=not is_known,
            )


def skill_text() -> bytes:
    """The skill, as shipped."""
    path = os.path.join(os.path.dirname(__file__), "SKILL.md")
    with open(path, "rb") as file:
        return file.read()


def _differences(before: bytes | None, after: bytes | None) -> Iterator[str]:
    if before is None or after is None:
        sign, text = ("+", after) if before is None else ("-", before)
        assert text is not None
        yield f"{sign} the whole file, {len(text.splitlines())} lines"
        return
    lines = difflib.unified_diff(
        before.decode().splitlines(), after.decode().splitlines(), n=1, lineterm=""
    )
    yield from [line for line in lines if not line.startswith(("---", "+++", "@@"))]
