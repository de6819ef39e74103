"""The Python interface: `from indexer import Index`.

with Index.open("path/of/a/project") as index:
    for hit in index.search("where are payments retried", limit=5):
        print(hit.path, hit.start_line, hit.score)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from indexer.config import HYBRID
from indexer.search.answers import Answer, Hit, Wanted
from indexer.search.scope import make_scope
from indexer.search.searcher import Searcher, search, similar
from indexer.settings.assembly import reader_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Index:
    """An index, open for queries from any thread until it is closed.

    Model and collection are loaded at the first query and kept. Whatever a run writes, the next
    query sees; a run that wants the embedded database gets it at once. Every method raises
    subclasses of `indexer.errors.CodxIndexError`, whose message is one line: `NoIndexError`
    where there is no index, `StoreUnavailableError` where no Milvus answers.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    @classmethod
    def open(
        cls,
        where: str | os.PathLike[str] = ".",
        *,
        collection: str = "",
        token: str = "",
        cache_dir: str = "",
        trust: bool | None = None,
    ) -> Index:
        """The index of a project, or one that a Milvus server has.

        `where` is a folder of the project, or anything in it; with the address of a server
        (`http://…`) `collection` names the index. Settings come from where the command has them:
        the arguments, the environment (`CODX_INDEX_…`), the files of the project. `trust` as
        `--trust` and `--no-trust`. Opens nothing yet.
        """
        settings = reader_settings(
            os.fspath(where),
            collection=collection,
            token=token,
            cache_dir=cache_dir,
            trust=trust,
        )
        return cls(Searcher(settings, keeps_open=True))

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: str = HYBRID,
        language: str = "",
        paths: Sequence[str] = (),
        context: int = 0,
    ) -> list[Hit]:
        """The files that answer the query, best first, each by its best chunk.

        `mode` is "hybrid", "dense" (by meaning) or "sparse" (by words, no model). `paths` are
        patterns as in a `.gitignore`. `context` is the number of lines around the chunk.
        """
        return self.answer(
            query,
            limit=limit,
            mode=mode,
            language=language,
            paths=paths,
            context=context,
        ).hits

    def answer(
        self,
        query: str,
        *,
        limit: int = 10,
        mode: str = HYBRID,
        language: str = "",
        paths: Sequence[str] = (),
        context: int = 0,
    ) -> Answer:
        """The same, with notes on how the hits were found."""
        wanted = Wanted(limit, mode, make_scope(language, paths), context)
        return search([self._searcher], query, wanted)

    def similar(
        self,
        path: str,
        line: int,
        *,
        limit: int = 10,
        language: str = "",
        paths: Sequence[str] = (),
        context: int = 0,
    ) -> list[Hit]:
        """The files with code like that at a line (1-based) of a file, whose `path` is as in
        hits."""
        wanted = Wanted(limit, HYBRID, make_scope(language, paths), context)
        return similar(self._searcher, path, line, wanted).hits

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector, of unit length, by the model that the collection names: for
        whoever searches the collection by other means."""
        return self._searcher.embed(query)

    def status(self) -> dict[str, Any]:
        """What the index is: `project`, `collection`, `model`, its `chunks`, how many of them
        are `embedded`, and a `remark` on its age, "" where there is none."""
        from indexer.search.freshness import remark

        settings, about = self._searcher.settings, self._searcher.about()
        return {
            "project": settings.project,
            "collection": settings.collection_name,
            "uri": settings.address,
            "model": about.get("codx.model", ""),
            "fingerprint": about.get("codx.fingerprint", ""),
            "chunks": about["chunks"],
            "embedded": about["embedded"],
            "remark": remark(settings),
        }

    def close(self) -> None:
        """Let go of the collection."""
        self._searcher.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
