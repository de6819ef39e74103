"""The file that names a client's servers, with our entry or without it."""

from __future__ import annotations

import copy
import difflib
import json
import os
from collections.abc import Sequence

from msgspec import Struct

from indexer.clients import files, jsonc, toml
from indexer.clients.changes import Change
from indexer.clients.entry import (
    NAME,
    Entry,
    brought_up_to_date,
    fit_to_show,
    is_ours,
    loses,
    new_entry,
)
from indexer.clients.pieces import put_in, take_out, without
from indexer.clients.programs import Client
from indexer.clients.receipts import Receipt, Receipts, digest, digest_of
from indexer.errors import ClientFileError

_BOM = b"\xef\xbb\xbf"


class ServerFile(Struct, frozen=True):
    """The file that names a client's servers. Its path is as a person knows it."""

    client: Client
    path: str
    is_shared: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """The names that lead to our entry."""
        return (*self.client.keys, NAME)

    def look(self) -> object:
        """The entry with our name, None if there is none. Raises `ClientFileError`."""
        with files.about(self.path):
            return _at(self._read(_parts(files.read(self.path))[1]), self.keys)

    def with_entry(
        self, command: str, serves: Sequence[str], receipts: Receipts
    ) -> Change | None:
        """The change after which the client starts `command mcp`; None if it already does.

        Raises `ClientFileError` for a file that cannot be read, and for another server with our name.
        """
        with files.about(self.path):
            data = files.read(self.path)
            mark, text = _parts(data)
            value = self._read(text)
            found = _at(value, self.keys)
            # A receipt of an entry that is gone says nothing about the present file.
            receipt = self._receipt(receipts) if found is not None else None
            base, wanted = text, new_entry(self.client, command, serves)
            is_by_hand = False
            if found is not None:
                if not is_ours(found):
                    raise ClientFileError(
                        f"has another server called {NAME}: take it out, or give it another name"
                    )
                wanted = brought_up_to_date(self.client, found, command, serves)
                if wanted == found:
                    return None
                is_known = receipt and receipt.entry == digest_of(found)
                is_by_hand = loses(found, wanted) and not is_known
                base = self._base(data, receipt)
            pieces = self._format.added(base, self.keys, wanted)
            after = put_in(base, pieces)
            self._check(after, text, wanted)
            return Change(
                path=self.path,
                before=data,
                after=mark + after,
                lines=self._shown((value, found), (self._read(after), wanted)),
                receipt=Receipt(
                    clients=(self.client.name,),
                    after=digest(mark + after),
                    entry=digest_of(wanted),
                    pieces=tuple((offset, piece.decode()) for offset, piece in pieces),
                    made_keys=self._missing_keys(base),
                    made_file=data is None or bool(receipt and receipt.made_file),
                    folders=tuple(files.missing_folders(os.path.realpath(self.path)))
                    or (receipt.folders if receipt else ()),
                ),
                is_shared=self.is_shared,
                is_by_hand=is_by_hand,
            )

    def without_entry(self, receipts: Receipts) -> Change | None:
        """The change after which the client does not know us; None if it does not know us now.

        An entry with our name that is not ours stays. Raises `ClientFileError`.
        """
        with files.about(self.path):
            data = files.read(self.path)
            mark, text = _parts(data)
            value = self._read(text)
            found = _at(value, self.keys)
            if not is_ours(found):
                return None
            receipt = self._receipt(receipts)
            after = self._base(data, receipt)
            self._check(after, text, None)
            is_empty = after.strip() in (b"", b"{}")
            is_gone = bool(receipt and receipt.made_file) and is_empty
            return Change(
                path=self.path,
                before=data,
                after=None if is_gone else mark + after,
                lines=self._shown((value, found), (self._read(after), None)),
                receipt=None,
                is_shared=self.is_shared,
            )

    def _receipt(self, receipts: Receipts) -> Receipt | None:
        return receipts.found.get(os.path.realpath(self.path))

    @property
    def _format(self) -> type[_Json] | type[_Toml]:
        return _Toml if self.client.is_toml else _Json

    def _read(self, text: bytes) -> dict[str, object]:
        return self._format.read(text)

    def _base(self, data: bytes | None, receipt: Receipt | None) -> bytes:
        """The text without our entry: byte for byte what it was, if nobody has touched it since."""
        _, text = _parts(data)
        if receipt and data is not None and digest(data) == receipt.after:
            return take_out(text, receipt.put_in)
        made = receipt.made_keys if receipt else 0
        return without(text, self._format.taken_out(text, self.keys, made))

    def _missing_keys(self, text: bytes) -> int:
        """How many of the objects around our entry are missing."""
        value = self._read(text)
        depths = range(1, len(self.keys))
        return sum(_at(value, self.keys[:depth]) is None for depth in depths)

    def _check(self, after: bytes, before: bytes, entry: Entry | None) -> None:
        """Raise `ClientFileError` unless `after` means what `before` did, apart from our entry."""
        wanted = copy.deepcopy(self._read(before))
        try:
            place = wanted
            for key in self.client.keys:
                inner = place.setdefault(key, {})
                assert isinstance(inner, dict)
                place = inner
            place.pop(NAME, None)
            if entry is not None:
                place[NAME] = entry
            is_right = self._bare(self._read(after)) == self._bare(wanted)
        except (ClientFileError, AssertionError):
            is_right = False
        if not is_right:
            raise ClientFileError(
                f"has {'.'.join(self.client.keys)} in a form that only a person can change"
            )

    def _bare(self, value: dict[str, object]) -> dict[str, object]:
        """The value without the empty objects around our entry."""
        for depth in range(len(self.client.keys), 0, -1):
            around = _at(value, self.client.keys[: depth - 1])
            key = self.client.keys[depth - 1]
            if isinstance(around, dict) and around.get(key) == {}:
                del around[key]
        return value

    def _shown(self, before: _Side, after: _Side) -> tuple[str, ...]:
        found = difflib.ndiff(self._shown_lines(*before), self._shown_lines(*after))
        return tuple(line.rstrip() for line in found if line[:1] != "?")

    def _shown_lines(self, value: Entry, entry: object) -> list[str]:
        if not is_ours(entry) and _at(value, self.client.keys) is None:
            return []
        shown = fit_to_show(entry) if is_ours(entry) else None
        return self._format.shown(self.keys, shown)


