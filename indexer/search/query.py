"""The vector of a query."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

from indexer.address import endpoint_name
from indexer.config import Settings
from indexer.errors import ModelError, UsageError
from indexer.index.identity import PROBES, vectors_identity
from indexer.search.connection import Properties
from indexer.vectors.backend import Backend
from indexer.vectors.choice import choose_backend
from indexer.vectors.embedders import Embedder, load_embedder
from indexer.vectors.graph_folder import is_ready
from indexer.vectors.model import resolve_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.vectors.endpoint import EndpointEmbedder


class QueryEmbedder:
    """Embeds queries with the model that a collection names. Threads may share it.

    So an index keeps answering while the next one is built with another model. Models
    stay loaded. Raises `ModelError` if the model is not the one that the vectors came from.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Embedder | EndpointEmbedder] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        query: str,
        properties: Properties,
        before_compiling: Callable[[], None] = lambda: None,
    ) -> NDArray[np.float32]:
        """The vector of a query, of unit length and shape (dimension,).

        `before_compiling` is as in `load_embedder`.
        """
        with self._lock:
            embedder = self._embedder(properties, before_compiling)
            return embedder.encode_query(query)

    def begin(
        self, executor: Executor, query: str, properties: Properties
    ) -> Future[NDArray[np.float32]]:
        """Begin to embed a query in a thread of this executor.

        Returns once the embedding needs little of Python, so that both threads make progress.
        """
        is_compiling = threading.Event()
        vector = executor.submit(self, query, properties, is_compiling.set)
        vector.add_done_callback(lambda _: is_compiling.set())
        is_compiling.wait()
        return vector

    def is_quick(self, properties: Properties) -> bool:
        """Whether the model is known to need no conversion first, and no network."""
        if endpoint_name(properties.get("codx.model", "")):
            return False
        if properties.get("codx.vectors") in self._loaded:
            return True
        try:
            return is_ready(self._backend(properties, convert=False))
        except (ModelError, UsageError):
            return False

    def _embedder(
        self, properties: Properties, before_compiling: Callable[[], None]
    ) -> Embedder | EndpointEmbedder:
        identity = properties.get("codx.vectors", "")
        if name := endpoint_name(properties.get("codx.model", "")):
            if identity not in self._loaded:
                self._loaded[identity] = self._of_endpoint(name, properties)
            return self._loaded[identity]
        if identity not in self._loaded:
            backend = self._backend(properties, convert=True)
            if identity != vectors_identity(backend):
                raise ModelError(self._not_here(backend))
            self._loaded[identity] = load_embedder(
                backend, before_compiling=before_compiling
            )
        return self._loaded[identity]

    def _of_endpoint(self, name: str, properties: Properties) -> EndpointEmbedder:
        """What embeds queries for an index made with an endpoint's model.

        The address comes from the settings alone, because an index may be somebody else's.
        """
        from indexer.vectors.endpoint import EndpointEmbedder, endpoint_backend

        settings, endpoint = self._settings, self._settings.endpoint
        if endpoint is None or endpoint.name != name:
            raise ModelError(
                f"the index was embedded by an endpoint's model, {name}: give the endpoint "
                f"with --model openai+https://HOST/v1#{name}, or search by words alone with "
                "--mode sparse"
            )
        backend = endpoint_backend(
            endpoint, settings.model_revision, 0, settings.cache_dir
        )
        if properties.get("codx.vectors") != vectors_identity(backend):
            raise ModelError(
                f"the index was built with a different --model-revision of {name}: bring it "
                "up to date with codx-index run, or search by words alone with --mode sparse"
            )
        return EndpointEmbedder(endpoint, properties.get(PROBES, ""))

    def _not_here(self, backend: Backend) -> str:
        """What to say if the model that was found here is not the index's."""
        what = f"the index was built with a different {backend.model.name} or precision"
        by_words = "search by words alone with --mode sparse"
        if self._settings.project:
            return f"{what}: bring it up to date with codx-index run, or {by_words}"
        return f"{what} than this machine has ({backend.precision} here): {by_words}"

    def _backend(self, properties: Properties, *, convert: bool) -> Backend:
        settings = self._settings
        name = properties.get("codx.model", settings.model)
        try:
            model = resolve_model(name, settings.cache_dir)
        except ModelError as error:
            if settings.project:
                raise
            raise ModelError(
                f"a query needs the model of the index, {name}, or --mode sparse: {error}"
            ) from error
        precision = properties.get("codx.precision", settings.precision)
        return choose_backend(model, settings.cache_dir, precision, convert=convert)


def shared_embedders(projects: Sequence[Settings]) -> list[QueryEmbedder]:
    """An embedder for each project; those whose settings name the same model share one."""
    names = [(one.model, one.model_revision) for one in projects]
    made = {name: QueryEmbedder(one) for name, one in zip(names, projects, strict=True)}
    return [made[name] for name in names]


def vectors(properties: Properties) -> tuple[str | None, str | None]:
    """What decides which model may embed a query for the collection."""
    return properties.get("codx.model"), properties.get("codx.vectors")
