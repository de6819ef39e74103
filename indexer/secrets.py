"""Masks the credentials in a text, so that none is embedded, stored or shown.

The detectors are detect-secrets's. They take seconds for a megabyte, so each one sees only
the surroundings of its *gate*: something that stands in every credential of its kind and
is found fast. Nothing is ever verified over the network, and the library's settings, which
are global, are neither read nor changed.

All patterns are bounded, so that hostile text costs no more than a few seconds a mebibyte.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate
from math import log2
from posixpath import basename
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

MASK = "*" * 8

_Span = tuple[int, int]

# From this length on, a credential is masked wherever its text has it once more.
_WORTH_REPEATING = 12
# Over so many of them, they are looked up by their first characters.
_MANY_VALUES = 64
_SEPARATORS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
# What is masked may uncover something else; what is left after so many rounds stays.
_MAX_ROUNDS = 8


def mask_secrets(text: str, path: str) -> tuple[str, int]:
    """The text with every credential in it replaced by MASK, and how many there were.

    All line ends stay, masked text stays as it is, and nothing is raised. `path` only tells
    whether values stand in quotes: it does so in programs, but not in configuration.
    """
    count = 0
    for _ in range(_MAX_ROUNDS):
        spans, keys = _find(_Text(text), path)
        if not spans and not keys:
            break
        spans = list(_merged(spans))
        count += len(spans) + len(keys)
        inside = [span for key in keys for span in key]
        text = _replaced(text, _merged(spans + inside))
    return text, count


def _find(text: _Text, path: str) -> tuple[list[_Span], list[list[_Span]]]:
    """The spans of credentials, each within a line, and those of each private key."""
    keys = list(_private_keys(text))
    found = [*_of_known_kinds(text), *_of_telling_names(text, path)]
    spans = {span for span in found if span[0] < span[1]}
    values = {text[start:end] for start, end in spans}
    spans.update(_repeated(text, {v for v in values if len(v) >= _WORTH_REPEATING}))
    inside = {span for key in keys for span in key}
    return sorted(spans - inside), keys


def _repeated(text: str, values: set[str]) -> Iterator[_Span]:
    if len(values) > _MANY_VALUES:
        yield from _repeated_of_many(text, values)
        return
    for value in values:
        start = text.find(value)
        while start >= 0:
            yield start, start + len(value)
            start = text.find(value, start + len(value))


def _repeated_of_many(text: str, values: set[str]) -> Iterator[_Span]:
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


def _merged(spans: Iterable[_Span]) -> Iterator[_Span]:
    start = end = -1
    for span in sorted(spans):
        if span[0] > end:
            if end > 0:
                yield start, end
            start, end = span
        end = max(end, span[1])
    if end > 0:
        yield start, end


def _replaced(text: str, spans: Iterable[_Span]) -> str:
    parts = []
    before = 0
    for start, end in spans:
        parts += [text[before:start], MASK]
        before = end
    return "".join([*parts, text[before:]])


class _Text(str):
    """A text with what is derived from it, at most once."""

    @cached_property
    def lowered(self) -> str:
        """In lower case, at the same positions, as `re.IGNORECASE` compares."""
        text = str(self)
        if not text.isascii():
            # Longer in lower case, and equal to a letter of ASCII only for `re`.
            for letter, same in (("\u0130", "i"), ("\u0131", "i"), ("\u017f", "s")):
                text = text.replace(letter, same)
        return text.lower()

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *accumulate(map(len, self.splitlines(keepends=True)))]

    def line_around(self, position: int) -> _Span:
        """The line of a position with its end, by all that `str.splitlines` knows."""
        number = bisect_right(self._starts, position) - 1
        last = len(self._starts) - 1
        return self._starts[number], self._starts[min(number + 1, last)]


# ---- Credentials of a known shape ----


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


def _has_digit_and_cases(value: str) -> bool:
    return bool(re.search("[0-9]", value) and re.search("[a-z]", value)) and (
        value.lower() != value
    )


def _has_digit(value: str) -> bool:
    return any("0" <= character <= "9" for character in value)


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
        or value.lower() in _PLACEHOLDERS | _URL_PLACEHOLDERS
        or _TEMPLATE.search(value)
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
        check=lambda value: value.startswith(("AKIA", "ASIA")) or _has_digit(value),
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
        check=_has_digit_and_cases,
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
        check=lambda value: _has_digit(value) or len(value) == 24,
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
        check=_has_digit,
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
        check=lambda value: _is_credential(value, is_quoted=False),
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


def _of_known_kinds(text: _Text) -> Iterator[_Span]:
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


def _gates(kind: _Kind, text: str) -> Iterator[_Span]:
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


def _detected(kind: _Kind, text: str, first: int, last: int) -> Iterator[_Span]:
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


def _trimmed(kind: _Kind, text: str, start: int, end: int) -> Iterator[_Span]:
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


_importing = Lock()


@cache
def _library(module: str) -> ModuleType:
    """A module of detect-secrets, which takes 0.1 s to import.

    By one thread at a time: its modules import each other in a circle, and threads that
    begin at different places of it wait for one another.
    """
    from importlib import import_module

    with _importing:
        import detect_secrets

        return import_module(f".{module}", detect_secrets.__name__)


@cache
def _detector(name: str) -> RegexBasedDetector:
    """A detector, made once a process."""
    if name in _OWN:
        base = _library("plugins.base").RegexBasedDetector
        parts = {"secret_type": name, "denylist": (re.compile(_OWN[name]),)}
        made: RegexBasedDetector = type(name, (base,), parts)()
        return made
    module = _library(f"plugins.{_MODULES[name]}")
    found: RegexBasedDetector = getattr(module, name)()
    return found


_MODULES = {
    "AWSKeyDetector": "aws",
    "ArtifactoryDetector": "artifactory",
    "AzureStorageKeyDetector": "azure_storage_key",
    "BasicAuthDetector": "basic_auth",
    "CloudantDetector": "cloudant",
    "DiscordBotTokenDetector": "discord",
    "GitHubTokenDetector": "github_token",
    "GitLabTokenDetector": "gitlab_token",
    "IbmCloudIamDetector": "ibm_cloud_iam",
    "IbmCosHmacDetector": "ibm_cos_hmac",
    "JwtTokenDetector": "jwt",
    "MailchimpDetector": "mailchimp",
    "NpmDetector": "npm",
    "OpenAIDetector": "openai",
    "PypiTokenDetector": "pypi_token",
    "SendGridDetector": "sendgrid",
    "SlackDetector": "slack",
    "SoftlayerDetector": "softlayer",
    "SquareOAuthDetector": "square_oauth",
    "StripeDetector": "stripe",
    "TelegramBotTokenDetector": "telegram_token",
    "TwilioKeyDetector": "twilio",
}


# ---- Values next to a telling name ----

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

_PLACEHOLDERS = frozenset("""
    admin bar baz changeit changeme change-me change_me default dummy example false foo foobar
    hidden key mypass mypassword mysecret nil none null pass passphrase passwd password
    placeholder pwd redacted required sample secret string test testing todo token true
    undefined unknown user username value
    """.split())
_URL_PLACEHOLDERS = frozenset("p pw port auth".split())
_TEMPLATE = re.compile(
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
_QUOTE = re.compile("[\"'`]")
_DELIMITER = re.compile("[\"'`>]")


def _of_telling_names(text: _Text, path: str) -> Iterator[_Span]:
    is_program = basename(path).lower().rpartition(".")[2] in _QUOTED_ONLY
    for here, match, is_weak in _names(text.lowered):
        if (_OTHER_WEAK_SUFFIX if is_weak else _OTHER_SUFFIX).search(match["suffix"]):
            continue
        line_start, line_end = text.line_around(match.start())
        before = text[max(line_start, here - 80) : here]
        line = text[here : min(line_end, here + 512)].rstrip(_SEPARATORS)
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
                if _is_random(value) if is_weak else _is_credential(value, is_quoted):
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
    keyword = _library("plugins.keyword")
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


def _is_credential(value: str, is_quoted: bool) -> bool:
    """Does a value of a telling name look like one that somebody chose or drew?"""
    heuristic = _library("filters.heuristic")
    lowered = value.lower()
    if (
        not 6 <= len(value) <= 256
        or any(character.isspace() for character in value)
        or lowered.rstrip("0123456789")[:32] in _PLACEHOLDERS
        and len(lowered) - len(lowered.rstrip("0123456789")) < 2
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


def _is_word_with_digits(value: str) -> bool:
    return not re.search(r"[()\[\]{}<>$]", value) and (
        _has_digit(value) or bool(_NO_WORD.search(value))
    )


def _reads_as_name(value: str) -> bool:
    """An identifier, a word or a phrase of them: "api-key", "oauth2Secret", "Password:"."""
    core = value.strip("_-.,:;?!'\"`()[]<>\u2026")
    if not core.isascii():
        return not (_has_digit(core) and re.search("[A-Za-z]", core))
    if re.search(r"[^\w.,:/ -]", core):
        return False
    if _NO_WORD.search(core) or _NO_WORD_CASES.search(core):
        return False
    if not _has_digit(core):
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
    heuristic = _library("filters.heuristic")
    entropy = _library("plugins.high_entropy_strings")
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
        _has_digit_and_cases(value)
        and in_words < 0.6 * len(value)
        and measured > min(4.5, 0.8 * log2(len(value)))
    )


# ---- Private keys ----

_KEY_GATES = ("PRIVATE KEY", "Private-Lines:")
_KEY_BEGIN = re.compile(
    r"BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?[ -]{0,6}|Private-Lines: {0,4}[0-9]{1,4}"
)
_KEY_END = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY|Private-MAC:")
_KEY_FIELD = re.compile(
    r"[\s#>*\"'/;-]{0,32}(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset):"
)
# An escaped line end, or a run of what keys are written in.
_KEY_RUN = re.compile(r"\\+[nrt]|%0[AaDd]|(?P<run>[A-Za-z0-9+/=]{2,})")
_KEY_BLANKS = 3


def _private_keys(text: _Text) -> Iterator[list[_Span]]:
    """The spans of each private key: line by line, without its first and its last line."""
    if not any(gate in text for gate in _KEY_GATES):
        return
    ends = [match.start() for match in _KEY_END.finditer(text)]
    done = 0
    for begin in _KEY_BEGIN.finditer(text):
        if begin.end() > done:
            spans, done = _private_key(text, ends, begin.end())
            if spans:
                yield spans


def _private_key(text: _Text, ends: list[int], start: int) -> tuple[list[_Span], int]:
    """The spans of the key behind a first line, and where it ends.

    Its end need not be there: what does not look like a key ends it too.
    """
    number = bisect_right(ends, start - 1)
    key_end = ends[number] if number < len(ends) else len(text) + 1
    spans: list[_Span] = []
    blanks = 0
    is_first = True
    while start < min(key_end, len(text)):
        line_end = text.line_around(start)[1]
        end = min(key_end, line_end)
        goes_on = end < key_end
        if is_first and goes_on and (quote := _QUOTE.search(text, start, line_end)):
            end = quote.start()
            goes_on = len(text[end:line_end].strip(" \t\r\n\"'`+,;()\\[]")) == 0
        found = [match.span("run") for match in _KEY_RUN.finditer(text, start, end)]
        runs = [run for run in found if run[0] >= 0 and text[run[0] : run[1]] != "+="]
        is_last = (
            not goes_on or key_end < text.line_around(min(line_end, len(text) - 1))[1]
        )
        if any(_is_of_key(text[first:last]) for first, last in runs):
            spans += [run for run in runs if is_last or _is_code_free(text, run)]
            blanks = 0
        elif not runs or is_first or _KEY_FIELD.match(text, start, end):
            blanks += 1
        elif spans and (is_last or len(runs) == 1 and _is_code_free(text, runs[0])):
            spans += runs
        else:
            break
        if not goes_on or blanks > _KEY_BLANKS + 5 * (not spans):
            start = end
            break
        start, is_first = line_end, False
    return spans, start


def _is_of_key(run: str) -> bool:
    return len(run) >= 60 or len(run) >= 16 and _has_digit_and_cases(run)


def _is_code_free(text: str, run: _Span) -> bool:
    """Is a run, long or short, none of the words that programs put around a key's lines?"""
    value = text[run[0] : run[1]]
    return len(value) >= 16 or re.search("[0-9+/=]", value) is not None
