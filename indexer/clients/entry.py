"""Our entry among the servers of a client: what it says, and whether one is ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from indexer.address import MASK, without_passwords
from indexer.clients.programs import Client

NAME = "codx-index"
"""The name of our server and of our skill in every client."""

Entry = Mapping[str, object]

_OUR_PROGRAM = re.compile(r"(?:.*[/\\])?codx-index(?:\.exe)?|indexer")
_SECRET_OPTION = "--token"


def new_entry(client: Client, command: str, serves: Sequence[str]) -> Entry:
    """The entry that makes this client start `command mcp` for these folders."""
    return _with_words(client, dict(client.fields), [command, "mcp", *serves])


def brought_up_to_date(
    client: Client, entry: Entry, command: str, serves: Sequence[str]
) -> Entry:
    """An entry of ours with this command. What a person added stays, and whole paths are added."""
    words = _words_of(entry)
    arguments = words[words.index("mcp") :]
    arguments += [one for one in serves if one[:1] == "/" and one not in arguments]
    return _with_words(client, entry, [command, *arguments])


def loses(entry: Entry, other: Entry) -> bool:
    """Whether a word of one entry's command line is not in that of the other."""
    return not {*_words_of(entry)} <= {*_words_of(other)}


def is_ours(entry: object) -> TypeGuard[Entry]:
    """Whether an entry starts `codx-index mcp`, by whatever program and with whatever options."""
    words = _words_of(entry)
    starts = words[: words.index("mcp")] if "mcp" in words else []
    return any(_OUR_PROGRAM.fullmatch(word) for word in starts)


def fit_to_show(entry: Entry) -> Entry:
    """An entry without anything that may be secret: values of variables and headers, a token."""
    return {name: _masked(value) for name, value in entry.items()}


def _with_words(client: Client, entry: Entry, words: list[str]) -> Entry:
    if client.has_one_list:
        return {**entry, "command": words}
    return {**entry, "command": words[0], "args": words[1:]}


def _words_of(entry: object) -> list[str]:
    """The command line of an entry, [] if it has none."""
    if not isinstance(entry, Mapping):
        return []
    parts: list[object] = []
    for part in (entry.get("command"), entry.get("args")):
        parts += part if isinstance(part, list) else [part]
    return [part for part in parts if isinstance(part, str)]


def _masked(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: MASK for name in value}
    if not isinstance(value, list):
        return without_passwords(value) if isinstance(value, str) else value
    shown = []
    for before, one in zip(["", *value], value):
        if before == _SECRET_OPTION:
            one = MASK
        elif isinstance(one, str) and one.startswith(f"{_SECRET_OPTION}="):
            one = f"{_SECRET_OPTION}={MASK}"
        shown.append(_masked(one))
    return shown
