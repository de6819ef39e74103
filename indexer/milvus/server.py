"""Connects to a Milvus that somebody else serves."""

from __future__ import annotations

import contextlib
import os
import time

from indexer.errors import StoreUnavailableError
from indexer.milvus.store import Store

CONNECT_ATTEMPTS = 4


CONNECT_PAUSE = 0.25  # seconds; doubles


def connect(uri: str, token: str, name: str) -> Store:
    """A Milvus that somebody else serves.

    Raises `StoreUnavailableError` after a few attempts: pymilvus tells a dead server, a
    wrong token and a wrong certificate apart no better than this.
    """
    silence()
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    pause = CONNECT_PAUSE
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            # Clients of one address share a channel unless told otherwise.
            client = MilvusClient(uri, token=token, timeout=10, dedicated=True)
            return Store(client, name, uri, embedded=False)
        except (MilvusException, OSError, ValueError) as error:
            if attempt + 1 == CONNECT_ATTEMPTS:
                raise StoreUnavailableError(
                    f"no Milvus answers at {uri}: is it running, is the token right, "
                    "and does the scheme (http or https) match its certificate?"
                ) from error
        time.sleep(pause)
        pause *= 2
    raise AssertionError("unreachable")


def silence() -> None:
    """pymilvus and milvus-lite log whole tracebacks of what we report in one line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # Or it reads, when it is imported, the `.env` of any folder above itself: of the project,
    # where that has the virtual environment.
    os.environ["PYTHON_DOTENV_DISABLED"] = "1"
    import logging

    import pymilvus  # noqa: F401  (it sets its loggers up when it is imported)

    with contextlib.suppress(ImportError):
        from pymilvus.client.utils import SciPyHelper

        # Or it imports scipy, to see whether a sparse vector is one of scipy's.
        SciPyHelper._checked = True
    for name in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
