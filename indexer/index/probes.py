"""Whether the index and the cache have the vectors of the model that an endpoint has now."""

from __future__ import annotations

from indexer.address import Endpoint
from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import key_of_text
from indexer.index.collection import Collection
from indexer.index.identity import PROBES, Identity
from indexer.vectors import endpoint as endpoints


def check_probes(
    endpoint: Endpoint,
    identity: Identity,
    collection: Collection,
    cache: EmbeddingCache,
) -> None:
    """Raise `ModelError` where collection or cache have vectors of another model of this name.

    Both may come from another machine. The cache keeps the vectors of the probes among its own,
    so they go where it goes. Nothing is asked of the endpoint.
    """
    import numpy as np

    vectors = endpoints.unpacked(identity.probes)
    assert vectors is not None, "its acquaintance was made"
    about = collection.properties
    if about.get("codx.vectors") == identity.vectors:
        kept = endpoints.unpacked(about.get(PROBES, ""))
        endpoints.check_alike(endpoint, vectors, kept)
    # Not the keys of chunks with these texts, whose vectors are not in half precision.
    keys = [key_of_text(f"probe\0{text}") for text in endpoints.PROBES]
    found = cache.get(keys)
    if len(found) == len(keys):
        endpoints.check_alike(endpoint, vectors, np.stack([found[key] for key in keys]))
    else:
        cache.put(dict(zip(keys, vectors, strict=True)))
