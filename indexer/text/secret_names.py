"""Finds credentials by the name of the setting or variable that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from posixpath import basename

from indexer.text.detectors import detect_secrets_module
from indexer.text.secret_values import is_credential, is_random
from indexer.text.spans import LINE_SEPARATORS, SearchedText, Span

# The names that detect-secrets knows, and some more. Each is found by its last part: a search
# for one of a few words is fast where all of them begin with a literal.
_NAME_GATE = re.compile(
    r"(?P<core>key|pass(?:word|wd|phrase)?|pwd|pw|secret|contrase(?:\u00f1|n)a|identified by"
    r"|token|credential)(?=(?P<suffix>[\w-]{0,64}+)"
    r"[\\\]\"')]{0,4}+\s{0,32}+[:=!,>(\"'`\[])"
)

# What must precede some of them, directly or with a dash between.
_HEADS = {
    "key": re.compile(
        "(?:api|auth|service|account|db|database|priv|private|client)[_-]?$"
    ),
    "pass": re.compile("(?:db|database|key)[_-]?$"),
    "pw": re.compile("(?:db|database)[_-]?$"),
}

# Values of names with these heads, and of these words, are credentials only if they look random.
_WEAK_HEADS = {"key": re.compile("(?:access|encryption|signing|master|storage)[_-]?$")}
_WEAK_NAMES = frozenset({"token", "credential"})

# A name with such a suffix holds something about a credential, but none.
_OTHER_SUFFIX = re.compile(
    r"(?:file|path|dir|folder|ur[li]|name|field|header|hash|hashed|digest|sha\d*|id|len"
    r"|length|size|type|label|title|text|prompt|hint|regex|re|pattern|policy|input|form|ref"
    r"|arn|version|count|min|max|expir\w*|ttl|env|var|param|query|message|msg|error|help"
    r"|doc|desc|description|placeholder|column|format|algorithm|method|endpoint|function"
    r"|class|manager|store|required|enabled|disabled|valid\w*|strength|attribute|option|mode"
    r"|prefix|suffix|scope|kind|reset|changed?|link|page|view|screen|button|toggle)s?[_-]*$"
)
_OTHER_WEAK_SUFFIX = re.compile("(?:sha\\d*|hash|digest|ur[li]|id)s?[_-]*$")

# In these kinds of files, text stands in quotes.
_QUOTED_ONLY = frozenset("""
    c cc cjs clj cpp cs cts cxx dart erl ex exs go groovy h hpp hs java jl js json jsx kt kts
    lua m mjs ml mm mts php pl pm ps1 py pyi pyx r rb rs scala sol sql svelte swift ts tsx vb
    vue zig html htm xml css scss less
    """.split())

_LONG = re.compile(r"[A-Za-z0-9_+/.~=-]{20}")
_DELIMITER = re.compile("[\"'`>]")


def of_telling_names(text: SearchedText, path: str) -> Iterator[Span]:
    """Yield the spans of values whose names say that they are credentials."""
    is_program = basename(path).lower().rpartition(".")[2] in _QUOTED_ONLY
    for here, match, is_weak in _names(text.lowered):
        if (_OTHER_WEAK_SUFFIX if is_weak else _OTHER_SUFFIX).search(match["suffix"]):
            continue
        line_start, line_end = text.line_around(match.start())
        before = text[max(line_start, here - 80) : here]
        line = text[here : min(line_end, here + 512)].rstrip(LINE_SEPARATORS)
        quoted_only = is_program and not _is_setting(
            before, text[here : match.end("suffix")]
        )
        # detect-secrets is only imported where there may be something to find.
        needed = _LONG if is_weak else _DELIMITER if quoted_only else None
        if needed and not needed.search(line):
            continue
        for start, end, is_quoted in _values(line, match["suffix"]):
            if is_quoted or not quoted_only:
                value = line[start:end]
                if is_random(value) if is_weak else is_credential(value, is_quoted):
                    yield here + start, here + end


def _names(lowered: str) -> Iterator[tuple[int, re.Match[str], bool]]:
    """Yield each telling name with something behind it: its start, its match by the gate, and
    whether it is weak."""
    for match in _NAME_GATE.finditer(lowered):
        core, here = match["core"], match.start()
        if core not in _HEADS:
            yield here, match, core in _WEAK_NAMES
            continue
        before = lowered[max(0, here - 12) : here]
        if head := _HEADS[core].search(before):
            yield here - len(head[0]), match, False
        elif core in _WEAK_HEADS and (head := _WEAK_HEADS[core].search(before)):
            yield here - len(head[0]), match, True


_NAME_TAIL = re.compile(r"\w{0,64}$")


def _is_setting(before: str, name: str) -> bool:
    """Whether a name in a program belongs to an environment, a query or a command line."""
    found = _NAME_TAIL.search(before)
    start = found.start() if found else len(before)
    whole = before[start:] + name
    return whole.isupper() or before[:start].endswith((";", "&", "?", "--"))


# What the library's keyword patterns leave out: literals with a prefix or with escaped
# quotes, typed variables, arguments after the name, SQL, elements of XML.
_QUOTED = re.compile(
    r"(?:identified by|[\w-]{0,64}+)[\\\]\"')]{0,4}+\s{0,32}+"
    r"(?::\s{0,4}[\w&<>\[\]|. ]{1,40}?=|:=|={1,3}|=>|!==?|:|(?P<loose>[,(]|(?<=\s)))\s{0,32}+"
    r"[bBrRuU@]{0,2}(?P<quote>\\?[\"'`])(?P<value>(?:(?!(?P=quote)).){1,256})(?P=quote)",
    re.IGNORECASE,
)

_OPEN = re.compile(
    r"[\w-]{0,64}+[\]\"')]{0,2}+[ \t]{0,32}+(?:=|:=|:(?!=))[ \t]{0,32}+(?P<value>[^\s\"'`<>].{0,256})"
)

_ELEMENT = re.compile(r"[\w.-]{0,64}+>(?P<value>[^<>\s]{1,256})</")
_LOOSE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[^\s\\:]{6,}")


def _values(line: str, suffix: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the values that a line gives to the name at its start: the span of each, and
    whether it is quoted."""
    for pattern, quote, group in keyword_patterns():
        match = pattern.match(line)
        if match and match[quote]:
            yield *match.span(group), True
        elif match:
            yield from _open_value(line, *match.span(group))
    if match := _QUOTED.match(line):
        # An argument may be anything, such as a list of names or a message.
        is_loose = match["loose"] is not None
        if not is_loose or not suffix and _LOOSE.fullmatch(match["value"]):
            yield *match.span("value"), True
    if match := _ELEMENT.match(line):
        yield *match.span("value"), True
    if match := _OPEN.match(line):
        yield from _open_value(line, *match.span("value"))


