"""`codx-index worker`."""

from __future__ import annotations

import click

from indexer.address import CLUSTERS, is_cluster
from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.declarations import CACHE_DIR, JOBS, LOG_FORMAT, MODEL
from indexer.settings.folders import cache_folder
from indexer.settings.options import options
from indexer.settings.requests import VERBOSE


@click.command()
@click.argument("addr")
@options(JOBS, MODEL, CACHE_DIR, VERBOSE, LOG_FORMAT)
def worker(
    addr: str, jobs: int, model: str, cache_dir: str, verbose: int, log_format: str
) -> int:
    """Chunk and embed for runs on the Dask cluster at ADDR, until a signal stops it.

    ADDR is that of the scheduler, as for run --executor: dask://HOST:PORT, tls://HOST:PORT or
    dask:FILE. A worker runs whatever a client of the scheduler sends it, so let only people
    reach the scheduler who may run code here. Needs the extra codx-index[dask].
    """
    with reporting(Report(), False, verbose, log_format):
        if not is_cluster(addr):
            raise UsageError(
                f"{addr!r} is not the address of a Dask scheduler: {CLUSTERS}"
            )
        from indexer.run.host import serve

        number = serve(addr, cache_folder(cache_dir), [model], jobs, log.info)
    return 128 + number
