"""What a file says it is for: in its docstring, its leading comment or its first heading.

License headers, `#!`, encoding lines and instructions to tools do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from posixpath import basename
from textwrap import dedent

from indexer.wiki.comments import leading_comments
from indexer.wiki.headings import html_title, markdown_summary, rst_summary
from indexer.wiki.prose import balanced, plain

MAX_PURPOSE = 1_000
"""Characters."""

_HEAD = 50_000  # characters that are searched for a purpose


def purpose_of(path: str, text: str, language: str) -> str:
    """What a file says about itself: paragraphs with blank lines between them, whole sentences, at
    most `MAX_PURPOSE` characters, with no markup but code in backticks. "" if it says nothing.
    """
    head = text[:_HEAD].replace("\r", "")
    name = basename(path)
    if language == "markdown":
        return _shortened(markdown_summary(head))
    if language == "rst":
        return _shortened(rst_summary(head))
    if language in ("html", "xml") and (title := html_title(head)):
        return _shortened([title])
    comments = list(leading_comments(head, language))
    if language == "python" and (found := _docstring(head)):
        comments.insert(0, found)
    for comment in comments:
        if purpose := _shortened(prose_of(comment, name)):
            return purpose
    return ""


_DOCSTRING = re.compile(
    r"(?:\s++|\#[^\n]*+)*+"  # blank lines and comments
    r"[rRuU]?(?:\"\"\"((?:[^\"\\]|\\[\s\S]|\"(?!\"\"))*+)\"\"\""
    r"|'''((?:[^'\\]|\\[\s\S]|'(?!''))*+)'''"
    r"|\"((?:[^\"\\\n]|\\.)++)\"|'((?:[^'\\\n]|\\.)++)')"
)


def _docstring(text: str) -> str:
    """The docstring of a Python module; "" if it has none."""
    found = _DOCSTRING.match(text)
    if not found:
        return ""
    inside = next(part for part in found.groups() if part is not None)
    first, _, rest = inside.partition("\n")
    return f"{first.strip()}\n{dedent(rest)}"


_LICENSE = re.compile(
    r"""copyright|©|\(c\)\s*\d{4}|\blicen[sc]e[ds]?\b|spdx-|all\srights\sreserved|\bwarrant
    |redistribution|permission\s(?:is\shereby|to\suse)|this\sprogram\sis\s(?:free|distributed)
    |(?:software|program|file|library|code)\sis\s(?:free\ssoftware|provided|distributed)
    |you\sshould\shave\sreceived|may\snot\suse\sthis\sfile|unless\srequired\sby\sapplicable
    |neither\sthe\sname\sof|public\sdomain""",
    re.IGNORECASE | re.VERBOSE,
)
_TAG = re.compile(
    r"[@\\](?:fileoverview|file|overview|brief|summary|description|module|"
    r"packageDocumentation)\b[:\s]*(?:[\w.-]+\.\w{1,4}\b(?=\s))?\s*"
)
_HEADING = re.compile(r"#{1,6}\s")
_END_TAG = re.compile(r"[@\\]\w+|:\w+[^:\n]*:\s|Args:|Arguments:|Parameters:|Returns:")
# Begins a list, a table or an example.
_NO_PROSE = re.compile(r"[-*+>|$.:•]\s|\d+[.)]\s|>>>|```|::|\.\.|</?\w|\s{2}|[|+]")


def prose_of(comment: str, name: str) -> list[str]:
    """The paragraphs of a comment in the file `name`, up to the first that is not prose."""
    kept: list[str] = []
    # `name.c`, `name.c - what it does`
    own_name = re.compile(rf"\A{re.escape(name)}(?:\s*[-–—:=]+(?:\s+|\Z)|\Z)", re.I)
    for lines in _paragraphs(comment.split("\n")):
        if _LICENSE.search(" ".join(lines)):
            continue
        if _is_table(lines) or (kept and _NO_PROSE.match(lines[0].removeprefix(" "))):
            break
        words = []
        for line in lines:
            line = _TAG.sub("", line.strip(), count=1)
            if _END_TAG.match(line):
                break
            words.append(line)
        if len(words) == 1 and _HEADING.match(words[0]):
            continue
        text = " ".join(" ".join(words).split())
        if text := plain(own_name.sub("", text)):
            kept.append(text)
        if len(words) < len(lines):
            break
    return kept


_COLUMN = re.compile(r"\S[^\S\n]{2,}(?=\S)(?<![.!?:;,]\s\s)")


def _is_table(lines: Sequence[str]) -> bool:
    """Whether most of several lines have columns, as in a list of commands and what they do."""
    rows = sum(_COLUMN.search(line.strip()) is not None for line in lines)
    return rows > 1 and 2 * rows > len(lines)


_INSTRUCTION = re.compile(
    r"""\#!|.*-\*-.*-\*-|.*\bcoding[:=]|(?:vi|vim|ex):|frozen_string_literal:|typed:|noqa\b
    |(?:pylint|mypy|pyright|ruff|flake8|isort|yapf|fmt|black|rubocop|shellcheck|syntax)\b\s*[:=]
    |(?:shellcheck|eslint|jshint|jscs|tslint|prettier|istanbul|stylelint|biome|clang-format)\b
    |@(?:ts-|flow|jsx|format\b|author|since|version|license|copyright|package\b|date\b|file\b\s*\S*$)
    |(?:globals?|exported)\s|go:build|\+build|lint:|nolint|NOLINT|type:\s*ignore
    |copyright\b|©|\(c\)\s|spdx-|authors?:|<reference|created\s(?:by|on)\b|\\file\b\s*\S*$""",
    re.IGNORECASE | re.VERBOSE,
)
_ORNAMENT = re.compile(r"[\W_]*")


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in lines:
        if _ORNAMENT.fullmatch(line):
            if paragraph:
                yield paragraph
            paragraph = []
        elif not _INSTRUCTION.match(line.strip()):
            paragraph.append(line)
    if paragraph:
        yield paragraph


_SENTENCE_END = re.compile(
    r"(?<=[.!?。！？])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)[\"')\]]*(?=\s|$)|(?<=[。！？])"
)


def first_sentence(purpose: str, longest: int = 200) -> str:
    """The first sentence of a purpose, at most `longest` characters, for a line in a list."""
    paragraph = purpose.partition("\n\n")[0]
    found = _SENTENCE_END.search(paragraph, 4)
    sentence = paragraph[: found.end()] if found else paragraph
    if len(sentence) > longest:
        sentence = sentence[: longest - 1].rsplit(" ", 1)[0] + "…"
    return balanced(sentence)


def _shortened(paragraphs: Iterable[str]) -> str:
    kept: list[str] = []
    room = MAX_PURPOSE
    for paragraph in paragraphs:
        text = _whole_sentences(paragraph, room, is_first=not kept)
        if not text:
            break
        kept.append(text)
        room -= len(text) + 2
        if len(text) < len(paragraph):
            break
    # What the colon announces is not part of the purpose.
    if len(kept) > 1 and kept[-1].endswith(":"):
        kept.pop()
    elif kept and kept[-1].endswith(":"):
        kept[-1] = kept[-1].rstrip(" :") + "."
    return "\n\n".join(kept)


def _whole_sentences(text: str, room: int, *, is_first: bool) -> str:
    if len(text) <= room:
        return text
    ends = [found.end() for found in _SENTENCE_END.finditer(text[: max(room, 0)])]
    if ends:
        return balanced(text[: ends[-1]])
    return balanced(text[: room - 1].rsplit(" ", 1)[0]) + "…" if is_first else ""
