"""How well an answer fits its query: none is told from a good one, and several projects are
ranked together."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, make_cache, project_in
from searched import TEXTS

from indexer import Index
from indexer.config import DEFAULT_MODEL
from indexer.search.answers import NO_GOOD_MATCH
from indexer.search.candidates import Candidate
from indexer.search.likeness import SURE_SHARE
from indexer.search.retrieval import Found
from indexer.search.strength import FLOOR, strength
from indexer.text.terms import most_of, query_weights, row_weights

ANSWERED = [
    "how much sales tax is added to a price",
    "what happens when a request fails",
    "is the password correct",
    "how to publish a new version",
    "CheckPassword",
    "fetch_with_retry",
    "value added tax",
    "bcrypt hash",
]
NONSENSE = [
    "zzzqqq xxyyzz",
    "banana kiwi cherry mango",
    "how tall is mount kilimanjaro",
    "violin concerto in d major",
    "knitting pattern for a baby blanket",
    "genome assembly of a fruit fly",
    "QuantumFluxCapacitor",
    "lorem ipsum dolor sit amet",
]


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Project:
    made = project_in(tmp_path_factory.mktemp("strength"), model_cache)
    for name, text in TEXTS.items():
        made.write(name, text)
    made.run("--executor", "serial")
    return made


@pytest.mark.parametrize("mode", ["hybrid", "sparse", "dense"])
def test_nonsense_is_told_from_a_question(mode: str, indexed: Project) -> None:
    with Index.open(indexed.root, cache_dir=str(indexed.cache_dir)) as index:
        for query in NONSENSE:
            answer = index.answer(query, mode=mode)
            assert not answer.is_good, query
            assert not answer.hits or answer.notes[0] == NO_GOOD_MATCH
            assert all(hit.score < FLOOR for hit in answer.hits)
        for query in ANSWERED if mode == "hybrid" else ANSWERED[4:]:
            answer = index.answer(query, mode=mode)
            assert answer.is_good and NO_GOOD_MATCH not in answer.notes, query
            assert FLOOR <= answer.hits[0].score <= 1
            scores = [hit.score for hit in answer.hits]
            assert scores == sorted(scores, reverse=True) and scores[-1] >= 0


def test_what_a_person_and_a_program_see(indexed: Project) -> None:
    done = indexed.command("search", NONSENSE[1])
    assert done.returncode == 0 and done.stdout.count("\n") == len(TEXTS)
    assert done.stderr == f"codx-index: {NO_GOOD_MATCH}\n"
    answer = indexed.report("search", NONSENSE[1])
    assert answer["good_match"] is False and answer["notes"] == [NO_GOOD_MATCH]
    # Of words that are nowhere nothing is nearest.
    done = indexed.command("search", NONSENSE[0], "--mode", "sparse")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "codx-index: no hits\n"


def found(by_words: bool = True, by_meaning: bool = True, **scores: float) -> Found:
    """What a search with one candidate found, of an index with the default model."""
    places = {kind: (1, score) for kind, score in scores.items()}
    candidate = Candidate("a.py", 0, 1, 1, "", "", "", **places)  # type: ignore[arg-type]
    about = {"codx.model": DEFAULT_MODEL}
    return Found(about, [candidate], (), by_words, by_meaning)


def test_evidence() -> None:
    query = "retry policy"
    most = most_of(query_weights(query))
    assert strength(query, [found(dense=0.8, sparse=most)]) == 1
    assert strength(query, [found(dense=0.4)]) == 0.5  # its words are nowhere
    assert strength(query, [found(dense=0.4, by_words=False)]) == 0.5
    half = found(sparse=SURE_SHARE / 2 * most, by_meaning=False)
    assert strength(query, [half]) == pytest.approx(0.5)
    # A name that is there needs no meaning.
    assert strength(query, [found(dense=0.01, sparse=most)]) == 1
    assert strength(query, [found(dense=-0.5, sparse=0.0)]) == 0
    both = [found(dense=0.1), found(dense=0.1, sparse=most)]
    assert strength(query, both) == 1
    assert strength(query, [Found({"codx.model": DEFAULT_MODEL}, [], (), True)]) == 0


def test_cosines_of_other_models_mean_something_else() -> None:
    def other(**scores: float) -> Found:
        by_words = "sparse" in scores
        candidates = found(by_words, True, **scores).candidates
        return Found({"codx.model": "other"}, candidates, (), by_words, True)

    query = "retry"
    assert strength(query, [other(dense=0.9)]) is None
    most = most_of(query_weights(query))
    half = other(dense=0.9, sparse=SURE_SHARE / 2 * most)
    assert strength(query, [half]) == pytest.approx(0.5)
    assert strength(query, [other(dense=0.9), found(dense=0.4)]) == 0.5


def test_no_row_has_more_than_the_most() -> None:
    rng = random.Random(1)
    words = "retry policy back off network tax price".split()
    for _ in range(200):
        query = " ".join(rng.choices(words, k=rng.randint(1, 5)))
        text = " ".join(rng.choices(words, k=rng.randint(1, 400)))
        row = row_weights("retry/policy.py", "retry", text)
        weights = query_weights(query)
        product = sum(row.get(term, 0) * weight for term, weight in weights.items())
        assert 0 <= product < most_of(weights)


# Several projects


@pytest.fixture
def another(
    make_project: Callable[[str], Project], model_cache: Path, tmp_path: Path
) -> Project:
    made = make_project("another")
    make_cache(tmp_path / "other cache", model_cache)
    made.write("sky.py", "def telescope():\n    return 'sees distant galaxies'\n")
    made.run("--executor", "serial")
    return made


def test_several_projects_are_ranked_together(
    indexed: Project, another: Project
) -> None:
    for query, project, path in (
        ("telescope", another, "sky.py"),
        ("distant galaxies", another, "sky.py"),
        ("CheckPassword", indexed, "auth/passwords.go"),
        ("value added tax", indexed, "billing/tax.py"),
    ):
        answers = [
            indexed.report("search", query, str(one.root), str(two.root))
            for one, two in ((indexed, another), (another, indexed))
        ]
        for answer in answers:
            best = answer["hits"][0]
            assert (best["project"], best["path"]) == (str(project.root), path)
            # The best of the other project is not as good as the best of its own.
            others = [h for h in answer["hits"] if h["project"] != best["project"]]
            assert all(hit["score"] < best["score"] for hit in others)
        alone = project.report("search", query)["hits"][0]
        assert answers[0]["hits"][0]["score"] == pytest.approx(alone["score"], abs=1e-6)


def test_one_without_an_index_is_a_note(
    indexed: Project, make_project: Callable[[str], Project]
) -> None:
    bare, bare2 = make_project("bare"), make_project("bare2")
    for order in ([bare, indexed], [indexed, bare]):
        paths = [str(one.root) for one in order]
        done = indexed.command("search", "CheckPassword", *paths, "-k", "1")
        assert done.returncode == 0
        assert done.stdout.startswith(f"{indexed.root}/auth/passwords.go:4:")
        assert done.stderr.startswith(f"codx-index: no index in {bare.root}: build it")
        answer = indexed.report("search", "CheckPassword", *paths)
        assert len(answer["notes"]) == 1 and str(bare.root) in answer["notes"][0]
    done = indexed.command("search", "x", str(bare.root), str(bare2.root))
    assert done.returncode == indexed.command("search", "x", str(bare.root)).returncode
    assert done.returncode != 0 and "no index in" in done.stderr
