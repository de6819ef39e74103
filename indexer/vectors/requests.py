"""One batch of texts to an endpoint, over HTTP: built, sent, checked, and its failure classified.

The interface is `POST …/embeddings` of OpenAI's API, which TEI, vLLM, Ollama and llama.cpp speak too
(https://platform.openai.com/docs/api-reference/embeddings).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import indexer
from indexer.address import MASK, Endpoint, public_part
from indexer.errors import ModelError, UsageError
from indexer.http_client import new_session, reason_of

if TYPE_CHECKING:
    import numpy as np
    from aiohttp import ClientResponse, ClientSession
    from numpy.typing import NDArray

KEY = "CODX_INDEX_API_KEY"
KEY_OVER_HTTP = "CODX_INDEX_API_KEY_OVER_HTTP"
REQUEST_SECONDS = 120.0
MOST_DIMENSIONS = 16_384
_NUMBER_BYTES = 32  # of a float as JSON writes it, with room to spare
_MOST_SAID = 200  # characters of what a server says


class TryAgainError(Exception):
    """It may go well at another time; not before `pause` seconds are over, if the server says so."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason, pause)
        self.pause = pause

    def __str__(self) -> str:
        return str(self.args[0])


class RefusedError(Exception):
    """The server does not take these texts: one of them, so many of them, or nothing at all."""


def api_key(endpoint: Endpoint) -> str:
    """The key for an endpoint, "" if there is none. It comes from the environment alone.

    Raises `UsageError` for one that cannot be, or that others could read on its way.
    """
    key = os.environ.get(KEY, "").strip()
    if not key:
        return ""
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"{KEY} contains characters that no key can have")
    is_allowed = os.environ.get(KEY_OVER_HTTP, "") not in ("", "0")
    if not (endpoint.is_encrypted or endpoint.is_loopback or is_allowed):
        raise UsageError(
            f"{KEY} would be sent to {endpoint.origin} unencrypted: use https, or set "
            f"{KEY_OVER_HTTP}=1"
        )
    return key


