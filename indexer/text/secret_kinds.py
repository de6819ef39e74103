"""Finds credentials whose shape gives them away, such as tokens of well-known services."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

from msgspec import Struct

from indexer.text.detectors import detector
from indexer.text.secret_values import (
    has_digit,
    has_digit_and_cases,
    is_credential,
    is_placeholder,
)
from indexer.text.spans import MASK, SearchedText, Span


class Kind(Struct, frozen=True):
    """A shape of credentials, and how to find them fast.

    `names` are detectors that share the same gates, joined by "+". Every match of such a
    detector contains one of the `gates`. It begins at most `before` characters in front of
    the gate and ends at most `after` characters behind it.
    """

    names: str
    gates: tuple[str | re.Pattern[str], ...]
    before: int
    after: int
    # Whether the gates are compared with the text in lower case.
    lowered: bool = False
    # Whether many texts contain a gate. Gates of other kinds are first searched all at once.
    is_common: bool = False
    # A string that must occur somewhere in the text.
    needs: str = ""
    # Whether the whole match is the credential, and not its first group.
    whole: bool = True
    # What belongs to the credential beyond the end of the match.
    tail: re.Pattern[str] | None = re.compile(r"[A-Za-z0-9_-]{0,4096}")
    check: Callable[[str], bool] = lambda value: MASK not in value


def _is_basic(value: str) -> bool:
    """Whether the value is base64 of `user:password`."""
    try:
        decoded = base64.b64decode(value.rpartition(" ")[2] + "==").decode()
    except ValueError:
        return False
    return ":" in decoded and decoded.isprintable()


_URL_PLACEHOLDERS = frozenset("p pw port auth".split())


def _is_url_password(value: str) -> bool:
    return not (
        is_placeholder(value)
        or value.lower() in _URL_PLACEHOLDERS
        or not {"{", "}", "<", ">"}.isdisjoint(value)
        or not any(character.isalnum() for character in value)
    )


_ASSIGNED_LONG = re.compile(
    r"(?:key|pwd|pw|password|pass|token)[\"']?\]?[ =:>]{1,24}+[\"']?[a-z0-9_-]{24}"
)

KINDS = (
    Kind(
        "AWSKeyDetector",
        (re.compile("A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[0-9A-Z]{16}"),),
        0,
        0,
        # The rarer prefixes also occur in DNA sequences.
        check=lambda value: value.startswith(("AKIA", "ASIA")) or has_digit(value),
    ),
    Kind(
        "AWSKeyDetector",
        (re.compile(r"[\"'][0-9a-z/+]{40}[\"']"),),
        64,
        2,
        lowered=True,
        needs="aws",
        whole=False,
        tail=None,
    ),
    Kind(
        "ArtifactoryDetector+Artifactory quoted",
        (re.compile(r"AKC[a-zA-Z0-9]{10}"), re.compile(r"AP[\dA-F][a-zA-Z0-9]{8}")),
        1,
        256,
        check=has_digit_and_cases,
    ),
    Kind("AzureStorageKeyDetector", ("AccountKey=",), 0, 96, tail=None),
    Kind(
        "DiscordBotTokenDetector",
        (re.compile(r"\.[a-zA-Z\d_-]{6}\.[a-zA-Z\d_-]{27}"),),
        32,
        0,
    ),
    Kind("GitHubTokenDetector", (re.compile("gh[pousr]_"),), 0, 64),
    Kind(
        "GitLabTokenDetector+GitLab long",
        (re.compile("gl[a-z]{2,5}-"), "GR1348941"),
        0,
        1100,
    ),
    Kind(
        "CloudantDetector+IbmCloudIamDetector+IbmCosHmacDetector+SoftlayerDetector",
        (_ASSIGNED_LONG,),
        40,
        64,
        lowered=True,
        whole=False,
        check=lambda value: has_digit(value) or len(value) == 24,
    ),
    Kind(
        "JwtTokenDetector",
        (
            re.compile(
                r"eyJ(?:(?<![A-Za-z0-9_-]eyJ)|(?<=\\[nrt]eyJ))[A-Za-z0-9_-]{4,4096}+={0,2}"
                r"\.[A-Za-z0-9_=-]{2,16384}+"
            ),
        ),
        0,
        0,
        tail=re.compile(r"(?:\.?[A-Za-z0-9_=-]{1,4096}+)?"),
    ),
    Kind("MailchimpDetector", (re.compile("-us[0-9]"),), 32, 1),
    Kind("NpmDetector", ("/:_authToken=",), 128, 128, whole=False, tail=None),
    Kind("OpenAIDetector", (re.compile(r"T3BlbkFJ[A-Za-z0-9]{20}"),), 256, 0),
    Kind("PypiTokenDetector", ("pypi-Ag",), 0, 512),
    Kind("SendGridDetector", ("SG.",), 0, 80),
    Kind("SlackDetector", ("xox", "hooks.slack.com/"), 8, 256, lowered=True),
    Kind(
        "SoftlayerDetector", ("softlayer.com/soap",), 16, 80, lowered=True, whole=False
    ),
    Kind("SquareOAuthDetector", ("sq0csp-",), 0, 64),
    Kind("StripeDetector", ("k_live_",), 1, 32),
    Kind(
        "TelegramBotTokenDetector",
        (re.compile(r":(?<=\d{8}:)[0-9A-Za-z_-]{35}"),),
        10,
        0,
    ),
    Kind(
        "TwilioKeyDetector",
        (re.compile("AC[a-z0-9]{32}"), re.compile("SK[a-z0-9]{32}")),
        0,
        0,
    ),
    # From here on the detectors are our own.
    Kind("Anthropic", ("sk-ant-",), 0, 128),
    Kind("Azure", ("SharedAccessKey=",), 0, 96, whole=False, tail=None),
    Kind(
        "Bearer",
        ("bearer ",),
        0,
        512,
        lowered=True,
        whole=False,
        tail=None,
        check=has_digit,
    ),
    Kind(
        "Basic",
        ("basic ",),
        0,
        512,
        lowered=True,
        whole=False,
        tail=None,
        check=_is_basic,
    ),
    Kind("DigitalOcean", ("_v1_",), 3, 72),
    Kind("Docker Hub", ("dckr_pat_",), 0, 64),
    Kind("Encoded private key", ("LS0tLS1CRUdJTi",), 0, 8192, tail=None),
    Kind("GitHub fine-grained", ("github_pat_",), 0, 128),
    Kind("Google", ("AIza", "GOCSPX-", "ya29."), 0, 256),
    Kind("Groq", ("gsk_",), 0, 64),
    Kind("Hugging Face", ("hf_",), 0, 64),
    Kind("npm", ("npm_",), 0, 64),
    Kind("OpenAI", (re.compile("sk-(?:proj|svcacct|admin)-"),), 0, 256),
    Kind("Shopify", (re.compile("shp(?:at|ss|ca|pa)_"),), 0, 64),
    Kind("Slack app", ("xapp-", "xoxe"), 0, 256),
    Kind("Stripe test", (re.compile("k_test_|whsec_"),), 1, 64),
    Kind("Vault", ("hvs.",), 0, 256),
    Kind(
        "Option",
        (
            re.compile(
                "--(?=[a-z])[a-z-]{0,40}?(?:pass(?:word|wd)?|secret|token|api-key)[= ]"
            ),
        ),
        0,
        256,
        is_common=True,
        whole=False,
        tail=None,
        check=lambda value: is_credential(value, is_quoted=False),
    ),
    Kind(
        "BasicAuthDetector+URL",
        (re.compile(r"://[^\s/@]{1,512}+@"),),
        0,
        512,
        is_common=True,
        whole=False,
        tail=None,
        check=_is_url_password,
    ),
)

_RARE_GATE = re.compile(
    "|".join(
        re.escape(gate) if isinstance(gate, str) else gate.pattern
        for kind in KINDS
        if not (kind.lowered or kind.is_common)
        for gate in kind.gates
    )
)

# Overlapping windows are joined until they reach this many characters.
_WINDOW = 4096


def of_known_kinds(text: SearchedText) -> Iterator[Span]:
    """Yield the spans of credentials of every known kind."""
    has_rare = _RARE_GATE.search(text) is not None
    for kind in KINDS:
        if not (kind.lowered or kind.is_common or has_rare):
            continue
        for first, last in _windows(kind, text):
            yield from detected(kind, text, first, last)


def _windows(kind: Kind, text: SearchedText) -> Iterator[Span]:
    """Yield what surrounds the gates of a kind, within their lines."""
    first = last = 0
    for start, end in _gates(kind, text.lowered if kind.lowered else text):
        line_start, line_end = text.line_around(start)
        start = max(line_start, start - kind.before)
        end = min(line_end, end + kind.after)
        if start < last and end - first <= _WINDOW:
            last = max(last, end)
            continue
        yield first, last
        first, last = start, end
    yield first, last


def _gates(kind: Kind, text: str) -> Iterator[Span]:
    """Yield every occurrence of a kind's gates, one gate after the other."""
    if kind.needs not in text:
        return
    for gate in kind.gates:
        if not isinstance(gate, str):
            for match in gate.finditer(text):
                yield match.span()
            continue
        start = text.find(gate)
        while start >= 0:
            yield start, start + len(gate)
            start = text.find(gate, start + 1)


def detected(kind: Kind, text: str, first: int, last: int) -> Iterator[Span]:
    """Yield what the detectors of a kind find in the window [first, last) of a text."""
    window = text[first:last]
    if not window:
        return
    for found in map(detector, kind.names.split("+")):
        values = set(found.analyze_string(window))
        for pattern in found.denylist if values else ():
            for match in pattern.finditer(window):
                groups = [group for group in match.groups() if group]
                if not values.isdisjoint(groups or [match[0]]):
                    start, end = match.span(0 if kind.whole or not groups else 1)
                    yield from _trimmed(kind, text, first + start, first + end)


_BEFORE_VALUE = re.compile(r"(?:AccountKey=|[\s\"'=:]+)?")
_AFTER_VALUE = re.compile(r"[\s\"']")


def _trimmed(kind: Kind, text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the credential in a match: without what surrounds it, and with its tail."""
    before = _BEFORE_VALUE.match(text, start, end)
    start = before.end() if before else start
    after = _AFTER_VALUE.search(text, start, end)
    end = after.start() if after else end
    if start == end or not kind.check(text[start:end]):
        return
    if kind.tail is not None:
        rest = kind.tail.match(text, end)
        end = rest.end() if rest else end
    yield start, end
