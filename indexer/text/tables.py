"""Data that is told by what a file holds: numbers, dumps of databases, long lists of records."""

from __future__ import annotations

import re
import string

_MIN_TABLE = 2_000  # bytes that are not white space
_SAMPLE = 65_536  # bytes
_LARGE_JSON = 100_000

_SPACES = string.whitespace.encode()
_LETTERS = string.ascii_letters.encode() + bytes(range(128, 256))
_DIGITS = string.digits.encode()

# What describes an interface or a deployment is asked for by its meaning, however long it is.
_DESCRIPTION = re.compile(
    rb'"(?:openapi|swagger|asyncapi|\$schema|\$id|\$defs|\$ref|definitions|__schema'
    rb'|AWSTemplateFormatVersion|apiVersion|info|scripts|compilerOptions)"\s*:'
)
_HEAD = 4_096
_INSERTS = re.compile(
    rb"(?im)^(?:insert[ ]+(?:ignore[ ]+)?|replace[ ]+)into\b.*$(?:\n[ \t]*\(.*\)[,;]?[ \t\r]*$)*+"
)
_COPY = re.compile(rb"(?ims)^copy\s[^;]*\sfrom\s+stdin;.*?^\\\.$")


def is_table(data: bytes) -> bool:
    """Whether the text is numbers with hardly a letter. A program that computes with them has more."""
    sample = data[:_SAMPLE]
    if b"\0" in sample:  # UTF-16, or no text
        return False
    size = len(sample.translate(None, _SPACES))
    if size < _MIN_TABLE:
        return False
    digits = size - len(sample.translate(None, _SPACES + _DIGITS))
    if 4 * digits < size:
        return False
    letters = size - len(sample.translate(None, _SPACES + _LETTERS))
    return 5 * letters < digits


def is_large_json(data: bytes) -> bool:
    """Whether a JSON is a long list of records, and no configuration or description."""
    return len(data) >= _LARGE_JSON and not _DESCRIPTION.search(data, 0, _HEAD)


def is_dump(data: bytes) -> bool:
    """Whether two thirds of an SQL script are rows of tables."""
    rows = sum(len(match[0]) for match in _INSERTS.finditer(data))
    rows += sum(len(match[0]) for match in _COPY.finditer(data))
    return len(data) >= _MIN_TABLE and 3 * rows >= 2 * len(data)
