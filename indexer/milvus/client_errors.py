"""What the clients of a Milvus raise, without importing a library just for its classes."""

from __future__ import annotations

import sys

COLLECTION_NOT_FOUND = 100  # Milvus's code


class EngineError(Exception):
    """What milvus-lite's engine refused. `code` is that of Milvus, 1 for any other error."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code

    def __str__(self) -> str:
        return self.message


def client_errors() -> tuple[type[Exception], ...]:
    """The classes of all errors that a client's call may raise, for an `except`.

    A library that nobody has imported cannot raise anything.
    """
    found: list[type[Exception]] = [EngineError, OSError, ValueError]
    if is_imported("pymilvus"):
        from pymilvus.exceptions import MilvusException

        found.append(MilvusException)
    if is_imported("grpc"):
        import grpc

        found.append(grpc.RpcError)
    return tuple(found)


def is_imported(library: str) -> bool:
    """Whether anybody has imported the library, completely."""
    module = sys.modules.get(library)
    spec = getattr(module, "__spec__", None)
    return module is not None and not getattr(spec, "_initializing", False)
