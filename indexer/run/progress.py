"""What a run tells while it goes on, and what can interrupt it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from indexer.types import Step


class Progress(Protocol):
    """Is told how a run goes on. The implementation that prints is in `cli/`."""

    def step(self, message: str) -> None:
        """A step that takes a while begins."""

    def warn(self, message: str) -> None:
        """Something went wrong that does not stop the run."""

    def scanned(self, files: int) -> None:
        """So many files were looked at so far; told again and again, while the tree is scanned."""

    def start(self, files: int, size: int) -> None:
        """A pass begins: this many files, of `size` bytes in all, may have to be indexed."""

    def advance(self, step: Step) -> None:
        """The run has come further by this step."""


class Interrupts(Protocol):
    """Stops a run in order. The implementation that listens to signals is in `cli/`."""

    @property
    def received(self) -> int:
        """The number of the signal that came, 0 before one has."""

    def deferred(self) -> AbstractContextManager[None]:
        """A block in which a signal only sets `received`. Outside the block there is nothing to
        commit, and a signal ends the run at once by raising `Stopped`."""


class Uninterrupted:
    """Interrupts for a run that nobody stops."""

    received = 0

    def deferred(self) -> AbstractContextManager[None]:
        """A block in which nothing is different."""
        return nullcontext()


UNINTERRUPTED = Uninterrupted()
