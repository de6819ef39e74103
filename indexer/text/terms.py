"""Code-aware terms and their weights: the sparse vector of a row, and that of a query.

The score of a row is its inner product with the query. That is BM25 (Robertson and Zaragoza,
"The Probabilistic Relevance Framework", 2009) except for the statistics: the usual length of a
row and the rarity of each term are constants, taken from other sources. So each row can be
written and deleted alone, on any machine.
"""

from __future__ import annotations

import heapq
import os
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise
from posixpath import splitext
from typing import Any

from indexer.types import Weights

K1, B = 1.2, 0.75  # the parameters of BM25
USUAL_LENGTH = 100  # terms of a row
QUERY_TERMS = 64
STEM_WEIGHT = 2  # how often the file's name counts

STOP_WORDS = frozenset(
    "a about all also an and any are as at be been but by can could did do does doing done "
    "each for from get gets had has have he her here him his how i if in into is it its just "
    "like may me might more most must my no not of on one only or other our out over shall "
    "she should so some such than that the their them then there these they this those to "
    "too under up us use used uses using very was we were what when where which who whom "
    "whose why will with would you your".split()
)

_MAX_WORD = 64  # characters; anything longer is data

# An identifier, and its parts: words, humps, acronyms and numbers, or runs of letters where
# there is no case.
_WORD = re.compile(r"[^\W_]+(?:_+[^\W_]+)*")
_WORDS_ONLY = "".join(
    chr(c) if chr(c).isalnum() else " _"[chr(c) == "_"] for c in range(128)
)
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_OTHER_PART = re.compile(r"[^\W\d_]+|\d+")
# Scripts that put no spaces between words.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]"
)


def terms(text: str) -> Iterator[str]:
    """Yield the terms of a text in its order.

    The terms of an identifier are its parts, stemmed and in lower case, and the whole
    identifier if it has several parts. Stop words are left out.
    """
    for word in _words(text):
        yield from _terms_of(word)


def _words(text: str) -> list[str]:
    """The identifiers in a text in its order."""
    if text.isascii():
        # Twice as fast as a search.
        found = [word.strip("_") for word in text.translate(_WORDS_ONLY).split()]
    else:
        found = _WORD.findall(unicodedata.normalize("NFKC", text))
    return [word for word in found if len(word) <= _MAX_WORD]


def place_of_rarest(wanted: Iterable[str], text: str) -> int | None:
    """Where in the text the rarest of these terms begins, None if it has none of them."""
    wanted = set(wanted)
    best: tuple[float, int] | None = None
    for match in _WORD.finditer(text):
        found = wanted.intersection(terms(match[0]))
        if found and (best is None or max(map(idf, found)) > best[0]):
            best = max(map(idf, found)), match.start()
    return None if best is None else best[1]


@lru_cache(maxsize=100_000)
def _terms_of(word: str) -> tuple[str, ...]:
    parts = (_PART if word.isascii() else _OTHER_PART).findall(word)
    found: list[str] = []
    for part in parts:
        if _UNSPACED.search(part):
            found += map("".join, pairwise(part)) if len(part) > 1 else [part]
            continue
        part = part.lower()
        if len(part) > 1 and part not in STOP_WORDS:
            found.append(_stem(part))
    if len(parts) > 1:
        found.append(word.lower())
    return tuple(found)


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word))


@cache
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english")


@lru_cache(maxsize=100_000)
def term_id(term: str) -> int:
    """The index of a term, below 2**31, so that two terms hardly ever share one."""
    return zlib.crc32(term.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF


def row_weights(path: str, symbol: str, text: str) -> Weights:
    """The sparse vector of a chunk: what BM25 makes of how often the chunk has each term.

    The terms of its path and of its symbol count too. A vector is never empty, because servers
    refuse that.
    """
    counts: dict[str, int] = {}
    words = [*_path_words(path), *_words(symbol), *_words(text)]
    for word, number in Counter(words).items():
        for term in _terms_of(word):
            counts[term] = counts.get(term, 0) + number
    return _weights(counts) or {term_id(""): K1}


@lru_cache(maxsize=16)
def _path_words(path: str) -> tuple[str, ...]:
    folder, _, name = path.rpartition("/")
    stem, ending = splitext(name)
    return (*_words(folder), *STEM_WEIGHT * _words(stem), *_words(ending))


def _weights(counts: dict[str, int]) -> Weights:
    length = sum(counts.values())
    norm = K1 * (1 - B + B * length / USUAL_LENGTH)
    return {term_id(t): tf * (K1 + 1) / (tf + norm) for t, tf in counts.items()}


def query_weights(query: str) -> Weights:
    """The sparse vector of a query: how rare each of its terms is.

    A long query keeps only the terms that count most.
    """
    weights = {term: tf * idf(term) for term, tf in Counter(terms(query)).items()}
    most = heapq.nlargest(QUERY_TERMS, weights, key=weights.__getitem__)
    return {term_id(term): weights[term] for term in most}


def most_of(query: Weights) -> float:
    """More than the inner product of a query with any row."""
    return (K1 + 1) * sum(query.values())


def idf(term: str) -> float:
    """How rare a term is in code: ln of the number of chunks for each one that has it."""
    table, rest = _table()
    return table.get(term, rest)


@cache
def _table() -> tuple[dict[str, float], float]:
    path = os.path.join(os.path.dirname(__file__), "idf.tsv")
    table = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                term, _, value = line.rstrip("\n").partition("\t")
                table[term] = float(value)
    return table, max(table.values())
