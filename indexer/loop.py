"""An asyncio event loop in its own thread beside the run."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

# Importing asyncio takes longer than a run with nothing to do, so it waits until it is needed.
if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

T = TypeVar("T")

PATIENCE = 2.0  # seconds that cancelled coroutines have to end


class LoopThread:
    """Runs coroutines beside the run. The first one starts the thread; `close` ends it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine; the future gets its result or the exception that it raised."""
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A daemon, because a coroutine that hangs must not keep the process alive.
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="codx-index loop", daemon=True
            )
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel the coroutines that still run and end the thread."""
        if self._loop is None or self._thread is None:
            return
        import asyncio

        ending = asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop)
        try:
            ending.result(PATIENCE)
        except TimeoutError:
            return  # the end of the process takes care of it
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
