"""A TCP proxy that resets connections, delays what passes, or refuses to connect."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


@dataclass
class Flaky:
    """The address of the proxy, and what it does to connections.

    A chunk of data, or a new connection, resets its connection with the probability
    `resets`. What passes comes `delay` seconds later. While `is_down`, no new connection
    lives.
    """

    uri: str = ""
    resets: float = 0.0
    delay: float = 0.0
    is_down: bool = False
    count: int = 0  # of resets


class _Proxy:
    def __init__(self, flaky: Flaky, port: int, seed: int) -> None:
        self._flaky = flaky
        self._port = port
        self._rng = random.Random(seed)

    async def connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass data on in both directions until one side ends, or a reset."""
        if self._flaky.is_down or self._breaks():
            return self._reset(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return self._reset(writer)
        ways = [
            asyncio.create_task(self._pass(reader, there[1])),
            asyncio.create_task(self._pass(there[0], writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._reset(writer)
            there[1].close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self._breaks():
                    return
                await asyncio.sleep(self._flaky.delay)
                writer.write(data)
                await writer.drain()

    def _breaks(self) -> bool:
        broken = self._rng.random() < self._flaky.resets
        self._flaky.count += broken
        return broken

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        found = writer.get_extra_info("socket")
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.close()


@contextmanager
def flaky_way_to(uri: str, seed: int) -> Iterator[Flaky]:
    """A proxy before the server at this address, in a thread of its own."""
    flaky = Flaky()
    proxy = _Proxy(flaky, int(uri.rpartition(":")[2]), seed)
    loop = asyncio.new_event_loop()
    listens = threading.Event()

    async def serve() -> None:
        async with await asyncio.start_server(proxy.connect, "127.0.0.1", 0) as server:
            flaky.uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            listens.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.sleep(0)  # the connections that were just closed go

    serving = loop.create_task(serve())
    thread = threading.Thread(target=loop.run_until_complete, args=[serving])
    thread.start()
    listens.wait()
    try:
        yield flaky
    finally:
        loop.call_soon_threadsafe(serving.cancel)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
