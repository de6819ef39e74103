"""The address on which the MCP server listens: loopback only."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress

from indexer.errors import CodxIndexError, UsageError

_HOST = "127.0.0.1"
_WAITING = 128  # connections that the system accepts before the server does


def listen(address: str) -> socket.socket:
    """Listen on [HOST:]PORT; port 0 takes a free one.

    Raises `UsageError` for anything that is not an address of this machine alone, and
    `CodxIndexError` if the port is taken.
    """
    host, port = _parsed(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_WAITING)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise CodxIndexError(f"cannot listen on {address}: {reason}") from error


def origin_of(listener: socket.socket) -> str:
    """The first part of the URLs that reach a listener, such as http://127.0.0.1:8000."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or _HOST
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(
            f"--http {address}: no port; give [HOST:]PORT, or 0 for a free one"
        )
    if host == "localhost":
        return _HOST, int(port)
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host, int(port)
    raise UsageError(
        f"--http {address}: only this machine can be served; give 127.0.0.1, [::1] or "
        "localhost"
    )
