"""TOML: a table is added at the end of a file, or taken out, and the rest stays.

The grammar says where tables are, and the standard library what they mean.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from indexer.clients.pieces import Piece, Span, line_end_of
from indexer.errors import ClientFileError
from indexer.text.languages import grammar_of

if TYPE_CHECKING:
    from tree_sitter import Node


def read(text: bytes) -> dict[str, object]:
    """What a file holds. Raises `ClientFileError` if it is not TOML."""
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ClientFileError(f"is not TOML: {error}") from error


def added(text: bytes, keys: Sequence[str], value: object) -> list[Piece]:
    """The piece at the end that makes a table of `value`, a mapping of texts and lists of texts."""
    assert isinstance(value, Mapping)
    end = line_end_of(text)
    lines = [f"[{'.'.join(keys)}]"]
    lines += [f"{name} = {_literal(one)}" for name, one in value.items()]
    piece = end.join([*_encoded("\n".join(lines)).split(b"\n"), b""])
    if text.strip():
        piece = (end if text.endswith(b"\n") else 2 * end) + piece
    return [(len(text), piece)]


def taken_out(text: bytes, keys: Sequence[str], made: int) -> list[Span]:
    """The spans of the table at these keys, and of those below it.

    Comments after its last line stay, because they may be about what comes next. Raises
    `ClientFileError` if the value is not written as tables.
    """
    from tree_sitter import Parser

    grammar = grammar_of("toml")
    assert grammar is not None
    root = Parser(grammar).parse(text).root_node
    tables = [
        one
        for one in root.named_children
        if one.type in ("table", "table_array_element")
        and _keys_of(one, text)[: len(keys)] == [*keys]
    ]
    if not tables:
        raise ClientFileError(
            "has our entry in a form that only a person can take out (no table of its own)"
        )
    return [_span(one, text) for one in tables]


def _keys_of(table: Node, text: bytes) -> list[str]:
    header = text[table.start_byte : table.end_byte].partition(b"\n")[0].strip()
    found: object = tomllib.loads(header.decode())
    keys = []
    while isinstance(found, dict | list) and found:
        if isinstance(found, list):
            found = found[0]
            continue
        ((key, found),) = found.items()
        keys.append(key)
    return keys


def _span(table: Node, text: bytes) -> Span:
    """A table without the comments after its last line, but with one blank line before it."""
    pairs = [one for one in table.named_children if one.type == "pair"]
    last = pairs[-1].end_byte if pairs else table.start_byte
    end = text.find(b"\n", last) + 1 or len(text)
    before = text[: table.start_byte]
    for blank in (b"\r\n\r\n", b"\n\n"):
        if before.endswith(blank):
            return table.start_byte - len(blank) // 2, end
    return table.start_byte, end


def _literal(value: object) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's, except for this character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    assert isinstance(value, list)
    return f"[{', '.join(map(_literal, value))}]"


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ClientFileError("cannot hold a path that is not UTF-8") from None
