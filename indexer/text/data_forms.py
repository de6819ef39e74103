"""Data that is told by its form: escaped bytes, dumps with offsets, source maps, base85."""

from __future__ import annotations

import re
from collections.abc import Iterator

from indexer.text.spans import Span, merged

_MIN = 160  # characters
_MIN_ESCAPES = 40

_ESCAPE = re.compile(r"\\(?:x[0-9A-Fa-f]{2}|[0-3]?[0-7]{2}|0)")
# Printable bytes stand in between, and quotes at the end of a line.
_BETWEEN_ESCAPES = 24
_LENGTH_OF_ESCAPE = 4

# `00000010: 8950 4e47 0d0a 1a0a  .PNG....` of xxd, hexdump and od.
_DUMPED = re.compile(
    r"(?m)(?:^[ \t]*+[0-9A-Fa-f]{7,16}+:?[ \t]{1,3}+(?:[0-9A-Fa-f]{2,8}+[ \t]{1,3}+){4,32}+"
    r"(?:\|?.{1,34}+)?$\n?){3,}+"
)
_MAPPINGS = re.compile(r'(?<="mappings"):[ ]?"([A-Za-z0-9+/,;]++)"')
# Lines without a space, all as long as the first but for the last: base85 and its like.
_PACKED = re.compile(r"(?m)(?:^[!-~]{48,132}+\n){6,}+")
_WORDS = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_NO_MARKS = re.compile(r"[^\w\s]")


def with_zeros(text: str) -> str:
    """The text with zeros in place of every character of such data. Line breaks stay."""
    spans = [*_escaped(text), *_dumped(text), *_mapped(text), *_packed(text)]
    parts, before = [], 0
    for start, end in merged(spans):
        parts += [text[before:start], _zeros(text[start:end])]
        before = end
    return "".join([*parts, text[before:]]) if parts else text


def _zeros(part: str) -> str:
    return "\n".join("0" * len(line) for line in part.split("\n"))


def _escaped(text: str) -> Iterator[Span]:
    """Yield the stretches that are mostly escaped bytes."""
    if text.count("\\") < _MIN_ESCAPES:
        return
    start = end = count = 0
    for match in _ESCAPE.finditer(text):
        if not count or match.start() - end > _BETWEEN_ESCAPES:
            if _is_escaped(end - start, count):
                yield start, end
            start, count = match.start(), 0
        end = match.end()
        count += 1
    if _is_escaped(end - start, count):
        yield start, end


def _is_escaped(size: int, count: int) -> bool:
    return size >= _MIN and count * _LENGTH_OF_ESCAPE > 0.4 * size


def _dumped(text: str) -> Iterator[Span]:
    for match in _DUMPED.finditer(text):
        yield match.start(), match.end() - match[0].endswith("\n")


def _mapped(text: str) -> Iterator[Span]:
    for match in _MAPPINGS.finditer(text):
        if match.end(1) - match.start(1) >= _MIN:
            yield match.span(1)


def _packed(text: str) -> Iterator[Span]:
    for match in _PACKED.finditer(text):
        lines = match[0].split("\n")[:-1]
        if {len(line) for line in lines[:-1]} != {len(lines[0])}:
            continue
        joined = "".join(lines)
        in_words = sum(map(len, _WORDS.findall(joined)))
        if 4 * in_words < len(joined) and len(set(_NO_MARKS.findall(joined))) > 9:
            yield match.start(), match.end() - 1
