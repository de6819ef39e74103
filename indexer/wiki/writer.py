"""Writes pages that are not as they should be, and deletes those that are no longer wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from indexer.report import WikiCounts
from indexer.wiki.batches import batches
from indexer.wiki.output import Output
from indexer.wiki.state import KnownPage, WikiState

_BATCH = 256  # pages between two commits


class PageWriter:
    """Writes the pages of one update and counts them.

    A page's key is a hash of what it is made of. `on_failure` gets the name of each page that
    could not be written or deleted, and the error.
    """

    def __init__(
        self,
        output: Output,
        state: WikiState,
        counts: WikiCounts,
        on_failure: Callable[[str, OSError], None],
    ) -> None:
        self._output = output
        self._state = state
        self._counts = counts
        self._on_failure = on_failure
        self._known = state.pages()

    def stale(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Those of the pages, with their keys, that have another key or were changed by others;
        sorted by name."""
        return {
            name: key
            for name, key in sorted(keys.items())
            if not self._is_current(name, key)
        }

    def _is_current(self, name: str, key: str) -> bool:
        page = self._known.get(name)
        if page is None or page.fields is None or page.key != key:
            return False
        return self._output.fields(name) == page.fields

    def write(self, keys: Mapping[str, str], make: Callable[[str], str | None]) -> None:
        """Write pages with the text that `make` gives for their name; one without text stays as
        it is until the next update."""
        for batch in batches(keys, _BATCH):
            ready = [
                (name, page.encode())
                for name in batch
                if (page := make(name)) is not None
            ]
            self._state.claim(name for name, _ in ready)
            self._state.set_pages(self._written(ready, keys))

    def _written(
        self, ready: Sequence[tuple[str, bytes]], keys: Mapping[str, str]
    ) -> Iterator[tuple[str, KnownPage]]:
        for name, data in ready:
            try:
                fields = self._output.write(name, data)
            except OSError as error:
                self._on_failure(name, error)
                continue
            self._counts.written += name.endswith(".md")
            yield name, KnownPage(keys[name], fields)

    def delete_others(self, wanted: Set[str]) -> None:
        """Delete our pages except those that are wanted."""
        gone = []
        for name in sorted(self._known.keys() - wanted):
            try:
                existed = self._output.delete(name)
                self._counts.deleted += existed and name.endswith(".md")
            except OSError as error:
                self._on_failure(name, error)
                continue
            gone.append(name)
        self._state.forget_pages(gone)
