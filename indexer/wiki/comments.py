"""The comments at the head of a source file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from textwrap import dedent


def leading_comments(text: str, language: str) -> Iterator[str]:
    """The comments before the first code of a file, without their marks."""
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


def closing_comment(text: str, language: str) -> str:
    """The comment that ends a text, without its marks; "" if the text ends otherwise."""
    lines = text.split("\n")
    if not lines[-1].strip():
        return ""
    for first in range(len(lines)):
        tail = "\n".join(lines[first:])
        at = _line_start(tail, 0)
        for pattern in _comment_patterns(language):
            comment = pattern.match(tail, at)
            if comment and not tail[comment.end() :].strip(" \t;"):
                is_block = bool(comment.groups())
                return _unmarked(comment[1] if is_block else comment[0], is_block)
    return ""


# Code that may precede the comment about the file.
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


@cache
def _preamble(language: str) -> re.Pattern[str]:
    known = _known(_PREAMBLES, language)
    return re.compile(rf"(?:\s++|\A\#![^\n]*+{''.join(f'|{one}' for one in known)})*+")


# The marks of comments, and the languages that have them.
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
    ("/*", "*/"): """
        c cpp csharp css cuda d dart glsl go groovy haxe hcl java javascript
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


@cache
def _comment_patterns(language: str) -> list[re.Pattern[str]]:
    """Patterns of block comments, whose inside is group 1, and of runs of line comments, which have
    no groups."""
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


def _known(table: dict[str, str], language: str) -> list[str]:
    return [key for key, languages in table.items() if language in languages.split()]


_LINE_START = re.compile(r"[^\S\n]*+")


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
