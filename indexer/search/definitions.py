"""Where a name is defined, as far as the text of a chunk shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from indexer.search.candidates import Candidate

SEPARATOR = re.compile(r"\.|::|#|->")
_PROSE = re.compile(r".*\.(md|mdx|markdown|rst|txt|adoc)", re.IGNORECASE)
_KEYWORDS = (
    "class def func fun fn function interface struct enum trait type object module record "
    "protocol namespace macro define typedef union"
).replace(" ", "|")
_VARIABLES = "const|let|val|var"
_MODIFIERS = (
    "export declare default public private internal protected pub static final".replace(
        " ", "|"
    )
)
# In these, a forward declaration of a type, and a variable of a type, look like its definition.
_ANNOUNCES = frozenset("c cpp objc cuda arduino".split())
_SIGILS = "$@_!?"  # some languages put these around a name, and a query leaves them out


def defines(chunk: Candidate, name: str) -> bool:
    """Whether the name is defined in the chunk: it begins there, or the chunk is a part of it."""
    *outer, last = SEPARATOR.split(chunk.symbol)
    # A constructor has the name of its class, and may be written in another file.
    if _same(last, name) and not (outer and outer[-1] == last):
        return not _is_specialization(chunk, name)
    return not is_prose(chunk.path) and begins(chunk.text, name, chunk.language)


def is_inside(chunk: Candidate, name: str) -> bool:
    """Whether the chunk belongs to something of this name, like a method to its class.

    That may be written in another file than the class.
    """
    return any(_same(part, name) for part in SEPARATOR.split(chunk.symbol))


def last_names(chunks: Iterable[Candidate]) -> set[str]:
    """The names of what the chunks define, as `plain` writes them."""
    return {plain(SEPARATOR.split(chunk.symbol)[-1]) for chunk in chunks} - {""}


def is_prose(path: str) -> bool:
    """Whether a file is prose, by the ending of its name."""
    return bool(_PROSE.fullmatch(path))


def begins(text: str, name: str, language: str = "") -> bool:
    """Whether a definition of this name begins in the text."""
    if name not in text:
        return False
    return _definition(name, language in _ANNOUNCES).search(text) is not None


def definition_column(line: str, name: str) -> int | None:
    """Where in a line the definition of this name begins, None if nowhere."""
    found = _definition(name, False).search(line) if name in line else None
    return found.start("keyword" if found["keyword"] else 0) if found else None


@lru_cache(maxsize=10_000)
def plain(name: str) -> str:
    """The name without what writers of code put between its words."""
    return re.sub(r"[\W_]", "", name).lower()


def _same(part: str, name: str) -> bool:
    return part.strip(_SIGILS) == name.strip(_SIGILS) != ""


def _is_specialization(chunk: Candidate, name: str) -> bool:
    """Whether the chunk holds a specialization of a C++ template, and not the template."""
    if chunk.language not in _ANNOUNCES or f"{name}<" not in chunk.text:
        return False
    written = rf"\b(?:class|struct)\s+{re.escape(name)}\s*<"
    return bool(re.search(written, chunk.text)) and not begins(
        chunk.text, name, chunk.language
    )


@lru_cache(maxsize=1_000)
def _definition(name: str, announces: bool) -> re.Pattern[str]:
    named = rf"[$]?{re.escape(name)}"
    line = r"^(?!\s*(?:#(?!\s*define)|//|\*|--))[^\n]*?"  # no comment
    # Between keyword and name: the receiver of a method in Go, or of an extension in Kotlin.
    between = r"\s+(?:\([^()\n]*\)\s*)?(?:[\w<>,]+\.)?"
    variable = rf"^(?:(?:{_MODIFIERS})\s+)*(?:{_VARIABLES})\s+{named}\b"
    constant = rf"^{named}\s*(?::(?!:)[^=\n]+)?=(?!=)"  # of a module
    keyword = rf"{line}(?P<keyword>\b(?:{_KEYWORDS}){between}{named}(?![\w$]))"
    if announces:
        macro = r"(?:[A-Z][A-Z0-9_]*\s+|\[\[[^\]\n]*\]\]\s*)*"
        scoped = r"(?:class|struct|union|enum(?:\s+(?:class|struct))?|namespace)"
        body = r"\s*(?:final\s*)?(?::(?!:)[^;{}()]*)?\{"
        keyword = (
            rf"{line}(?P<keyword>\b{scoped}\s+{macro}{named}\b{body})"
            rf"|^\s*#\s*define\s+{named}\b|\b(?:using|concept)\s+{named}\s*="
            rf"|\btypedef\b[^;{{}}]*\b{named}\s*;|\}}\s*{named}\s*;"
        )
    return re.compile(rf"{keyword}|{variable}|{constant}", re.MULTILINE)
