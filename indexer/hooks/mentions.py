"""Mentions: texts in a file that are meant for an assistant, as codx-junior has them.

The rest of a line after `@codx` and a colon, or all between the tags `codx`. Such a mention
is *pending*. Who works on it puts `-ok, please-wait...` behind the word meanwhile: then the
file is *processing*, and not to be touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from indexer.config import MentionSettings
from indexer.hooks.loop import HookLoop
from indexer.paths import escape_path
from indexer.report import Report
from indexer.text.mentions import find_mentions
from indexer.types import ChangedFile, Mention

if TYPE_CHECKING:
    from asyncio import Semaphore
    from concurrent.futures import Future

POLL = 0.02  # seconds between two looks at the commands


class Mentions:
    """Looks for mentions in changed files, and has the command asked about their files.

    The commands run beside everything else; once it `should_stop`, none is waited for.
    `read_again` reads a file as it is after its command, None where it needs no indexing any
    more. `failed` are the paths of those whose command did not succeed.
    """

    def __init__(
        self,
        settings: MentionSettings,
        folder: str,
        loop: HookLoop,
        report: Report,
        read_again: Callable[[ChangedFile], ChangedFile | None],
        should_stop: Callable[[], object] = lambda: False,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._room: Semaphore | None = None
        self._loop = loop
        self._report = report
        self._read_again = read_again
        self._should_stop = should_stop
        self._asked: list[tuple[ChangedFile, Future[str]]] = []
        self.failed: list[str] = []

    def screen(self, changes: Iterable[ChangedFile]) -> Iterator[ChangedFile | None]:
        """The changes, last those whose command is at work; None as long as all wait."""
        for change in changes:
            is_wanted = self._settings.enabled and not change.is_indexed
            found = find_mentions(change.path, change.data) if is_wanted else []
            for mention in found:
                self._report.mention(mention)
            if found and self._settings.command:
                work = self._ask(_question(change.path, found))
                self._asked.append((change, self._loop.submit(work)))
            else:
                yield change
            yield from self._answered()
        while self._asked and not self._should_stop():
            time.sleep(POLL)
            yield None
            yield from self._answered()

    async def _ask(self, question: dict[str, object]) -> str:
        import asyncio

        from indexer.hooks.command import Command

        settings = self._settings
        if self._room is None:
            self._room = asyncio.Semaphore(settings.concurrency)
        async with self._room:
            command = Command(settings.command, self._folder, settings.timeout)
            return await command.ask(question)

    def _answered(self) -> Iterator[ChangedFile]:
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
            if again := self._read_again(change):
                yield again


def _question(path: str, mentions: list[Mention]) -> dict[str, object]:
    return {
        "path": escape_path(path),
        "mentions": [{"line": one.line, "text": one.text} for one in mentions],
    }
