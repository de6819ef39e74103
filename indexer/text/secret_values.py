"""Tells from a value whether it looks like a credential."""

from __future__ import annotations

import re
from math import log2

from indexer.text.detectors import detect_secrets_module
from indexer.text.spans import MASK


def has_digit(value: str) -> bool:
    """Whether the value has an ASCII digit."""
    return any("0" <= character <= "9" for character in value)


def has_digit_and_cases(value: str) -> bool:
    """Whether the value has a digit, a lower-case letter and an upper-case one."""
    return bool(re.search("[0-9]", value) and re.search("[a-z]", value)) and (
        value.lower() != value
    )


_PLACEHOLDERS = frozenset("""
    admin bar baz changeit changeme change-me change_me default dummy example false foo foobar
    hidden key mypass mypassword mysecret nil none null pass passphrase passwd password
    placeholder pwd redacted required sample secret string test testing todo token true
    undefined unknown user username value
    """.split())

_TEMPLATE = re.compile(
    r"^[$%]|\$[{(]|\{\{|<%|%[({]|%s|%[A-Za-z_]{2,}%|\.\.\.|\u2026|\*\*\*|^[xX*.#_-]+$|#\{"
)


def is_placeholder(value: str) -> bool:
    """Whether the value is masked, or stands for one that is filled in elsewhere."""
    return bool(
        MASK in value or value.lower() in _PLACEHOLDERS or _TEMPLATE.search(value)
    )


_PLACEHOLDER_WORD = re.compile(
    r"(?<![a-z])(?:change[_-]?(?:me|this|it)|example|placeholder|your|redacted|dummy|sample"
    r"|insert|replace[_-]?me|x{4,}|todo|fixme|enter|some|my)(?![a-z])"
)

# Calls, regular expressions and fields of formats are code, not values.
_CODE = re.compile(
    r"\w\(.*\)|\{[\w.!:\[\]]{0,64}\}|\(\?|\[\^|\[[a-z]-[a-z]|\.[*+]|\\[wdsbAZ]|://|=>|->|&&|\|\|"
    r"|^[./~#]|^[\w.-]+/[\w./-]*\.\w{1,5}$|^--?[a-z]|^\W*$"
)

_FILE_NAME = re.compile(
    r"[\w.-]+\.(?:c|cfg|conf|crt|cs|css|env|go|h|html?|ini|java|js|json|key|md|p12|pem|php|py|rb"
    r"|rs|sh|sql|toml|ts|txt|xml|ya?ml)"
)


def is_credential(value: str, is_quoted: bool) -> bool:
    """Whether the value of a telling name looks like one that somebody chose or drew."""
    heuristic = detect_secrets_module("filters.heuristic")
    lowered = value.lower()
    letters = lowered.rstrip("0123456789")
    if (
        not 6 <= len(value) <= 256
        or any(character.isspace() for character in value)
        or letters[:32] in _PLACEHOLDERS
        and len(lowered) - len(letters) < 2
        or MASK in value
        or _TEMPLATE.search(value)
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


# Random letters have so many consonants in a row, words do not.
_NO_WORD = re.compile("[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)
_NO_WORD_CASES = re.compile("(?:[a-z]{1,2}[A-Z]{1,2}){4}")
_PIECE = re.compile(r"[A-Za-z]+|[0-9]+")


def _is_word_with_digits(value: str) -> bool:
    return not re.search(r"[()\[\]{}<>$]", value) and (
        has_digit(value) or bool(_NO_WORD.search(value))
    )


def _reads_as_name(value: str) -> bool:
    """Whether the value is an identifier, a word or a phrase.

    Such as "api-key", "oauth2Secret" or "Password:".
    """
    core = value.strip("_-.,:;?!'\"`()[]<>\u2026")
    if not core.isascii():
        return not (has_digit(core) and re.search("[A-Za-z]", core))
    if re.search(r"[^\w.,:/ -]", core):
        return False
    if _NO_WORD.search(core) or _NO_WORD_CASES.search(core):
        return False
    if not has_digit(core):
        # Programs have no names like a passphrase of words.
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


def is_random(value: str) -> bool:
    """Whether the value is long and has the entropy that detect-secrets asks for.

    For the value of a name that tells less.
    """
    heuristic = detect_secrets_module("filters.heuristic")
    entropy = detect_secrets_module("plugins.high_entropy_strings")
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
    # The library's limit of 4.5 is out of reach for a value under 23 characters. Class names
    # have as many different letters, but most of theirs are in words.
    in_words = sum(map(len, _WORD.findall(value)))
    return (
        has_digit_and_cases(value)
        and in_words < 0.6 * len(value)
        and measured > min(4.5, 0.8 * log2(len(value)))
    )
