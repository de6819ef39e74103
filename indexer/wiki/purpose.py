"""What a file says it is for: its docstring, its leading comment, its first heading.

License headers, `#!`, encoding lines and instructions to tools do not count.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from functools import cache
from posixpath import basename
from textwrap import dedent

MAX_PURPOSE = 1_000
"""Characters."""

_HEAD = 50_000  # characters in which a purpose is looked for
_LONGEST = (
    4 * MAX_PURPOSE
)  # of a paragraph with marks: some patterns take quadratic time

# How comments begin, by language.
_LINE_COMMENTS = {
    "#": """bash cmake dockerfile elixir fish gleam graphql hcl ini julia make meson nim nix
        perl php powershell properties python r ruby starlark tcl thrift toml yaml""",
    "//": """c cpp csharp cuda d dart fsharp gleam glsl go gomod groovy haxe java javascript
        kotlin objc pascal php prisma proto rust scala scss solidity svelte swift thrift tsx
        typescript verilog vue wgsl zig""",
    "--": "elm haskell lua sql vhdl",
    ";": "clojure commonlisp elisp ini scheme",
    "%": "erlang latex matlab",
    '"': "vim",
    "!": "fortran properties",
}
_BLOCK_COMMENTS = {
    (
        "/*",
        "*/",
    ): """c cpp csharp css cuda d dart glsl go groovy haxe hcl java javascript
        kotlin objc php prisma proto rust scala scss solidity sql swift thrift tsx typescript
        verilog wgsl""",
    ("<!--", "-->"): "html svelte vue xml",
    ("(*", "*)"): "fsharp ocaml ocaml_interface pascal",
    ("{-", "-}"): "elm haskell",
    ("{", "}"): "pascal",
    ("--[[", "]]"): "lua",
    ("#=", "=#"): "julia",
    ("#[", "]#"): "nim",
    ("#|", "|#"): "commonlisp scheme",
    ("<#", "#>"): "powershell",
    ("=begin", "=end"): "ruby",
}

# Code that may stand before the comment on the file.
_IMPORTS = r"(?:package|import|using|namespace|library)\b[^\n{]*+(?:\n|\Z)"
_SCRIPT_MODE = r"""(?:"use \w++"|'use \w++');?+"""
_GUARD = r"\#\s*+(?:pragma\s++once\b|ifndef\s++\w++\s*+\#\s*+define\s++\w++)[^\n]*+"
_PREAMBLES = {
    _IMPORTS: "csharp dart groovy java kotlin scala swift",
    _SCRIPT_MODE: "javascript tsx typescript",
    _GUARD: "c cpp cuda objc",
    r"<\?php\b|declare\([^)\n]*+\);|(?:namespace|use)\b[^;{\n]*+;": "php",
    r"\#!\[[^\]\n]*+\]": "rust",
    r"\{-\#(?:[^#]|\#(?!-\}))*+\#-\}": "haskell",
    r"set\ [-+][^\n]*+": "bash",
    r"---[^\S\n]*+(?:\n|\Z)": "yaml",
    r"<\?[^>]*+>|<!DOCTYPE[^>\[]*+>": "html xml",
    r"@charset[^;\n]*+;": "css scss",
}

_LICENSE = re.compile(
    r"""copyright|©|\(c\)\s*\d{4}|\blicen[sc]e[ds]?\b|spdx-|all\srights\sreserved|\bwarrant
    |redistribution|permission\s(?:is\shereby|to\suse)|this\sprogram\sis\s(?:free|distributed)
    |(?:software|program|file|library|code)\sis\s(?:free\ssoftware|provided|distributed)
    |you\sshould\shave\sreceived|may\snot\suse\sthis\sfile|unless\srequired\sby\sapplicable
    |neither\sthe\sname\sof|public\sdomain""",
    re.IGNORECASE | re.VERBOSE,
)
_INSTRUCTION = re.compile(
    r"""\#!|.*-\*-.*-\*-|.*\bcoding[:=]|(?:vi|vim|ex):|frozen_string_literal:|typed:|noqa\b
    |(?:pylint|mypy|pyright|ruff|flake8|isort|yapf|fmt|black|rubocop|shellcheck|syntax)\b\s*[:=]
    |(?:shellcheck|eslint|jshint|jscs|tslint|prettier|istanbul|stylelint|biome|clang-format)\b
    |@(?:ts-|flow|jsx|format\b|author|since|version|license|copyright|package\b|date\b|file\b\s*\S*$)
    |(?:globals?|exported)\s|go:build|\+build|lint:|nolint|NOLINT|type:\s*ignore
    |copyright\b|©|\(c\)\s|spdx-|authors?:|<reference|created\s(?:by|on)\b|\\file\b\s*\S*$""",
    re.IGNORECASE | re.VERBOSE,
)
_TAG = re.compile(
    r"[@\\](?:fileoverview|file|overview|brief|summary|description|module|"
    r"packageDocumentation)\b[:\s]*(?:[\w.-]+\.\w{1,4}\b(?=\s))?\s*"
)
_END_TAG = re.compile(r"[@\\]\w+|:\w+[^:\n]*:\s|Args:|Arguments:|Parameters:|Returns:")
# A paragraph that is none: a list, a table, an example.
_NO_PROSE = re.compile(r"[-*+>|$.:•]\s|\d+[.)]\s|>>>|```|::|\.\.|</?\w|\s{2}|[|+]")
_ORNAMENT = re.compile(r"[\W_]*")
_LINE_START = re.compile(r"[^\S\n]*+")
_DOCSTRING = re.compile(
    r"[rRuU]?(?:\"\"\"((?:[^\"\\]|\\[\s\S]|\"(?!\"\"))*+)\"\"\""
    r"|'''((?:[^'\\]|\\[\s\S]|'(?!''))*+)'''"
    r"|\"((?:[^\"\\\n]|\\.)++)\"|'((?:[^'\\\n]|\\.)++)')"
)
_SENTENCE_END = re.compile(
    r"(?<=[.!?。！？])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\betc\.)[\"')\]]*(?=\s|$)|(?<=[。！？])"
)


def purpose_of(path: str, text: str, language: str) -> str:
    """What the file says of itself, as plain text: paragraphs, with a blank line between
    them, at most `MAX_PURPOSE` characters in whole sentences. "" where it says nothing.
    """
    head = text[:_HEAD].replace("\r", "")
    name = basename(path)
    if language == "markdown":
        return _shortened(_markdown(head))
    if language == "rst":
        return _shortened(_restructured(head))
    if language in ("html", "xml") and (title := _html_title(head)):
        return _shortened([title])
    comments = list(_leading(head, language))
    if language == "python" and (found := _docstring(head)):
        comments.insert(0, found)
    for comment in comments:
        if purpose := _shortened(_prose(comment, name)):
            return purpose
    return ""


def first_sentence(purpose: str) -> str:
    """The beginning of a purpose, for a line in a list."""
    paragraph = purpose.partition("\n\n")[0]
    found = _SENTENCE_END.search(paragraph, 4)
    sentence = paragraph[: found.end()] if found else paragraph
    return sentence if len(sentence) <= 200 else sentence[:199].rstrip() + "…"


def _known(table: dict[str, str], language: str) -> list[str]:
    return [key for key, languages in table.items() if language in languages.split()]


@cache
def _comment_patterns(language: str) -> list[re.Pattern[str]]:
    """A block, with its inside as group 1, or lines that follow each other, as group 0."""
    blocks = [
        re.compile(rf"{re.escape(start)}(?!#)((?s:.*?)){re.escape(end)}")
        for (start, end), languages in _BLOCK_COMMENTS.items()
        if language in languages.split()
    ]
    lines = [
        re.compile(rf"(?:[^\S\n]*+{re.escape(mark)}[^\n]*+(?:\n|\Z))+")
        for mark in _known(_LINE_COMMENTS, language)
    ]
    return blocks + lines


@cache
def _preamble(language: str) -> re.Pattern[str]:
    known = _known(_PREAMBLES, language)
    return re.compile(rf"(?:\s++|\A\#![^\n]*+{''.join(f'|{one}' for one in known)})*+")


def _leading(text: str, language: str) -> Iterator[str]:
    """The comments before the first code, without their marks."""
    at = 0
    while found := _preamble(language).match(text, at):
        at = _line_start(text, found.end())
        for pattern in _comment_patterns(language):
            if comment := pattern.match(text, at):
                break
        else:
            return
        is_block = bool(comment.groups())
        yield _unmarked(comment[1] if is_block else comment[0], is_block)
        at = comment.end()


def _line_start(text: str, at: int) -> int:
    found = _LINE_START.match(text, at)
    return found.end() if found else at


def _unmarked(comment: str, is_block: bool) -> str:
    mark = re.compile(
        r"[^\S\n]*(?:[*!|]+(?=\s|$)|\*+)[^\S\n]?"
        if is_block
        else r"\s*(?:#+|//[/!]*|--+\s?[|^]?|;+|%+|\"|!+)"
    )
    lines = [mark.sub("", line, count=1) for line in comment.split("\n")]
    return dedent("\n".join(lines))


def _docstring(text: str) -> str:
    at = 0
    for comment in re.finditer(r"(?:\s++|\#[^\n]*+)*+", text):
        at = comment.end()
        break
    found = _DOCSTRING.match(text, at)
    if not found:
        return ""
    first, _, rest = next(
        part for part in found.groups() if part is not None
    ).partition("\n")
    return f"{first.strip()}\n{dedent(rest)}"


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


def _prose(comment: str, name: str) -> list[str]:
    """The paragraphs of a comment up to the first that is none."""
    kept: list[str] = []
    # `name.c`, `name.c - what it does`
    own_name = re.compile(rf"\A{re.escape(name)}(?:\s*[-–—:=]+(?:\s+|\Z)|\Z)", re.I)
    for lines in _paragraphs(comment.split("\n")):
        if _LICENSE.search(" ".join(lines)):
            continue
        if kept and _NO_PROSE.match(lines[0]):
            break
        words = []
        for line in lines:
            line = _TAG.sub("", line.strip(), count=1)
            if _END_TAG.match(line):
                break
            words.append(line)
        text = " ".join(" ".join(words).split())
        if text := own_name.sub("", text):
            kept.append(text)
        if len(words) < len(lines):
            break
    return kept


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
    # What a colon announces is not here.
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
        return text[: ends[-1]]
    return text[: room - 1].rsplit(" ", 1)[0] + "…" if is_first else ""


# ---- Texts for people ----


def _markdown(text: str) -> list[str]:
    """The first heading, and the first paragraph behind it."""
    text = re.sub(r"\A---\n(?s:.*?)\n---[^\S\n]*\n", "", text)
    text = re.sub(r"<!--(?s:.*?)(?:-->|\Z)", "", text)
    heading = ""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = block.strip("\n").split("\n")
        if not heading and (found := re.match(r"#{1,6}\s+(?=\S)", lines[0])):
            heading = _inline(lines[0][found.end() :].rstrip("# "))
            lines = lines[1:]
        elif not heading and len(lines) > 1 and re.match(r"(=+|-+)\s*$", lines[1]):
            heading, lines = _inline(lines[0]), lines[2:]
        if not lines or re.match(r"\s{4}|#|[-*+>|]\s|\d+[.)]\s|```|~~~", lines[0]):
            continue
        if paragraph := _inline(" ".join(lines)):
            return [_headed(heading, paragraph)]
    return [heading] if heading else []


def _inline(text: str) -> str:
    text = text[:_LONGEST]
    text = re.sub(
        r"\[?!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])(?:\]\([^)\n]*\))?", "", text
    )
    text = re.sub(r"\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^<>]*>", "", text)
    return " ".join(html.unescape(re.sub(r"[*`]+", "", text)).split())


def _headed(heading: str, paragraph: str) -> str:
    if not heading:
        return paragraph
    return f"{heading}{'' if heading[-1] in '.:!?' else ':'} {paragraph}"


def _restructured(text: str) -> list[str]:
    heading = ""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = [
            line
            for line in block.split("\n")
            if not re.match(r"([^\w\s])\1*\s*$", line)
        ]
        is_title = len(lines) == 1 and lines != block.strip("\n").split("\n")
        if not lines or re.match(r"\s|\.\.|:\w+:|[-*+|]\s", lines[0]):
            continue
        shown = " ".join(re.sub(r"[*`]+", "", " ".join(lines)).split())
        if is_title and not heading:
            heading = shown
        elif not is_title:
            return [_headed(heading, shown)]
    return [heading] if heading else []


def _html_title(text: str) -> str:
    found = re.search(r"<title[^<>]*>([^<]*+)</title", text, re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split()) if found else ""
