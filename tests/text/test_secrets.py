"""Credentials are masked, what looks like one is not, and nothing else changes."""

from __future__ import annotations

import random
import string
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import every_fourth
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import BENIGN, Planted, begin, found_without_gates, planted

from indexer.text import secret_kinds, secret_names
from indexer.text.detectors import detector
from indexer.text.masking import mask_secrets
from indexer.text.spans import MASK

STDLIB = Path(sysconfig.get_path("stdlib"))
PLANTED = planted()
KINDS = sorted({case.kind for case in PLANTED})
GENEROUS = 30  # seconds of CPU; a pattern that explodes takes minutes
MEBIBYTE = 1 << 20


def one(kind: str) -> str:
    """A credential of a kind."""
    return next(case.secrets[0] for case in PLANTED if case.kind == kind)


def line_ends(text: str) -> list[str]:
    return [line[len(line.rstrip("\r\n")) :] for line in text.splitlines(True)]


def unmasked_lines(before: str, after: str) -> list[tuple[str, str]]:
    """The lines that differ."""
    return [
        (old, new)
        for old, new in zip(before.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]


# ---- What is masked ----


@pytest.mark.parametrize("kind", KINDS)
def test_planted_credentials_are_masked(kind: str) -> None:
    cases = [case for case in PLANTED if case.kind == kind]
    for case in cases:
        text, count = mask_secrets(case.text, case.path)
        assert count >= 1
        assert not [secret for secret in case.secrets if secret in text], case


def test_enough_is_planted() -> None:
    assert len(KINDS) >= 50
    assert sum(len(case.secrets) for case in PLANTED) >= 500
    assert all(secret in case.text for case in PLANTED for secret in case.secrets)


@pytest.mark.parametrize("seed", range(3))
def test_credentials_are_masked_whatever_is_drawn(seed: int) -> None:
    left = [
        (case, secret)
        for case in planted(seed)
        for secret in case.secrets
        if secret in mask_secrets(case.text, case.path)[0]
    ]
    assert left == []


def test_only_the_credential_is_masked() -> None:
    token = one("GitHub")
    text = f'client = Client("{token}", timeout=3)  # for the tests\n'
    assert mask_secrets(text, "a.py") == (text.replace(token, MASK), 1)
    text = 'password = "hunter2"  # of password\n'
    assert mask_secrets(text, "a.py") == (text.replace("hunter2", MASK), 1)
    text = "git clone https://me:hunter2@git.example.org/a.git\n"
    assert mask_secrets(text, "a.sh") == (text.replace("hunter2", MASK), 1)
    text = 'const tokenSecret = "hunter2";\n'
    assert mask_secrets(text, "a.js") == (text.replace("hunter2", MASK), 1)
    text = "url = postgres://app:pa55word@db.example.org/app\n"
    assert mask_secrets(text, "a.ini") == (text.replace("pa55word", MASK), 1)


def test_the_same_credential_is_masked_elsewhere_too() -> None:
    word = "Tr0ub4dor-and-3"
    text = f'password = "{word}"\n\nassert f(1) == "user:{word}:x"\n'
    assert mask_secrets(text, "a.py") == (text.replace(word, MASK), 2)


def test_many_credentials_are_masked_elsewhere_too() -> None:
    rng = random.Random(3)
    words = [
        "Aa1" + "".join(rng.choices(string.ascii_letters, k=13)) for _ in range(200)
    ]
    text = "".join(f'password = "{word}"\n' for word in words)
    text += "".join(f"x {word} y\n" for word in words)
    masked, count = mask_secrets(text, "a.py")
    assert count == 400
    assert not [word for word in words if word in masked]


def test_a_private_key_is_one_credential_and_keeps_its_lines() -> None:
    case = next(
        c for c in PLANTED if c.kind == "rsa private key" and c.path == "a.yaml"
    )
    text, count = mask_secrets(case.text, case.path)
    lines = text.splitlines()
    assert count == 1
    assert lines[2] == f"    {begin('RSA PRIVATE KEY')}"
    assert lines[3:-1] == [f"    {MASK}"] * (len(lines) - 4)
    assert lines[-1].strip().startswith("-----END RSA")


def test_code_behind_a_private_key_stays() -> None:
    case = next(c for c in PLANTED if c.kind == "private key" and c.path == "cut.txt")
    code = "def a_function_with_a_long_name(and_an_argument):\n    return Base64Decoder()\n"
    for between in ("", "\n", '"""\n\n'):
        text, _ = mask_secrets(case.text + between + code, "a.py")
        assert text.endswith(code)


def test_a_credential_in_a_line_of_a_mebibyte_is_masked() -> None:
    filler = "a(b,c);" * (MEBIBYTE // 14)
    for kind in ("GitHub", "JSON Web Token", "Slack webhook"):
        token = one(kind)
        text = f"{filler}x='{token}';{filler}"
        assert mask_secrets(text, "a.js") == (text.replace(token, MASK), 1)


def test_unusual_line_ends_end_a_credential() -> None:
    for mark in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        text = f"password = hunter22{mark}password = hunt3r33{mark}x"
        assert mask_secrets(text, "a.ini") == (
            f"password = {MASK}{mark}password = {MASK}{mark}x",
            2,
        )


# ---- What is not ----


@pytest.mark.parametrize("path", BENIGN)
def test_look_alikes_stay(path: str) -> None:
    assert mask_secrets(BENIGN[path], path) == (BENIGN[path], 0)


def test_values_without_quotes_are_none_in_programs() -> None:
    text = "connect(password=argument1, secret=value_of2, key=x)\n"
    assert mask_secrets(text, "a.py") == (text, 0)


def stdlib_sample() -> Iterator[tuple[str, str]]:
    """Every tenth module, and all that have the word."""
    paths = sorted(p for p in STDLIB.rglob("*.py") if "site-packages" not in p.parts)
    for number, path in enumerate(paths):
        text = path.read_text(encoding="utf-8", errors="replace")
        if number % 10 == 0 or "password" in text:
            yield path.name, text


def test_there_is_next_to_no_false_alarm_in_the_standard_library() -> None:
    changed = [
        line
        for path, text in stdlib_sample()
        for line in unmasked_lines(text, mask_secrets(text, path)[0])
    ]
    assert len(changed) <= 10, changed


# ---- The gates ----


@pytest.mark.parametrize("kind", KINDS)
def test_gates_miss_nothing_that_is_planted(kind: str) -> None:
    for case in PLANTED:
        if case.kind == kind:
            masked, _ = mask_secrets(case.text, case.path)
            assert list(found_without_gates(masked, case.path)) == []


def test_gates_miss_nothing_in_the_standard_library() -> None:
    texts = [(path, text) for path, text in stdlib_sample() if len(text) < 20_000]
    for path, text in texts[:30]:
        masked, _ = mask_secrets(text, path)
        assert list(found_without_gates(masked, path)) == []


def test_all_names_of_the_library_are_known() -> None:
    from detect_secrets.plugins.keyword import DENYLIST

    for name in DENYLIST:
        for spelled in {name.replace("_?", ""), name.replace("_?", "_")}:
            found = list(secret_names._names(f"{spelled} = 1"))
            assert [start for start, _, is_weak in found if not is_weak] == [0], name


def test_all_parts_of_the_library_that_are_named_are_there() -> None:
    for kind in secret_kinds.KINDS:
        for name in kind.names.split("+"):
            assert detector(name).denylist


def test_all_fitting_detectors_of_the_library_are_used() -> None:
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class

    plugins: dict[str, Any] = get_mapping_from_secret_type_to_class()
    offered = {plugin.__name__ for plugin in plugins.values()}
    used = {name for kind in secret_kinds.KINDS for name in kind.names.split("+")}
    assert offered - used == {
        "Base64HighEntropyString",  # these two only next to telling names
        "HexHighEntropyString",
        "IPPublicDetector",  # no credentials
        "KeywordDetector",  # its patterns are used
        "PrivateKeyDetector",  # knows a first line, but not the key
    }


def test_clean_text_does_not_import_the_library() -> None:
    code = (
        "import sys; from indexer.text.masking import mask_secrets; "
        "mask_secrets('url = \"https://example.org/\"; token = f(1); password = g()', 'a.py'); "
        "assert 'detect_secrets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_verified_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for case in PLANTED[::7]:
        mask_secrets(case.text, case.path)


# ---- Properties ----

pieces = st.sampled_from(
    [
        *"'\"`=:;,(){}[]<>\\/@$%& \t\n\r\v\f\x1c\x85\u2028-_.#",
        *("\u0130", "\u017f", "\ud800", "\u212a", "\U0001f511", "\\n", "\r\n", MASK),
        *(
            "password",
            "secret",
            "api_key",
            "token",
            "PRIVATE KEY",
            "identified by",
            "--",
        ),
        *("://", "user", "hunter2", "Tr0ub4dor-and-3", "abcdefgh", "a1B2c3D4e5F6g7H8"),
        begin("RSA PRIVATE KEY"),
        *(one(kind) for kind in KINDS if len(one(kind)) < 200),
    ]
)
texts = st.lists(pieces | st.text(max_size=8), max_size=40).map("".join)
paths = st.sampled_from(["a.py", "a.yaml", "a.js", "Dockerfile", ""])


@settings(max_examples=300, deadline=None)
@given(texts, paths)
def test_lines_stay_and_masked_text_too(text: str, path: str) -> None:
    masked, count = mask_secrets(text, path)
    assert line_ends(masked) == line_ends(text)
    assert len(masked.split("\n")) == len(text.split("\n"))
    assert (count > 0) == (masked != text)
    assert mask_secrets(text, path) == (masked, count)
    assert mask_secrets(masked, path) == (masked, 0)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([case for case in PLANTED if "key" not in case.kind]),
    st.text(max_size=60),
    st.text(max_size=60),
)
def test_no_credential_survives_its_surroundings(
    case: Planted, before: str, after: str
) -> None:
    masked, _ = mask_secrets(f"{before}\n{case.text}\n{after}", case.path)
    assert not [secret for secret in case.secrets if secret in masked]


HOSTILE = [
    *("a", '"', '`"', " ", "\r", "secret", "password=", 'password = "a1', "secret("),
    *(
        'api_key: "',
        "<password>",
        "password:" + " " * 32,
        "--password ",
        "--token=ab1234 ",
    ),
    *(
        "eyJ",
        "eyJa.",
        "=eyJ=",
        "://",
        "://a:",
        "://a:b@",
        "sk-",
        "sk-T3BlbkFJ",
        "awskey",
    ),
    *("xoxb-1-", "SG.", "glagent-", "//a/:_authToken=npm_", "AKCaaaaaaaaaa", "Bearer "),
    *(
        begin("PRIVATE KEY"),
        begin("PRIVATE KEY") + "\n",
        begin("PRIVATE KEY") + "\\nMIIabc1",
    ),
    "key = aaaaaaaaaaaaaaaaaaaaaaaa key" + " " * 40,
    "awskey'" + "a" * 40 + "'",
    '{"password":"x1y2z3","k":1},',
]


@pytest.mark.parametrize("part", every_fourth(HOSTILE))
def test_hostile_text_takes_no_more_than_seconds(part: str) -> None:
    size = MEBIBYTE // 4
    text = (part * (size // len(part) + 1))[:size]
    started = time.process_time()
    masked, _ = mask_secrets(text, "a.js")
    assert time.process_time() - started < GENEROUS
    assert line_ends(masked) == line_ends(text)


def test_a_line_of_credentials_takes_no_more_than_seconds() -> None:
    rng = random.Random(5)
    words = (
        "".join(rng.choices(string.ascii_letters, k=15)) + "1" for _ in range(8_000)
    )
    text = "".join(f'password="{word}";' for word in words)
    started = time.process_time()
    masked, count = mask_secrets(text, "a.js")
    assert time.process_time() - started < GENEROUS
    assert count > 7_900


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from indexer.text.masking import mask_secrets
sys.setswitchinterval(1e-5)
texts = sys.argv[1:] * 2
with ThreadPoolExecutor(len(texts)) as pool:
    found = pool.map(mask_secrets, texts, ["a.py"] * len(texts))
    print(sum(masked for _, masked in found))
"""


def test_threads_that_begin_at_once() -> None:
    """The library's modules import each other in a circle."""
    texts = [f"password = {'hunter2xyz9'!r}", PLANTED[0].text]
    done = subprocess.run(
        [sys.executable, "-c", THREADS, *texts], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= len(texts)
