"""What a query asks for: its terms, and the names whose definition it may be looking for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from indexer.search.candidates import Candidate
from indexer.text.terms import terms

# `Name`, `Class.method`, `module::name`, `Class#method`.
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:(?:\.|::|#|->)[^\W\d]\w*)*(?:\(\))?[?!]?")
# In a sentence, only names that no other word looks like: camelCase and snake_case.
_COMPOUND = re.compile(
    r"\b(?:[A-Za-z]+[a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*|\w*[A-Za-z0-9]_+[A-Za-z0-9]\w*)\b"
)
_SEPARATOR = re.compile(r"\.|::|#|->")
_PROSE = re.compile(r".*\.(md|mdx|markdown|rst|txt|adoc)", re.IGNORECASE)
_KEYWORDS = (
    "class def func fun fn function interface struct enum trait type object module const let "
    "var val record protocol namespace macro define typedef union impl"
).replace(" ", "|")


@dataclass(frozen=True, slots=True)
class Question:
    """A query: its terms, and the names in it that may be defined somewhere.

    A query that `is_identifier` has exactly one name, the last part of the identifier.
    """

    terms: frozenset[str]
    names: tuple[str, ...]
    is_identifier: bool

    @classmethod
    def of(cls, query: str) -> Question:
        """The question that a query asks."""
        text = query.strip()
        found = frozenset(terms(text))
        if _IDENTIFIER.fullmatch(text):
            name = _SEPARATOR.split(text.removesuffix("()"))[-1]
            return cls(found, (name,), True)
        return cls(found, tuple(dict.fromkeys(_COMPOUND.findall(text))), False)

    def definition_in(self, chunks: Iterable[Candidate]) -> Candidate | None:
        """The chunk with the definition that the query names, None if there is none.

        A chunk in which the definition begins is preferred to one that holds its middle.
        """
        if not self.is_identifier:
            return None
        defining = [chunk for chunk in chunks if defines(chunk, self.names[0])]
        return min(
            defining,
            key=lambda chunk: (not _begins(chunk.text, self.names[0]), chunk.chunk_no),
            default=None,
        )


def definition_line(query: str, text: str) -> int | None:
    """The line of `text`, counted from 0, on which the definition begins that the query names.

    None if the query is not an identifier, or if the text does not define it.
    """
    question = Question.of(query)
    if not question.is_identifier:
        return None
    lines = enumerate(text.split("\n"))
    return next((n for n, line in lines if _begins(line, question.names[0])), None)


def name_place(query: str, line: str) -> int | None:
    """Where in a line the definition begins that the query names, None if nowhere."""
    question = Question.of(query)
    if not question.is_identifier or question.names[0] not in line:
        return None
    found = _definition(question.names[0]).search(line)
    return found.start() if found else None


def defines(chunk: Candidate, name: str) -> bool:
    """Whether the chunk is the definition of this name, or a part of it, or contains it."""
    if name in _SEPARATOR.split(chunk.symbol):
        return True
    return not is_prose(chunk.path) and _begins(chunk.text, name)


def is_prose(path: str) -> bool:
    """Whether a file is prose, by the ending of its name."""
    return bool(_PROSE.fullmatch(path))


def _begins(text: str, name: str) -> bool:
    """Whether a definition of this name begins in the text."""
    return name in text and bool(_definition(name).search(text))


@lru_cache(maxsize=1_000)
def _definition(name: str) -> re.Pattern[str]:
    # Between keyword and name: the receiver of a method in Go, or of an extension in Kotlin.
    between = r"\s+(?:\([^()\n]*\)\s*)?(?:[\w<>,]+\.)?"
    named = re.escape(name)
    constant = rf"^{named}\s*(?::[^=\n]+)?=(?!=)"  # of a module
    return re.compile(rf"\b(?:{_KEYWORDS}){between}{named}\b|{constant}", re.MULTILINE)
