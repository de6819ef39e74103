"""A program of the user's that is asked about a file, with JSON on its stdin and no shell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from indexer.address import Address
from indexer.environment import given

MAX_OUTPUT = 1 << 20  # bytes of a program's output that are kept

LAST_WORDS = 5.0  # seconds that a program which was killed has to end


class CommandError(Exception):
    """The program failed; the message says why in one line."""


class Command:
    """A program that answers questions, several at once.

    `argv` runs in `folder` for at most `timeout` seconds (0: no limit), in at most
    `concurrency` processes at a time.
    """

    def __init__(
        self, argv: tuple[str, ...], folder: str, timeout: float, concurrency: int
    ) -> None:
        self._argv = argv
        self._folder = folder
        self._timeout = timeout
        self._room = asyncio.Semaphore(concurrency)

    async def ask(self, question: Mapping[str, object]) -> str:
        """Run the program with the question as JSON on its stdin; returns its stdout as text.

        Raises `CommandError` if the program cannot be started, takes too long, or exits with
        anything but 0. In every case it is killed with everything that it started.
        """
        async with self._room:
            process = await self._start()
            try:
                async with asyncio.timeout(self._timeout or None):
                    text = json.dumps(question).encode()
                    return await _talk(process, text, self._argv[0])
            except TimeoutError as error:
                raise CommandError(
                    f"{self._argv[0]} took longer than {self._timeout:g} s"
                ) from error
            finally:
                _kill(process)
                # What has left its session may still hold its pipes.
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS):
                        await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._argv,
                cwd=self._folder,
                env=_environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"{self._argv[0]} cannot be run: {reason}") from error


# Secrets of this program, which no other program needs. The path of a webhook may be one.
_SECRET_VARIABLES = frozenset(
    {
        "CODX_INDEX_API_KEY",
        "CODX_INDEX_TOKEN",
        "CODX_INDEX_WEBHOOK",
        "CODX_INDEX_WEBHOOK_SECRET",
    }
)


def _environment() -> dict[str, str]:
    """The environment that we were given, without our secrets."""
    return {
        name: value
        for name, value in given().items()
        if name not in _SECRET_VARIABLES
        and not (name == "CODX_INDEX_URI" and Address(value).has_secrets)
    }


async def _talk(process: asyncio.subprocess.Process, text: bytes, name: str) -> str:
    assert process.stdin and process.stdout and process.stderr
    _, output, errors = await asyncio.gather(
        _write(process.stdin, text), _read(process.stdout), _read(process.stderr)
    )
    code = await process.wait()
    if code:
        lines = errors.decode(errors="replace").strip().splitlines()
        how = f"exited with {code}" if code > 0 else f"ended by signal {-code}"
        raise CommandError(f"{name} {how}" + (f": {lines[-1][:200]}" if lines else ""))
    return output.decode(errors="replace")


async def _write(pipe: asyncio.StreamWriter, text: bytes) -> None:
    with suppress(OSError):  # the program may not read the question
        pipe.write(text)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader) -> bytes:
    """The first `MAX_OUTPUT` bytes. The rest is read and dropped: otherwise the program blocks."""
    kept = bytearray()
    while part := await pipe.read(1 << 16):
        kept += part[: MAX_OUTPUT - len(kept)]
    return bytes(kept)


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the program and whatever is left of its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
