"""Decodes the bytes of a file to its text, without ever failing."""

from __future__ import annotations

import codecs
import re
from io import BytesIO
from posixpath import basename

from indexer.text.lines import with_line_feeds


def read_text(path: str, data: bytes) -> tuple[str, str]:
    """The text of a file and "", or "" and the reason why it is not indexed.

    Every line of the text ends with a line feed alone.

    The reasons are "binary", "empty" (nothing but white space) and "generated".
    """
    text = decode(data)
    if text is None:
        return "", "binary"
    if not text.strip():
        return "", "empty"
    text = with_line_feeds(text)
    if looks_minified(text, path) and looks_minified(_without_data(text), path):
        return "", "generated"
    return text, ""


def _without_data(text: str) -> str:
    """The text as it is shown: a long line of data in a source does not make it a bundle."""
    from indexer.text.shown import ShownText

    return "\n".join(ShownText.of(text).lines)


# UTF-32 comes first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes) -> str | None:
    """The text of a file, None where it is binary. Any bytes at all give one or the other.

    A byte order mark decides, and is dropped. Without one, the text is UTF-8 where the bytes
    are valid, else Windows-1252 for Latin alphabets and a guess for others, and Latin-1 where
    nothing else fits. A NUL character, or many other control characters, make a file binary.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            text = _try_decode(data[len(mark) :], encoding)
            if text is not None:
                return None if "\0" in text or _is_binary(text.encode()) else text
    if b"\0" in data or _is_binary(data):
        return None
    text = _try_decode(data, "utf-8")
    return _decode_eight_bit(data) if text is None else text


# Bytes that text has no use for. Backspace to carriage return and escape do occur in it.
_CONTROLS = bytes(set(range(0x20)) - set(range(0x08, 0x0E)) - {0x1B}) + b"\x7f"
_MAX_CONTROL_SHARE = (
    0.05  # compressed data has about 0.1  # compressed data has about 0.1
)


def _is_binary(data: bytes) -> bool:
    controls = len(data) - len(data.translate(None, _CONTROLS))
    return controls > _MAX_CONTROL_SHARE * len(data)


def _try_decode(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _decode_eight_bit(data: bytes) -> str:
    guess = _guess_encoding(_sample_beyond_ascii(data))
    for encoding in (guess, "cp1252"):
        text = _try_decode(data, encoding)
        if text is not None:
            return text
    return data.decode("latin-1")


_SAMPLE_BYTES = 16_384


def _sample_beyond_ascii(data: bytes) -> bytes:
    """Some lines beyond ASCII, which show the language of the comments, not of the keywords."""
    sample = bytearray()
    for line in BytesIO(data):
        if line.isascii():
            continue
        if sample and len(sample) + len(line) > _SAMPLE_BYTES:
            break
        sample += line[:_SAMPLE_BYTES]
    return bytes(sample)


_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")

# The encodings of other than Latin alphabets, among which the detector chooses.
_NOT_LATIN = [
    "cp1251",
    "koi8_r",
    "cp1253",
    "cp932",
    "euc_jp",
    "gb18030",
    "big5",
    "cp949",
]


def _guess_encoding(sample: bytes) -> str:
    # In a Latin alphabet, accented letters stand among ASCII ones. The detector is not asked
    # then: a few letters tell it too little, and it may see Cyrillic or Japanese in them.
    runs = [len(run) for run in _BEYOND_ASCII.findall(sample)]
    if 2 * sum(run for run in runs if run > 2) <= sum(runs):
        return "cp1252"
    from charset_normalizer import from_bytes

    guess = from_bytes(sample, cp_isolation=_NOT_LATIN).best()
    return guess.encoding if guess else "cp1252"


_BUNDLED = {"js", "mjs", "cjs", "jsx", "ts", "css", "html", "htm", "svg", "map"}
_LONG_LINE = 5_000  # characters
_LONG_AVERAGE = 300  # characters a line
_SMALL_TEXT = 20_000  # characters


def looks_minified(text: str, path: str) -> bool:
    """Whether a text is the output of a bundler or minifier, which nobody reads and which has
    many chunks.

    Only for the kinds of file that are shipped to browsers. The content alone decides: lines
    over 5,000 characters hold more than half of the text, or the text has over 20,000
    characters and over 300 in its average line.
    """
    if basename(path).lower().rpartition(".")[2] not in _BUNDLED:
        return False
    lines = text.split("\n")
    if len(text) > _SMALL_TEXT and len(text) > _LONG_AVERAGE * len(lines):
        return True
    return 2 * sum(len(line) for line in lines if len(line) > _LONG_LINE) > len(text)
