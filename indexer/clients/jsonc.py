"""JSON with comments and trailing commas: a member is added or taken out, and the rest stays.

The grammar of JSON says where things are, and the standard library what they mean. Neither
knows comments and trailing commas, so both get a text of the same length in which these
are blank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from indexer.clients.pieces import Piece, Span, line_end_of
from indexer.errors import ClientFileError
from indexer.text.languages import grammar_of

if TYPE_CHECKING:
    from tree_sitter import Node

_STRING = rb'"(?:[^"\\\r\n]|\\.)*+"'
_COMMENTS = re.compile(_STRING + rb"|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(_STRING + rb"|,(?=\s*[}\]])")
_NO_LINE_END = re.compile(rb"[^\r\n]")
_INDENT = "  "


def read(text: bytes) -> dict[str, object]:
    """What a file holds, {} if it holds nothing. Raises `ClientFileError` if that is not an object."""
    return _Document(text).value


def added(text: bytes, keys: Sequence[str], value: object) -> list[Piece]:
    """The pieces that make `value` the last member of the object at all but the last of the keys.

    Objects that are missing on the way are added. Raises `ClientFileError` if something else is in the way.
    """
    document = _Document(text)
    if document.root is None:
        return [(len(text), _whole(text, keys, value))]
    place = document.root
    for depth, key in enumerate(keys[:-1]):
        found = place.member(key)
        if found is None:
            nested = _nested(keys[depth + 1 :], value)
            return document.appended(place, key, nested)
        place = document.object_in(found)
    if place.member(keys[-1]):
        raise ClientFileError(f"has {keys[-1]!r} already")
    return document.appended(place, keys[-1], value)


def taken_out(text: bytes, keys: Sequence[str], made: int) -> list[Span]:
    """The spans to cut so that the member at these keys is gone.

    The innermost `made` objects around it go too, if nothing else is in them.
    """
    document = _Document(text)
    assert document.root is not None
    places = [document.root]
    for key in keys[:-1]:
        found = places[-1].member(key)
        assert found is not None
        places.append(document.object_in(found))
    depth = len(keys) - 1
    while made and depth and document.is_alone(places[depth], keys[depth]):
        depth -= 1
        made -= 1
    return document.cut(places[depth], keys[depth])


class _Object(Struct, frozen=True):
    """An object in the text: where its braces are, and its members by name."""

    start: int  # of the first brace
    end: int  # of the last one
    names: list[str]
    pairs: list[Node]

    def member(self, name: str) -> Node | None:
        found = [pair for one, pair in zip(self.names, self.pairs) if one == name]
        if len(found) > 1:
            raise ClientFileError(f"has {json.dumps(name)} twice")
        return found[0] if found else None


class _Document:
    def __init__(self, text: bytes) -> None:
        self.text = text
        self.bare = _COMMENTS.sub(_blank, text)  # with its trailing commas
        plain = _TRAILING.sub(_blank, self.bare)
        self.value: dict[str, object] = {}
        self.root: _Object | None = None
        if not plain.strip():
            return
        value = _parsed(plain)
        if not isinstance(value, dict):
            raise ClientFileError("is not an object of JSON")
        self.value = value
        from tree_sitter import Parser

        grammar = grammar_of("json")
        assert grammar is not None
        self.plain = plain
        root = Parser(grammar).parse(plain).root_node.named_child(0)
        assert root is not None and not root.has_error
        self.root = self._object(root)

    def object_in(self, pair: Node) -> _Object:
        """The object that is the value of a member."""
        value = pair.child_by_field_name("value")
        if value is None or value.type != "object":
            name = self._name(pair)
            raise ClientFileError(f"has something else than an object at {name!r}")
        return self._object(value)

    def _object(self, node: Node) -> _Object:
        pairs = [one for one in node.named_children if one.type == "pair"]
        names = [self._name(one) for one in pairs]
        return _Object(node.start_byte, node.end_byte - 1, names, pairs)

    def _name(self, pair: Node) -> str:
        key = pair.child_by_field_name("key")
        assert key is not None
        return str(json.loads(self.plain[key.start_byte : key.end_byte]))

    def appended(self, place: _Object, name: str, value: object) -> list[Piece]:
        """The pieces that make this the last member of an object."""
        inside = self.text[place.start + 1 : place.end]
        tail = place.start + 1 + len(inside.rstrip())  # comments are kept
        if not place.pairs:
            return self._first_member(place, tail, name, value)
        first, last = place.pairs[0].start_byte, place.pairs[-1].end_byte
        has_comma = b"," in self.bare[last : place.end]
        after_comment = b"//" in self.text[last:tail]
        if b"\n" in self.text[place.start : first] or after_comment:
            indent = self._indent_at(first)
            piece = self._line_end + indent + self._member(name, value, indent)
        else:
            piece = b" " + _encoded(f"{json.dumps(name)}: {_flat(value)}")
        if has_comma:
            return [(tail, piece + b",")]
        if tail == last:
            return [(tail, b"," + piece)]
        return [(last, b","), (tail, piece)]

    def _first_member(
        self, place: _Object, tail: int, name: str, value: object
    ) -> list[Piece]:
        around = self._indent_at(place.start)
        indent = around + self._unit
        piece = self._line_end + indent + self._member(name, value, indent)
        if b"\n" not in self.text[tail : place.end]:
            piece += self._line_end + around
        return [(tail, piece)]

    def is_alone(self, place: _Object, name: str) -> bool:
        """Whether an object has nothing else, not even comments."""
        if place.names != [name]:
            return False
        (pair,) = place.pairs
        before = self.text[place.start + 1 : pair.start_byte]
        after = self.text[pair.end_byte : place.end]
        return not (before + after).strip(b", \t\r\n")

    def cut(self, place: _Object, name: str) -> list[Span]:
        """The spans to cut so that an object lacks this member."""
        if self.is_alone(place, name):
            return [(place.start + 1, place.end)]
        index = place.names.index(name)
        pair = place.pairs[index]
        start, end = self._with_space_before(pair.start_byte), pair.end_byte
        is_last = index + 1 == len(place.pairs)
        next_ = place.end if is_last else place.pairs[index + 1].start_byte
        comma = self.bare.find(b",", end, next_)
        if comma >= 0:
            return [(start, end), (comma, comma + 1)]
        if index:
            previous = place.pairs[index - 1].end_byte
            comma = self.bare.index(b",", previous, pair.start_byte)
            if comma + 1 == start:
                return [(comma, end)]
            return [(comma, comma + 1), (start, end)]
        return [(start, end)]

    def _with_space_before(self, offset: int) -> int:
        """Where the white space in front of this offset begins, with the line end if nothing else is before it."""
        start = len(self.text[:offset].rstrip(b" \t"))
        if self.text[:start].endswith(b"\r\n"):
            return start - 2
        return start - 1 if self.text[:start].endswith(b"\n") else start

    @property
    def _line_end(self) -> bytes:
        return line_end_of(self.text)

    @property
    def _unit(self) -> bytes:
        """The indentation of one more level: that of the file's first member."""
        if self.root and self.root.pairs:
            unit = self._indent_at(self.root.pairs[0].start_byte)
            around = self._indent_at(self.root.start)
            if unit.startswith(around) and unit != around:
                return unit.removeprefix(around)
        return _INDENT.encode()

    def _indent_at(self, offset: int) -> bytes:
        """The white space at the start of the line that has this offset."""
        line = self.text[self.text.rfind(b"\n", 0, offset) + 1 : offset]
        return line[: len(line) - len(line.lstrip(b" \t"))]

    def _member(self, name: str, value: object, indent: bytes) -> bytes:
        text = json.dumps(value, ensure_ascii=False, indent=self._unit.decode())
        lines = _encoded(f"{json.dumps(name)}: {text}").split(b"\n")
        return (self._line_end + indent).join(lines)


def _blank(found: re.Match[bytes]) -> bytes:
    """A string as it is, and blanks instead of anything else."""
    text = found[0]
    return text if text.startswith(b'"') else _NO_LINE_END.sub(b" ", text)


def _parsed(plain: bytes) -> object:
    try:
        return json.loads(plain.decode())
    except json.JSONDecodeError as error:
        raise ClientFileError(
            f"is not JSON, as line {error.lineno} shows: {error.msg}"
        ) from error
    except RecursionError:
        raise ClientFileError("is nested too deeply") from None


def _nested(keys: Sequence[str], value: object) -> object:
    for key in reversed(keys):
        value = {key: value}
    return value


def _whole(text: bytes, keys: Sequence[str], value: object) -> bytes:
    """The text of a whole object, to follow any white space and comments that the file has."""
    end = line_end_of(text)
    lines = json.dumps(_nested(keys, value), ensure_ascii=False, indent=_INDENT)
    start = b"" if not text.strip() or text.endswith(b"\n") else end
    return start + end.join(_encoded(lines).split(b"\n")) + end


def _flat(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ClientFileError("cannot hold a path that is not UTF-8") from None
