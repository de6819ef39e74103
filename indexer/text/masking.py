"""Masks the credentials in a text, so that none is embedded, stored or shown.

The detectors are detect-secrets's. They take seconds for a megabyte, so each one sees only
the surroundings of its *gate*: something that stands in every credential of its kind and
is found fast. Nothing is ever verified over the network, and the library's settings, which
are global, are neither read nor changed.

All patterns are bounded, so that hostile text costs no more than a few seconds a mebibyte.
"""

from __future__ import annotations

from collections.abc import Iterator

from indexer.text.private_keys import private_keys
from indexer.text.secret_kinds import of_known_kinds
from indexer.text.secret_values import of_telling_names
from indexer.text.spans import Span, Text, merged, replaced

# From this length on, a credential is masked wherever its text has it once more.
_WORTH_REPEATING = 12
# Over so many of them, they are looked up by their first characters.
_MANY_VALUES = 64
# What is masked may uncover something else; what is left after so many rounds stays.
_MAX_ROUNDS = 8


def mask_secrets(text: str, path: str) -> tuple[str, int]:
    """The text with every credential in it replaced by MASK, and how many there were.

    All line ends stay, masked text stays as it is, and nothing is raised. `path` only tells
    whether values stand in quotes: it does so in programs, but not in configuration.
    """
    count = 0
    for _ in range(_MAX_ROUNDS):
        spans, keys = _find(Text(text), path)
        if not spans and not keys:
            break
        spans = list(merged(spans))
        count += len(spans) + len(keys)
        inside = [span for key in keys for span in key]
        text = replaced(text, merged(spans + inside))
    return text, count


def _find(text: Text, path: str) -> tuple[list[Span], list[list[Span]]]:
    """The spans of credentials, each within a line, and those of each private key."""
    keys = list(private_keys(text))
    found = [*of_known_kinds(text), *of_telling_names(text, path)]
    spans = {span for span in found if span[0] < span[1]}
    values = {text[start:end] for start, end in spans}
    spans.update(_repeated(text, {v for v in values if len(v) >= _WORTH_REPEATING}))
    inside = {span for key in keys for span in key}
    return sorted(spans - inside), keys


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


# ---- Credentials of a known shape ----


# ---- Values next to a telling name ----


# ---- Private keys ----
