"""A model behind an endpoint: what it is known by, and whether it is still the same.

Its name and the revision that the user gives are its identity; the address is not, so that the
server may move. Whether the name still means the same model is told by a few probe texts, whose
vectors are kept and compared.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Coroutine
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from indexer.address import Endpoint
from indexer.config import DEFAULT_MODEL
from indexer.errors import ModelError, ModelUnavailableError
from indexer.loop import LoopThread
from indexer.vectors.backend import ENDPOINT, Backend, ModelInfo
from indexer.vectors.memo import recall, remember
from indexer.vectors.model import resolve_model
from indexer.vectors.tokenizer import ByteTokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.vectors.requests import Sender

T = TypeVar("T")

MAX_TOKENS = 512
ALIKE = (
    0.999  # cosine of the vectors of one text by one model; batches and kernels differ
)
_CUT = (
    0.999_999  # cosine of two texts whose ends differ, where a server cuts both before
)

PROBES = (
    "def add(one, other):\n    return one + other",
    "Where are failed payments tried again?",
    "SELECT name FROM customers WHERE id = 7; -- größer, 日本",
)
"""Short texts in several languages. Other ones would make every model look like another."""

_DEFAULT_NAMES = (DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")


class Acquaintance(Struct, frozen=True):
    """What an endpoint's answer told: the vectors of the probes, packed as text, and that texts of
    `max_tokens` are not cut."""

    dimension: int
    probes: str
    max_tokens: int


def endpoint_backend(
    endpoint: Endpoint, revision: str, max_tokens: int, cache_dir: str
) -> Backend:
    """The backend of an endpoint's model, without the dimension.

    Texts are measured by the tokenizer of the default model if that is the one, whose name means
    the same on every machine, and otherwise in bytes.
    """
    folder, limit = "", MAX_TOKENS
    if endpoint.name in _DEFAULT_NAMES:
        local = resolve_model(endpoint.name, cache_dir)
        folder, limit = local.folder, local.max_tokens
    digest = _digest(endpoint, revision)
    model = ModelInfo(endpoint.label, folder, digest, 0, max_tokens or limit)
    return Backend(model, ENDPOINT, "remote", "served", cache_dir)


def recall_acquaintance(
    endpoint: Endpoint, revision: str, cache_dir: str
) -> Acquaintance | None:
    """What the endpoint's model told an earlier run, None if no run asked it."""
    found = recall(_memo(endpoint, revision, cache_dir), [*PROBES])
    try:
        known = Acquaintance(**found)
    except TypeError:
        return None
    vectors = unpacked(str(known.probes))
    return (
        known if vectors is not None and vectors.shape[1] == known.dimension else None
    )


def make_acquaintance(
    endpoint: Endpoint, revision: str, backend: Backend
) -> Acquaintance:
    """Ask the endpoint for the vectors of the probes, and remember them below the cache's folder.

    Raises `ModelError` where it is of no use, as one that cuts texts without saying so, and
    `ModelUnavailableError`.
    """

    from indexer.vectors.delivery import Delivery
    from indexer.vectors.requests import Sender

    limit = backend.model.max_tokens
    before = recall_acquaintance(endpoint, revision, backend.cache_dir)

    async def ask() -> NDArray[np.float32]:
        async with Sender(endpoint) as sender:
            vectors = await Delivery(sender, 1).greet(PROBES)
            if before is not None:
                check_alike(endpoint, vectors, unpacked(before.probes))
            if not backend.model.folder:
                await _check_length(sender, limit)
            return vectors

    vectors = in_loop(ask())
    known = Acquaintance(vectors.shape[1], packed(vectors), limit)
    memo = _memo(endpoint, revision, backend.cache_dir)
    remember(memo, [*PROBES], asdict(known))
    return known


