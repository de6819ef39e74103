"""codx-index: make a Milvus collection equal to a source tree."""

__version__ = "0.1.0"
