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
from indexer.search.finding import explain
from indexer.search.scope import line_pattern, make_scope
from indexer.search.searcher import Searcher, search, similar, similar_to
from indexer.settings.assembly import reader_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from indexer.search.symbols import Outline
    from indexer.search.uses import Use


class Index:
    """An index, open for queries from any thread until it is closed.

    The first query loads the model and the collection, which then stay open. A query sees
    everything that earlier runs wrote, and never keeps a run from opening the embedded database.
    Every method raises subclasses of `indexer.errors.CodxIndexError` with a one-line message:
    `NoIndexError` if there is no index, `StoreUnavailableError` if no Milvus answers.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    @classmethod
    def open(
        cls,
        where: str | os.PathLike[str] = ".",
        *,
        collection: str = "",
        shared_collection: str = "",
        projects: Sequence[str] | None = (),
        token: str = "",
        cache_dir: str = "",
        state_dir: str = "",
        trust: bool | None = None,
        model: str = "",
    ) -> Index:
        """The index of a project, or an index on a Milvus server.

        `where` is the folder of the project or a folder in it, or the address of a server
        (`http://…`); then `collection` names the index, and no folder is needed. Settings come
        from the same places as those of the command: the arguments, the environment
        (`CODX_INDEX_…`), the files of the project. In a `shared_collection`, queries search
        the `projects` with these names and rank them together; None means all of them, and the default
        is the project at `where`. `trust` is like `--trust` and `--no-trust`.
        If an endpoint embedded the index, `model` is its address, as for `--model`. Nothing is
        opened yet.

        Raises `UsageError` for a setting that is invalid or needs trust, and `ProjectError` if
        there is no such folder.
        """
        settings = reader_settings(
            os.fspath(where),
            collection=collection,
            shared_collection=shared_collection,
            projects=projects,
            token=token,
            cache_dir=cache_dir,
            state_dir=state_dir,
            trust=trust,
            model=model,
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
        grep: str = "",
        changed: str | None = None,
    ) -> list[Hit]:
        """The files that answer the query, best first, each with its best chunk.

        `mode` is "hybrid", "dense" (by meaning) or "sparse" (by words, without a model). `paths`
        are patterns as in a `.gitignore`. `context` is a number of lines around the chunk. `grep`
        keeps only chunks with a line that matches this RE2 regular expression (`(?i)` ignores case),
        and `changed` only files that differ from this commit of git ("HEAD", "origin/main").
        """
        return self.answer(
            query,
            limit=limit,
            mode=mode,
            language=language,
            paths=paths,
            context=context,
            grep=grep,
            changed=changed,
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
        grep: str = "",
        changed: str | None = None,
    ) -> Answer:
        """Like `search`, with notes on how the hits were found."""
        scope, pattern = make_scope(language, paths), line_pattern(grep)
        wanted = Wanted(limit, mode, scope, context, pattern, changed)
        answer = search([self._searcher], query, wanted)
        explain(answer, [self._searcher.settings], wanted)
        return answer

    def similar(
        self,
        path: str,
        line: int,
        *,
        limit: int = 10,
        language: str = "",
        paths: Sequence[str] = (),
        context: int = 0,
        grep: str = "",
        changed: str | None = None,
    ) -> list[Hit]:
        """The files with code like that at a line (1-based) of a file.

        `path` is written as in hits. The rest is as in `search`.
        """
        scope, pattern = make_scope(language, paths), line_pattern(grep)
        wanted = Wanted(limit, HYBRID, scope, context, pattern, changed)
        return similar(self._searcher, path, line, wanted).hits

    def similar_to(
        self,
        code: str,
        *,
        limit: int = 10,
        language: str = "",
        paths: Sequence[str] = (),
        context: int = 0,
    ) -> list[Hit]:
        """The files with code like this, which need not be in the index."""
        wanted = Wanted(limit, HYBRID, make_scope(language, paths), context)
        return similar_to([self._searcher], code, wanted).hits

    def outline(self, path: str = "") -> Outline:
        """The symbols of a file with their lines, or what is directly in a folder.

        `path` is as in hits, "" for the whole project.
        """
        from indexer.search.symbols import outline

        return outline(self._searcher, path)

    def uses(
        self, name: str, *, language: str = "", paths: Sequence[str] = ()
    ) -> list[Use]:
        """Every line of the indexed text that contains an identifier as a whole word.

        Those in files that define it come first. Case counts.
        """
        from indexer.search.uses import uses

        return [*uses(self._searcher, name, make_scope(language, paths)).uses]

    def embed(self, query: str) -> NDArray[np.float32]:
        """The query's vector: one dimension, unit length, from the collection's own model.

        It is meant for anyone who searches the collection by other means.
        """
        return self._searcher.embed(query)

    def status(self) -> dict[str, Any]:
        """What the index is and holds.

        `project`, `collection`, `uri`, `model` and `fingerprint` identify it. `chunks` is its
        number of chunks, and `embedded` how many of them have a vector. `remark` says that it is
        out of date, or that this is unknown; "" if it is up to date.
        """
        from indexer.search.freshness import remark

        settings, about = self._searcher.settings, self._searcher.about()
        return {
            "project": self._searcher.project,
            "collection": settings.collection_name,
            "uri": settings.address,
            "model": about.get("codx.model", ""),
            "fingerprint": about.get("codx.fingerprint", ""),
            "chunks": about["chunks"],
            "embedded": about["embedded"],
            "remark": remark(settings),
        }

    def close(self) -> None:
        """Close the collection."""
        self._searcher.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
