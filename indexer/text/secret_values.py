"""Finds credentials by the name of the setting or variable that holds them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from math import log2
from posixpath import basename

from indexer.text.detectors import has_digit, has_digit_and_cases, library
from indexer.text.spans import MASK, SEPARATORS, Span, Text

# The library's names and some more. They are found by their last part, which is faster:
# searching for one of a few words, each of them literal at its begin.
_NAME_GATE = re.compile(
    r"(?P<core>key|pass(?:word|wd|phrase)?|pwd|pw|secret|contrase(?:\u00f1|n)a|identified by"
    r"|token|credential)(?=(?P<suffix>[\w-]{0,64}+)"
    r"[\\\]\"')]{0,4}+\s{0,32}+[:=!,>(\"'`\[])"
)


# What must stand before some of them, at once or behind a dash.
_HEADS = {
    "key": re.compile(
        "(?:api|auth|service|account|db|database|priv|private|client)[_-]?$"
    ),
    "pass": re.compile("(?:db|database|key)[_-]?$"),
    "pw": re.compile("(?:db|database)[_-]?$"),
}


# Values of these, and of the words themselves, are credentials only if they look random.
_WEAK_HEADS = {"key": re.compile("(?:access|encryption|signing|master|storage)[_-]?$")}


_WEAK_NAMES = frozenset({"token", "credential"})


# Such a name is not that of a credential.
_OTHER_SUFFIX = re.compile(
    r"(?:file|path|dir|folder|ur[li]|name|field|header|hash|hashed|digest|sha\d*|id|len"
    r"|length|size|type|label|title|text|prompt|hint|regex|re|pattern|policy|input|form|ref"
    r"|arn|version|count|min|max|expir\w*|ttl|env|var|param|query|message|msg|error|help"
    r"|doc|desc|description|placeholder|column|format|algorithm|method|endpoint|function"
    r"|class|manager|store|required|enabled|disabled|valid\w*|strength|attribute|option|mode"
    r"|prefix|suffix|scope|kind|reset|changed?|link|page|view|screen|button|toggle)s?[_-]*$"
)


_OTHER_WEAK_SUFFIX = re.compile("(?:sha\\d*|hash|digest|ur[li]|id)s?[_-]*$")


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


_OPEN_VALUE = re.compile(r"[^\s\"'`<>;&|]{1,256}+")


_ENDS_LINE = re.compile(r",?;?\s*(?:$|[#;\\]|//|--|/\*)")


_QUOTED_ONLY = frozenset("""
    c cc cjs clj cpp cs cts cxx dart erl ex exs go groovy h hpp hs java jl js json jsx kt kts
    lua m mjs ml mm mts php pl pm ps1 py pyi pyx r rb rs scala sol sql svelte swift ts tsx vb
    vue zig html htm xml css scss less
    """.split())


PLACEHOLDERS = frozenset("""
    admin bar baz changeit changeme change-me change_me default dummy example false foo foobar
    hidden key mypass mypassword mysecret nil none null pass passphrase passwd password
    placeholder pwd redacted required sample secret string test testing todo token true
    undefined unknown user username value
    """.split())


URL_PLACEHOLDERS = frozenset("p pw port auth".split())


TEMPLATE = re.compile(
    r"^[$%]|\$[{(]|\{\{|<%|%[({]|%s|%[A-Za-z_]{2,}%|\.\.\.|\u2026|\*\*\*|^[xX*.#_-]+$|#\{"
)


_PLACEHOLDER_WORD = re.compile(
    r"(?<![a-z])(?:change[_-]?(?:me|this|it)|example|placeholder|your|redacted|dummy|sample"
    r"|insert|replace[_-]?me|x{4,}|todo|fixme|enter|some|my)(?![a-z])"
)


# Calls, regular expressions, fields of formats: code, not a value.
_CODE = re.compile(
    r"\w\(.*\)|\{[\w.!:\[\]]{0,64}\}|\(\?|\[\^|\[[a-z]-[a-z]|\.[*+]|\\[wdsbAZ]|://|=>|->|&&|\|\|"
    r"|^[./~#]|^[\w.-]+/[\w./-]*\.\w{1,5}$|^--?[a-z]|^\W*$"
)


_FILE_NAME = re.compile(
    r"[\w.-]+\.(?:c|cfg|conf|crt|cs|css|env|go|h|html?|ini|java|js|json|key|md|p12|pem|php|py|rb"
    r"|rs|sh|sql|toml|ts|txt|xml|ya?ml)"
)


_PIECE = re.compile(r"[A-Za-z]+|[0-9]+")


# No word has so many consonants in a row, as random letters do.
_NO_WORD = re.compile("[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)


_NO_WORD_CASES = re.compile("(?:[a-z]{1,2}[A-Z]{1,2}){4}")


_NAME_TAIL = re.compile(r"\w{0,64}$")


_LONG = re.compile(r"[A-Za-z0-9_+/.~=-]{20}")


QUOTE = re.compile("[\"'`]")


_DELIMITER = re.compile("[\"'`>]")


def of_telling_names(text: Text, path: str) -> Iterator[Span]:
    """The spans of values whose names say that they are credentials."""
    is_program = basename(path).lower().rpartition(".")[2] in _QUOTED_ONLY
    for here, match, is_weak in _names(text.lowered):
        if (_OTHER_WEAK_SUFFIX if is_weak else _OTHER_SUFFIX).search(match["suffix"]):
            continue
        line_start, line_end = text.line_around(match.start())
        before = text[max(line_start, here - 80) : here]
        line = text[here : min(line_end, here + 512)].rstrip(SEPARATORS)
        settings_only = is_program and not _is_setting(
            before, text[here : match.end("suffix")]
        )
        # The library is only imported where there may be something to find.
        needed = _LONG if is_weak else _DELIMITER if settings_only else None
        if needed and not needed.search(line):
            continue
        for start, end, is_quoted in _values(line, match["suffix"]):
            if is_quoted or not settings_only:
                value = line[start:end]
                if _is_random(value) if is_weak else is_credential(value, is_quoted):
                    yield here + start, here + end


def _names(lowered: str) -> Iterator[tuple[int, re.Match[str], bool]]:
    """Telling names with something behind them: where each begins, and whether it is weak."""
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


def _is_setting(before: str, name: str) -> bool:
    """Is it, in a program, of an environment, a query or a command line?"""
    found = _NAME_TAIL.search(before)
    start = found.start() if found else len(before)
    whole = before[start:] + name
    return whole.isupper() or before[:start].endswith((";", "&", "?", "--"))


def _values(line: str, suffix: str) -> Iterator[tuple[int, int, bool]]:
    """What a line gives to the name it begins with: spans, and whether they are quoted."""
    for pattern, quote, group in _keyword_patterns():
        match = pattern.match(line)
        if match and match[quote]:
            yield *match.span(group), True
        elif match:
            yield from _open_value(line, *match.span(group))
    if match := _QUOTED.match(line):
        # An argument may be anything: of a test, a list of names, a message.
        is_loose = match["loose"] is not None
        if not is_loose or not suffix and _LOOSE.fullmatch(match["value"]):
            yield *match.span("value"), True
    if match := _ELEMENT.match(line):
        yield *match.span("value"), True
    if match := _OPEN.match(line):
        yield from _open_value(line, *match.span("value"))


def _open_value(line: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """A value without quotes: one word, and nothing but a comment behind it."""
    if value := _OPEN_VALUE.match(line, start, end):
        is_tight = line[start - 1] in "=:"
        end = value.end() - len(value[0]) + len(value[0].rstrip(",)"))
        if is_tight or _ENDS_LINE.match(line, value.end()):
            yield start, end, False


@cache
def _keyword_patterns() -> list[tuple[re.Pattern[str], int, int]]:
    """The library's patterns for values after a name: pattern, group of quote, of value."""
    keyword = library("plugins.keyword")
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


