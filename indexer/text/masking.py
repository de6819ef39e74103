"""Masks the credentials in a text, so that none is embedded, stored or shown.

The detectors are those of detect-secrets. They take seconds for a megabyte, so each one only
sees the surroundings of its *gate*: a string or pattern that every credential of its kind
contains and that is found fast. Nothing is ever verified over the network, and the library's
global settings are neither read nor changed.

All patterns are bounded, so that hostile text costs no more than a few seconds a mebibyte.
"""

from __future__ import annotations

from collections.abc import Iterator

from indexer.text.private_keys import private_keys
from indexer.text.secret_kinds import of_known_kinds
from indexer.text.secret_names import of_telling_names
from indexer.text.spans import SearchedText, Span, merged, replaced

# Masking one credential may uncover another. What is left after this many rounds stays.
_MAX_ROUNDS = 8


def mask_secrets(text: str, path: str) -> tuple[str, int]:
    """The text with MASK in place of every credential, and how many there were.

    Keeps all line ends and what is already masked, and never raises. `path` only tells whether
    values stand in quotes, as they do in programs but not in configuration.
    """
    count = 0
    for _ in range(_MAX_ROUNDS):
        spans, keys = _find(SearchedText(text), path)
        if not spans and not keys:
            break
        spans = list(merged(spans))
        count += len(spans) + len(keys)
        inside = [span for key in keys for span in key]
        text = replaced(text, merged(spans + inside))
    return text, count


def _find(text: SearchedText, path: str) -> tuple[list[Span], list[list[Span]]]:
    """The spans of credentials, each within one line, and the spans of each private key."""
    keys = list(private_keys(text))
    found = [*of_known_kinds(text), *of_telling_names(text, path)]
    spans = {span for span in found if span[0] < span[1]}
    values = {text[start:end] for start, end in spans}
    spans.update(_repeated(text, {v for v in values if len(v) >= _WORTH_REPEATING}))
    inside = {span for key in keys for span in key}
    return sorted(spans - inside), keys


# A credential of at least this many characters is masked wherever it occurs again in its text.
_WORTH_REPEATING = 12
# If there are more credentials than this, they are looked up by their first characters.
_MANY_VALUES = 64


def _repeated(text: str, values: set[str]) -> Iterator[Span]:
    if len(values) > _MANY_VALUES:
        yield from _repeated_of_many(text, values)
        return
    for value in values:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))


def _repeated_of_many(text: str, values: set[str]) -> Iterator[Span]:
    by_head: dict[str, set[int]] = {}
    for value in values:
        by_head.setdefault(value[:_WORTH_REPEATING], set()).add(len(value))
    end = 0
    for start in range(len(text) - _WORTH_REPEATING + 1):
        if start < end:
            continue
        lengths = by_head.get(text[start : start + _WORTH_REPEATING], ())
        for length in sorted(lengths, reverse=True):
            if text[start : start + length] in values:
                end = start + length
                yield start, end
                break
