"""A real Milvus of the last version that pip installs, in an environment of its own.

`make test-server` makes the environment and says in CODX_TEST_MILVUS where its Python is.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import wait_for
from milvus_server import free_port

PYTHON = os.environ.get("CODX_TEST_MILVUS", "")

# Starts it, says its process id, and waits for the end of stdin.
#
# It looks for a free port itself, from the one that it is given on. Connections that a killed
# server had leave theirs in use for a minute, except for a socket that says otherwise, as the
# server's own does.
START = """
import socket
import sys
from milvus import MilvusServer, MilvusServerConfig

class Config(MilvusServerConfig):
    def try_bind_port(self, port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
            return sock
        except OSError:
            sock.close()
            return None

server = MilvusServer(Config())
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
if sys.argv[3] == "auth":
    server.config.set("authorization_enabled", True)
server.start()
assert server.listen_port == int(sys.argv[2]), "another program has its port"
print(server.server_proc.pid, flush=True)
sys.stdin.read()
"""


@dataclass
class RealMilvus:
    """A Milvus that can be killed and started again, with its data, at its address."""

    folder: Path
    has_users: bool = False
    port: int = field(default_factory=free_port)
    _starter: subprocess.Popen[str] | None = None
    _pid: int = 0

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and return when it is ready."""
        mode = "auth" if self.has_users else "open"
        self._starter = subprocess.Popen(
            [PYTHON, "-c", START, str(self.folder), str(self.port), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._starter.stdout is not None
        self._pid = int(self._starter.stdout.readline())

    def kill(self) -> None:
        """Kill it in the midst of things, and wait until it is gone."""
        os.kill(self._pid, signal.SIGKILL)
        assert self._starter is not None
        self._starter.kill()
        self._starter.communicate()
        wait_for(lambda: not _is_alive(self._pid))


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def real_milvus(folder: Path, *, has_users: bool = False) -> Iterator[RealMilvus]:
    """A Milvus with an empty folder, started; killed at the end."""
    if not PYTHON:
        pytest.skip("there is no Milvus here: make test-server installs one")
    server = RealMilvus(folder, has_users)
    server.start()  # fails where another one runs on this machine
    try:
        yield server
    finally:
        server.kill()
