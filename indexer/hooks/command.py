"""A program of the user's, asked about a file: JSON on its stdin, no shell, a time limit."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

# What a program may print: more is not read.
MAX_OUTPUT = 1 << 20
# Ours alone.
_SECRET_VARIABLES = frozenset({"CODX_INDEX_TOKEN", "CODX_INDEX_WEBHOOK_SECRET"})


class CommandError(Exception):
    """The program did not do its work; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Command:
    """`argv` is run in `folder`, at most `timeout` seconds (0: no limit)."""

    argv: tuple[str, ...]
    folder: str
    timeout: float

    async def ask(self, question: Mapping[str, object]) -> str:
        """Run it with the question as JSON on stdin; returns what it printed, as text.

        Raises `CommandError` where it cannot be started, takes too long, or does not exit
        with 0. It is ended with all that it has started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self.argv,
                cwd=self.folder,
                env=_environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"{self.argv[0]} cannot be run: {reason}") from error
        try:
            async with asyncio.timeout(self.timeout or None):
                return await _talk(process, json.dumps(question).encode(), self.argv[0])
        except TimeoutError as error:
            raise CommandError(
                f"{self.argv[0]} took longer than {self.timeout:g} s"
            ) from error
        finally:
            _end(process)
            await process.wait()


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
    with suppress(OSError):  # it may not care for the question
        pipe.write(text)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _read(pipe: asyncio.StreamReader) -> bytes:
    """The first `MAX_OUTPUT` bytes; the rest is let go by, or the program would block."""
    kept = bytearray()
    while part := await pipe.read(1 << 16):
        kept += part[: MAX_OUTPUT - len(kept)]
    return bytes(kept)


def _end(process: asyncio.subprocess.Process) -> None:
    """End the program, and all of its session that is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _SECRET_VARIABLES
    }


async def ask_all(
    command: Command, questions: Sequence[Mapping[str, object]], concurrency: int
) -> list[str | CommandError]:
    """Ask every question, at most `concurrency` at once; answers in their order."""
    room = asyncio.Semaphore(concurrency)

    async def one(question: Mapping[str, object]) -> str | CommandError:
        async with room:
            try:
                return await command.ask(question)
            except CommandError as error:
                return error

    return await asyncio.gather(*(one(question) for question in questions))
