from __future__ import annotations

import codecs
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.text.decode import decode, looks_minified, read_text

RUSSIAN = "// Привет, мир! Это комментарий на русском языке.\n"
JAPANESE = "// これは日本語のコメントです。関数を呼び出す。\n"
CODE = "int main(void) { return foo(bar, 1, 2); }\n"


def test_utf8() -> None:
    assert decode("naïve 🎈\r\n".encode()) == "naïve 🎈\r\n"
    assert decode(b"") == ""


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_decides_and_is_dropped(mark: bytes, encoding: str) -> None:
    assert decode(mark + "x = 'é🎈'\n".encode(encoding)) == "x = 'é🎈'\n"
    assert decode(mark) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"text\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\x7fELF\x02\x01\x01\0",
        codecs.BOM_UTF8 + b"a\0b",
        codecs.BOM_UTF16_LE + "a\0b".encode("utf-16-le"),
        codecs.BOM_UTF16_LE + b"\x00\xd8",  # half a surrogate pair
        bytes(range(1, 256)) * 4,
        b"\x01\x02\x03 text",
    ],
)
def test_binary(data: bytes) -> None:
    assert decode(data) is None


@pytest.mark.parametrize("control", ["\t", "\r", "\f", "\v", "\b", "\x1b"])
def test_controls_that_text_has(control: str) -> None:
    assert decode((control * 50).encode()) == control * 50


def test_few_other_controls_are_text() -> None:
    assert decode(b"def f():\n    '''\x01'''\n" * 9) is not None


@pytest.mark.parametrize("before", ["", CODE * 300])
@pytest.mark.parametrize("times", [1, 500])
@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        ("// Größe der Übung für Mädchen\n", "latin-1"),
        ("// Un élève a été très déçu près du château\n", "latin-1"),
        ("// Copyright (c) 2001 José Núñez\n", "latin-1"),
        ("// 20°C, 5 µm ± 1\n", "latin-1"),
        ("// it’s “quoted” – dash…\n", "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        ("// 这是一个中文注释，调用函数。\n", "gb18030"),
        ("// 이것은 한국어 주석입니다. 함수를 호출합니다.\n", "cp949"),
    ],
)
def test_8_bit_and_east_asian_encodings(
    before: str, times: int, line: str, encoding: str
) -> None:
    text = before + line * times
    assert decode(text.encode(encoding)) == text


def test_bytes_that_cp1252_does_not_define() -> None:
    assert decode(b"caf\xe9 \x81 ok ok ok ok ok") == "caf\xe9 \x81 ok ok ok ok ok"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([b"a", b"\n", b"\xff", b"\xfe", b"\xe9", b"\xc3\xa9"]))
    .map(b"".join)
    .flatmap(lambda data: st.just(codecs.BOM_UTF16_LE + data) | st.just(data))
)
def test_any_bytes_give_text_or_binary(data: bytes) -> None:
    text = decode(data)
    if text is not None:
        assert "\0" not in text
        text.encode()  # no lone surrogates


def test_large_inputs_take_no_longer_than_reading_them() -> None:
    for data in (
        b"\xe9" * 1_000_000,
        b"a" * 1_000_000 + b"\xe9",
        b"\xe9\n" + b"a" * 1_000_000,
        b"\xe9a\n" * 300_000,
        b"a\n" * 500_000 + b"\xe9",
    ):
        started = time.process_time()
        text = decode(data)
        assert time.process_time() - started < 20
        assert text is None or len(text) <= len(data)


def test_blank() -> None:
    for blank in ("", " \r\n\t\f\u2028\u3000"):
        assert read_text("a.py", blank.encode()) == ("", "empty")
    assert read_text("a.py", b"\n x") == ("\n x", "")


@pytest.mark.parametrize(
    ("text", "path", "minified"),
    [
        ("a=1;" * 2_000, "app.js", True),
        ("/*! licence */\n" + "a{b:c}" * 1_000, "dist/Site.CSS", True),
        (("x" * 400 + "\n") * 100, "bundle.mjs", True),
        (("x" * 400 + "\n") * 10, "short.js", False),
        (("let x = 1;\n") * 10_000, "long.js", False),
        ("let x = 1;\n" * 2_000 + "y = '" + "A" * 6_000 + "'\n", "image.js", False),
        ("a=1;" * 20_000, "data.py", False),
        ("a=1;" * 20_000, "LICENSE", False),
        ("", "empty.js", False),
    ],
)
def test_minified(text: str, path: str, minified: bool) -> None:
    assert looks_minified(text, path) is minified
