"""codx-index: make a Milvus collection equal to a source tree."""

# As `typing` has it, whose import counts in that of a command that does next to nothing.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from indexer.api import Index

__all__ = ["Index", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # A worker, and the command, import this package without what it takes to search.
    if name == "Index":
        from indexer.api import Index

        return Index
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
