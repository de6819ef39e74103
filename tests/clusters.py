"""A Dask cluster on this machine: a scheduler and workers, each a process with its own folders."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from conftest import COMMAND, make_cache, wait_for

# The scheduler has no codx-index, as where somebody else runs it.
_SCHEDULER = """
import sys
sys.modules["indexer"] = None
from distributed.cli.dask_scheduler import main
main()
"""


class LocalCluster:
    """A scheduler below `folder`, and the workers that were added.

    With `is_secret`, all talk TLS, with certificates of an authority of their own. `variables` name
    them to whoever wants to take part.
    """

    def __init__(
        self, folder: Path, model_cache: Path, is_secret: bool = False
    ) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self.variables = _certified(folder) if is_secret else {}
        self._scheme = "tls" if is_secret else "dask"
        self._model_cache = model_cache
        self._number = 0
        self.workers: list[subprocess.Popen[bytes]] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.scheduler = self.start_scheduler()

    @property
    def executor(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def file(self) -> Path:
        """Where the scheduler has written its address."""
        return self._folder / "scheduler.json"

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        protocol = "tls" if self._scheme == "tls" else "tcp"
        where = (
            *("--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"),
            *("--protocol", protocol, "--scheduler-file", str(self.file)),
        )
        self.scheduler = self._start(
            "scheduler", sys.executable, "-c", _SCHEDULER, *where
        )
        wait_for(self._is_answered)
        return self.scheduler

    def add_worker(
        self, jobs: int = 1, addr: str = "", **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker, which may not have joined yet."""
        addr = addr or self.executor
        command = (COMMAND, "worker", addr, "--jobs", str(jobs), "-v")
        self.workers.append(self._start("worker", *command, **variables))
        return self.workers[-1]

    def wait_for_workers(self, number: int) -> None:
        wait_for(lambda: len(self.ask("ncores")) == number)

    def ask(self, what: str) -> Any:
        """What the scheduler says of its `ncores` or of its `tasks`."""
        import distributed

        address = f"tcp://127.0.0.1:{self.port}"
        make: Any = distributed.Client
        with make(address, set_as_default=False, timeout=30) as client:
            if what == "ncores":
                return client.nthreads()
            # A lambda travels by value: nothing of ours can be imported there.
            return client.run_on_scheduler(
                lambda dask_scheduler: list(dask_scheduler.tasks)
            )

    def log(self) -> str:
        return "".join(path.read_text() for path in sorted(self._folder.glob("*/log")))

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            kill(process)

    def _is_answered(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _start(
        self, name: str, *command: str, **variables: str
    ) -> subprocess.Popen[bytes]:
        self._number += 1
        home = self._folder / f"{name}-{self._number}"
        cache = make_cache(home / "cache", self._model_cache)
        with open(home / "log", "wb") as log:
            return subprocess.Popen(
                command,
                cwd=home,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(home),
                    "CODX_INDEX_CACHE_DIR": str(cache),
                    **self.variables,
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _certified(folder: Path) -> dict[str, str]:
    """A certificate for this machine, for any part in a cluster, as Dask's settings name it."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    own = authority.issue_cert("127.0.0.1", "localhost")
    own.private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    parts = ("SCHEDULER", "WORKER", "CLIENT")
    named = {"CA_FILE": "authority.pem"} | {f"{one}__CERT": "own.pem" for one in parts}
    return {
        f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(folder / file)
        for name, file in named.items()
    } | {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process of the cluster without a word; what it has started ends with it."""
    process.send_signal(signal.SIGKILL)
    process.wait()
