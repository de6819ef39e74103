"""Brings the state up to date with the sources, and makes the material from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from indexer.tree.git import blob_id
from indexer.wiki.batches import batches
from indexer.wiki.describe import Description
from indexer.wiki.folders import folders_of
from indexer.wiki.material import Material
from indexer.wiki.related import packed_mean, update_related
from indexer.wiki.resolver import Resolver
from indexer.wiki.sources import Sources
from indexer.wiki.state import KnownFile, WikiState

_BATCH = 256  # files between two commits
_SUMMARIES = 32  # files that are asked about at once


class Learner:
    """Asks the sources about files that are new or have changed, and about no others."""

    def __init__(self, state: WikiState, sources: Sources) -> None:
        self._state = state
        self._sources = sources
        self._records = {
            path: record
            for path, record in sources.records.items()
            if record.chunk_count > 0
        }

    def learn(self) -> Material:
        """Learn what has changed; returns the material of all pages."""
        self._describe_changed()
        self._fetch_vectors()
        self._relate()
        files = self._state.files()
        targets = _targets(files)
        documents = {p for p, file in files.items() if file.language == "markdown"}
        links = {path: targets.pop(path) for path in documents}
        places = self._state.places()
        related = {path: place.related or () for path, place in places.items()}
        folders, summaries = folders_of(files), self._summaries(files)
        return Material(
            files,
            folders,
            targets,
            _reversed(targets),
            links,
            _reversed(links),
            related,
            summaries,
        )

    def keep_texts(self, paths: Iterable[str], material: Material) -> None:
        """See that the state has the texts of these files, if they can still be read."""
        kept = self._state.kept()
        missing = sorted(path for path in paths if path not in kept)
        for batch in batches(self._described_as(material.files, missing), _BATCH):
            self._keep(batch)

    def _describe_changed(self) -> None:
        known = self._state.files()
        changed = [
            path
            for path, record in self._records.items()
            if path not in known or known[path].file_hash != record.file_hash
        ]
        for batch in batches(self._descriptions(sorted(changed)), _BATCH):
            self._state.describe(batch)
            self._keep(batch)

    def _descriptions(self, paths: Iterable[str]) -> Iterator[Description]:
        """Descriptions of those files that still have the bytes that are indexed."""
        return self._sources.describe(self._current(paths))

    def _current(self, paths: Iterable[str]) -> Iterator[tuple[str, str, bytes]]:
        for path in paths:
            data = self._sources.read(path)
            file_hash = self._records[path].file_hash
            object_format = "sha256" if len(file_hash) == 64 else "sha1"
            if data is not None and blob_id(data, object_format) == file_hash:
                yield path, file_hash, data

    def _described_as(
        self, files: Mapping[str, KnownFile], paths: Iterable[str]
    ) -> Iterator[Description]:
        """Descriptions of those files that the state knows by their present bytes. It may know
        others by older bytes, because they could not be read."""
        for file in self._descriptions(paths):
            if file.file_hash == files[file.path].file_hash:
                yield file

    def _keep(self, found: Iterable[Description]) -> None:
        self._state.keep_texts((file.path, file.text) for file in found)

    def _fetch_vectors(self) -> None:
        # Files that are found by words alone have no vectors, or have lost them.
        by_words = {p for p, record in self._records.items() if record.by_words}
        self._state.forget_vectors(by_words)
        wanted = [
            path
            for path in self._state.without_vector()
            if path in self._records and path not in by_words
        ]
        for batch in batches(wanted, _BATCH):
            records = [self._records[path] for path in batch]
            self._state.set_vectors(
                (path, packed_mean(vectors))
                for path, vectors in self._sources.vectors(records)
            )

    def _relate(self) -> None:
        places = self._state.places()
        gone = places.keys() - self._records.keys()
        current = {path: place for path, place in places.items() if path not in gone}
        self._state.relate(update_related(current).items(), gone)

    def _summaries(self, files: Mapping[str, KnownFile]) -> dict[str, str]:
        """Summaries by file_hash. If the command has none for a file, the next update asks it
        again."""
        summarize, key = self._sources.summarize, self._sources.summary_key
        if summarize is None:
            return {}
        known = self._state.summaries(key)
        by_hash = {files[path].file_hash: path for path in sorted(files, reverse=True)}
        lacking = [
            path for file_hash, path in by_hash.items() if file_hash not in known
        ]
        for batch in batches(self._described_as(files, sorted(lacking)), _SUMMARIES):
            by_path = {file.path: file.file_hash for file in batch}
            found = {
                by_path[path]: _without_surrogates(summary)
                for path, summary in summarize(batch)
                if path in by_path and summary.strip()
            }
            self._state.set_summaries(key, found.items())
            known |= found
        return known


def _reversed(targets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The paths that have each target, sorted."""
    found = defaultdict(list)
    for path in sorted(targets):
        for target in targets[path]:
            found[target].append(path)
    return found


def _targets(files: Mapping[str, KnownFile]) -> dict[str, tuple[str, ...]]:
    """The files that each file imports, or as a document links to, by path."""
    modules = {path: file.module for path, file in files.items() if file.module}
    resolver = Resolver(files.keys(), modules)
    return {
        path: resolver.resolve(path, file.language, file.imports)
        for path, file in files.items()
    }


def _without_surrogates(text: str) -> str:
    """A text without lone surrogates, which JSON may contain."""
    return text.encode("utf-8", "replace").decode()
