"""Sessions of aiohttp for requests to one server, and what may be said of their failures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from indexer.address import is_loopback

# Imported where it is needed, because most commands send nothing.
if TYPE_CHECKING:
    from aiohttp import ClientError, ClientSession

CONNECT_SECONDS = 10.0
KEPT_SECONDS = 60.0  # that a connection without a request stays open
_MOST_SAID = 200  # characters of an error


def new_session(url: str, headers: Mapping[str, str]) -> ClientSession:
    """A session for the server of `url`, to be used and closed within one event loop.

    Each of its requests has a connection, which the next one takes over. It keeps no cookies, asks
    for no redirect's target unless told to, and leaves bodies as they were sent. Only connecting
    has a time limit. Raises `ValueError` for a proxy in the environment that cannot be used.
    """
    import aiohttp

    return aiohttp.ClientSession(
        headers=headers,
        proxy=_proxy(url),
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _proxy(url: str) -> str | None:
    """The proxy that the environment has for a URL, None without one.

    Not aiohttp's `trust_env`, which also sends passwords from ~/.netrc.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host = parts.hostname or ""
    # A proxy would look for the loopback address on its own machine.
    if is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise ValueError("only HTTP proxies are supported")
    return proxy


def reason_of(error: ClientError) -> str:
    """One line about an error, which names no URL."""
    import aiohttp

    match error:
        case aiohttp.ConnectionTimeoutError():
            return f"no connection within {CONNECT_SECONDS:g} s"
        case aiohttp.ClientConnectorCertificateError():
            return _line(str(error.certificate_error))
        case aiohttp.ClientConnectorError():
            return _reason_of_system(error.os_error)
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection was closed in the middle of the answer"
        case aiohttp.ClientOSError():
            return _reason_of_system(error)
        case aiohttp.ClientResponseError():
            return "the answer is not HTTP"
    return type(error).__name__


def _reason_of_system(error: OSError) -> str:
    """What the system calls it. The library's own text has an address in it."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return _line(str(error.strerror or type(error).__name__))


def _line(text: str) -> str:
    return " ".join(text.split())[:_MOST_SAID]
