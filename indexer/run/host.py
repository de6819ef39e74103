"""This machine as a worker of a Dask cluster, until a signal ends it."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from indexer.errors import ClusterUnavailableError, UsageError
from indexer.pool.cpus import available_cpus
from indexer.work.cluster_host import THREADS, Host, be
from indexer.work.dask_library import (
    check_installed,
    import_distributed,
    scheduler_address,
)

WAIT_SECONDS = 60.0  # for a scheduler that is not there, at the start or later
_RETRY_SECONDS = 1.0
_IDLE_LOOK_SECONDS = 30.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def serve(
    cluster: str,
    cache_dir: str,
    models: Sequence[str],
    jobs: int,
    on_step: Callable[[str], None],
) -> int:
    """Work for a cluster with so many `jobs` (0: one a CPU). Returns the number of the signal that
    ended it.

    A scheduler that goes away is waited for. `models` are names or folders that recipes need not
    name. Raises `ClusterUnavailableError` after `WAIT_SECONDS` without a scheduler, and `UsageError`
    without the extra.
    """
    check_installed("codx-index worker")
    host = Host(cache_dir, models, jobs or available_cpus(), on_step)
    be(host)
    try:
        with tempfile.TemporaryDirectory(prefix="codx-index-") as scratch:
            return asyncio.run(_serve(cluster, host, scratch, on_step))
    finally:
        be(None)
        host.close()


async def _serve(
    cluster: str, host: Host, scratch: str, on_step: Callable[[str], None]
) -> int:
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    for number in _SIGNALS:
        loop.add_signal_handler(number, _stop, stopped, number)
    distributed = import_distributed(is_worker=True)
    sweeping = asyncio.create_task(_sweep(host))
    left_at = time.monotonic()
    try:
        while not stopped.done():
            if time.monotonic() - left_at > WAIT_SECONDS:
                raise ClusterUnavailableError(
                    f"no Dask scheduler answers at {cluster}: start one with dask scheduler"
                )
            worker = await _connected(distributed, cluster, host, scratch, stopped)
            if worker is None:
                await asyncio.wait([stopped], timeout=_RETRY_SECONDS)
                continue
            on_step(f"working for {cluster} with {host.jobs} processes")
            ended = asyncio.create_task(worker.finished())
            await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
            await worker.close(timeout=1, executor_wait=False)
            await ended
            left_at = time.monotonic()
            if not stopped.done():
                on_step(f"{cluster} is gone; waiting for it to return")
        return stopped.result()
    finally:
        sweeping.cancel()


async def _connected(
    distributed: Any,
    cluster: str,
    host: Host,
    scratch: str,
    stopped: asyncio.Future[int],
) -> Any:
    """A worker of Dask that is connected to the scheduler, None where it cannot be now.

    It has no nanny, whose children may have no processes of their own.
    """
    try:
        worker = distributed.Worker(
            scheduler_address(cluster),
            nthreads=THREADS * host.jobs,
            memory_limit=0,
            local_directory=scratch,
            dashboard_address="127.0.0.1:0",
            death_timeout=WAIT_SECONDS,
        )
    except ClusterUnavailableError:  # there is no such file yet
        return None
    except (TypeError, ValueError, RuntimeError) as error:  # of the settings of TLS
        raise UsageError(f"{cluster} cannot be used: {error}") from error
    starting = asyncio.ensure_future(worker)
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done() and not starting.exception():
        return worker
    starting.cancel()
    await worker.close(timeout=1, executor_wait=False)
    return None


async def _sweep(host: Host) -> None:
    while True:
        await asyncio.sleep(_IDLE_LOOK_SECONDS)
        await asyncio.to_thread(host.drop_idle)


def _stop(stopped: asyncio.Future[int], number: int) -> None:
    if not stopped.done():
        stopped.set_result(number)
