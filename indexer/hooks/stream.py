"""Events as JSON Lines, into a file, a FIFO or a descriptor of whoever started us."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from indexer.hooks.sink import Sink
from indexer.paths import escape_path

POLL = 0.05  # seconds between two looks for a reader of a FIFO
FILE_PIECE = 1 << 20  # bytes written at once to a regular file
_DESCRIPTOR = re.compile("fd:([0-9]{1,9})")


def descriptor_of(stream: str) -> int | None:
    """The descriptor that `-` (stdout) or `fd:N` names; None for a path."""
    if stream == "-":
        return 1
    found = _DESCRIPTOR.fullmatch(stream)
    return int(found[1]) if found else None


class StreamSink(Sink):
    """Writes whole lines in order. After the first error nothing more is written.

    The writes block, in a thread of their own: whether a descriptor does not is shared with
    the processes that have it too. A daemon, because a pipe that nobody reads may not keep
    the process from its end (as the threads of a ThreadPoolExecutor would).
    """

    def __init__(self, stream: str) -> None:
        super().__init__(f"events: {escape_path(stream)}")
        self._stream = stream
        self._partial = 0  # bytes of a line whose end is not written yet
        self._news = threading.Event()
        self._thread = threading.Thread(
            target=self._deliver, name="codx-index events", daemon=True
        )
        self._thread.start()

    def join(self, deadline: float) -> None:
        """Wait for the last line to be written; a write that hangs is left alone."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._ended = True

    def _wake(self) -> None:
        self._news.set()

    def _deliver(self) -> None:
        try:
            with self._opened() as descriptor:
                self._write_all(descriptor)
        except OSError as error:
            nobody = error.errno == errno.ENXIO
            self.reason = "nobody reads it" if nobody else error.strerror or str(error)
        finally:
            self._ended = True
            self._queue.clear()

    @contextmanager
    def _opened(self) -> Iterator[int]:
        inherited = descriptor_of(self._stream)
        if inherited is not None:
            yield inherited
            return
        descriptor = self._open()
        try:
            yield descriptor
        except OSError:
            self._take_back(descriptor)
            raise
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        """The file, made where there is none. A FIFO is waited for until somebody reads it,
        or the run ends."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
        while True:
            try:
                descriptor = os.open(self._stream, flags, 0o600)
            except OSError as error:
                if error.errno != errno.ENXIO or self._stopping:
                    raise
                time.sleep(POLL)
            else:
                os.set_blocking(descriptor, True)  # it is ours alone
                return descriptor

    def _write_all(self, descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        # So much is written to a pipe as a whole or not at all (POSIX): a reader that stops
        # reading, or other writers of the pipe, do not cut a line.
        limit = FILE_PIECE if is_file else select.PIPE_BUF
        while True:
            self._news.clear()
            if lines := self._take(limit):
                self._write(descriptor, lines)
            elif self._stopping:
                return
            else:
                self._news.wait()

    def _take(self, limit: int) -> bytes:
        """Queued lines of so many bytes together, but one at least. A write for each would
        be slow: Python lets the thread go on only every 5 ms while the run computes."""
        lines: list[bytes] = []
        size = 0
        while self._queue:
            size += len(self._queue[0]) + 1
            if lines and size > limit:
                break
            lines += self._queue.popleft(), b"\n"
        return b"".join(lines)

    def _write(self, descriptor: int, lines: bytes) -> None:
        while lines:
            try:
                written = os.write(descriptor, lines)
            except BlockingIOError:  # it was inherited, and somebody wants it so
                _wait_for_room(descriptor)
                continue
            done, lines = lines[:written], lines[written:]
            self.delivered += done.count(b"\n")
            begun = len(done) - done.rfind(b"\n") - 1
            self._partial = begun if b"\n" in done else self._partial + begun

    def _take_back(self, descriptor: int) -> None:
        """Cut off the beginning of a line for which there was no room, so that the next
        run's begin on a line of their own; not if somebody wrote after it."""
        with suppress(OSError):  # no regular file
            size = os.fstat(descriptor).st_size
            if self._partial and os.lseek(descriptor, 0, os.SEEK_CUR) == size:
                os.ftruncate(descriptor, size - self._partial)


def _wait_for_room(descriptor: int) -> None:
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    room.poll()
