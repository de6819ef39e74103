"""Finds credentials whose shape gives them away, such as tokens of well-known services."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from indexer.text.detectors import MODULES, has_digit, has_digit_and_cases, library
from indexer.text.secret_values import (
    PLACEHOLDERS,
    TEMPLATE,
    URL_PLACEHOLDERS,
    is_credential,
)
from indexer.text.spans import MASK, Span, Text

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector


@dataclass(frozen=True, slots=True)
class _Kind:
    """Credentials that are told by their shape, and how to find them fast.

    `names` are those of detectors, of the library or of _OWN, that have the same gates.
    `gates` stand in every match of the detector, at most `before` characters behind its
    begin and `after` before its end. Those of a `lowered` kind are compared with the text in
    lower case.
    """

    names: str
    gates: tuple[str | re.Pattern[str], ...]
    before: int
    after: int
    lowered: bool = False
    # Is a gate found in one text of many? One that is not is first sought with the others.
    is_common: bool = False
    # What the text must have somewhere.
    needs: str = ""
    # A group of the library's pattern is not always the credential.
    whole: bool = True
    # The rest of a credential that is longer than its pattern.
    tail: re.Pattern[str] | None = re.compile(r"[A-Za-z0-9_-]{0,4096}")
    check: Callable[[str], bool] = lambda value: MASK not in value


def _is_basic(value: str) -> bool:
    """Base64 of `user:password`?"""
    try:
        decoded = base64.b64decode(value.rpartition(" ")[2] + "==").decode()
    except ValueError:
        return False
    return ":" in decoded and decoded.isprintable()


def _is_url_password(value: str) -> bool:
    return not (
        MASK in value
        or value.lower() in PLACEHOLDERS | URL_PLACEHOLDERS
        or TEMPLATE.search(value)
        or not {"{", "}", "<", ">"}.isdisjoint(value)
        or not any(character.isalnum() for character in value)
    )


_ASSIGNED_LONG = re.compile(
    r"(?:key|pwd|pw|password|pass|token)[\"']?\]?[ =:>]{1,24}+[\"']?[a-z0-9_-]{24}"
)


_KINDS = (
    _Kind(
        "AWSKeyDetector",
        (re.compile("A(?:KIA|SIA|BIA|CCA|3T[A-Z0-9])[0-9A-Z]{16}"),),
        0,
        0,
        # The rarer begins are also found in DNA.
        check=lambda value: value.startswith(("AKIA", "ASIA")) or has_digit(value),
    ),
    _Kind(
        "AWSKeyDetector",
        (re.compile(r"[\"'][0-9a-z/+]{40}[\"']"),),
        64,
        2,
        lowered=True,
        needs="aws",
        whole=False,
        tail=None,
    ),
    _Kind(
        "ArtifactoryDetector+Artifactory quoted",
        (re.compile(r"AKC[a-zA-Z0-9]{10}"), re.compile(r"AP[\dA-F][a-zA-Z0-9]{8}")),
        1,
        256,
        check=has_digit_and_cases,
    ),
    _Kind("AzureStorageKeyDetector", ("AccountKey=",), 0, 96, tail=None),
    _Kind(
        "DiscordBotTokenDetector",
        (re.compile(r"\.[a-zA-Z\d_-]{6}\.[a-zA-Z\d_-]{27}"),),
        32,
        0,
    ),
    _Kind("GitHubTokenDetector", (re.compile("gh[pousr]_"),), 0, 64),
    _Kind(
        "GitLabTokenDetector+GitLab long",
        (re.compile("gl[a-z]{2,5}-"), "GR1348941"),
        0,
        1100,
    ),
    _Kind(
        "CloudantDetector+IbmCloudIamDetector+IbmCosHmacDetector+SoftlayerDetector",
        (_ASSIGNED_LONG,),
        40,
        64,
        lowered=True,
        whole=False,
        check=lambda value: has_digit(value) or len(value) == 24,
    ),
    _Kind(
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
    _Kind("MailchimpDetector", (re.compile("-us[0-9]"),), 32, 1),
    _Kind("NpmDetector", ("/:_authToken=",), 128, 128, whole=False, tail=None),
    _Kind("OpenAIDetector", (re.compile(r"T3BlbkFJ[A-Za-z0-9]{20}"),), 256, 0),
    _Kind("PypiTokenDetector", ("pypi-Ag",), 0, 512),
    _Kind("SendGridDetector", ("SG.",), 0, 80),
    _Kind("SlackDetector", ("xox", "hooks.slack.com/"), 8, 256, lowered=True),
    _Kind(
        "SoftlayerDetector", ("softlayer.com/soap",), 16, 80, lowered=True, whole=False
    ),
    _Kind("SquareOAuthDetector", ("sq0csp-",), 0, 64),
    _Kind("StripeDetector", ("k_live_",), 1, 32),
    _Kind(
        "TelegramBotTokenDetector",
        (re.compile(r":(?<=\d{8}:)[0-9A-Za-z_-]{35}"),),
        10,
        0,
    ),
    _Kind(
        "TwilioKeyDetector",
        (re.compile("AC[a-z0-9]{32}"), re.compile("SK[a-z0-9]{32}")),
        0,
        0,
    ),
    # From here on the detectors are those of _OWN.
    _Kind("Anthropic", ("sk-ant-",), 0, 128),
    _Kind("Azure", ("SharedAccessKey=",), 0, 96, whole=False, tail=None),
    _Kind(
        "Bearer",
        ("bearer ",),
        0,
        512,
        lowered=True,
        whole=False,
        tail=None,
        check=has_digit,
    ),
    _Kind(
        "Basic",
        ("basic ",),
        0,
        512,
        lowered=True,
        whole=False,
        tail=None,
        check=_is_basic,
    ),
    _Kind("DigitalOcean", ("_v1_",), 3, 72),
    _Kind("Docker Hub", ("dckr_pat_",), 0, 64),
    _Kind("Encoded private key", ("LS0tLS1CRUdJTi",), 0, 8192, tail=None),
    _Kind("GitHub fine-grained", ("github_pat_",), 0, 128),
    _Kind("Google", ("AIza", "GOCSPX-", "ya29."), 0, 256),
    _Kind("Groq", ("gsk_",), 0, 64),
    _Kind("Hugging Face", ("hf_",), 0, 64),
    _Kind("npm", ("npm_",), 0, 64),
    _Kind("OpenAI", (re.compile("sk-(?:proj|svcacct|admin)-"),), 0, 256),
    _Kind("Shopify", (re.compile("shp(?:at|ss|ca|pa)_"),), 0, 64),
    _Kind("Slack app", ("xapp-", "xoxe"), 0, 256),
    _Kind("Stripe test", (re.compile("k_test_|whsec_"),), 1, 64),
    _Kind("Vault", ("hvs.",), 0, 256),
    _Kind(
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
    _Kind(
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


# What the library has no detector for, or one of an older shape of the credential.
_OWN = {
    "Anthropic": r"sk-ant-[A-Za-z0-9_-]{24,128}",
    "Artifactory quoted": r"(?<=['`])AKC[a-zA-Z0-9]{10,128}(?=['`])",
    "Azure": r"SharedAccessKey=([A-Za-z0-9+/]{40,88}={0,2})",
    "Bearer": r"[Bb](?:earer|EARER) {1,4}([A-Za-z0-9._~+/-]{20,512}+={0,2})",
    "Basic": r"[Bb](?:asic|ASIC) {1,4}([A-Za-z0-9+/]{8,512}+={0,2})",
    "DigitalOcean": r"do[opr]_v1_[a-f0-9]{64}",
    "Docker Hub": r"dckr_pat_[A-Za-z0-9_-]{20,64}",
    # Base64 of "-----BEGIN … PRIVATE KEY-----": PKCS 8, RSA, EC, OpenSSH, encrypted.
    "Encoded private key": r"LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0EgUFJJVkFUR|BFQyBQUklWQVRF"
    r"|BPUEVOU1NIIFBSSVZBVE|BFTkNSWVBURUQgUFJJVkFUR)[A-Za-z0-9+/=]{20,8192}",
    "GitHub fine-grained": r"github_pat_[A-Za-z0-9_]{36,128}",
    "GitLab long": r"gl(?:pat|dt|ft|soat|rt)-[A-Za-z0-9_.-]{20,256}(?<!\.)",
    "Google": r"AIza[0-9A-Za-z_-]{35}|GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{30,256}",
    "Groq": r"gsk_[A-Za-z0-9]{40,64}",
    "Hugging Face": r"hf_[A-Za-z0-9]{34,64}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "Option": r"--(?:[a-z-]{0,32}-)?(?:pass|password|passwd|secret|token|api-key)(?:=| {1,4})"
    r"([^\s\"'`<>;&|$-][^\s\"'`<>;&|]{5,256})",
    "OpenAI": r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{24,256}",
    "Shopify": r"shp(?:at|ss|ca|pa)_[a-fA-F0-9]{32}",
    "Slack app": r"xapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-z0-9]{20,128}|xoxe[.-][A-Za-z0-9-]{20,256}",
    "Stripe test": r"(?:[rs]k_test|whsec)_[0-9a-zA-Z]{24,64}",
    "Vault": r"hvs\.[A-Za-z0-9_-]{24,256}",
    "URL": r"://[^\s:/@'\"<>`{}]{0,128}+:([^\s/'\"<>`{}]{1,256})@[\w\[%-]",
}


_RARE_GATE = re.compile(
    "|".join(
        re.escape(gate) if isinstance(gate, str) else gate.pattern
        for kind in _KINDS
        if not (kind.lowered or kind.is_common)
        for gate in kind.gates
    )
)


# Windows that overlap are one, until they are so long.
_WINDOW = 4096


def of_known_kinds(text: Text) -> Iterator[Span]:
    """The spans of credentials of every known kind."""
    has_rare = _RARE_GATE.search(text) is not None
    for kind in _KINDS:
        if not (kind.lowered or kind.is_common or has_rare):
            continue
        first = last = 0
        for start, end in _gates(kind, text.lowered if kind.lowered else text):
            line_start, line_end = text.line_around(start)
            start = max(line_start, start - kind.before)
            end = min(line_end, end + kind.after)
            if start < last and end - first <= _WINDOW:
                last = max(last, end)
                continue
            yield from _detected(kind, text, first, last)
            first, last = start, end
        yield from _detected(kind, text, first, last)


def _gates(kind: _Kind, text: str) -> Iterator[Span]:
    """Where a gate of a kind stands: of one gate after the other."""
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


def _detected(kind: _Kind, text: str, first: int, last: int) -> Iterator[Span]:
    window = text[first:last]
    if not window:
        return
    for detector in map(_detector, kind.names.split("+")):
        values = set(detector.analyze_string(window))
        for pattern in detector.denylist if values else ():
            for match in pattern.finditer(window):
                groups = [group for group in match.groups() if group]
                if not values.isdisjoint(groups or [match[0]]):
                    start, end = match.span(0 if kind.whole or not groups else 1)
                    yield from _trimmed(kind, text, first + start, first + end)


_BEFORE_VALUE = re.compile(r"(?:AccountKey=|[\s\"'=:]+)?")


_AFTER_VALUE = re.compile(r"[\s\"']")


def _trimmed(kind: _Kind, text: str, start: int, end: int) -> Iterator[Span]:
    """Without what a pattern takes with the credential, with what it leaves of it."""
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


@cache
def _detector(name: str) -> RegexBasedDetector:
    """A detector, made once a process."""
    if name in _OWN:
        base = library("plugins.base").RegexBasedDetector
        parts = {"secret_type": name, "denylist": (re.compile(_OWN[name]),)}
        made: RegexBasedDetector = type(name, (base,), parts)()
        return made
    module = library(f"plugins.{MODULES[name]}")
    found: RegexBasedDetector = getattr(module, name)()
    return found