class Sender:
    """Sends batches to an endpoint. Used within one event loop, as a context.

    Vectors have to have the `dimension`; with 0, that of the first answer.
    """

    def __init__(
        self, endpoint: Endpoint, dimension: int = 0, seconds: float = REQUEST_SECONDS
    ) -> None:
        self.endpoint = endpoint
        self.dimension = dimension
        self._seconds = seconds
        self._key = api_key(endpoint)
        self._session: ClientSession | None = None
        self._encoding = "base64"  # a quarter of the bytes, and no numbers to parse

    async def __aenter__(self) -> Sender:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"codx-index/{indexer.__version__}",
            "Accept-Encoding": "identity",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            self._session = new_session(self.endpoint.base, headers)
        except (ImportError, OSError, ValueError) as error:
            # Usually a proxy from the environment, whose URL may hold a password.
            raise ModelError(
                f"cannot create an HTTP client for {self.endpoint.origin}: "
                f"{type(error).__name__} (check SSL_CERT_FILE and the proxy variables)"
            ) from None
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def send(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of the texts, of unit length and shape (texts, dimension), in their order.

        Raises `TryAgainError` or `RefusedError`, and `ModelError` where the endpoint cannot be
        the right one.
        """
        vectors = _unit(_vectors(await self._post(texts), len(texts)))
        found = vectors.shape[1]
        self.dimension = self.dimension or found
        if found != self.dimension:
            raise ModelError(
                f"{self.endpoint.origin} returns vectors of {found} dimensions instead of "
                f"{self.dimension}: {self.endpoint.name} is no longer the same model "
                "(--model-revision starts a new index for it)"
            )
        return vectors

    async def settle_encoding(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """`send` the first texts of all, as numbers if the server knows no base64."""
        try:
            return await self.send(texts)
        except RefusedError:
            self._encoding = "float"
            return await self.send(texts)

    async def _post(self, texts: Sequence[str]) -> bytes:
        import aiohttp

        assert self._session is not None, "used as a context"
        asked = {
            "model": self.endpoint.name,
            "input": [*texts],
            "encoding_format": self._encoding,
        }
        body = json.dumps(asked).encode()
        url = f"{self.endpoint.base}/embeddings"
        most = 65_536 + len(texts) * _NUMBER_BYTES * (self.dimension or MOST_DIMENSIONS)
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._session.post(url, data=body, allow_redirects=False) as response,
            ):
                answer = await _read(response, most)
        except aiohttp.ClientError as error:
            raise TryAgainError(self._hidden(reason_of(error))) from None
        except TimeoutError:
            raise TryAgainError(f"no answer within {self._seconds:g} s") from None
        self._check_status(response.status, response.headers, answer)
        return answer

    def _check_status(
        self, status: int, headers: Mapping[str, str], answer: bytes
    ) -> None:
        """Raise what an answer with this status means, unless it is a good one."""
        if 200 <= status < 300:
            return
        origin, name = self.endpoint.origin, self.endpoint.name
        said = self._hidden(_said(answer))
        told = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if 300 <= status < 400:
            place = public_part(headers.get("location", ""))
            raise ModelError(
                f"{origin} redirects to {place or 'nowhere'} ({told}), which is not followed: "
                "give the final address"
            )
        if status in (401, 403):
            what = (
                f"refuses the key in {KEY}" if self._key else f"requires a key in {KEY}"
            )
            raise RefusedError(f"{origin} {what} ({told})")
        if status in (404, 405, 501):
            raise RefusedError(
                f"{origin} has no embeddings API at this address, or no model {name} ({told})"
            )
        if status == 413 or (status in (400, 422, 500) and _TOO_LONG.search(said)):
            raise RefusedError(
                f"{origin} finds it too long ({told}): --model-max-tokens sets the limit"
            )
        if status in _TRY_AGAIN or status >= 500:
            raise TryAgainError(told, seconds_of(headers.get("retry-after", "")))
        raise RefusedError(f"{origin} refuses it ({told})")

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, MASK) if self._key else text


_TRY_AGAIN = frozenset({408, 409, 424, 425, 429})  # and from 500 on
# llama.cpp says the first with the status 500, vLLM and OpenAI the second with 400.
_TOO_LONG = re.compile(
    r"too (large|long)|maximum context|context length", re.IGNORECASE
)


def seconds_of(advice: str) -> float:
    """What a `Retry-After` asks for, which is seconds or a date (RFC 9110); 0 for anything else."""
    if advice.strip().isdecimal():
        return float(advice)
    if not advice:
        return 0.0
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(advice)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max((date - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return 0.0


async def _read(response: ClientResponse, most: int) -> bytes:
    """The body of an answer. Raises `TryAgainError` where it is longer than an answer can be."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most:
            raise TryAgainError(f"an answer of more than {most:,} bytes")
        parts.append(part)
    return b"".join(parts)


def _said(answer: bytes) -> str:
    """What the server says of a failure, in one short line."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = answer.decode("utf-8", "replace")
    for _ in range(2):
        if isinstance(found, dict):
            names = ("error", "message", "detail")
            found = next((found[name] for name in names if name in found), "")
    text = " ".join(re.sub(r"<[^>]*>", " ", str(found)).split())
    return "".join(one for one in text if one.isprintable())[:_MOST_SAID]


def _vectors(answer: bytes, count: int) -> NDArray[np.float32]:
    """The vectors of an answer, in the order of the texts. Raises `TryAgainError`."""
    import numpy as np

    try:
        data = json.loads(answer)["data"]
        numbers = [one.get("index", place) for place, one in enumerate(data)]
        found = [one["embedding"] for one in data]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise TryAgainError("an answer that does not follow this API") from None
    if len(data) != count:
        raise TryAgainError(f"{len(data)} vectors for {count} texts")
    if sorted(map(str, numbers)) != sorted(map(str, range(count))):
        raise TryAgainError("vectors whose indexes do not match the texts")
    try:
        vectors = [_vector(one) for one in found]
        if {one.ndim for one in vectors} != {1}:
            raise RefusedError(
                "the server returns a vector for each token instead of one for the text: "
                "start it with pooling"
            )
        ordered = np.empty((count, len(vectors[0])), np.float32)
        for number, vector in zip(numbers, vectors, strict=True):
            ordered[int(number)] = vector
    except (ValueError, TypeError):
        raise TryAgainError("vectors that are not lists of numbers") from None
    return ordered


def _vector(given: Any) -> NDArray[np.float32]:
    """A vector that is a list of numbers, or base64 of float32 in little endian."""
    import numpy as np

    if isinstance(given, str):
        return np.frombuffer(a2b_base64(given), "<f4")
    return np.asarray(given, np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors scaled to length 1. Raises `TryAgainError` where one cannot be."""
    import numpy as np

    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise TryAgainError("a vector that is zero, infinite or not a number")
    unit: NDArray[np.float32] = vectors / norms
    return unit
