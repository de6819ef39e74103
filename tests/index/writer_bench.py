"""A writer with a real store, manifest and cache, and a log of what it did."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from indexer.cache.embeddings import EmbeddingCache
from indexer.cache.entry import Source
from indexer.config import Settings
from indexer.index.collection import Collection
from indexer.index.manifest import Manifest
from indexer.index.writer import Writer
from indexer.milvus.embedded import serve
from indexer.milvus.store import Store
from indexer.report import Report
from indexer.types import Audit, Chunk, EmbeddedFile, FileRecord

DIMENSION = 8
PRINT = "c3" * 32
Log = list[tuple[str, Any]]


def make_file(
    path: str, chunks: int, file_hash: str = "h", reason: str = ""
) -> EmbeddedFile:
    rng = np.random.default_rng(len(path) + chunks)
    vectors = rng.standard_normal((chunks, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    spans = tuple(Chunk(n + 1, n + 1, "f", f"line {n}", 3) for n in range(chunks))
    return EmbeddedFile(
        FileRecord(path, None, file_hash, chunks, reason),
        10 * chunks,
        "python",
        spans,
        tuple({n + 1: 1.0} for n in range(chunks)),
        vectors,
    )


class LoggedManifest(Manifest):
    log: Log

    def commit(
        self, records: Iterable[FileRecord] = (), deleted: Iterable[str] = ()
    ) -> None:
        records, deleted = list(records), list(deleted)
        super().commit(records, deleted)
        self.log.append(("commit", [r.path for r in records] + deleted))

    def set(self, **values: str) -> None:
        super().set(**values)
        self.log.append(("set", values))


def log_calls(store: Store, log: Log) -> None:
    """Note each call of a method that writes, once it has returned."""

    def logged(name: str) -> Any:
        method = getattr(store, name)

        def call(*arguments: Any, **options: Any) -> None:
            method(*arguments, **options)
            given = list(arguments[0]) if arguments else []
            if given or not arguments:
                log.append((name, given))

        return call

    for name in ("claim", "upsert", "delete", "finish", "flush"):
        setattr(store, name, logged(name))


class BenchCollection(Collection):
    """The collection of a bench, whose store is open and logged."""

    def __init__(self, bench: Bench) -> None:
        self.settings = Settings(str(bench.folder), str(bench.folder), "")
        self._lease = None
        self._bench = bench

    def open(self) -> Store:
        return self._bench.open_store()


class Bench:
    """A writer with a real store, manifest and cache, and a log of what it did."""

    def __init__(self, folder: Path) -> None:
        self.log: Log = []
        self.folder = folder
        self.manifest = LoggedManifest(str(folder / "manifest.sqlite"))
        self.manifest.log = self.log
        self.cache = EmbeddingCache(str(folder), Source("i" * 64, DIMENSION))
        self.store: Store | None = None
        self.report = Report()

    def open_store(self) -> Store:
        if self.store is None:
            folder = str(self.folder)
            self.store = serve(f"{folder}/milvus.db", folder, "code", patience=1)
            self.store.prepare(PRINT, DIMENSION, {})
            log_calls(self.store, self.log)
        return self.store

    def writer(self, known: Audit | None = None) -> Writer:
        """A new run's writer; it knows what the manifest says, or `known`."""
        self.log.clear()
        self.report = Report()
        known = known or Audit(self.manifest.records(), {})
        collection = BenchCollection(self)
        return Writer(collection, self.manifest, self.cache, known, self.report)

    def calls(self) -> list[str]:
        return [name for name, _ in self.log]

    def rows(self) -> set[tuple[str, int, int]]:
        keys = list(self.open_store().keys())
        rows = {(key.path, key.chunk_no, key.chunk_count) for key in keys}
        assert len(rows) == len(keys)
        return rows

    def close(self) -> None:
        self.cache.close()
        self.manifest.__exit__(None, None, None)
        if self.store is not None:
            self.store.close()
