"""Finds private keys in a text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from indexer.text.secret_values import has_digit_and_cases
from indexer.text.spans import SearchedText, Span

_GATES = ("PRIVATE KEY", "Private-Lines:")

_KEY_BEGIN = re.compile(
    r"BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?[ -]{0,6}|Private-Lines: {0,4}[0-9]{1,4}"
)

_KEY_END = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY|Private-MAC:")

_KEY_FIELD = re.compile(
    r"[\s#>*\"'/;-]{0,32}(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):"
)

# An escaped line end, or a run of the characters that keys are written in.
_KEY_RUN = re.compile(r"\\+[nrt]|%0[AaDd]|(?P<run>[A-Za-z0-9+/=]{2,})")

_QUOTE = re.compile("[\"'`]")
_MAX_BLANKS = (
    3  # lines in a row without a part of the key; five more before its first part
)


def private_keys(text: SearchedText) -> Iterator[list[Span]]:
    """Yield the spans of each private key: one or more a line, without its first and last line."""
    if not any(gate in text for gate in _GATES):
        return
    ends = [match.start() for match in _KEY_END.finditer(text)]
    done = 0
    for begin in _KEY_BEGIN.finditer(text):
        if begin.end() > done:
            spans, done = _private_key(text, ends, begin.end())
            if spans:
                yield spans


def _private_key(
    text: SearchedText, ends: list[int], start: int
) -> tuple[list[Span], int]:
    """The spans of the key behind a first line, and where the key ends.

    Its last line may be missing, so whatever does not look like a key ends it too.
    """
    number = bisect_right(ends, start - 1)
    key_end = ends[number] if number < len(ends) else len(text) + 1
    spans: list[Span] = []
    blanks = 0
    is_first = True
    while start < min(key_end, len(text)):
        line_end = text.line_around(start)[1]
        end = min(key_end, line_end)
        goes_on = end < key_end
        if is_first and goes_on and (quote := _QUOTE.search(text, start, line_end)):
            end = quote.start()
            goes_on = len(text[end:line_end].strip(" \t\r\n\"'`+,;()\\[]")) == 0
        runs = _runs(text, start, end)
        is_last = (
            not goes_on or key_end < text.line_around(min(line_end, len(text) - 1))[1]
        )
        if any(_is_of_key(text[first:last]) for first, last in runs):
            spans += [run for run in runs if is_last or _is_no_code(text, run)]
            blanks = 0
        elif not runs or is_first or _KEY_FIELD.match(text, start, end):
            blanks += 1
        elif spans and (is_last or len(runs) == 1 and _is_no_code(text, runs[0])):
            spans += runs
        else:
            break
        if not goes_on or blanks > _MAX_BLANKS + 5 * (not spans):
            start = end
            break
        start, is_first = line_end, False
    return spans, start


def _runs(text: str, start: int, end: int) -> list[Span]:
    """The runs of key characters in a part of a line."""
    found = [match.span("run") for match in _KEY_RUN.finditer(text, start, end)]
    return [run for run in found if run[0] >= 0 and text[run[0] : run[1]] != "+="]


def _is_of_key(run: str) -> bool:
    return len(run) >= 60 or len(run) >= 16 and has_digit_and_cases(run)


def _is_no_code(text: str, run: Span) -> bool:
    """Whether a run of any length is none of the words that programs put around a key's lines."""
    value = text[run[0] : run[1]]
    return len(value) >= 16 or re.search("[0-9+/=]", value) is not None