async def _check_length(sender: Sender, max_tokens: int) -> None:
    """Raise `ModelError` where the model takes shorter texts than ours may be.

    A server that cuts them says nothing: then two texts have one vector whose ends alone differ.
    """
    from indexer.vectors.delivery import Delivery

    room = max_tokens - ByteTokenizer.SPECIAL
    end = max(room // 8, 1)
    start = (".,;:" * room)[: room - end]  # a token each, for most tokenizers
    texts = [start + ("?!" * end)[:end], start + ("+-" * end)[:end]]
    try:
        one, other = await Delivery(sender, 1).greet(texts)
    except ModelError as error:
        raise ModelError(
            f"{error}: a text may have {max_tokens} tokens (--model-max-tokens changes the "
            "limit)"
        ) from error
    if float(one @ other) > _CUT:
        raise ModelError(
            f"{sender.endpoint.origin} truncates texts of {max_tokens} tokens: set "
            f"--model-max-tokens to the limit of {sender.endpoint.name}"
        )


def _digest(endpoint: Endpoint, revision: str) -> str:
    text = json.dumps([endpoint.name, revision])
    return hashlib.sha256(text.encode()).hexdigest()


def _memo(endpoint: Endpoint, revision: str, cache_dir: str) -> str:
    name = f"endpoint-{_digest(endpoint, revision)[:16]}.json"
    return os.path.join(cache_dir, "models", name)


def packed(vectors: NDArray[np.float32]) -> str:
    """The vectors of the probes as a text, in half precision."""
    return b64encode(vectors.astype("<f2").tobytes()).decode()


def unpacked(text: str) -> NDArray[np.float32] | None:
    """The vectors in such a text, shape (probes, dimension), None where there are none."""
    import numpy as np

    try:
        values = np.frombuffer(b64decode(text, validate=True), "<f2")
        found = values.astype(np.float32).reshape(len(PROBES), -1)
    except ValueError:
        return None
    return found if found.size else None


def check_alike(
    endpoint: Endpoint, vectors: NDArray[np.float32], kept: NDArray[np.float32] | None
) -> None:
    """Raise `ModelError` unless both sets of vectors of the probes are one model's.

    None were kept by an index that says nothing of them.
    """
    import numpy as np

    if kept is None:
        return
    problem = f"{vectors.shape[1]} dimensions instead of {kept.shape[1]}"
    if kept.shape == vectors.shape:
        lengths = np.linalg.norm(kept, axis=1) * np.linalg.norm(vectors, axis=1)
        least = float(
            np.min(np.sum(kept * vectors, axis=1) / np.maximum(lengths, 1e-9))
        )
        if least >= ALIKE:
            return
        problem = f"vectors at a cosine of {least:.3f} to those it gave"
    raise ModelError(
        f"{endpoint.origin} has a different model behind the name {endpoint.name} "
        f"({problem}): set --model-revision to start a new index for it"
    )


class EndpointEmbedder:
    """Embeds queries by an endpoint. Threads must not share one.

    `probes` are what the index says of its model, which is compared with the first query. Nothing
    stays open between two queries.
    """

    def __init__(self, endpoint: Endpoint, probes: str) -> None:
        self._endpoint = endpoint
        self._kept = unpacked(probes)

    def encode_query(self, text: str) -> NDArray[np.float32]:
        """The vector of a query: shape (dimension,), float32, unit length.

        Raises `ModelError` and `ModelUnavailableError`.
        """
        try:
            return in_loop(self._encode(text))
        except ModelUnavailableError as error:
            raise ModelUnavailableError(
                f"{error} (--mode sparse searches by words alone)"
            ) from error

    async def _encode(self, text: str) -> NDArray[np.float32]:
        from indexer.vectors.delivery import Delivery
        from indexer.vectors.requests import Sender

        texts = [text] if self._kept is None else [text, *PROBES]
        async with Sender(self._endpoint) as sender:
            vectors = await Delivery(sender, 1).greet(texts)
        if self._kept is not None:
            check_alike(self._endpoint, vectors[1:], self._kept)
            self._kept = None
        vector: NDArray[np.float32] = vectors[0]
        return vector


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, run in a thread: this one may have an event loop of its own."""
    with closing(LoopThread()) as loop:
        return loop.submit(work).result()
