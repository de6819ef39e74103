"""Batches to an endpoint: what of an answer is taken, and what becomes of any other."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from embedding_server import Server, serving
from numpy.typing import NDArray

from indexer.address import Endpoint, endpoint_of
from indexer.errors import UsageError
from indexer.text.chunks import chunk_text
from indexer.vectors.delivery import packed
from indexer.vectors.endpoint import PROBES
from indexer.vectors.endpoint import packed as packed_probes
from indexer.vectors.endpoint import unpacked
from indexer.vectors.requests import (
    RefusedError,
    Sender,
    TryAgainError,
    api_key,
    seconds_of,
)
from indexer.vectors.tokenizer import ByteTokenizer

TEXTS = ["one text", "and another one", "größer"]


@pytest.fixture(scope="module")
def server(model_cache: Path) -> Iterator[Server]:
    with serving(model_cache) as started:
        yield started


def sent(
    server: Server, *, is_first: bool = False, seconds: float = 30
) -> NDArray[np.float32]:
    endpoint = endpoint_of(server.model)
    assert endpoint is not None
    return send_to(endpoint, is_first=is_first, seconds=seconds)


def send_to(
    endpoint: Endpoint, *, is_first: bool = False, seconds: float = 30
) -> NDArray[np.float32]:
    async def send() -> NDArray[np.float32]:
        async with Sender(endpoint, 384, seconds) as sender:
            return await (sender.settle_encoding if is_first else sender.send)(TEXTS)

    return asyncio.run(send())


def test_both_encodings_and_any_order(server: Server) -> None:
    server.set()
    vectors = sent(server)
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    server.set(has_base64=False, is_shuffled=True)
    assert np.allclose(sent(server, is_first=True), vectors, atol=1e-6)
    server.set(other=1)  # three times as long
    assert np.allclose(sent(server), vectors[:, ::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "HTTP 500: told to say 500"),
        ("503", "HTTP 503"),
        ("424", "HTTP 424"),
        ("429", "HTTP 429"),
        ("408", "HTTP 408"),
        ("reset", "the connection was closed"),
        ("hang", "no answer within 0.5 s"),
        ("garbage", "not follow this API"),
        ("huge", "more than"),
        ("count", "2 vectors for 3 texts"),
        ("numbers", "indexes do not match"),
        ("nan", "not a number"),
        ("none", "zero"),
    ],
)
def test_what_may_go_well_later(server: Server, fault: str, reason: str) -> None:
    server.set(faults=[fault], headers={"retry-after": "7"})
    with pytest.raises(TryAgainError, match=reason) as raised:
        sent(server, seconds=0.5 if fault == "hang" else 30)
    assert raised.value.pause == (7 if fault.isdecimal() else 0)


@pytest.mark.parametrize("status", ["400", "401", "402", "403", "404", "413", "422"])
def test_what_will_not(server: Server, status: str) -> None:
    server.set(faults=[status])
    with pytest.raises(RefusedError, match=f"HTTP {status}: told to say"):
        sent(server)


def test_when_a_server_wants_to_be_asked_again() -> None:
    assert seconds_of("12") == 12
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < seconds_of(format_datetime(soon, usegmt=True)) <= 30
    past = datetime.now(UTC) - timedelta(days=1)
    for nothing in ("", "soon", "-3", format_datetime(past)):
        assert seconds_of(nothing) == 0


def test_requests_are_bounded() -> None:
    texts = ["a" * 100_000] * 5 + ["b" * 400_000] + ["c"] * 70
    batches = [*packed(texts, [1] * len(texts), 32)]
    assert [len(one) for one in batches] == [2, 2, 1, 1, 32, 32, 6]
    assert sum(batches, []) == texts
    assert [len(one) for one in packed(["d"] * 5, [9_000] * 5, 32)] == [1] * 5


def test_addresses() -> None:
    found = endpoint_of("openai+https://[::1]:8080/v1/#BAAI/bge-m3:latest")
    assert found is not None and found.is_loopback and found.is_encrypted
    assert (found.base, found.name) == ("https://[::1]:8080/v1", "BAAI/bge-m3:latest")
    assert found.origin == "https://[::1]:8080"
    assert endpoint_of("all-MiniLM-L6-v2") is endpoint_of("./openai+x") is None
    for wrong in ("", "https://", "https:///v1", "file:///v1", "https://a b/v1"):
        with pytest.raises(UsageError):
            endpoint_of(f"openai+{wrong}#x")


def test_a_key_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = (
        endpoint_of(f"openai+http://{host}/v1#x") for host in ("localhost", "a.example")
    )
    assert near is not None and far is not None
    monkeypatch.setenv("CODX_INDEX_API_KEY", " key\n")
    assert api_key(near) == "key"
    with pytest.raises(UsageError, match="unencrypted"):
        api_key(far)
    monkeypatch.setenv("CODX_INDEX_API_KEY_OVER_HTTP", "1")
    assert api_key(far) == "key"
    monkeypatch.setenv("CODX_INDEX_API_KEY", "kéy")
    with pytest.raises(UsageError, match="CODX_INDEX_API_KEY contains characters"):
        api_key(near)


def test_probes_are_kept_in_half_precision() -> None:
    vectors = np.random.default_rng(0).normal(size=(len(PROBES), 96)).astype(np.float32)
    kept = unpacked(packed_probes(vectors))
    assert kept is not None and np.allclose(kept, vectors, rtol=1e-3)
    assert unpacked("") is unpacked("no base64!") is unpacked("AAAA") is None


def test_without_a_tokenizer_bytes_count() -> None:
    """Also in lines without a space, and where characters take several."""
    text = "def f():\n    return 1\n" * 40 + "größer " * 100 + "\n" + "日本" * 400
    chunks = chunk_text(text, "python", ByteTokenizer(), 128)
    assert "".join(one.text for one in chunks).count("日本") == 400
    for one in chunks:
        size = len(one.embedded_text.encode()) + ByteTokenizer.SPECIAL
        assert size == one.tokens <= 128


def test_nobody_takes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose queue is full answers nothing at all."""
    monkeypatch.setattr("indexer.http_client.CONNECT_SECONDS", 0.2)
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=0)
        )
        port = listening.getsockname()[1]
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        with pytest.raises(TryAgainError, match="no connection within 0.2 s"):
            send_to(Endpoint(f"http://127.0.0.1:{port}/v1", "m"))


def test_no_host_of_that_name() -> None:
    with pytest.raises(TryAgainError, match="(?i)name|address"):
        send_to(Endpoint("http://nowhere.invalid/v1", "m"))
