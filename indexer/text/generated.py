"""Which sources say at their beginning that a program wrote them.

Each kind of header that GitHub's linguist knows was looked at (lib/linguist/generated.rb).
"""

from __future__ import annotations

import re
from posixpath import splitext

_HEAD = 4_096  # bytes

# Read by people, whoever wrote them: prose, configuration, descriptions of data and interfaces.
_READ = frozenset("""
    adoc asciidoc htm html ipynb markdown md mdx org rd rst tex txt
    avsc bazel bzl cfg cnf conf editorconfig env gql gradle graphql graphqls hcl ini json json5
    jsonc kts nix properties proto sql tf thrift toml wsdl xml xsd yaml yml
    """.split())
_READ_NAMES = frozenset("""
    build cmakelists.txt containerfile dockerfile gemfile justfile license makefile procfile
    rakefile schema.rb workspace
    """.split())

# Comments, docstrings, and the little that may stand between them.
_BEGINNING = re.compile(
    r"""(?:\s+
        | //[^\n]* | \#[^\n]* | --[^\n]* | ;[^\n]* | %[^\n]* | "[ ][^\n]* | (?i:rem)[ ][^\n]*
        | /\*.*?(?:\*/|\Z) | <!--.*?(?:-->|\Z) | \(\*.*?(?:\*\)|\Z) | \{-.*?(?:-\}|\Z)
        | \"{3}.*?(?:\"{3}|\Z) | '{3}.*?(?:'{3}|\Z)
        | <\?(?:php|xml[^>]*>)? | ["']use[ ]strict["'];? | @charset[^\n]*
    )*+""",
    re.VERBOSE | re.DOTALL,
)

_DOCSTRING = re.compile(
    r"((?P<quotes>\"{3}|'{3}).{0,400})(?:.(?!(?P=quotes)))*", re.DOTALL
)

# A line of the comment. One in the midst of a sentence begins in lower case.
_START = (
    r"""(?:\A|/\*+|<!--|(?:(?<![\w,-])\n|\n(?=[\W_]*(?-i:[A-Z]))))[\s/*#;%!|"'<>({-]*"""
)
_THIS = (
    r"(?:(?:this|the\ following)\ (?:[\w.`'/-]+\ ){0,3}(?:is|was|are|has\ been|were)\ |"
    r"this\ is\ (?:an?\ )?|(?:note|warning|attention|caution):?\s+|[\w/-]+\.\w+\ (?:(?:is|was)\ )?|file\ |code\ )*"
)
_AUTO = r"(?:auto(?:matically)?|machine)[\ -]?(?:re-?)?generated"
# And not "the automatically generated admin".
_END = r"(?=\s*(?:[^\w\s]|\n|\Z|(?:by|from|with|using|via|at|on|during|in|file|files|code|source|header|do|don't)\b))"
_EDIT = (
    r"(?:do\ not|don'?t|don’t|never|not\ be|n't\ be|not\ to\ be|not\ meant\ to\ be|avoid)"
    r"\s(?:[\w'-]+\s){0,3}(?:edit|modif|chang|touch|alter)"
)
_ALONE = re.compile(
    rf"""{_START}{_THIS}{_AUTO}{_END}
    | (?<![\w`'"])@generated(?![\w`'"(])
    | {_START}{_THIS}generated\ by\ (?:cython|peg\.js|the\ protocol\ buffer\ compiler|jison|swig|ragel|automake|gnu\ autoconf)
    | {_START}a\ bison\ parser,\ made\ by
    | {_START}(?:the\ following\ code\ was\ )?generated\ (?:from\ .{{1,200}}\ )?by\ (?:re2c|j?flex|antlr)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BOTH = re.compile(
    rf"""{_START}{_THIS}(?:code\ )?generated\b.{{0,300}}?{_EDIT}
    | {_START}{_THIS}{_EDIT}(?!\w*\ (?:the\ |any\ )?generated).{{0,300}}?\bgenerated(?!\ from\ (?:this|here|it)\b)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def is_generated(name: str, data: bytes) -> bool:
    """Whether a file with this name, in lower case, is a source that says so of itself."""
    ending = splitext(name)[1][1:]
    if ending in _READ or name in _READ_NAMES:
        return False
    head = data[:_HEAD]
    if b"enerated" not in head and b"ENERATED" not in head and b"Bison" not in head:
        return False
    found = _BEGINNING.match(head.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
    # What a long docstring says further down is about other files.
    beginning = _DOCSTRING.sub(r"\1", found[0]) if found else ""
    return bool(_ALONE.search(beginning) or _BOTH.search(beginning))
