"""What makes two indexes incompatible: the fingerprint and what goes into it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from indexer.address import Endpoint
from indexer.config import Settings, fingerprint
from indexer.errors import ModelError
from indexer.milvus.schema import SCHEMA_VERSION
from indexer.text.versions import (
    CHUNKER_VERSION,
    SECRETS_VERSION,
    SPARSE_VERSION,
)
from indexer.vectors.backend import ENDPOINT, Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model

PROBES = "codx.probes"  # a property of the collection


class Identity(Struct, frozen=True):
    """What decides whether an index can be used as it is.

    `vectors` is the part of the fingerprint that decides the vectors alone. It names the file of
    the embedding cache, which outlives a new chunker or schema. `probes` are the vectors by which
    the model of an endpoint is known again, "" for any other and until it was asked.
    """

    backend: Backend
    vectors: str
    fingerprint: str
    probes: str = ""

    @property
    def properties(self) -> dict[str, str]:
        """What the collection says about itself to readers."""
        about = {PROBES: self.probes} if self.probes else {}
        return {
            **about,
            "codx.model": self.backend.model.name,
            "codx.precision": self.backend.precision,
            "codx.vectors": self.vectors,
            "codx.chunker": str(CHUNKER_VERSION),
            "codx.schema": str(SCHEMA_VERSION),
            "codx.sparse": str(SPARSE_VERSION),
        }


def identify(
    settings: Settings,
    *,
    convert: bool = False,
    on_step: Callable[[str], None] = lambda message: None,
) -> Identity:
    """Find the model and how it runs on this machine, which is cheap once both are known.

    `convert` allows converting a model that was never used on this machine, and asking an endpoint
    that was never asked. Raises
    `ModelError`, naming the settings file if that is where the model was named.
    """
    if settings.endpoint is not None:
        return _of_endpoint(settings, settings.endpoint, asks=convert)
    try:
        model = resolve_model(settings.model, settings.cache_dir)
    except ModelError as error:
        if not settings.model_from:
            raise
        raise ModelError(f"{settings.model_from}: {error}") from error
    backend = choose_backend(
        model,
        settings.cache_dir,
        settings.precision,
        convert=convert,
        on_step=on_step,
    )
    return _identity(settings, backend)


def _of_endpoint(settings: Settings, endpoint: Endpoint, *, asks: bool) -> Identity:
    """The identity of a model behind an endpoint, whose dimension may be 0 unless it `asks`."""
    from indexer.vectors.endpoint import (
        endpoint_backend,
        make_acquaintance,
        recall_acquaintance,
    )

    revision, cache_dir = settings.model_revision, settings.cache_dir
    backend = endpoint_backend(endpoint, revision, settings.model_max_tokens, cache_dir)
    known = recall_acquaintance(endpoint, revision, cache_dir)
    is_enough = known is not None and known.max_tokens >= backend.model.max_tokens
    if asks and not is_enough:
        known = make_acquaintance(endpoint, revision, backend)
    identity = _identity(settings, backend)
    if known is None:
        return identity
    model = replace(backend.model, dimension=known.dimension)
    backend = replace(backend, model=model)
    return replace(identity, backend=backend, probes=known.probes)


def _identity(settings: Settings, backend: Backend) -> Identity:
    vectors = vectors_identity(backend)
    about = {}
    if backend.kind == ENDPOINT:
        # How texts are measured decides where they are cut, and no vector.
        model = backend.model
        about = {"max_tokens": model.max_tokens, "has_tokenizer": bool(model.folder)}
    whole = fingerprint(
        **about,
        vectors=vectors,
        chunker=CHUNKER_VERSION,
        schema=SCHEMA_VERSION,
        sparse=SPARSE_VERSION,
        secrets=[settings.secrets, SECRETS_VERSION],
        languages=sorted(settings.languages),
    )
    return Identity(backend, vectors, whole)


def vectors_identity(backend: Backend) -> str:
    """A hash of everything that decides the vector of a text.

    Of an endpoint that is the model's name and revision: its dimension is not asked for each time.
    """
    if backend.kind == ENDPOINT:
        return fingerprint(endpoint=backend.model.digest)
    return fingerprint(
        model=backend.model.digest,
        dimension=backend.model.dimension,
        max_tokens=backend.model.max_tokens,
        precision=backend.precision,
    )
