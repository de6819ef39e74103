"""Finds the runs of data in a text: base64, hex, escaped bytes, dumps of numbers.

Nobody reads or looks for them, and one picture has more of them than a project has code. A run is
what lies between two *words* and is long enough. So the question is what a word is; what is
no word to us can be no more than a short gap between two of them. Everything is one pass over
the text, whatever stands in it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from indexer.text.data_forms import with_zeros
from indexer.text.spans import Span

# Characters without white space. They are about what fills a chunk, so that a small table of
# numbers in a program stays as it is.
MIN_BLOB = 160
MIN_NUMBERS = 400

# A word of letters alone that no data has; it stands for most words in sources.
_PLAIN = re.compile(
    r"(?<![A-Za-z0-9+/_=-])(?!(?:[a-f]+|[A-F]+|[Tt]rue|[Ff]alse|null|None|[Nn]a[Nn]|[Ii]nf|NA)"
    r"(?![A-Za-z]))[A-Za-z]{2,24}+(?![A-Za-z0-9+/_=-])"
)

_SHORT = 40  # anything longer is judged by its letters, anything shorter by its form
_HASH = 32  # hex digits of the shortest kind
# A list of hashes has this many characters of them, and they are a quarter of the text.
_MANY_HASHES = 4_000

# A text without spaces around it, as it can stand in base64; or what is not ASCII, and
# characters that are written as numbers: those are words in some language.
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9+/_=-])[0-9+/_=-]*+[A-Za-z][A-Za-z0-9+/_=-]*+|[^\x00-\x7f]++|&\#"
)

# Two letters side by side, but for what may follow each other in the path of an SVG.
_PAIR = re.compile(r"(?![zZ][a-zA-Z](?![A-Za-z]))[A-Za-z]{2}")
_FORM = re.compile(
    r"""0[xX][0-9A-Fa-f_]+[uUlL]{0,3}
    |[-+]?\d[\d_]*(?:[uUlLfFjJnzZ]{1,3}|[eE](?:[-+]?\d+)?)
    |(?:[0-9a-f]{2})+|(?:[0-9A-F]{2})+
    |(?i:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})
    |(?i:(?:--hash=)?(?:sha\d{1,3}|md5|h1)[-=]?)
    |(?i:true|false|null|none|nan|inf|na)
    |\d{4}-\d\d-\d\d[Tt]\d\d""",
    re.VERBOSE,
)
# At least one of each: a digit, and letters of both cases.
_MIXED = re.compile(
    r"(?=[^0-9]*[0-9])(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])[A-Za-z0-9+/_=-]{16,}"
)

_REPEATED = re.compile(r"([A-Za-z])\1{3,}")
_LETTERS = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_HEX_OR_BASE32 = re.compile(r"[0-9a-fA-F-]+|[A-Z2-7]+=*")

_NO_DIGITS = str.maketrans("", "", "0123456789")
_NO_LETTERS = str.maketrans("", "", string.ascii_letters)
_SPACE = re.compile(r"\s+")
# Names of one letter before a run, and after it, are no part of it.
_BEFORE = re.compile(r"(?:[^A-Za-z0-9]|[A-Za-z]=?(?![A-Za-z0-9+/_=-]))*+")
_LETTER_AT_END = re.compile(r"[^A-Za-z0-9+/_=-][A-Za-z]\Z")
_MARKS = "".join(chr(c) for c in range(128) if not chr(c).isalnum())
# The last line of wrapped base64, which can be short.
_LAST_LINE = re.compile(
    r"[\s\"'+,\\]{1,40}+(?:[bB]['\"])?+(?=[A-Za-z+/]*[0-9+/=])[A-Za-z0-9+/]{1,75}+={0,2}+(?=[\"'\s\\,)]|\Z)"
)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,30}=(?!=)(?=.)")  # of an argument before a value

_A_WORD = -1


class _Gap(Struct):
    """What was found since the last word: the long texts and their size, and single letters."""

    start: int = 0
    blobs: int = 0
    first_blob: int = 0
    last_blob: int = 0  # where it ends
    width: int = 0  # of the last one
    letters: int = 0

    def add(self, start: int, end: int) -> None:
        """Add a long text."""
        if not self.blobs:
            self.first_blob = start
        self.blobs += end - start
        self.last_blob = end
        self.width = end - start


def find_data(text: str) -> list[Span]:
    """The spans of the runs of data in a text, in order.

    Each begins and ends with a character of the data, so that quotes, brackets and names
    around it are not part of it.
    """
    searched = with_zeros(text)
    if not _may_have_runs(searched) and not _may_be_hashes(searched):
        return []
    hashes: list[Span] = []
    found = list(_joined(searched, _runs(searched, hashes)))
    single = list(_outside(hashes, found))
    size = sum(end - start for start, end in single)
    if size >= _MANY_HASHES and 4 * size >= len(text):
        found = sorted([*found, *single])
    return found


def _may_have_runs(text: str) -> bool:
    """Whether anywhere the next plain word is so far that a run may lie before it.

    Looks at a tenth of the words: at the first one behind half of that distance.
    """
    last = 0
    while found := _PLAIN.search(text, last + MIN_BLOB // 2):
        if found.start() - last >= MIN_BLOB:
            return True
        last = found.end()
    return len(text) - last >= MIN_BLOB


_IN_HASHES = bytes(
    c if c > 127 or chr(c).isalnum() or chr(c) in "+/_=-" else ord(" ")
    for c in range(256)
)


def _may_be_hashes(text: str) -> bool:
    """Whether a text may have enough long texts for a list of hashes."""
    if len(text) < _MANY_HASHES:
        return False
    parts = text.encode("utf-8", "surrogatepass").translate(_IN_HASHES).split()
    size = sum(len(part) for part in parts if len(part) >= _HASH)
    return size >= _MANY_HASHES and 4 * size >= len(text)


def _runs(text: str, hashes: list[Span]) -> Iterator[Span]:
    """Yield the runs between words. Texts as long as a hash are put into `hashes`."""
    last = 0
    for match in _PLAIN.finditer(text):
        start, end = match.span()
        if start - last >= _HASH:
            yield from _runs_in(text, last, start, hashes)
        last = end
    if len(text) - last >= _HASH:
        yield from _runs_in(text, last, len(text), hashes)


def _runs_in(text: str, begin: int, stop: int, hashes: list[Span]) -> Iterator[Span]:
    """Yield the runs in a part of the text that has no plain word."""
    gap = _Gap(begin)
    word = 0, 0  # the last one
    for match in _TOKEN.finditer(text, begin, stop):
        token = match[0]
        start, end = match.span()
        letters = _letters(token)
        if letters == _A_WORD and _continues(text, gap, start, end):
            letters = 0
        if letters == _A_WORD:
            word = start, end
            if start - gap.start >= MIN_BLOB:
                yield from _data_in(text, gap, start)
            gap = _Gap(end)
            continue
        gap.letters += letters
        if len(token) >= _HASH:
            if name := _NAME.match(token):
                start += name.end()
            hashes.append((start, end))
            gap.add(start, end)
            if gap.blobs == gap.width and _continues(text, gap, *word):
                gap.first_blob, gap.start = word[0], word[0]
                gap.blobs += gap.width
    if stop - gap.start >= MIN_BLOB:
        yield from _data_in(text, gap, stop)


def _continues(text: str, gap: _Gap, start: int, end: int) -> bool:
    """Whether what looks like a long word is a line of the base64 before or behind it."""
    if end - start < _SHORT or end - start != gap.width:
        return False
    between = text[gap.last_blob : start] if start > gap.first_blob else text[end : gap.first_blob]  # fmt: skip
    return len(between) <= _SHORT and not any(map(str.isalnum, between.strip("b\"' ")))


def _data_in(text: str, gap: _Gap, end: int) -> Iterator[Span]:
    """Yield the data in a gap between two words, if it is data and long enough."""
    part = text[gap.start : end]
    size = len(_SPACE.sub("", part))
    if size >= MIN_BLOB and 2 * gap.blobs >= size:
        # A part of base64 that has no letters is no token.
        start, end = gap.first_blob, gap.last_blob
        if "\n" in part and (tail := _LAST_LINE.match(text, end)):
            end = tail.end()
        if len(_SPACE.sub("", text[start:end])) >= MIN_BLOB:
            yield start, end
            return
    # Where single letters are many, it is a formula.
    digits = _digits(part)
    if size >= MIN_NUMBERS and 5 * digits >= size and 4 * gap.letters <= digits:
        lead = _BEFORE.match(part)[0]  # type: ignore[index]
        start = gap.start + len(lead) - lead.endswith(("-", "+"))
        part = part.rstrip(_MARKS)
        while _LETTER_AT_END.search(part):
            part = part[:-1].rstrip(_MARKS)
        yield start, gap.start + len(part)


def _joined(text: str, runs: Iterator[Span]) -> Iterator[Span]:
    """Yield the runs, those as one between which a single long text was taken for a word."""
    last: Span | None = None
    for run in runs:
        if last and 0 < run[0] - last[1] <= 4 * _SHORT:
            between = text[last[1] : run[0]].strip(_MARKS)
            is_long = len(between) >= _SHORT and _TOKEN.fullmatch(between)
            if is_long or not between:
                last = last[0], run[1]
                continue
        if last:
            yield last
        last = run
    if last:
        yield last


def _outside(spans: list[Span], runs: list[Span]) -> Iterator[Span]:
    """Yield the spans that are in none of the runs. Both are in order."""
    number = 0
    for start, end in spans:
        while number < len(runs) and runs[number][1] <= start:
            number += 1
        if number == len(runs) or end <= runs[number][0]:
            yield start, end


def _letters(token: str) -> int:
    """The number of letters in a text that are in no number, or `_A_WORD` if it is a word."""
    if len(token) < _SHORT:
        return _letters_of_short(token)
    return _A_WORD if _is_long_word(token) else 0


@lru_cache(maxsize=100_000)
def _letters_of_short(token: str) -> int:
    if _FORM.fullmatch(token):
        return 0
    if not token.isascii() or token == "&#":
        return _A_WORD
    if not _PAIR.search(token):
        return sum(map(str.isalpha, token))
    is_data = _MIXED.fullmatch(token) and not _is_long_word(token)
    return 0 if is_data else _A_WORD


def _is_long_word(token: str) -> bool:
    """Whether most letters of a long text are in words, as in a path or a long name.

    Of the letters of random base64 a quarter is.
    """
    if not token.isascii():
        return True
    rest = _REPEATED.sub("", token)
    if len(set(rest.upper())) <= 5:  # a sequence of DNA, a row of one letter
        return False
    letters = len(rest) - len(rest.translate(_NO_LETTERS))
    if _HEX_OR_BASE32.fullmatch(rest) and 10 * _digits(rest) > len(rest):
        return False
    return sum(map(len, _LETTERS.findall(rest))) > 0.55 * letters


def _digits(text: str) -> int:
    return len(text) - len(text.translate(_NO_DIGITS))
