"""A milvus-lite in a process of its own, as a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def listening(
    program: str, arguments: Sequence[str], folder: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """An installed program that runs in `folder`, from when it listens on the port."""
    with subprocess.Popen(
        [os.path.join(sysconfig.get_path("scripts"), program), *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except ConnectionRefusedError:
                    assert time.monotonic() < deadline and process.poll() is None
                    time.sleep(0.05)
            yield process
        finally:
            process.kill()


@contextmanager
def served(
    folder: Path, port: int = 0
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A milvus-lite in a process of its own, behind an address.

    It has one worker, as the documentation asks for: with more, its reads race with writes.
    """
    port = port or free_port()
    arguments = ["server", "--data-dir", str(folder), "--host", "127.0.0.1"]
    arguments += ["--port", str(port), "--max-workers", "1"]
    with listening("milvus-lite", arguments, folder.parent, port) as process:
        yield f"http://127.0.0.1:{port}", process
