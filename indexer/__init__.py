"""codx-index: make a Milvus collection equal to a source tree."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from indexer.api import Index

__all__ = ["Index", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # A worker, and the command, import this package without what it takes to search.
    if name == "Index":
        from indexer.api import Index

        return Index
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
