"""What a file imports, as written in it.

The code is neither run nor parsed: statements are found in the text, outside comments and strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MAX_IMPORTS = 1_000
"""How many targets of one file are kept."""

_MAX_TARGET = 300  # characters

# Comments and strings, which must not be taken for statements. Each pattern also ends at the end of
# the text, so that no text takes quadratic time.
_C_COMMENT = r"//[^\n]*+|/\*(?s:.*?)(?:\*/|\Z)"
_QUOTED = r'"(?:[^"\\\n]|\\.)*+"'
_QUOTED_ONCE = r"'(?:[^'\\\n]|\\.)*+'"
_LONG_STRINGS = r'"""(?s:.*?)(?:"""|\Z)|' + r"'''(?s:.*?)(?:'''|\Z)"
_TO_LINE_END = r"(?:[^\n;\\\#]|\\\n)*+"


_PYTHON = re.compile(
    rf"{_LONG_STRINGS}|{_QUOTED}|{_QUOTED_ONCE}|\#[^\n]*+"
    r"|^[^\S\n]*+from[^\S\n]++(?P<module>\.++(?=[^\S\n]*+import\b)|\.*+\w[\w.]*+)[^\S\n]*+import\b"
    rf"(?P<names>[^\S\n]*+\([^)]*+|{_TO_LINE_END})"
    rf"|^[^\S\n]*+import[^\S\n]++(?P<modules>{_TO_LINE_END})",
    re.MULTILINE,
)


def _python(text: str) -> Iterator[str]:
    for found in _PYTHON.finditer(text):
        if found["module"]:
            module = found["module"]
            names = re.sub(r"#[^\n]*+", "", found["names"]).strip(" \t()\\\n")
            for name in names.split(","):
                if words := name.replace("\\", " ").split():
                    yield f"{module}:{words[0]}"
        elif found["modules"]:
            for name in found["modules"].split(","):
                if words := name.replace("\\", " ").split():
                    yield words[0]


_SCRIPT = re.compile(
    r"///\s*+<reference\s++path=[\"'](?P<reference>[^\"'\n]++)"
    rf"|{_C_COMMENT}"
    r"|\b(?:from|import)\s*+(?P<q>[\"'])(?P<module>[^\"'\n]++)(?P=q)"
    r"|\b(?:require|import)\s*+\(\s*+(?P<r>[\"'`])(?P<call>[^\"'`\n]++)(?P=r)\s*+[,)]"
    rf"|{_QUOTED}|{_QUOTED_ONCE}|`(?:[^`\\]|\\(?s:.))*+(?:`|\Z)",
)


def _script(text: str) -> Iterator[str]:
    for found in _SCRIPT.finditer(text):
        if found["reference"]:
            yield f"./{found['reference']}"
        elif target := found["module"] or found["call"]:
            yield target


_C = re.compile(
    r"^[^\S\n]*+\#[^\S\n]*+(?:include|import|include_next)[^\S\n]*+"
    r"(?P<target>\"[^\"\n]++\"|<[^>\n]++>)"
    rf"|{_C_COMMENT}|{_QUOTED}",
    re.MULTILINE,
)


def _c(text: str) -> Iterator[str]:
    for found in _C.finditer(text):
        if found["target"]:
            yield found["target"].strip('"')


_JAVA = re.compile(
    rf"{_LONG_STRINGS}|{_C_COMMENT}|{_QUOTED}"
    r"|^[^\S\n]*+import[^\S\n]++(?:static[^\S\n]++)?(?P<target>\w[\w.]*+(?:\*)?)",
    re.MULTILINE,
)


def _java(text: str) -> Iterator[str]:
    for found in _JAVA.finditer(text):
        if found["target"]:
            yield found["target"]


_GO = re.compile(
    r"^import[^\S\n]*+(?:\((?P<block>(?://[^\n]*+|[^)])*+)"
    r"|(?:[\w.]++[^\S\n]++)?[\"`](?P<target>[^\"`\n]++))"
    rf"|{_C_COMMENT}|{_QUOTED}|`[^`]*+(?:`|\Z)",
    re.MULTILINE,
)


def _go(text: str) -> Iterator[str]:
    for found in _GO.finditer(text):
        if found["target"]:
            yield found["target"]
        elif found["block"]:
            block = re.sub(
                r"^[^\S\n]*+//[^\n]*+", "", found["block"], flags=re.MULTILINE
            )
            yield from re.findall(
                r"^[^\S\n]*+[\w.]*+[^\S\n]*+[\"`]([^\"`\n]++)", block, re.M
            )


_RUST = re.compile(
    rf"{_C_COMMENT}|{_QUOTED}"
    r"|^(?P<indent>[^\S\n]*+)(?:pub(?:\([^)\n]*+\))?[^\S\n]++)?"
    r"(?:mod[^\S\n]++(?P<mod>\w++)[^\S\n]*+;|use[^\S\n]++(?P<use>[^;]*+)"
    r"|extern[^\S\n]++crate[^\S\n]++(?P<crate>\w++))",
    re.MULTILINE,
)


def _rust(text: str) -> Iterator[str]:
    for found in _RUST.finditer(text):
        if found["mod"]:
            yield f"mod {found['mod']}"
        elif found["crate"]:
            yield found["crate"]
        elif found["use"]:
            for path in _expanded(re.sub(r"//[^\n]*+|\s++", " ", found["use"])):
                # In a module inside the file, `super` is the file itself.
                yield re.sub(r"\Asuper\b", "self", path) if found["indent"] else path


def _expanded(use: str) -> Iterator[str]:
    """The paths in a tree of names: `a::{b, c::{d}}` is `a::b` and `a::c::d`."""
    prefixes, prefix = [], ""
    for part, mark in re.findall(r"([^{},]*+)([{},]|\Z)", use[:10_000]):
        words = part.split()
        path = prefix + (words[0] if words else "")
        if mark == "{":
            prefixes.append(prefix)
            prefix = path
        elif words:
            yield path.removesuffix("::self").removesuffix("::*")
        if mark == "}" and prefixes:
            prefix = prefixes.pop()


_RUBY = re.compile(
    r"^=begin(?s:.*?)(?:^=end|\Z)|^[^\S\n]*+\#[^\n]*+"
    r"|^[^\S\n]*+(?P<how>require_relative|require|load)[^\S\n]*+\(?[^\S\n]*+"
    r"(?P<q>[\"'])(?P<target>[^\"'\n]++)(?P=q)",
    re.MULTILINE,
)


def _ruby(text: str) -> Iterator[str]:
    for found in _RUBY.finditer(text):
        if found["target"]:
            relative = found["how"] == "require_relative"
            yield f"./{found['target']}" if relative else found["target"]


_PHP = re.compile(
    r"^[^\S\n]*+use[^\S\n]++(?:function[^\S\n]++|const[^\S\n]++)?(?P<use>\\?+\w[^;\n(]*+)"
    r"|\b(?:include|require)(?:_once)?+\b[^\S\n]*+\(?[^\S\n]*+"
    r"(?:(?:__DIR__|dirname\(__FILE__\))[^\S\n]*+\.[^\S\n]*+)?+"
    r"(?P<q>[\"'])(?P<target>[^\"'\n]++)(?P=q)"
    rf"|{_C_COMMENT}|\#(?!\[)[^\n]*+|{_QUOTED}|{_QUOTED_ONCE}",
    re.MULTILINE,
)


def _php(text: str) -> Iterator[str]:
    for found in _PHP.finditer(text):
        if found["target"]:
            yield f"./{found['target'].lstrip('/')}"
        elif found["use"]:
            for name in _expanded(found["use"].replace("\\", "::")):
                yield name.replace("::", "\\").strip("\\")


_SHELL = re.compile(
    r"(?:^|(?<=\s))\#[^\n]*+"
    r"|(?:^|[;&|({]|\b(?:then|do|else)\b)[^\S\n]*+(?:source|\.)[^\S\n]++(?P<target>[^\n]++)",
    re.MULTILINE,
)
# Twice for `$(…)`: one may stand inside another.
_EXPANSIONS = (r"\$\{[^{}]*+\}", r"\$\([^()]*+\)", r"\$\([^()]*+\)", r"\$\w++")


def _shell(text: str) -> Iterator[str]:
    for found in _SHELL.finditer(text):
        if not found["target"]:
            continue
        line = re.sub(r"[\"']", "", found["target"][:_MAX_TARGET])
        for expansion in _EXPANSIONS:
            line = re.sub(expansion, "\0", line)
        word = re.split(r"[\s;&|)}]", line)[0]
        target = re.sub(r"\A\0/?+", "./", word)
        if target and "\0" not in target:
            yield target


def _markdown(text: str) -> Iterator[str]:
    from indexer.wiki.document import Document
    from indexer.wiki.rewriting import MAX_DOCUMENT

    return Document(text[:MAX_DOCUMENT]).links()


_READERS: dict[str, Callable[[str], Iterator[str]]] = {
    "python": _python,
    **dict.fromkeys("javascript typescript tsx vue svelte".split(), _script),
    **dict.fromkeys("c cpp cuda objc".split(), _c),
    **dict.fromkeys("java kotlin".split(), _java),
    "go": _go,
    "rust": _rust,
    "ruby": _ruby,
    "php": _php,
    "bash": _shell,
    "markdown": _markdown,
}


def imports_of(text: str, language: str) -> tuple[str, ...]:
    """What a file imports, each target once, sorted, at most `MAX_IMPORTS`.

    A target is written as follows. Python: `a.b`, or `..a:name` for `from ..a import name`.
    JavaScript and its relatives, Go: the string. C: the name, with `<>` if it has them. Java,
    Kotlin: the dotted name. Rust: `mod name`, or the path of a `use`. PHP: `./file`, or the name
    of a `use`. Ruby, shell: the file, with `./` if it is relative to the importing file. Markdown:
    the path in a link. Other languages have no targets.
    """
    reader = _READERS.get(language)
    if reader is None:
        return ()
    found: set[str] = set()
    for target in reader(text):
        if 0 < len(target) <= _MAX_TARGET:
            found.add(target)
            if len(found) == MAX_IMPORTS:
                break
    return tuple(sorted(found))