_Side = tuple[Entry, object]
"""What a file holds, and our entry in it if there is one."""


class _Json:
    """How JSON is read, changed and shown."""

    read = staticmethod(jsonc.read)
    added = staticmethod(jsonc.added)
    taken_out = staticmethod(jsonc.taken_out)

    @staticmethod
    def shown(keys: Sequence[str], entry: Entry | None) -> list[str]:
        """The entry, if there is one, in the objects around it."""
        lines = []
        if entry is not None:
            text = json.dumps({keys[-1]: entry}, indent=2, ensure_ascii=False)
            lines = text.splitlines()[1:-1]
        for key in reversed(keys[:-1]):
            lines = [f"{json.dumps(key)}: {{", *lines, "}"]
            lines = [f"  {line}" for line in lines]
        return [line.removeprefix("  ") for line in lines]


class _Toml:
    """How TOML is read, changed and shown."""

    read = staticmethod(toml.read)
    added = staticmethod(toml.added)
    taken_out = staticmethod(toml.taken_out)

    @staticmethod
    def shown(keys: Sequence[str], entry: Entry | None) -> list[str]:
        """The entry, if there is one, as a table."""
        if entry is None:
            return []
        plain = {k: v for k, v in entry.items() if isinstance(v, str | list | bool)}
        ((_, piece),) = toml.added(b"", keys, plain)
        others = [f"{name} = …" for name in entry if name not in plain]
        return [*piece.decode().splitlines(), *others]


def _parts(data: bytes | None) -> tuple[bytes, bytes]:
    """A byte order mark, and the rest."""
    data = data or b""
    mark = _BOM if data.startswith(_BOM) else b""
    return mark, data.removeprefix(_BOM)


def _at(value: object, keys: Sequence[str]) -> object:
    """What is at these keys, None if there is nothing."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