_OPEN_VALUE = re.compile(r"[^\s\"'`<>;&|]{1,256}+")
_ENDS_LINE = re.compile(r",?;?\s*(?:$|[#;\\]|//|--|/\*)")


def _open_value(line: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Yield a value without quotes: one word with nothing but a comment behind it."""
    if value := _OPEN_VALUE.match(line, start, end):
        is_tight = line[start - 1] in "=:"
        end = value.end() - len(value[0]) + len(value[0].rstrip(",)"))
        if is_tight or _ENDS_LINE.match(line, value.end()):
            yield start, end, False


@cache
def keyword_patterns() -> list[tuple[re.Pattern[str], int, int]]:
    """The library's patterns for a name and its value, each with the numbers of the groups that
    hold the quote and the value."""
    keyword = detect_secrets_module("plugins.keyword")
    return [
        (keyword.FOLLOWED_BY_COLON_EQUAL_SIGNS_REGEX, 3, 4),
        (keyword.FOLLOWED_BY_COLON_REGEX, 3, 4),
        (keyword.FOLLOWED_BY_EQUAL_SIGNS_REGEX, 4, 5),
        (keyword.FOLLOWED_BY_ARROW_FUNCTION_SIGN_QUOTES_REQUIRED_REGEX, 3, 4),
        (
            keyword.FOLLOWED_BY_EQUAL_SIGNS_OPTIONAL_BRACKETS_OPTIONAL_AT_SIGN_QUOTES_REQUIRED_REGEX,
            5,
            6,
        ),
    ]
