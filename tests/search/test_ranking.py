"""From candidates to files: fusion, sums, signals, and what each says of itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from indexer.search.candidates import Candidate
from indexer.search.definitions import defines
from indexer.search.question import Question, definition_line, subject
from indexer.search.ranking import Ranked, explanation, fuse, rank, rank_alike
from indexer.search.signals import (
    ASIDE,
    BARREL,
    CONFIGURATION,
    COVERAGE,
    DATA,
    DEFINES,
    DEFINES_ONE,
    IN_PART,
    NAME_WEIGHT,
    NAMED_SO,
    OUTLINE,
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
    language: str = "python",
) -> Candidate:
    return Candidate(
        path,
        number,
        10 * number + 1,
        10 * number + 10,
        language,
        symbol,
        text,
        0,
        None if dense is None else (1, dense),
        None if sparse is None else (1, sparse),
    )


def paths(ranked: list[Ranked]) -> list[str]:
    return [one.best.path for one in ranked]


def amounts(one: Ranked, reason: str) -> list[float]:
    """The amounts of the signals whose reason has these words."""
    return [signal.amount for signal in one.signals if reason in signal.reason]


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


def test_a_file_has_the_weighted_sum_of_its_best_four() -> None:
    many = [chunk("many.go", n, dense=0.5) for n in range(9)]
    ranked = rank("?", [*many, chunk("one.go", dense=1.0)])
    assert paths(ranked) == ["many.go", "one.go"]
    assert [one.match for one in ranked] == pytest.approx([1, 1 / (0.5 * 2.8)])
    assert ranked[0].chunks == 9


def test_the_name_of_a_file() -> None:
    ranked = rank(
        "retry policy", [chunk("x.go", dense=1), chunk("net/retry.go", dense=0.9)]
    )
    assert paths(ranked) == ["net/retry.go", "x.go"]
    # Half of the query in the name, all of the name in the query.
    assert amounts(ranked[0], "name matches") == [
        pytest.approx(NAME_WEIGHT * (0.5 + 1) / 2)
    ]


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
    assert amounts(ranked[0], "defines") == [DEFINES_ONE]
    (plain,) = rank("how to parse it", [chunk("a.py", dense=1, symbol="parse")])
    assert not amounts(plain, "defines")


@pytest.mark.parametrize(
    ("query", "symbol"),
    [
        ("where are retries counted by the retry policy", "RetryPolicy"),
        ("fake timers and their clock", "fake_timers"),
        ("how a Table lists its columns", "core.Table"),
        ("Mutex and semaphore", "Mutex"),
    ],
)
def test_words_of_a_sentence_that_are_a_name(query: str, symbol: str) -> None:
    (one,) = rank(query, [chunk("a.py", dense=1, symbol=symbol)])
    assert amounts(one, "defines") == [DEFINES_ONE]


def test_words_that_are_no_name() -> None:
    for query in ("where is a policy of retries", "tables and columns", "is the retry"):
        (one,) = rank(query, [chunk("a.py", dense=1, symbol="RetryPolicy")])
        assert not amounts(one, "defines")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("where is echo defined", "echo"),
        ("Where is echo defined?", "echo"),
        ("where is the echo function", "echo"),
        ("where is the echo function defined", "echo"),
        ("where's `echo` implemented", "echo"),
        ("which file defines echo", "echo"),
        ("definition of echo", "echo"),
        ("find the definition of click.echo", "click.echo"),
        ("echo function", "echo"),
        ("function echo", "echo"),
        ("show me the Group class", "Group"),
        ("class Group", "Group"),
        ("Group::invoke method", "Group::invoke"),
        ("echo definition", "echo"),
        ("the constant LIMIT is defined", "LIMIT"),
    ],
)
def test_a_question_for_a_definition(query: str, name: str) -> None:
    """The words around the name do not count: they are not in the code."""
    assert subject(query) == name
    question = Question.of(query)
    assert question.is_identifier and question == Question.of(name)
    line = f"def {question.names[0]}(x):"
    assert definition_line(query, f"import os\n{line}") == 1


@pytest.mark.parametrize(
    "query",
    [
        "where are payments retried",
        "where is the class defined",
        "error type",
        "object pool",
        "how does echo work in a pipe",
        "function that retries payments",
        "definition of done for a release",
        "classes and functions",
    ],
)
def test_a_question_for_something_else(query: str) -> None:
    assert subject(query) == query
    assert not Question.of(query).is_identifier


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
        "export interface $target {",
        "macro_rules! x\npub trait target<T>: Sized {",
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
        "target::target() = default",
        "    const target = 1",
        "# the class target is old",
        " * see the function target",
        "impl target for Other {",
    ):
        assert not defines(chunk("a.py", text=text), "target")


@pytest.mark.parametrize(
    ("text", "is_definition"),
    [
        ("class Cache {", True),
        ("class LEVELDB_EXPORT Cache final : public Base {", True),
        ("struct [[nodiscard]] Cache\n{", True),
        ("enum class Cache : int { A };", True),
        ("template <typename T>\nclass Cache {", True),
        ("typedef struct {\n  int x;\n} Cache;", True),
        ("typedef unsigned long Cache;", True),
        ("using Cache = Map<int>;", True),
        ("#define Cache(x) x", True),
        ("class Cache;", False),
        ("friend class Cache;", False),
        ("struct Cache *make(struct Cache *);", False),
        ("template <>\nclass Cache<int> {", False),
        ("struct hash<Cache> {", False),
        ("// class Cache {", False),
        ("Cache::Cache() = default;", False),
    ],
)
def test_definitions_in_cpp(text: str, is_definition: bool) -> None:
    """What is only announced, made a friend, or specialized is not defined."""
    assert defines(chunk("a.h", text=text, language="cpp"), "Cache") == is_definition


def test_a_specialization_has_the_symbol_of_its_template_and_is_not_it() -> None:
    text = "template <>\nclass Cache<int> {"
    special = chunk("int.h", dense=1, symbol="db.Cache", text=text, language="cpp")
    ranked = rank("Cache", [special, chunk("b.h", dense=0.5, symbol="db.Cache")])
    assert paths(ranked) == ["b.h", "int.h"]


def test_a_part_of_a_definition_in_another_file() -> None:
    """A method or a constructor is not its class."""
    ranked = rank(
        "Cache",
        [
            chunk(
                "impl.cc", dense=1, symbol="db.Cache.Cache", text="Cache::Cache() {}"
            ),
            chunk("more.go", dense=0.9, symbol="Cache.Close", text="func"),
            chunk("decl.h", dense=0.1, symbol="db.Cache", text="class Cache {"),
        ],
    )
    assert paths(ranked) == ["decl.h", "impl.cc", "more.go"]
    assert amounts(ranked[1], "part of Cache") == [DEFINES * IN_PART]


def test_the_outline_of_a_file() -> None:
    """What the file says of itself counts once more, but not for a name alone."""
    about = chunk("a.py", 0, dense=1, text='"""Retries of payments."""')
    other = chunk("b.py", 3, dense=1, text="retries of payments", symbol="wait")
    ranked = rank("how are payments tried again: retries", [other, about])
    assert paths(ranked) == ["a.py", "b.py"]
    assert amounts(ranked[0], "outline") == [OUTLINE]
    (one,) = rank("Retries", [about])
    assert not amounts(one, "outline") and not amounts(one, "words")


def test_the_share_of_the_words_that_a_file_has() -> None:
    found = [
        chunk("a.py", 1, dense=1, text="payments"),
        chunk("a.py", 2, dense=1, text="are retried"),
        chunk("b.py", 1, dense=1, text="payments, payments"),
    ]
    ranked = rank("retried payments", found)
    assert amounts(ranked[0], "words") == [COVERAGE]
    assert 0 < amounts(ranked[1], "words")[0] < COVERAGE


def test_a_file_that_stands_for_its_folder() -> None:
    """It is called like the folder, and stands back only if it defines nothing."""
    found = [
        chunk("ser/mod.rs", dense=1, symbol="Serializer"),
        chunk("ser/index.ts", dense=1, text="export * from './a'"),
    ]
    ranked = rank("ser zebra", found)
    assert paths(ranked) == ["ser/mod.rs", "ser/index.ts"]
    assert BARREL not in amounts(ranked[0], "only re-exports")
    assert amounts(ranked[1], "only re-exports") == [BARREL]
    share = pytest.approx(NAME_WEIGHT * (0.5 + 1) / 2)
    assert [amounts(one, "name matches") for one in ranked] == [[share], [share]]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("tests/x.py", "tests of the zebra"),
        ("pkg/zebra_test.go", "zebra test"),
        ("src/__mocks__/x.ts", "where is the zebra mocked by a mock"),
        ("_examples/x.go", "example with a zebra"),
    ],
)
def test_what_is_asked_for_does_not_stand_back(path: str, query: str) -> None:
    (asked,) = rank(query, [chunk(path, dense=1)])
    (other,) = rank("zebra", [chunk(path, dense=1)])
    assert not amounts(asked, "a test")
    assert amounts(other, "a test") == [ASIDE]


@pytest.mark.parametrize(
    "path, factor",
    [
        ("tests/x.py", ASIDE),
        ("pkg/test_x.py", ASIDE),
        ("pkg/x_test.go", ASIDE),
        ("src/x.spec.ts", ASIDE),
        ("src/XTest.java", ASIDE),
        ("Examples/x.py", ASIDE),
        ("_examples/x.go", ASIDE),
        ("src/__mocks__/x.ts", ASIDE),
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
        ("deploy.yaml", CONFIGURATION),
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
    assert not amounts(one, "data")
