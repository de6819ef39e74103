"""Terms and weights of the sparse vectors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexer.text import terms as sparse
from indexer.text.terms import (
    K1,
    QUERY_TERMS,
    STOP_WORDS,
    USUAL_LENGTH,
    B,
    idf,
    query_weights,
    row_weights,
    term_id,
    terms,
)
from indexer.text.versions import SPARSE_VERSION

TABLE = Path(sparse.__file__).with_name("idf.tsv")
# Another table, or other terms, give other answers for the rows that are there: raise
# SPARSE_VERSION with them.
TABLE_OF = {1: "79df07dbd62a5db0"}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("getUserName", "user name getusername"),
        ("HTTPServerError", "http server error httpservererror"),
        ("parse_json_file", "pars json file parse_json_file"),
        ("MAX_CHUNK_BYTES", "max chunk byte max_chunk_bytes"),
        ("sha256", "sha 256 sha256"),
        ("running the runner", "run runner"),
        ("__init__", "init"),
        ("a = b + c", ""),
        ("it's what we were", ""),
        ("x.y->z::w", ""),
        ("cafe\u0301 na\u00efve", "caf\u00e9 na\u00efv"),
        (
            "\u0441\u043e\u0435\u0434\u0438\u043d\u0435\u043d\u0438\u0435",
            "\u0441\u043e\u0435\u0434\u0438\u043d\u0435\u043d\u0438\u0435",
        ),
        ("\u8fde\u63a5\u6c60", "\u8fde\u63a5 \u63a5\u6c60"),
        ("x" * 65, ""),
    ],
)
def test_terms(text: str, expected: str) -> None:
    assert list(terms(text)) == expected.split()


def test_a_row_has_the_terms_of_its_path_and_symbol() -> None:
    weights = row_weights("net/http_client.py", "Session.close", "return None")
    for term in ("net", "http_client", "session", "close", "return"):
        assert term_id(term) in weights
    # The file's name counts twice.
    assert weights[term_id("http_client")] > weights[term_id("net")]


def test_the_weight_is_bm25s() -> None:
    text = " ".join(["alpha"] * 3 + ["beta"] * 2)
    length = 3 + 2 + 2  # the file's name "zz" twice
    norm = K1 * (1 - B + B * length / USUAL_LENGTH)
    weights = row_weights("zz", "", text)
    assert weights[term_id("alpha")] == pytest.approx(3 * (K1 + 1) / (3 + norm))
    assert weights[term_id("beta")] == pytest.approx(2 * (K1 + 1) / (2 + norm))


def test_a_row_never_is_without_a_term() -> None:
    assert row_weights("a", "", "x") and row_weights("\udcff", "", "{}")


@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=20))
def test_any_text(text: str, path: str, symbol: str) -> None:
    weights = row_weights(path, symbol, text)
    assert weights == row_weights(path, symbol, text)
    assert all(0 <= term < 2**31 for term in weights)
    assert all(0 < weight < K1 + 1 for weight in weights.values())


def test_the_rarer_the_heavier() -> None:
    assert idf("return") < idf("socket") < idf("antidisestablish")
    weights = query_weights("return the socket")
    assert set(weights) == {term_id("return"), term_id("socket")}
    assert weights[term_id("socket")] > weights[term_id("return")]


def test_a_long_query_keeps_what_counts() -> None:
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(500)]
    weights = query_weights(" ".join(["return"] + words))
    assert len(weights) == QUERY_TERMS and term_id("return") not in weights


def test_a_query_of_stop_words_has_no_terms() -> None:
    assert query_weights("how is it that the") == {}
    assert not STOP_WORDS & {"for" + "tran", "lock", "return"}


def test_the_table_belongs_to_the_version() -> None:
    lines = TABLE.read_text("utf-8").splitlines()
    table = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(table) == len({term for term, _ in table}) >= 2_000
    values = [float(value) for _, value in table]
    assert values == sorted(values) and values[0] > 0
    found = hashlib.sha256(TABLE.read_bytes()).hexdigest()[:16]
    assert TABLE_OF[SPARSE_VERSION] == found
