"""A seed that is fetched from an address, bounded in size and time."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit

from msgspec import Struct

from indexer.address import is_loopback, without_secrets
from indexer.errors import StateError
from indexer.http_client import new_session, reason_of
from indexer.index.seed import About
from indexer.index.seed_file import DATABASE, MOST_BYTES, unpack

MOST_REDIRECTS = 5
SILENCE_SECONDS = 60.0  # a server may take this long for its next bytes
_AT_ONCE = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class AddressSeed(Struct, frozen=True):
    """An exported index at an address that the settings have checked; see `Seed`.

    The sha256 of the file may follow after a `#`.
    """

    url: str

    @property
    def origin(self) -> str:
        """The address without secrets."""
        return without_secrets(self.url.partition("#")[0])

    def about(self, draft: str) -> About:
        """See `Seed`. The file is fetched, and unpacked into the folder."""
        address, _, expected = self.url.partition("#sha256=")
        path = os.path.join(draft, "fetched")
        with open(path, "x+b") as file:
            if urlsplit(address).scheme == "file":
                digest = _copy(unquote(urlsplit(address).path), file)
            else:
                digest = asyncio.run(_fetch(address, file))
            if expected and digest != expected.lower():
                raise StateError(f"it has another sha256: {digest}")
            file.seek(0)
            os.unlink(path)
            return unpack(file, draft)

    def copy_to(self, draft: str) -> str:
        """See `Seed`."""
        return os.path.join(draft, DATABASE)


class _Bounded:
    """Writes to a file and hashes what it wrote, up to `MOST_BYTES`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = MOST_BYTES
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise StateError(f"it has more than {MOST_BYTES >> 30} GiB")
        self._digest.update(data)
        self._file.write(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _copy(path: str, file: IO[bytes]) -> str:
    target = _Bounded(file)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    with open(os.open(path, flags), "rb") as source:
        while data := source.read(_AT_ONCE):
            target.write(data)
    return target.hexdigest()


async def _fetch(url: str, file: IO[bytes]) -> str:
    """Fetch what is at an address. Returns its sha256 in hex; raises `StateError`."""
    import aiohttp

    target = _Bounded(file)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_SECONDS)
    try:
        for _ in range(MOST_REDIRECTS + 1):
            # A session for each server: proxies may differ.
            async with (
                new_session(url, {}) as session,
                session.get(url, allow_redirects=False, timeout=timeout) as response,
            ):
                if response.status in _REDIRECTS:
                    url = next_address(url, response.headers.get("location", ""))
                    continue
                if response.status != 200:
                    raise StateError(f"the server answers {response.status}")
                async for data in response.content.iter_chunked(_AT_ONCE):
                    target.write(data)
                return target.hexdigest()
    except aiohttp.ClientError as error:
        raise StateError(f"it cannot be fetched: {reason_of(error)}") from error
    except TimeoutError as error:
        raise StateError(
            f"it cannot be fetched: silent for {SILENCE_SECONDS:g} s"
        ) from error
    except ValueError as error:  # a proxy, or an address
        raise StateError(f"it cannot be fetched: {type(error).__name__}") from error
    raise StateError("it cannot be fetched: it is redirected again and again")


def next_address(url: str, location: str) -> str:
    """The address to which a server redirects. Raises `StateError` unless it may be followed.

    No redirect leads from an encrypted address to one that is not, nor from another machine to this one.
    """
    found = urljoin(url, location)
    parts, before = urlsplit(found), urlsplit(url)
    to_here = is_loopback(parts.hostname or "")
    if (
        to_here
        and is_loopback(before.hostname or "")
        and parts.scheme in ("http", "https")
    ):
        return found
    if parts.scheme == "https" and parts.hostname and not to_here:
        return found
    raise StateError("it is redirected to an address that is not followed")
