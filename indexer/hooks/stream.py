"""Events as JSON Lines, written to a file, a FIFO or an inherited descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from indexer.errors import UsageError
from indexer.hooks.sink import Sink
from indexer.paths import escape_path

POLL = 0.05  # seconds between two looks for a reader of a FIFO
FILE_PIECE = 1 << 20  # bytes written at once to a regular file


def check_stream(stream: str) -> str:
    """Return a stream as given: `-` for stdout, `fd:N` for a descriptor that is open for
    writing, or a path. Whether a path can be written shows later. Raises `UsageError`.
    """
    descriptor = _descriptor_of(stream)
    if descriptor is not None:
        _check_descriptor(stream, descriptor)
    elif not stream or "\0" in stream:
        raise UsageError("events go to a file, to - or to fd:N")
    elif stream.startswith("fd:"):
        raise UsageError(
            f"{stream!r} is not fd:N; write ./{stream} for a file of that name"
        )
    return stream


_DESCRIPTOR = re.compile("fd:([0-9]{1,9})")


def _descriptor_of(stream: str) -> int | None:
    """The descriptor that `-` or `fd:N` names; None for a path."""
    if stream == "-":
        return 1
    found = _DESCRIPTOR.fullmatch(stream)
    return int(found[1]) if found else None


def _check_descriptor(stream: str, descriptor: int) -> None:
    if descriptor == 0:
        raise UsageError("events cannot go to fd:0, which is the standard input")
    try:
        mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise UsageError(f"events cannot go to {stream}: it is not open") from error
    if mode == os.O_RDONLY:
        raise UsageError(f"events cannot go to {stream}: it is open for reading only")


class StreamSink(Sink):
    """Writes whole lines in order. After the first error nothing more is written.

    The writes block, in their own thread, because O_NONBLOCK would also apply to the other
    processes that share the descriptor. The thread is a daemon, because a pipe that nobody
    reads must not keep the process alive (the threads of a ThreadPoolExecutor would).
    """

    def __init__(self, stream: str) -> None:
        super().__init__(f"events: {escape_path(stream)}")
        self._stream = stream
        self._partial = 0  # bytes of a line whose end has not been written yet
        self._news = threading.Event()
        self._thread = threading.Thread(
            target=self._deliver, name="codx-index events", daemon=True
        )
        self._thread.start()

    def join(self, deadline: float) -> None:
        """Wait until the last line is written; a write that hangs is abandoned."""
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
        inherited = _descriptor_of(self._stream)
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
        """Open the file, and create it if need be. For a FIFO, wait until somebody reads it or
        the run ends."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_NONBLOCK
        while True:
            try:
                descriptor = os.open(self._stream, flags, 0o600)
            except OSError as error:
                if error.errno != errno.ENXIO or self._stopping:
                    raise
                time.sleep(POLL)
            else:
                os.set_blocking(descriptor, True)  # nobody shares it
                return descriptor

    def _write_all(self, descriptor: int) -> None:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        # POSIX writes up to PIPE_BUF bytes to a pipe completely or not at all, so a reader that
        # stops or another writer never cuts a line.
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
        """Take queued lines of at most `limit` bytes together, but at least one line. A write
        for each line would be slow: while the run computes, this thread gets the interpreter
        lock only every 5 ms."""
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
            except BlockingIOError:  # inherited with O_NONBLOCK set
                _wait_for_room(descriptor)
                continue
            done, lines = lines[:written], lines[written:]
            self.delivered += done.count(b"\n")
            begun = len(done) - done.rfind(b"\n") - 1
            self._partial = begun if b"\n" in done else self._partial + begun

    def _take_back(self, descriptor: int) -> None:
        """Cut off an incomplete last line, so that the next run's events start on a new line.
        Nothing is cut if somebody else has written after it."""
        with suppress(OSError):  # not a regular file
            size = os.fstat(descriptor).st_size
            if self._partial and os.lseek(descriptor, 0, os.SEEK_CUR) == size:
                os.ftruncate(descriptor, size - self._partial)


def _wait_for_room(descriptor: int) -> None:
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    room.poll()
