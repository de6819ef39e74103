"""Pieces that are put into a file, and taken out again; nothing between them is touched.

The bytes of a file outside the pieces never change, so comments, order, indentation,
line ends and whatever else a person cares about stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from indexer.errors import ClientFileError

Piece = tuple[int, bytes]
"""Bytes to put in, and where: an offset in the file as it was before. Pieces are in ascending order."""

Span = tuple[int, int]
"""Bytes to take out: the offsets of the first one and of the one after the last."""


def put_in(text: bytes, pieces: Sequence[Piece]) -> bytes:
    """The text with all pieces in it."""
    parts, done = [], 0
    for offset, piece in pieces:
        parts += [text[done:offset], piece]
        done = offset
    return b"".join([*parts, text[done:]])


def take_out(text: bytes, pieces: Sequence[Piece]) -> bytes:
    """The text before these pieces were put in. Raises `ClientFileError` if they are not there."""
    spans, shift = [], 0
    for offset, piece in pieces:
        start = offset + shift
        if text[start : start + len(piece)] != piece:
            raise ClientFileError("is no longer as it was left")
        spans.append((start, start + len(piece)))
        shift += len(piece)
    return without(text, spans)


def without(text: bytes, spans: Iterable[Span]) -> bytes:
    """The text without some spans, which do not overlap."""
    parts, done = [], 0
    for start, end in sorted(spans):
        parts.append(text[done:start])
        done = end
    return b"".join([*parts, text[done:]])


def line_end_of(text: bytes) -> bytes:
    """How lines end in this text, going by the first one."""
    end = text.find(b"\n")
    return b"\r\n" if end > 0 and text[end - 1 : end] == b"\r" else b"\n"