def is_credential(value: str, is_quoted: bool) -> bool:
    """Does a value of a telling name look like one that somebody chose or drew?"""
    heuristic = library("filters.heuristic")
    lowered = value.lower()
    if (
        not 6 <= len(value) <= 256
        or any(character.isspace() for character in value)
        or lowered.rstrip("0123456789")[:32] in PLACEHOLDERS
        and len(lowered) - len(lowered.rstrip("0123456789")) < 2
        or MASK in value
        or TEMPLATE.search(value)
        or _PLACEHOLDER_WORD.search(lowered)
        or _CODE.search(value)
        or _FILE_NAME.fullmatch(lowered)
        or heuristic.is_not_alphanumeric_string(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_potential_uuid(value)
        or heuristic.is_templated_secret(value)
        or heuristic.is_prefixed_with_dollar_sign(value)
    ):
        return False
    if not is_quoted and not _is_word_with_digits(value):
        return False
    return not _reads_as_name(value)


def _is_word_with_digits(value: str) -> bool:
    return not re.search(r"[()\[\]{}<>$]", value) and (
        has_digit(value) or bool(_NO_WORD.search(value))
    )


def _reads_as_name(value: str) -> bool:
    """An identifier, a word or a phrase of them: "api-key", "oauth2Secret", "Password:"."""
    core = value.strip("_-.,:;?!'\"`()[]<>\u2026")
    if not core.isascii():
        return not (has_digit(core) and re.search("[A-Za-z]", core))
    if re.search(r"[^\w.,:/ -]", core):
        return False
    if _NO_WORD.search(core) or _NO_WORD_CASES.search(core):
        return False
    if not has_digit(core):
        # A passphrase of words is none of the names that programs have.
        return not (core.count("-") >= 3 and len(core) >= 20)
    pieces = _PIECE.findall(core)
    separated = re.search(r"[\W_]", core) is not None
    return (
        separated
        and all(
            len(piece) > 1 or piece.isdigit() or piece in "aAvV" for piece in pieces
        )
        and all(len(piece) <= 3 for piece in pieces if piece.isdigit())
        and sum(piece.isdigit() for piece in pieces) <= 2
        and len(pieces) <= 6
        and len(core) < 32
    )


_RANDOM = re.compile(r"[A-Za-z0-9_+/.~=-]{20,256}")


_HEX = re.compile("[0-9a-fA-F]+")


_WORD = re.compile("[A-Z]?[a-z]{2,}")


def _is_random(value: str) -> bool:
    """Next to a name that tells less: a long value of high entropy, by the library's measure."""
    heuristic = library("filters.heuristic")
    entropy = library("plugins.high_entropy_strings")
    if (
        MASK in value
        or not _RANDOM.fullmatch(value)
        or heuristic.is_sequential_string(value)
        or heuristic.is_potential_uuid(value)
    ):
        return False
    if _HEX.fullmatch(value):
        hexadecimal = entropy.HexHighEntropyString()
        return len(value) >= 32 and (
            hexadecimal.calculate_shannon_entropy(value) > hexadecimal.entropy_limit
        )
    measured = entropy.Base64HighEntropyString().calculate_shannon_entropy(value)
    # The library's limit of 4.5 is out of reach for a value under 23 characters.
    # Names of classes have as many letters; but most of theirs are in words.
    in_words = sum(map(len, _WORD.findall(value)))
    return (
        has_digit_and_cases(value)
        and in_words < 0.6 * len(value)
        and measured > min(4.5, 0.8 * log2(len(value)))
    )
