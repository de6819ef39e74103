"""From candidate chunks to ranked files. Pure: nothing here asks Milvus or a disk.

Two lists of chunks, nearest in meaning and best by terms, become one score per chunk. A file gets
the weighted sum of its best four, as a share of the best file's sum; then its `signals` apply.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from indexer.search.candidates import Candidate
from indexer.search.likeness import likely_cosine
from indexer.search.question import Question, subject
from indexer.search.signals import Signal, signals
from indexer.search.whole_file import outline_score
from indexer.text.terms import most_of, query_weights

_WORD = re.compile(r"\w")
CHUNK_WEIGHTS = (1.0, 0.8, 0.6, 0.4)  # of the best chunks of a file, the best first
File = tuple[int, str, str]
"""A file by its index, its project's key in that index, and its path."""


class Ranked(Struct, frozen=True):
    """A file: the chunk to show, and the reasons for its rank.

    `match` is its share of the best file's sum, 0 to 1. `points` are the same after the `signals`
    were applied in order. `chunks` is the number of its candidates.
    """

    best: Candidate
    points: float
    match: float
    signals: tuple[Signal, ...]
    chunks: int


def rank(query: str, candidates: Sequence[Candidate]) -> list[Ranked]:
    """The files of the candidates, best first.

    A chunk that is nothing but data resembles every query about equally, so it counts only
    if its name was found.
    """
    question = Question.of(query)
    weights = query_weights(subject(query))
    candidates = [one for one in candidates if one.sparse or _WORD.search(one.text)]
    chunk_scores = fuse(candidates, most_of(weights))
    by_path: defaultdict[File, list[tuple[float, Candidate]]] = defaultdict(list)
    for candidate, score in zip(candidates, chunk_scores, strict=True):
        by_path[_file_of(candidate)].append((score, candidate))
    for found in by_path.values():
        found.sort(key=lambda pair: (-pair[0], pair[1].chunk_no))
    matches = _shares_of_best({file: _sum_of_best(by_path[file]) for file in by_path})
    outlines = _shares_of_best(
        {
            file: outline_score(weights, file[-1], [chunk for _, chunk in found])
            for file, found in by_path.items()
            if not question.is_identifier  # then it does not count
        }
    )
    ranked = []
    for file, found in by_path.items():
        chunks = [candidate for _, candidate in found]
        points = match = matches[file]
        applied = tuple(signals(question, file[-1], chunks, outlines.get(file, 0.0)))
        for signal in applied:
            points = signal.apply(points)
        best = question.definition_in(chunks) or chunks[0]
        ranked.append(Ranked(best, points, match, applied, len(chunks)))
    ranked.sort(key=lambda one: (-one.points, one.best.path))
    return ranked


def rank_alike(candidates: Sequence[Candidate]) -> list[Ranked]:
    """The files of candidates that resemble a place in the code, each by its best chunk."""
    best: dict[File, tuple[float, Candidate]] = {}
    counts: defaultdict[File, int] = defaultdict(int)
    for candidate, score in zip(candidates, fuse(candidates), strict=True):
        file = _file_of(candidate)
        counts[file] += 1
        if file not in best or score > best[file][0]:
            best[file] = (score, candidate)
    ranked = [
        Ranked(candidate, score, score, (), counts[file])
        for file, (score, candidate) in best.items()
    ]
    ranked.sort(key=lambda one: (-one.points, one.best.path))
    return ranked


def _file_of(candidate: Candidate) -> File:
    return candidate.index, candidate.project, candidate.path


def fuse(candidates: Sequence[Candidate], most: float = 0.0) -> list[float]:
    """One score per candidate, 0 to 1: the mean of its scores in both lists.

    Each score is taken as a share of its list's best. If one list is empty, the other counts
    in full. The words of the query give a row at most `most`. A row without a vector counts as
    if it had the one that its words are worth. Otherwise whatever is merely nearest among the others would
    come before it.
    """
    dense = _shares(candidate.dense for candidate in candidates)
    if any(dense):
        dense = _shares(_likely_dense(candidate, most) for candidate in candidates)
    sparse = _shares(candidate.sparse for candidate in candidates)
    if not any(dense) or not any(sparse):
        return [one + other for one, other in zip(dense, sparse, strict=True)]
    return [(one + other) / 2 for one, other in zip(dense, sparse, strict=True)]


def _likely_dense(candidate: Candidate, most: float) -> tuple[int, float] | None:
    if candidate.has_vector or not candidate.sparse:
        return candidate.dense
    return 0, likely_cosine(candidate.sparse[1], most)


def _shares(places: Iterable[tuple[int, float] | None]) -> list[float]:
    scores = [place[1] if place else 0.0 for place in places]
    most = max(scores, default=0.0)
    return [max(0.0, score / most) if most > 0 else 0.0 for score in scores]


def _shares_of_best(scores: Mapping[File, float]) -> dict[File, float]:
    most = max(scores.values(), default=0) or 1.0
    return {file: score / most for file, score in scores.items()}


def _sum_of_best(found: Iterable[tuple[float, Candidate]]) -> float:
    best = sorted((score for score, _ in found), reverse=True)
    # A file has fewer chunks than there are weights, or more.
    return sum(weight * score for weight, score in zip(CHUNK_WEIGHTS, best))


def explanation(ranked: Ranked) -> dict[str, object]:
    """The reasons for a file's rank, as JSON-ready values."""
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
        "points": round(ranked.points, 4),
    }
