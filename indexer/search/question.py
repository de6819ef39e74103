"""What a query asks for: its terms, and the names whose definition it may be looking for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from msgspec import Struct

from indexer.search.candidates import Candidate
from indexer.search.definitions import (
    SEPARATOR,
    begins,
    defines,
    definition_column,
    is_inside,
    plain,
)
from indexer.text.terms import STOP_WORDS, terms

# `Name`, `Class.method`, `module::name`, `Class#method`.
_NAME = r"[^\W\d]\w*(?:(?:\.|::|[#]|->)[^\W\d]\w*)*(?:\(\))?[?!]?"
_IDENTIFIER = re.compile(_NAME)
# In a sentence, only names that look like no ordinary word: camelCase and snake_case.
_COMPOUND = re.compile(
    r"\b(?:[A-Za-z]+[a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*|\w*[A-Za-z0-9]_+[A-Za-z0-9]\w*)\b"
)
# Kinds of definition, which beside a name say that its definition is meant …
_KIND = "(?:function|method|class|struct|trait|interface|enum|macro|protocol)"
# … or which may just as well be part of what is described: "error type", "object pool".
_VAGUE_KIND = (
    "(?:type|constant|variable|object|module|record|union|namespace|property|attribute|decorator|"
    "component|hook)"
)
_DEFINED = "(?:defined|declared|implemented|located)"
_ASKS_FOR_DEFINITION = re.compile(
    rf"""
    (?:please\s+)?
    (?:(?:find|show|give|locate|open|see|go\ to|jump\ to|look\ up|search\ for)\s+(?:me\s+)?|
       (?P<where>where(?:'s|\ is|\ are)\s+|(?:in\s+)?(?:which|what)\s+file\s+
          (?:is|defines|declares|implements|has)\s+))?
    (?:the\s+)?
    (?P<of>(?:definition|declaration|implementation|source|code)\s+(?:of|for)\s+(?:the\s+)?)?
    (?:(?P<before>{_KIND})\s+|{_VAGUE_KIND}\s+)?
    [`'"]?(?!(?:{_DEFINED}|{_KIND}|the|an?|this|that|it)\b)(?P<name>{_NAME})[`'"]?
    (?:\s+(?P<after>{_KIND})|\s+{_VAGUE_KIND})?
    (?P<defined>(?:\s+(?:is|are))?\s+{_DEFINED}|\s+(?:definition|declaration|implementation))?
    \s*\??
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CUES = ("where", "of", "before", "after", "defined")


class Question(Struct, frozen=True):
    """A query: its terms, and the names in it that may be defined somewhere.

    A query that `is_identifier`, or asks for the definition of one, has exactly one name, the last
    part of the identifier. `phrases` are what else in a sentence may be meant as a name: its capitalized
    words, and pairs of neighbouring words, joined. They are written as `plain` writes them.
    """

    terms: frozenset[str]
    names: tuple[str, ...]
    is_identifier: bool
    phrases: frozenset[str] = frozenset()

    @classmethod
    def of(cls, query: str) -> Question:
        """The question that a query asks."""
        text = subject(query)
        found = frozenset(terms(text))
        if _IDENTIFIER.fullmatch(text):
            name = SEPARATOR.split(text.removesuffix("()"))[-1]
            return cls(found, (name,), True)
        names = tuple(dict.fromkeys(_COMPOUND.findall(text)))
        return cls(found, names, False, _phrases(text) - set(map(plain, names)))

    def definition_in(self, chunks: Iterable[Candidate]) -> Candidate | None:
        """The chunk with the definition that the query names, None if there is none.

        A chunk in which the definition begins is preferred to one that holds its middle, and the latter
        to one that merely belongs to it.
        """
        if not self.is_identifier:
            return None
        name = self.names[0]
        found = [one for one in chunks if defines(one, name) or is_inside(one, name)]
        return min(
            found,
            key=lambda one: (
                not begins(one.text, name, one.language),
                not defines(one, name),
                one.chunk_no,
            ),
            default=None,
        )


def subject(query: str) -> str:
    """The name alone if the query asks where it is defined, otherwise the query.

    The words around the name say what is wanted, not what the code looks like.
    """
    text = query.strip()
    asked = _ASKS_FOR_DEFINITION.fullmatch(text)
    if asked is None or not any(asked[cue] for cue in _CUES):
        return text
    return asked["name"]


@lru_cache(maxsize=1_000)
def _phrases(text: str) -> frozenset[str]:
    words = re.findall(r"[^\W_]\w*", text)
    found = {word.lower() for word in words if word[0].isupper() and len(word) > 1}
    low = [word.lower() for word in words]
    for one, other in pairwise(low):
        if one not in STOP_WORDS and other not in STOP_WORDS:
            found.add(one + other)
    return frozenset(found)


def definition_line(query: str, text: str) -> int | None:
    """The line of `text`, counted from 0, on which the definition that the query names begins.

    None if the query is not an identifier, or if the text does not define it.
    """
    question = Question.of(query)
    if not question.is_identifier:
        return None
    lines = enumerate(text.split("\n"))
    return next((n for n, line in lines if begins(line, question.names[0])), None)


def name_place(query: str, line: str) -> int | None:
    """Where in a line the definition that the query names begins, None if nowhere."""
    question = Question.of(query)
    if not question.is_identifier:
        return None
    return definition_column(line, question.names[0])
