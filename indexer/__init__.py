"""codx-index: make a Milvus collection equal to a source tree."""

# As in `typing`, which would take a good part of the time of a command that does next to nothing.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from indexer.api import Index

__all__ = ["Index", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # Workers and the command import this package without what a search needs.
    if name == "Index":
        from indexer.api import Index

        return Index
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
