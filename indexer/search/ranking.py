"""From candidate chunks to ranked files. Pure: nothing here asks Milvus or a disk.

Two lists of chunks, nearest in meaning and best by terms, become one score a chunk; a file
has the sum of its best three, as a share of the best file's. Then signals that can be told
to a person: is the file named like the query, does it define what the query names, is it a
test. The weights were chosen on the development set of `benchmarks/retrieval.py`, where a
change of each by a third made no difference worth having (`docs/design/search.md`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from posixpath import splitext

from indexer.text.terms import terms

BEST_CHUNKS = 3  # of a file, that count
NAME_WEIGHT = 0.4
DEFINES = 3.0  # the query is an identifier, and the file defines it
NAMED_SO = 1.5  # and is named after it
DEFINES_ONE = 0.6  # of the identifiers in a sentence
ASIDE = 0.3  # tests, examples, other people's code
BARREL = 0.5  # files that hand on what others define
PROSE = 0.5

_ASIDE_FOLDERS = frozenset(
    "test tests __tests__ testing testdata spec specs fixtures mock mocks __mocks__ example "
    "examples sample samples demo demos bench benchmark benchmarks vendor vendored third_party "
    "node_modules".split()
)
_ASIDE_STEM = re.compile(
    r"test_.*|.*[._-](test|tests|spec)|conftest|.*[A-Za-z0-9](Test|Tests|Spec)"
)
_BARRELS = re.compile(r"__init__\.pyi?|index\.[cm]?[jt]sx?|mod\.rs|.*\.d\.[cm]?ts")
_PROSE = re.compile(r".*\.(md|mdx|markdown|rst|txt|adoc)", re.IGNORECASE)

# `Name`, `Class.method`, `module::name`, `Class#method`.
_IDENTIFIER = re.compile(r"[^\W\d]\w*(?:(?:\.|::|#|->)[^\W\d]\w*)*(?:\(\))?[?!]?")
# In a sentence only those that no other word looks like: camelCase and snake_case.
_COMPOUND = re.compile(
    r"\b(?:[A-Za-z]+[a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*|\w*[A-Za-z0-9]_+[A-Za-z0-9]\w*)\b"
)
_SEPARATOR = re.compile(r"\.|::|#|->")
_KEYWORDS = (
    "class def func fun fn function interface struct enum trait type object module const let "
    "var val record protocol namespace macro define typedef union impl"
).replace(" ", "|")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that one of the two searches found, or both.

    `dense` is its cosine and `sparse` its inner product, each with its rank (the first is 1);
    None where it is not among what that search found. `index` tells which of several indexes
    it is from.
    """

    path: str
    chunk_no: int
    start_line: int
    end_line: int
    language: str
    symbol: str
    text: str
    index: int = 0
    dense: tuple[int, float] | None = None
    sparse: tuple[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """What raised a file's score (`operator` "+") or lowered it ("×"), and by how much."""

    operator: str
    amount: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ranked:
    """A file: the chunk to show, and why it stands where it does.

    `match` is its share of the best file's sum, 0 to 1; `score` is that with the signals,
    in their order. `chunks` says how many of its chunks are candidates.
    """

    best: Candidate
    score: float
    match: float
    signals: tuple[Signal, ...]
    chunks: int


def rank(query: str, candidates: Sequence[Candidate]) -> list[Ranked]:
    """The files of the candidates, best first."""
    question = _Question.of(query)
    chunk_scores = fuse(candidates)
    by_path: defaultdict[tuple[int, str], list[tuple[float, Candidate]]] = defaultdict(
        list
    )
    for candidate, score in zip(candidates, chunk_scores, strict=True):
        by_path[candidate.index, candidate.path].append((score, candidate))
    sums = {file: _sum_of_best(found) for file, found in by_path.items()}
    most = max(sums.values(), default=0) or 1.0
    ranked = []
    for file, found in by_path.items():
        found.sort(key=lambda pair: (-pair[0], pair[1].chunk_no))
        chunks = [candidate for _, candidate in found]
        match = sums[file] / most
        signals = tuple(_signals(question, file[1], chunks))
        score = match
        for signal in signals:
            score = (
                score + signal.amount
                if signal.operator == "+"
                else score * signal.amount
            )
        best = question.definition_in(chunks) or chunks[0]
        ranked.append(Ranked(best, score, match, signals, len(chunks)))
    ranked.sort(key=lambda one: (-one.score, one.best.path))
    return ranked


def rank_alike(candidates: Sequence[Candidate]) -> list[Ranked]:
    """The files of candidates for a place in the code, not for a question: each by its best
    chunk."""
    best: dict[str, tuple[float, Candidate]] = {}
    counts: defaultdict[str, int] = defaultdict(int)
    for candidate, score in zip(candidates, fuse(candidates), strict=True):
        counts[candidate.path] += 1
        if candidate.path not in best or score > best[candidate.path][0]:
            best[candidate.path] = (score, candidate)
    ranked = [
        Ranked(candidate, score, score, (), counts[path])
        for path, (score, candidate) in best.items()
    ]
    ranked.sort(key=lambda one: (-one.score, one.best.path))
    return ranked


def fuse(candidates: Sequence[Candidate]) -> list[float]:
    """One score a candidate, 0 to 1: the mean of its scores in both lists, each as a share of
    that list's best. One list alone counts in full."""
    dense = _shares(candidate.dense for candidate in candidates)
    sparse = _shares(candidate.sparse for candidate in candidates)
    if not any(dense) or not any(sparse):
        return [one + other for one, other in zip(dense, sparse, strict=True)]
    return [(one + other) / 2 for one, other in zip(dense, sparse, strict=True)]


def _shares(places: Iterable[tuple[int, float] | None]) -> list[float]:
    scores = [place[1] if place else 0.0 for place in places]
    most = max(scores, default=0.0)
    return [max(0.0, score / most) if most > 0 else 0.0 for score in scores]


def _sum_of_best(found: Iterable[tuple[float, Candidate]]) -> float:
    return sum(sorted((score for score, _ in found), reverse=True)[:BEST_CHUNKS])


@dataclass(frozen=True, slots=True)
class _Question:
    """A query: its terms, and the names in it that may be defined somewhere; of one that
    `is_identifier` the name is all there is."""

    terms: frozenset[str]
    names: tuple[str, ...]
    is_identifier: bool

    @classmethod
    def of(cls, query: str) -> _Question:
        text = query.strip()
        found = frozenset(terms(text))
        if _IDENTIFIER.fullmatch(text):
            name = _SEPARATOR.split(text.removesuffix("()"))[-1]
            return cls(found, (name,), True)
        return cls(found, tuple(dict.fromkeys(_COMPOUND.findall(text))), False)

    def definition_in(self, chunks: Iterable[Candidate]) -> Candidate | None:
        """The chunk with the definition that the query names: better where it begins than
        somewhere within it."""
        if not self.is_identifier:
            return None
        defining = [chunk for chunk in chunks if defines(chunk, self.names[0])]
        return min(
            defining,
            key=lambda chunk: (not _begins(chunk.text, self.names[0]), chunk.chunk_no),
            default=None,
        )


def defines(chunk: Candidate, name: str) -> bool:
    """Is the chunk (a part of) the definition of this name, or does it hold it?"""
    if name in _SEPARATOR.split(chunk.symbol):
        return True
    return not _PROSE.fullmatch(chunk.path) and _begins(chunk.text, name)


def definition_line(query: str, text: str) -> int | None:
    """The line of a text, from 0, on which the definition begins that the query names, if it
    is an identifier."""
    question = _Question.of(query)
    if not question.is_identifier:
        return None
    lines = enumerate(text.split("\n"))
    return next((n for n, line in lines if _begins(line, question.names[0])), None)


def _begins(text: str, name: str) -> bool:
    return name in text and bool(_definition(name).search(text))


@lru_cache(maxsize=1_000)
def _definition(name: str) -> re.Pattern[str]:
    # Between keyword and name: the receiver of a method in Go, or of an extension in Kotlin.
    between = r"\s+(?:\([^()\n]*\)\s*)?(?:[\w<>,]+\.)?"
    named = re.escape(name)
    constant = rf"^{named}\s*(?::[^=\n]+)?=(?!=)"  # of a module
    return re.compile(rf"\b(?:{_KEYWORDS}){between}{named}\b|{constant}", re.MULTILINE)


def _signals(
    question: _Question, path: str, chunks: Sequence[Candidate]
) -> Iterable[Signal]:
    if alike := _name_match(question.terms, path):
        yield Signal("+", NAME_WEIGHT * alike, f"its name matches by {alike:.0%}")
    for name in question.names:
        if not any(defines(chunk, name) for chunk in chunks):
            continue
        if not question.is_identifier:
            yield Signal("+", DEFINES_ONE, f"defines {name}")
        elif _plain(_stem(path)) == _plain(name):
            yield Signal("+", DEFINES * NAMED_SO, f"defines {name}, and is named so")
        else:
            yield Signal("+", DEFINES, f"defines {name}")
    yield from _drawbacks(path)


def _name_match(query: frozenset[str], path: str) -> float:
    """How well path and query name the same, 0 to 1: the share of the query's terms in the
    file's name (those in its folder count half), and of the name's terms in the query.
    """
    stem = _term_set(_stem(path))
    if not query or not stem:
        return 0.0
    folder = _term_set(path.rpartition("/")[0])
    asked = sum(1 if term in stem else 0.5 * (term in folder) for term in query)
    return (asked / len(query) + len(stem & query) / len(stem)) / 2


def _drawbacks(path: str) -> Iterable[Signal]:
    *folders, name = path.split("/")
    if not _ASIDE_FOLDERS.isdisjoint(map(str.lower, folders)) or _ASIDE_STEM.fullmatch(
        splitext(name)[0]
    ):
        yield Signal("×", ASIDE, "a test, an example or vendored")
    if _BARRELS.fullmatch(name):
        yield Signal("×", BARREL, "hands on what other files define")
    if _PROSE.fullmatch(name):
        yield Signal("×", PROSE, "prose")


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


@lru_cache(maxsize=100_000)
def _term_set(text: str) -> frozenset[str]:
    return frozenset(terms(text))


def explanation(ranked: Ranked) -> dict[str, object]:
    """Why a file stands where it does, as JSON-ready values."""
    place: Mapping[str, tuple[int, float] | None] = {
        "dense": ranked.best.dense,
        "sparse": ranked.best.sparse,
    }
    return {
        **{
            kind: {"rank": found[0], "score": round(found[1], 4)} if found else None
            for kind, found in place.items()
        },
        "chunks": ranked.chunks,
        "match": round(ranked.match, 4),
        "signals": [
            {
                "operator": one.operator,
                "amount": round(one.amount, 4),
                "reason": one.reason,
            }
            for one in ranked.signals
        ],
    }
