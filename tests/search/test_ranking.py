"""From candidates to files: fusion, sums, signals, and what each says of itself."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.search.candidates import Candidate
from indexer.search.question import defines
from indexer.search.ranking import Ranked, explanation, fuse, rank, rank_alike
from indexer.search.signals import (
    ASIDE,
    BARREL,
    CONFIGURATION,
    DATA,
    DEFINES,
    DEFINES_ONE,
    NAME_WEIGHT,
    NAMED_SO,
    PROSE,
)


def chunk(
    path: str,
    number: int = 0,
    *,
    dense: float | None = None,
    sparse: float | None = None,
    symbol: str = "",
    text: str = "some text",
) -> Candidate:
    return Candidate(
        path,
        number,
        10 * number + 1,
        10 * number + 10,
        "python",
        symbol,
        text,
        0,
        None if dense is None else (1, dense),
        None if sparse is None else (1, sparse),
    )


def paths(ranked: list[Ranked]) -> list[str]:
    return [one.best.path for one in ranked]


def test_both_lists_count_by_their_own_best() -> None:
    found = [
        chunk("a", dense=0.8, sparse=5),
        chunk("b", dense=0.4),
        chunk("c", sparse=20),
    ]
    assert fuse(found) == pytest.approx([(1 + 0.25) / 2, 0.25, 0.5])


def test_a_row_without_a_vector_has_the_one_that_its_words_are_worth() -> None:
    """What is merely nearest is not before what has all the words of the query."""
    weak = chunk("a", dense=0.2)
    words = replace(chunk("b.po", sparse=0.65 * 10), has_vector=False)
    few = replace(chunk("c.po", sparse=0.65 * 2.5), has_vector=False)
    assert fuse([weak, words, few], 10) == pytest.approx([0.125, 1, 0.25])
    # Without a search by meaning there is nothing to make up for.
    assert fuse([words, few], 10) == pytest.approx([1, 0.25])
    # A row with a vector that the search by meaning did not find is not near.
    assert fuse([weak, chunk("b", sparse=5)], 10) == [0.5, 0.5]


def test_one_list_alone_counts_in_full() -> None:
    assert fuse([chunk("a", dense=0.5), chunk("b", dense=0.25)]) == [1, 0.5]
    assert fuse([chunk("a", sparse=5), chunk("b", sparse=5)]) == [1, 1]
    assert fuse([chunk("a", dense=-0.5)]) == [0]
    assert fuse([]) == []


def test_a_file_has_the_sum_of_its_best_three() -> None:
    many = [chunk("many.go", n, dense=0.5) for n in range(9)]
    ranked = rank("?", [*many, chunk("one.go", dense=1.0)])
    assert paths(ranked) == ["many.go", "one.go"]
    assert [one.match for one in ranked] == pytest.approx([1, 1 / 1.5])
    assert ranked[0].chunks == 9


def test_the_name_of_a_file() -> None:
    ranked = rank(
        "retry policy", [chunk("x.go", dense=1), chunk("net/retry.go", dense=0.9)]
    )
    assert paths(ranked) == ["net/retry.go", "x.go"]
    # Half of the query in the name, all of the name in the query.
    (signal,) = ranked[0].signals
    assert signal.amount == pytest.approx(NAME_WEIGHT * (0.5 + 1) / 2)


@pytest.mark.parametrize(
    "query", ["RetryPolicy", "net.RetryPolicy", "net::RetryPolicy", "RetryPolicy()"]
)
def test_an_identifier_finds_its_definition(query: str) -> None:
    ranked = rank(
        query,
        [
            chunk("uses.py", dense=1, sparse=9, text="RetryPolicy(3)"),
            chunk("b.py", 1, dense=0.5, symbol="RetryPolicy.wait", text="    pass"),
            chunk("b.py", 0, dense=0.1, text="class RetryPolicy:"),
            chunk("retry_policy.py", dense=0.1, symbol="RetryPolicy"),
        ],
    )
    assert paths(ranked) == ["retry_policy.py", "b.py", "uses.py"]
    assert DEFINES in [signal.amount for signal in ranked[1].signals]
    assert DEFINES * NAMED_SO in [signal.amount for signal in ranked[0].signals]
    assert ranked[1].best.chunk_no == 0  # where it begins, not the better match


def test_an_identifier_in_a_sentence() -> None:
    query = "how does parse_header treat a TimeoutError"
    ranked = rank(query, [chunk("a.py", dense=1, text="def parse_header(x):")])
    assert [signal.amount for signal in ranked[0].signals] == [DEFINES_ONE]
    assert not rank("how to parse it", [chunk("a.py", dense=1, symbol="parse")])[
        0
    ].signals


@pytest.mark.parametrize(
    "text",
    [
        "def target(x):",
        "class target:",
        "func (s *Store) target() error {",
        "fun String.target(): Int",
        "export function target()",
        "pub fn target() {",
        "const target = 1",
        "#define target 3",
        "type target struct {",
        "target = 1",
        "target: Final = 1",
    ],
)
def test_definitions(text: str) -> None:
    assert defines(chunk("a.x", text=text), "target")
    assert not defines(chunk("a.x", text=text.replace("target", "targets")), "target")
    assert not defines(chunk("a.md", text=text), "target")


def test_a_use_is_no_definition() -> None:
    for text in (
        "target(x)",
        "return target",
        "x.target = 1",
        " target = 1",
        "target == 1",
    ):
        assert not defines(chunk("a.py", text=text), "target")


@pytest.mark.parametrize(
    "path, factor",
    [
        ("tests/x.py", ASIDE),
        ("pkg/test_x.py", ASIDE),
        ("pkg/x_test.go", ASIDE),
        ("src/x.spec.ts", ASIDE),
        ("src/XTest.java", ASIDE),
        ("Examples/x.py", ASIDE),
        ("vendor/x.go", ASIDE),
        ("conftest.py", ASIDE),
        ("pkg/__init__.py", BARREL),
        ("src/index.ts", BARREL),
        ("src/mod.rs", BARREL),
        ("src/x.d.ts", BARREL),
        ("docs/x.md", PROSE),
        ("README.rst", PROSE),
        ("tests/__init__.py", ASIDE * BARREL),
        ("src/contest.py", 1),
        ("src/latest.go", 1),
        ("src/attestation.ts", 1),
        ("testing.go", 1),
    ],
)
def test_what_stands_back(path: str, factor: float) -> None:
    (one,) = rank("zebra", [chunk(path, dense=1)])
    assert one.points == pytest.approx(factor)


def test_several_indexes_keep_their_files_apart() -> None:
    found = [chunk("a.py", dense=1), replace(chunk("a.py", dense=0.9), index=1)]
    ranked = rank("zebra", found)
    assert [one.best.index for one in ranked] == [0, 1]


def test_what_is_alike_is_ranked_by_its_best_chunk() -> None:
    many = [chunk("many.go", n, dense=0.5) for n in range(9)]
    ranked = rank_alike([*many, chunk("tests/one.go", dense=1.0)])
    assert paths(ranked) == ["tests/one.go", "many.go"]


CANDIDATES = st.lists(
    st.builds(
        chunk,
        st.sampled_from(["a.py", "b/retry.go", "tests/c.py", "d.md", "__init__.py"]),
        st.integers(0, 5),
        dense=st.none() | st.floats(-1, 1),
        sparse=st.none() | st.floats(0, 50),
        symbol=st.sampled_from(["", "Retry", "A.retry_all"]),
    )
)


@given(st.text(max_size=30) | st.sampled_from(["Retry", "retry_all of b"]), CANDIDATES)
def test_any_candidates(query: str, found: list[Candidate]) -> None:
    ranked = rank(query, found)
    assert sorted(paths(ranked)) == sorted({one.path for one in found})
    scores = [one.points for one in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(score) and score >= 0 for score in scores)
    for one in ranked:
        # A score is what its explanation says.
        about = explanation(one)
        score = one.match
        for signal in one.signals:
            plus = signal.operator == "+"
            score = score + signal.amount if plus else score * signal.amount
        assert score == one.points and len(about["signals"]) == len(one.signals)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "amount"),
    [
        ("locale/de/LC_MESSAGES/django.po", DATA),
        ("i18n/de.json", DATA),
        ("src/locales/messages_pt-BR.properties", DATA),
        ("locales/zh_Hans_CN.ts", DATA),
        ("assets/icon.SVG", DATA),
        ("prices.csv", DATA),
        ("ca.crt", DATA),
        ("package.json", CONFIGURATION),
        ("i18n/loader.ts", None),
        ("lang/go.ts", None),
        ("src/de.py", None),
        ("a.py", None),
        ("po", None),
        ("deploy.yaml", None),
    ],
)
def test_data_ranks_behind_code(path: str, amount: float | None) -> None:
    (one,) = rank("vat", [chunk(path, dense=1)])
    assert [signal.amount for signal in one.signals] == ([amount] if amount else [])


def test_a_chunk_of_data_alone_counts_only_where_its_name_was_found() -> None:
    text = "x = 1"
    found = [
        chunk("blob.bin.py", dense=1.0, text='"[…]"'),
        chunk("named.py", dense=0.5, sparse=1, text="[…]"),
        chunk("code.py", dense=0.4, text=text),
    ]
    assert paths(rank("?", found)) == ["named.py", "code.py"]


def test_a_query_that_names_a_format_means_it() -> None:
    (one,) = rank("prices csv", [chunk("x/list.csv", dense=1)])
    assert DATA not in [signal.amount for signal in one.signals]
