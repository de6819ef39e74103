"""One asyncio event loop beside the run, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

# asyncio takes longer to import than a run with nothing to do: only once it is needed.
if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

T = TypeVar("T")

PATIENCE = 2.0  # seconds for what is cancelled to end


class HookLoop:
    """Runs coroutines while the run does its work; the thread starts with the first one.

    Once it is closed, whatever still runs is cancelled.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; the future is its result, or what it raised."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A daemon: nothing that hangs here may keep the process from its end.
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="codx-index hooks", daemon=True
            )
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what still runs, and end the thread."""
        if self._loop is None or self._thread is None:
            return
        import asyncio

        ending = asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
        try:
            ending.result(PATIENCE)
        except TimeoutError:
            return  # left to the end of the process
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = self._thread = None


async def _cancel_all() -> None:
    import asyncio

    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
