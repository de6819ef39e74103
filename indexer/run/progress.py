"""How a run tells of its progress, and how it is interrupted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from indexer.types import Step


class Progress(Protocol):
    """Told how a run goes; the one implementation that prints is in `commands`."""

    def step(self, message: str) -> None:
        """A step that takes a while begins."""

    def warn(self, message: str) -> None:
        """Something did not go as it should, and the run goes on."""

    def start(self, files: int, size: int) -> None:
        """So many files, of so many bytes in all, may have to be indexed."""

    def advance(self, step: Step) -> None:
        """So much more is done."""


class Interrupts(Protocol):
    """How a run is stopped in order; the one implementation that does is in `commands`.

    `received` is the number of the signal that came, 0 while none has.
    """

    received: int

    def deferred(self) -> AbstractContextManager[None]:
        """A block in which a signal only sets `received`. Outside it ends the run at once
        by raising `Stopped`: there is nothing to commit."""


class Uninterrupted:
    """Nobody stops this run."""

    received = 0

    def deferred(self) -> AbstractContextManager[None]:
        """Any block."""
        return nullcontext()


UNINTERRUPTED = Uninterrupted()
