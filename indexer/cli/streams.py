"""The standard streams of a command, in whatever state it got them.

docs/reference/environment.md has the table: closed streams, full disks, readers that are gone, legacy
encodings.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

from indexer.errors import UsageError

_closed: set[int] = set()


def is_closed(descriptor: int) -> bool:
    """Whether the command was started with this standard stream closed."""
    return descriptor in _closed


def has_any_character(stream: TextIO) -> bool:
    """Whether the stream can be given every character, and shows it as it is."""
    if isinstance(stream, _Text) and stream.is_ascii:
        return False
    return codecs.lookup(stream.encoding or "utf-8").name.startswith("utf")


def read_stdin() -> bytes:
    """All that there is on stdin. Raises `OSError`."""
    if is_closed(0):
        raise OSError(errno.EBADF, "stdin is closed")
    parts = []
    while (part := sys.stdin.buffer.read()) != b"":
        if part is None:  # somebody has set O_NONBLOCK on it
            _wait(0, select.POLLIN)
        else:
            parts.append(part)
    return b"".join(parts)


def read_list(source: str) -> bytes:
    """What stands in a file, or comes on stdin with `-`. Raises `UsageError`."""
    try:
        if source == "-":
            return read_stdin()
        with open(source, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error


def prepare() -> Output:
    """Make the streams of this process safe to use. Returns stdout, to be concluded."""
    _decode_paths_as_utf8()
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next file that is opened, such as the database, would get the
            # number, and whatever a library prints would be written into it.
            os.open(os.devnull, os.O_RDWR)
            _closed.add(descriptor)
    _silence_warnings()
    if 0 in _closed:
        sys.stdin = open(0, encoding="utf-8", closefd=False)
    output = Output(is_closed=1 in _closed)
    sys.stdout = _Text(output, sys.stdout)
    sys.stderr = _Text(_Errors(2, "wb", closefd=False), sys.stderr)
    return output


def _wait(descriptor: int, event: int) -> None:
    ready = select.poll()
    ready.register(descriptor, event)
    ready.poll()


class _Patient(io.FileIO):
    """A descriptor that is waited for if somebody has set O_NONBLOCK on it."""

    def write(self, data: Any) -> int:
        while (written := super().write(data)) is None:
            _wait(self.fileno(), select.POLLOUT)
        return int(written)


class Output(_Patient):
    """Stdout. What cannot be written is dropped, and makes the command fail at its end.

    So a run does all its work even if the disk that its report goes to is full. If the reader
    is gone, the first write raises `BrokenPipeError`, because nobody wants any more.
    """

    def __init__(self, *, is_closed: bool) -> None:
        super().__init__(1, "wb", closefd=False)
        self._is_closed = is_closed
        self._problem: OSError | None = None

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        if self._problem is not None:
            return size
        if self._is_closed:
            self._problem = OSError(errno.EBADF, "it is closed")
            return size
        try:
            return super().write(data)
        except ConnectionError as error:
            self._problem = error
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error
        except OSError as error:
            self._problem = error
            return size

    def conclude(self, code: int, tell: Callable[[str], None]) -> int:
        """The exit code of a command that would end with `code`.

        `tell` is called with what is wrong with stdout, unless its reader is gone.
        """
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            pass  # it is remembered as the problem
        if self._problem is None:
            return code
        if isinstance(self._problem, ConnectionError):
            return 128 + signal.SIGPIPE
        tell(f"cannot write to stdout: {self._problem.strerror}")
        return code or 1


class _Errors(_Patient):
    """Stderr. What cannot be written is dropped: it decides nothing."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Text(io.TextIOWrapper):
    """Text for a descriptor, in the encoding of the stream that it replaces.

    A character that the encoding lacks is written as its escape.
    """

    def __init__(self, raw: _Patient, stream: TextIO | None) -> None:
        encoding, errors = "utf-8", "backslashreplace"
        if stream is not None:
            encoding = _locale_encoding() or stream.encoding
            if stream.errors not in ("strict", "surrogateescape"):
                errors = stream.errors or errors  # somebody has chosen it
        # click takes ASCII for a mistake, and would write UTF-8 around this object.
        self.is_ascii = codecs.lookup(encoding).name == "ascii"
        super().__init__(
            io.BufferedWriter(raw),
            "utf-8" if self.is_ascii else encoding,
            errors,
            line_buffering=raw.fileno() == 2 or raw.isatty(),
        )

    def write(self, text: str) -> int:
        if self.is_ascii:
            text = text.encode("ascii", self.errors or "strict").decode("ascii")
        return super().write(text)


_REEXECUTED = "codx_index_utf8"


def _decode_paths_as_utf8() -> None:
    """Start again in Python's UTF-8 mode if a locale has another encoding for paths.

    Rows have the paths of files in UTF-8, whatever the locale of the run that wrote them.
    """
    is_utf8 = codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"
    if is_utf8 or sys.flags.utf8_mode or not sys.executable:
        return
    how = ["-X", "utf8", "-X", _REEXECUTED]
    os.execv(sys.executable, [sys.executable, *how, *sys.orig_argv[1:]])


def _locale_encoding() -> str:
    """The encoding of the terminal, if it is that of the locale and UTF-8 mode hides it."""
    if _REEXECUTED not in sys._xoptions or os.environ.get("PYTHONIOENCODING"):
        return ""
    import locale

    return locale.getencoding()


def _silence_warnings() -> None:
    """Ignore PYTHONWARNINGS and the like, which are about programs in development.

    Libraries warn of what our users cannot change, and `error` would end runs.
    """
    if sys.warnoptions:
        import warnings

        from indexer.environment import set_for_libraries

        sys.warnoptions.clear()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        set_for_libraries("PYTHONWARNINGS", "ignore")  # for the workers
