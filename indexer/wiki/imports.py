"""What files import, and which files of the project that means.

`imports_of` and `module_of` read one file, `Resolver` knows all paths. Neither runs or parses
the code: statements are found in the text, outside of comments and strings.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from posixpath import basename

MAX_IMPORTS = 1_000
"""Targets of one file; more are not kept."""

_MAX_TARGET = 300  # characters

# ---- Reading a file ----

# What must not be taken for a statement. All end at the end of the text if not before, so
# that no text takes quadratic time.
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
_SCRIPT = re.compile(
    r"///\s*+<reference\s++path=[\"'](?P<reference>[^\"'\n]++)"
    rf"|{_C_COMMENT}"
    r"|\b(?:from|import)\s*+(?P<q>[\"'])(?P<module>[^\"'\n]++)(?P=q)"
    r"|\b(?:require|import)\s*+\(\s*+(?P<r>[\"'`])(?P<call>[^\"'`\n]++)(?P=r)\s*+[,)]"
    rf"|{_QUOTED}|{_QUOTED_ONCE}|`(?:[^`\\]|\\(?s:.))*+(?:`|\Z)",
)
_C = re.compile(
    r"^[^\S\n]*+\#[^\S\n]*+(?:include|import|include_next)[^\S\n]*+"
    r"(?P<target>\"[^\"\n]++\"|<[^>\n]++>)"
    rf"|{_C_COMMENT}|{_QUOTED}",
    re.MULTILINE,
)
_JAVA = re.compile(
    rf"{_LONG_STRINGS}|{_C_COMMENT}|{_QUOTED}"
    r"|^[^\S\n]*+import[^\S\n]++(?:static[^\S\n]++)?(?P<target>\w[\w.]*+(?:\*)?)",
    re.MULTILINE,
)
_GO = re.compile(
    r"^import[^\S\n]*+(?:\((?P<block>(?://[^\n]*+|[^)])*+)"
    r"|(?:[\w.]++[^\S\n]++)?[\"`](?P<target>[^\"`\n]++))"
    rf"|{_C_COMMENT}|{_QUOTED}|`[^`]*+(?:`|\Z)",
    re.MULTILINE,
)
_RUST = re.compile(
    rf"{_C_COMMENT}|{_QUOTED}"
    r"|^(?P<indent>[^\S\n]*+)(?:pub(?:\([^)\n]*+\))?[^\S\n]++)?"
    r"(?:mod[^\S\n]++(?P<mod>\w++)[^\S\n]*+;|use[^\S\n]++(?P<use>[^;]*+)"
    r"|extern[^\S\n]++crate[^\S\n]++(?P<crate>\w++))",
    re.MULTILINE,
)
_RUBY = re.compile(
    r"^=begin(?s:.*?)(?:^=end|\Z)|^[^\S\n]*+\#[^\n]*+"
    r"|^[^\S\n]*+(?P<how>require_relative|require|load)[^\S\n]*+\(?[^\S\n]*+"
    r"(?P<q>[\"'])(?P<target>[^\"'\n]++)(?P=q)",
    re.MULTILINE,
)
_PHP = re.compile(
    r"^[^\S\n]*+use[^\S\n]++(?:function[^\S\n]++|const[^\S\n]++)?(?P<use>\\?+\w[^;\n(]*+)"
    r"|\b(?:include|require)(?:_once)?+\b[^\S\n]*+\(?[^\S\n]*+"
    r"(?:(?:__DIR__|dirname\(__FILE__\))[^\S\n]*+\.[^\S\n]*+)?+"
    r"(?P<q>[\"'])(?P<target>[^\"'\n]++)(?P=q)"
    rf"|{_C_COMMENT}|\#(?!\[)[^\n]*+|{_QUOTED}|{_QUOTED_ONCE}",
    re.MULTILINE,
)
_SHELL = re.compile(
    r"(?:^|(?<=\s))\#[^\n]*+"
    r"|(?:^|[;&|({]|\b(?:then|do|else)\b)[^\S\n]*+(?:source|\.)[^\S\n]++(?P<target>[^\n]++)",
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


def _script(text: str) -> Iterator[str]:
    for found in _SCRIPT.finditer(text):
        if found["reference"]:
            yield f"./{found['reference']}"
        elif target := found["module"] or found["call"]:
            yield target


def _c(text: str) -> Iterator[str]:
    for found in _C.finditer(text):
        if found["target"]:
            yield found["target"].strip('"')


def _java(text: str) -> Iterator[str]:
    for found in _JAVA.finditer(text):
        if found["target"]:
            yield found["target"]


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


def _rust(text: str) -> Iterator[str]:
    for found in _RUST.finditer(text):
        if found["mod"]:
            yield f"mod {found['mod']}"
        elif found["crate"]:
            yield found["crate"]
        elif found["use"]:
            for path in _expanded(re.sub(r"//[^\n]*+|\s++", " ", found["use"])):
                # In a module within the file, `super` is the file itself.
                yield re.sub(r"\Asuper\b", "self", path) if found["indent"] else path


def _expanded(use: str) -> Iterator[str]:
    """`a::{b, c::{d}}` as `a::b`, `a::c::d`."""
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


def _ruby(text: str) -> Iterator[str]:
    for found in _RUBY.finditer(text):
        if found["target"]:
            relative = found["how"] == "require_relative"
            yield f"./{found['target']}" if relative else found["target"]


def _php(text: str) -> Iterator[str]:
    for found in _PHP.finditer(text):
        if found["target"]:
            yield f"./{found['target'].lstrip('/')}"
        elif found["use"]:
            for name in _expanded(found["use"].replace("\\", "::")):
                yield name.replace("::", "\\").strip("\\")


def _shell(text: str) -> Iterator[str]:
    for found in _SHELL.finditer(text):
        if not found["target"]:
            continue
        line = re.sub(r"[\"']", "", found["target"][:_MAX_TARGET])
        for expansion in (
            r"\$\{[^{}]*+\}",
            r"\$\([^()]*+\)",
            r"\$\([^()]*+\)",
            r"\$\w++",
        ):
            line = re.sub(expansion, "\0", line)
        word = re.split(r"[\s;&|)}]", line)[0]
        target = re.sub(r"\A\0/?+", "./", word)
        if target and "\0" not in target:
            yield target


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
}


def imports_of(text: str, language: str) -> tuple[str, ...]:
    """What a file imports, as far as it is written down, each once and sorted.

    Python: `a.b`, or `..a:name` for `from ..a import name`. JavaScript and the like, Go:
    the string. C: the name, with its `<>`. Java, Kotlin: the dotted name. Rust: `mod name`,
    or the path of a `use`. PHP: `./file`, or the name of a `use`. Ruby, shell: the file,
    with `./` where it is relative to the importing one. Others: nothing.
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


