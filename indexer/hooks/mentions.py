"""Mentions: texts in a file that address an assistant, in the form that codx-junior defined.

A mention is the rest of a line after `@codx` and a colon, or everything between two `codx` tags.
It is *pending* until somebody works on it, and marks that by putting `-ok, please-wait...` behind
the word: then the file is *processing* and must not be touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from indexer.config import MentionSettings
from indexer.loop import LoopThread
from indexer.paths import escape_path
from indexer.report import Report
from indexer.text.mentions import find_mentions
from indexer.types import ChangedFile, Mention

if TYPE_CHECKING:
    from concurrent.futures import Future

    from indexer.hooks.command import Command

POLL = 0.02  # seconds between two looks at the commands


class Mentions:
    """Looks for mentions in changed files and asks the command about the files that have some.

    The commands run in `folder`, beside everything else. `failed` holds the paths of the files
    whose command failed.
    """

    def __init__(
        self, settings: MentionSettings, folder: str, loop: LoopThread, report: Report
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._loop = loop
        self._report = report
        self._command: Command | None = None
        self._asked: list[tuple[ChangedFile, Future[str]]] = []
        self.failed: list[str] = []

    def screen(
        self,
        changes: Iterable[ChangedFile],
        read_again: Callable[[ChangedFile], ChangedFile | None],
        should_stop: Callable[[], object],
    ) -> Iterator[ChangedFile | None]:
        """The changes, each after its command if it has one; None while all of them wait.

        `read_again` reads a file as its command left it, and returns None if it needs no
        indexing any more. Once `should_stop`, no command is waited for.
        """
        for change in changes:
            is_wanted = self._settings.enabled and not change.is_indexed
            found = find_mentions(change.path, change.data) if is_wanted else []
            for mention in found:
                self._report.mention(mention)
            if found and self._settings.command:
                self._asked.append((change, self._ask(_question(change.path, found))))
            else:
                yield change
            yield from self._answered(read_again)
        while self._asked and not should_stop():
            time.sleep(POLL)
            yield None
            yield from self._answered(read_again)

    def _ask(self, question: dict[str, object]) -> Future[str]:
        from indexer.hooks.command import Command

        if self._command is None:
            settings = self._settings
            self._command = Command(
                settings.command, self._folder, settings.timeout, settings.concurrency
            )
        return self._loop.submit(self._command.ask(question))

    def _answered(
        self, read_again: Callable[[ChangedFile], ChangedFile | None]
    ) -> Iterator[ChangedFile]:
        if not self._asked:
            return
        from indexer.hooks.command import CommandError

        answered = [pair for pair in self._asked if pair[1].done()]
        self._asked = [pair for pair in self._asked if not pair[1].done()]
        for change, future in answered:
            try:
                future.result()
                self._report.mentions.succeeded += 1
            except CommandError as error:
                self._report.mentions.failed += 1
                self._report.fail(change.path, f"the mentions command failed: {error}")
                self.failed.append(change.path)
            if again := read_again(change):
                yield again


def _question(path: str, mentions: list[Mention]) -> dict[str, object]:
    return {
        "path": escape_path(path),
        "mentions": [{"line": one.line, "text": one.text} for one in mentions],
    }
