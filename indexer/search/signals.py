"""What raises or lowers a file's score, in terms that a person understands.

Is the file named like the query, does it define what the query names, is it a test? The weights
were chosen on the development set of `benchmarks/retrieval.py` by leaving out one repository at a
time. Changing any of them by a third makes no difference that matters there
(`docs/design/search.md`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from posixpath import splitext

from msgspec import Struct

from indexer.search.candidates import Candidate
from indexer.search.definitions import (
    defines,
    is_inside,
    is_prose,
    last_names,
    plain,
)
from indexer.search.question import Question
from indexer.search.whole_file import coverage
from indexer.text.terms import terms

NAME_WEIGHT = 0.6
OUTLINE = 0.45  # for the best outline; the others get their share of it
COVERAGE = 0.3  # all words of the query occur
DEFINES = 3.0  # the query is an identifier, and the file defines it
NAMED_SO = 1.5  # and the file is named after it
IN_PART = 0.5  # the file has only a part of it, such as a method of a class
DEFINES_ONE = 0.5  # the file defines one of the identifiers in a sentence
ASIDE = 0.3  # tests, examples, other people's code
DATA = 0.3  # translations, pictures, tables, certificates
CONFIGURATION = 0.5  # JSON and YAML, which are just as often data
BARREL = 0.5  # files that only re-export what others define
PROSE = 0.3

_ASIDE_FOLDERS = frozenset(
    "test tests testing testdata spec specs fixture fixtures mock mocks example "
    "examples sample samples demo demos bench benchmark benchmarks vendor vendored third_party "
    "node_modules".split()
)
_ASIDE_STEM = re.compile(
    r"test_.*|.*[._-](test|tests|spec)|conftest|.*[A-Za-z0-9](Test|Tests|Spec)"
)
_DATA = frozenset(
    "po pot xliff xlf arb resx strings svg csv tsv psv jsonl ndjson geojson topojson har crt cer "
    "csr crl asc dat data dump log out ics vcf fasta fa gpx kml wkt pgm ppm xpm stl "
    "obj srt vtt lock sum".split()
)
_CONFIGURATION = frozenset("json json5 jsonc plist yml yaml".split())
# Texts of one language are in folders like these, in files like `messages_pt-BR.json`.
_TRANSLATIONS = frozenset("locale locales i18n l10n translations".split())
_OF_TRANSLATIONS = frozenset("json yml yaml properties ini toml php js ts xml".split())
_LOCALE = re.compile(r"(?:.*[._-])?[a-z]{2}(?:[_-][A-Z][a-z]{3})?(?:[_-][A-Z]{2})?")
_OF_FOLDERS = re.compile(r"__init__\.pyi?|index\.[cm]?[jt]sx?|mod\.rs")
_DECLARATIONS = re.compile(r".*\.d\.[cm]?ts")


class Signal(Struct, frozen=True):
    """What raised a file's score (`operator` "+") or lowered it ("×"), and by how much."""

    operator: str
    amount: float
    reason: str

    def apply(self, score: float) -> float:
        """The score with this signal."""
        return score + self.amount if self.operator == "+" else score * self.amount


def signals(
    question: Question, path: str, chunks: Sequence[Candidate], outline: float
) -> Iterator[Signal]:
    """The signals for a file with these candidates, in the order in which they apply.

    `outline` says how well the file's outline fits the query, as a share of the best.
    """
    if alike := _name_match(question.terms, path):
        yield Signal("+", NAME_WEIGHT * alike, f"its name matches by {alike:.0%}")
    if not question.is_identifier:
        if outline:
            yield Signal(
                "+", OUTLINE * outline, f"its outline matches by {outline:.0%}"
            )
        if share := coverage(question.terms, chunks):
            yield Signal("+", COVERAGE * share, f"has {share:.0%} of the query's words")
    yield from _of_definitions(question, path, chunks)
    yield from _drawbacks(question, path, chunks)


def _name_match(query: frozenset[str], path: str) -> float:
    """How well the path matches the query's terms, 0 to 1.

    It is the mean of two shares: that of the query's terms which are in the file's name (a term in the
    folder counts half), and that of the name's terms which are in the query.
    """
    stem = _term_set(_stem(path))
    if not query or not stem:
        return 0.0
    folder = _term_set(path.rpartition("/")[0])
    asked = sum(1 if term in stem else 0.5 * (term in folder) for term in query)
    return (asked / len(query) + len(stem & query) / len(stem)) / 2


def _of_definitions(
    question: Question, path: str, chunks: Sequence[Candidate]
) -> Iterator[Signal]:
    """Signals for what the file defines of what the query names."""
    for name in question.names:
        if any(defines(chunk, name) for chunk in chunks):
            share, reason = 1.0, f"defines {name}"
        elif any(is_inside(chunk, name) for chunk in chunks):
            share, reason = IN_PART, f"contains a part of {name}"
        else:
            continue
        if not question.is_identifier:
            yield Signal("+", DEFINES_ONE * share, reason)
        elif plain(_stem(path)) == plain(name):
            reason += ", and is named after it"
            yield Signal("+", DEFINES * NAMED_SO * share, reason)
        else:
            yield Signal("+", DEFINES * share, reason)
    for name in sorted(question.phrases & last_names(chunks)):
        yield Signal("+", DEFINES_ONE, f"defines {name}, as the query may call it")


def _drawbacks(
    question: Question, path: str, chunks: Sequence[Candidate]
) -> Iterator[Signal]:
    *folders, name = path.split("/")
    kinds = _aside(folders, name)
    if kinds and _term_set(" ".join(kinds)).isdisjoint(question.terms):
        yield Signal("×", ASIDE, "a test, an example or vendored")
    if _is_barrel(name) and not any(chunk.symbol for chunk in chunks):
        yield Signal("×", BARREL, "only re-exports what other files define")
    if is_prose(name):
        yield Signal("×", PROSE, "prose")
    yield from _of_data(question, folders, name)


def _aside(folders: list[str], name: str) -> list[str]:
    """The words that show that a file is not the code itself, such as "tests" or "examples"."""
    kinds = [folder.strip("_").lower() for folder in folders]
    kinds = [kind for kind in kinds if kind in _ASIDE_FOLDERS]
    return ["test", *kinds] if _ASIDE_STEM.fullmatch(splitext(name)[0]) else kinds


def _of_data(question: Question, folders: list[str], name: str) -> Iterator[Signal]:
    """The drawback of data, unless the query names its format."""
    stem, ending = splitext(name)
    ending = ending[1:].lower()
    if ending in question.terms:
        return
    is_of_locale = not _TRANSLATIONS.isdisjoint(map(str.lower, folders))
    is_text = ending in _OF_TRANSLATIONS and bool(_LOCALE.fullmatch(stem))
    if ending in _DATA or (is_of_locale and is_text):
        yield Signal("×", DATA, "data, a picture or a translation")
    elif ending in _CONFIGURATION:
        yield Signal("×", CONFIGURATION, "data or configuration")


def _is_barrel(name: str) -> bool:
    return bool(_OF_FOLDERS.fullmatch(name) or _DECLARATIONS.fullmatch(name))


def _stem(path: str) -> str:
    """What a file is called; a file that stands for its folder has the folder's name."""
    folder, _, name = path.rpartition("/")
    if folder and _OF_FOLDERS.fullmatch(name):
        return folder.rpartition("/")[2]
    return name.partition(".")[0]


@lru_cache(maxsize=100_000)
def _term_set(text: str) -> frozenset[str]:
    return frozenset(terms(text))
