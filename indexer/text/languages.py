"""The language of a file, and its tree-sitter grammar."""

from __future__ import annotations

import re
from functools import cache
from posixpath import basename
from typing import TYPE_CHECKING, cast

from indexer.languages import LANGUAGE_BY_NAME

if TYPE_CHECKING:
    from tree_sitter import Language
    from tree_sitter_language_pack import SupportedLanguage

_INTERPRETERS = {
    "python": "python",
    "pypy": "python",
    "sh": "bash",
    "bash": "bash",
    "dash": "bash",
    "ksh": "bash",
    "zsh": "bash",
    "fish": "fish",
    "node": "javascript",
    "nodejs": "javascript",
    "deno": "typescript",
    "bun": "typescript",
    "ruby": "ruby",
    "perl": "perl",
    "php": "php",
    "lua": "lua",
    "luajit": "lua",
    "rscript": "r",
    "julia": "julia",
    "elixir": "elixir",
    "escript": "erlang",
    "pwsh": "powershell",
    "tclsh": "tcl",
    "make": "make",
}

# The interpreter in `#!/usr/bin/env -S python3.11 -u`: the last part of the first word that is
# neither `env` nor one of its options or assignments.
_SHEBANG = re.compile(
    r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z]+)"
)


def language_of(path: str, first_line: str = "") -> str | None:
    """The language of the file at `path`, None for text of an unknown kind.

    The file's whole name decides, then its ending, both without regard to case. For a name
    that tells nothing, the `#!` of `first_line` decides.
    """
    name = basename(path).lower()
    if name.startswith(("dockerfile.", "containerfile.")):
        return "dockerfile"
    if name.startswith("makefile."):
        return "make"
    stem, dot, ending = name.rpartition(".")
    language = LANGUAGE_BY_NAME.get(name) or LANGUAGE_BY_NAME.get(dot + ending)
    if language is None and (shebang := _SHEBANG.match(first_line[:200])):
        language = _INTERPRETERS.get(shebang[1].lower())
    return language


# A few bytes can make these crash the process or never return.
_UNSAFE_GRAMMARS = frozenset({"perl"})


@cache
def grammar_of(language: str | None) -> Language | None:
    """The tree-sitter grammar of a language that `language_of` names, loaded on first use.

    None where the installed pack has no such grammar or it is not safe to use. The text is
    then cut without syntax.
    """
    if language is None or language in _UNSAFE_GRAMMARS:
        return None
    from tree_sitter_language_pack import get_language

    try:
        return get_language(cast("SupportedLanguage", language))
    except (LookupError, ValueError):
        return None
