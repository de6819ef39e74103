"""A JSON text with the places of its strings, which `json` does not tell."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_PARTS = re.compile(r'[{}\[\],]|"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class Literal(NamedTuple):
    """Where a string stands in the text, with its quotes."""

    start: int
    end: int

    def value(self, text: str) -> str:
        """The string, with every character that UTF-8 has."""
        value = json.loads(text[self.start : self.end], strict=False)
        return str(value).encode("utf-8", "replace").decode()


Json = Literal | list["Json"] | dict[str, "Json"]
"""Numbers and the names of constants are left out."""


def parse(text: str) -> Json | None:
    """What stands in the text, None if it is no JSON or too deep. Only names are decoded."""
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    outermost: list[Json] = []
    open_: list[list[Json] | dict[str, Json]] = [outermost]
    names: list[str | None] = [
        None
    ]  # of the value that comes next, if it is in an object
    for match in _PARTS.finditer(text):
        mark = text[match.start()]
        inside = open_[-1]
        if mark == ",":
            names[-1] = None
        elif mark in "]}":
            open_.pop()
            names.pop()
        elif mark == '"' and isinstance(inside, dict) and names[-1] is None:
            names[-1] = Literal(*match.span()).value(text)
        else:
            value: Json = (
                Literal(*match.span()) if mark == '"' else [] if mark == "[" else {}
            )
            if isinstance(inside, dict):
                inside[names[-1] or ""] = value
            else:
                inside.append(value)
            if not isinstance(value, Literal):
                open_.append(value)
                names.append(None)
    return outermost[0] if outermost else None
