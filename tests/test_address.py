"""The address of a Milvus shows none of its secrets, however it is looked at."""

from __future__ import annotations

import json
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import indexer
from indexer.address import (
    Address,
    is_local,
    public_part,
    without_passwords,
    without_secrets,
)
from indexer.config import Settings, check_uri
from indexer.errors import CodxIndexError, UsageError
from indexer.milvus.remote import connect

SECRET = "s3cr3t-word"
TOKEN = f"root:{SECRET}-2"


@pytest.mark.parametrize(
    "given, shown",
    [
        ("", ""),
        ("http://host:19530", "http://host:19530"),
        ("https://host/db", "https://host/db"),
        ("http://[::1]:19530", "http://[::1]:19530"),
        ("http://me@host", "http://***@host"),  # it may be a token
        (f"http://me:{SECRET}@host:1/db", "http://me:***@host:1/db"),
        (f"HTTPS://me:{SECRET}@host", "HTTPS://me:***@host"),
        (f"tcp://me:{SECRET}@host", "tcp://me:***@host"),
        (f"http://:{SECRET}@host", "http://:***@host"),
        (f"http://me:{SECRET}/a?b#c@host", "http://me:***@host"),
        (f"http://me:a@b:{SECRET}@host", "http://me:***@host"),
        (f"http://host?token={SECRET}&db=x", "http://host?token=***&db=***"),
        (f"http://host/db?{SECRET}#{SECRET}", "http://host/db?***#***"),
        (f"http://me:{SECRET}", "http://me:***"),
        (f"me:{SECRET}@host", "me:***@host"),
        (f"http:/me:{SECRET}@host", "http:/***@host"),
        (f"http//me:{SECRET}@host", "***@host"),
        (f" http://me:{SECRET}@host", " http://me:***@host"),
        ("unix:/run/milvus.sock", "unix:/run/milvus.sock"),
        (f"unix:me:{SECRET}@/run/milvus", "unix:***@/run/milvus"),
        ("/home/me@work/x.db", "/home/me@work/x.db"),
        ("milvus", "milvus"),
    ],
)
def test_what_is_shown(given: str, shown: str) -> None:
    address = Address(given)
    assert str(address) == f"{address}" == f"{address:s}" == shown
    assert repr(address) == repr(shown)
    assert address.reveal() == given
    assert address.has_secrets == (shown != given)
    assert Address(shown) != address or shown == given


@given(st.text(), st.text(min_size=1), st.text(), st.sampled_from(["", "x://", "tcp:"]))
def test_no_password_gets_through(user: str, word: str, host: str, start: str) -> None:
    uri = f"{start}{user}:<{word}>@{host}"
    if not is_local(uri):
        assert f"<{word}>" not in without_secrets(uri)


def test_settings_and_errors_have_none_of_it() -> None:
    uri = f"http://me:{SECRET}@host"
    settings = Settings("/p", "/c", "m", uri=check_uri(uri), token=SECRET)
    assert SECRET not in repr(settings) and SECRET not in str(settings)
    assert settings.address == "http://me:***@host"
    with pytest.raises(UsageError) as info:
        check_uri(f"ftp://me:{SECRET}@host")
    assert SECRET not in str(info.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"http://me:{SECRET}@127.0.0.1:1",
        f"http://me:{SECRET}/x@127.0.0.1:1",
        f"http://me:{SECRET}",
        f"http://me:{SECRET}@[::1",
        f"http://me:{SECRET}@127.0.0.1:123456",
        f"unix:me:{SECRET}@/nowhere",
        "http://me:s3cr3t%2Dword@127.0.0.1:1",
        f"http://127.0.0.1:1?token={SECRET}",
    ],
)
def test_what_pymilvus_says_of_it(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its messages, and those of what it calls, have pieces of the address."""
    monkeypatch.setattr("indexer.milvus.remote.CONNECT_ATTEMPTS", 1)
    monkeypatch.setattr("indexer.milvus.remote.CONNECT_TIMEOUT", 0.2)
    with pytest.raises(CodxIndexError) as info:
        connect(Address(uri), TOKEN, "c")
    text = "".join(traceback.format_exception(info.value))
    assert "s3cr3t" not in text
    assert "no Milvus answers at" in str(info.value)


def test_an_error_is_cleaned_with_those_that_led_to_it() -> None:
    address = Address(f"http://me:{SECRET}@host").with_secret(TOKEN)
    error: Exception
    try:
        try:
            raise ValueError(f"Port could not be cast: '{SECRET}'")
        except ValueError:
            raise OSError(5, f"token {TOKEN} of http://me:{SECRET}@host")
    except OSError as raised:
        error = raised
    assert address.hide_in(error) is error
    text = "".join(traceback.format_exception(error))
    assert SECRET not in text and "Port could not be cast: '***'" in text
    assert str(error) == "[Errno 5] token *** of ***"
    assert Address("http://host").hide_in(error) is error


def test_passwords_in_any_text() -> None:
    text = f"no such folder: http://me:{SECRET}@host/x and https://h?token={SECRET}&b=c"
    assert without_passwords(text) == (
        "no such folder: http://me:***@host/x and https://h?token=***&b=c"
    )
    for plain in ("a:b@c", "x://host/a:b", "mail me@host", "http://me@host"):
        assert without_passwords(plain) == plain
    assert public_part(f"https://me:{SECRET}@hooks.org:8/T0/{SECRET}") == (
        "https://hooks.org:8"
    )


def test_only_the_client_takes_the_secrets() -> None:
    folder = Path(indexer.__file__).parent
    using = {
        str(path.relative_to(folder))
        for path in folder.glob("**/*.py")
        if re.search(r"\.reveal\(", path.read_text())
    }
    assert using == {"milvus/client.py"}
    with pytest.raises(TypeError):
        json.dumps(Address("http://host"))
