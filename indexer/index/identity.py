"""What makes two indexes incompatible: the fingerprint and what goes into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from indexer.config import Settings, fingerprint
from indexer.errors import ModelError
from indexer.milvus.schema import SCHEMA_VERSION
from indexer.text.versions import (
    CHUNKER_VERSION,
    SECRETS_VERSION,
    SPARSE_VERSION,
)
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.model import resolve_model


@dataclass(frozen=True, slots=True)
class Identity:
    """What decides whether an index can be used as it is.

    `vectors` is the part of the fingerprint that decides the vectors alone. It names the file of
    the embedding cache, which outlives a new chunker or schema.
    """

    backend: Backend
    vectors: str
    fingerprint: str

    @property
    def properties(self) -> dict[str, str]:
        """What the collection says about itself to readers."""
        return {
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

    `convert` allows converting a model that was never used on this machine. Raises
    `ModelError`, naming the settings file if that is where the model was named.
    """
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
    vectors = vectors_identity(backend)
    whole = fingerprint(
        vectors=vectors,
        chunker=CHUNKER_VERSION,
        schema=SCHEMA_VERSION,
        sparse=SPARSE_VERSION,
        secrets=[settings.secrets, SECRETS_VERSION],
        languages=sorted(settings.languages),
    )
    return Identity(backend, vectors, whole)


def vectors_identity(backend: Backend) -> str:
    """A hash of everything that decides the vector of a text."""
    return fingerprint(
        model=backend.model.digest,
        dimension=backend.model.dimension,
        max_tokens=backend.model.max_tokens,
        precision=backend.precision,
    )