def module_of(path: str, text: str, language: str) -> str:
    """The name under which a file says that it, or its folder, is imported: the package of
    a Java or Kotlin file, the namespace of a PHP file, the module of a `go.mod`, the name
    in a `package.json` or `Cargo.toml`; else ""."""
    name = basename(path)
    if name == "package.json":
        return _json_name(text)
    if name == "Cargo.toml":
        return _crate_name(text)
    pattern = {
        "gomod": r"^module[^\S\n]++\"?+([^\s\"]++)",
        "java": r"^[^\S\n]*+package[^\S\n]++([\w.]++)",
        "kotlin": r"^[^\S\n]*+package[^\S\n]++([\w.]++)",
        "php": r"^[^\S\n]*+(?:<\?php[^\S\n]++)?+namespace[^\S\n]++([\w\\]++)",
    }.get(language)
    found = re.search(pattern, text, re.MULTILINE) if pattern else None
    return found[1][:_MAX_TARGET] if found else ""


def _json_name(text: str) -> str:
    try:
        name = json.loads(text)["name"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    if not isinstance(name, str):
        return ""
    return name[:_MAX_TARGET].encode("utf-8", "replace").decode()  # lone surrogates


def _crate_name(text: str) -> str:
    try:
        name = tomllib.loads(text)["package"]["name"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    return name[:_MAX_TARGET].replace("-", "_") if isinstance(name, str) else ""


# ---- Finding files ----
