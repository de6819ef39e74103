"""An index in a single file that can be carried to another machine: a tar, compressed or not.

The first member names the format. Then come the files of the database. The last member says what is
known about each content, and has the sha256 of every file. Nothing else may be in it, because those who
unpack it did not make it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from lzma import LZMAError
from typing import IO, Any, Self

from msgspec import Struct, field

from indexer.config import Settings
from indexer.errors import NoIndexError, StateError
from indexer.index.seed import About, FolderSeed
from indexer.milvus.internals import INDEXES
from indexer.milvus.snapshot import Snapshot, snapshot
from indexer.paths import escape_path, unescape_path
from indexer.types import FileRecord

FIRST, LAST = "codx-index-seed", "about.json"
FORMAT = b"1\n"
DATABASE = "milvus.db"
MOST_BYTES = 4 << 30  # of a seed, and of what is in it
MOST_ABOUT_BYTES = 512 << 20
MOST_FILES = 100_000
_MOST_HEADER_BYTES = 64 << 10  # of a member that is about the next one
_AT_ONCE = 1 << 20
_NAME = re.compile(rf"{re.escape(DATABASE)}(/[A-Za-z0-9_.-]+)+", re.ASCII)
_DAMAGE = (
    *(tarfile.TarError, EOFError, zlib.error, LZMAError),
    *(ValueError, KeyError, TypeError),
)
_DAMAGED = "it is damaged"
_GZIPPED = (".gz", ".tgz")


class FileSeed(Struct, frozen=True):
    """What `export_index` wrote to the file at a path; see `Seed`."""

    path: str

    @property
    def origin(self) -> str:
        """The file."""
        return self.path

    def about(self, draft: str) -> About:
        """See `Seed`. The database is unpacked along with it."""
        with _open(self.path) as file:
            return unpack(file, draft)

    def copy_to(self, draft: str) -> str:
        """See `Seed`."""
        return os.path.join(draft, DATABASE)


@contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # do not wait for a FIFO
    with open(os.open(path, flags), "rb") as file:
        yield file


# --- written --------------------------------------------------------------------------


class Exported(Struct, frozen=True):
    """What an export has: `files` with rows, their `chunks`, and its own size in `bytes`.

    It `is_complete` if the index equalled its tree when it was last brought up to date.
    """

    files: int
    chunks: int
    bytes: int
    is_complete: bool


def export_index(settings: Settings, target: str) -> Exported:
    """Write the index of a project to a file, whoever reads or writes it meanwhile.

    An existing `target` is replaced only if it is an earlier export. Raises `StateError`,
    and `NoIndexError` if there is nothing to export.
    """
    from indexer.index.manifest import COMPLETE

    seed = FolderSeed(settings)
    found = seed.about()
    if not os.path.isdir(settings.database):
        raise NoIndexError(f"there is no database at {settings.database}")
    if not _may_be_replaced(target):
        raise StateError(
            f"{target} is there and no exported index: name another file, or remove it"
        )
    try:
        with snapshot(settings.database) as files, _draft(target) as draft:
            _write(draft, files, found, is_gzipped=target.endswith(_GZIPPED))
            size = os.fstat(draft.fileno()).st_size
    except OSError as error:
        raise StateError(f"cannot write {target}: {error.strerror}") from error
    with_rows = [one for one in found.records.values() if one.chunk_count]
    return Exported(
        len(with_rows),
        sum(one.chunk_count for one in with_rows),
        size,
        found.state == COMPLETE,
    )


def _write(
    target: IO[bytes], files: Snapshot, found: About, *, is_gzipped: bool
) -> None:
    with TarWriter(target, is_gzipped=is_gzipped) as tar:
        tar.add(FIRST, FORMAT)
        for name, data in files.small.items():
            tar.add(f"{DATABASE}/{name}", data)
        for name, handle in files.large.items():
            tar.add_open(f"{DATABASE}/{name}", handle)
        about = {
            "place": found.place,
            "fingerprint": found.fingerprint,
            "state": found.state,
            "mark": found.mark,
            "files": [_row(one) for one in found.records.values()],
            "sha256": tar.digests,
        }
        tar.add(LAST, json.dumps(about).encode("ascii"))


class TarWriter:
    """A tar that is being written, and the sha256 of each of its members so far."""

    def __init__(self, target: IO[bytes], *, is_gzipped: bool) -> None:
        self.digests: dict[str, str] = {}
        if is_gzipped:
            self._tar = tarfile.open(fileobj=target, mode="w:gz", compresslevel=1)
        else:
            self._tar = tarfile.open(fileobj=target, mode="w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: object) -> None:
        self._tar.close()

    def add(self, name: str, data: bytes) -> None:
        """Add a member with these bytes."""
        self._add(name, len(data), io.BytesIO(data))

    def add_open(self, name: str, handle: int) -> None:
        """Add a member with the content of an open file."""
        with open(os.dup(handle), "rb") as file:
            file.seek(0)
            self._add(name, os.fstat(handle).st_size, file)

    def _add(self, name: str, size: int, file: IO[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        reader = _Hashed(file)
        self._tar.addfile(info, reader)
        self.digests[name] = reader.digest.hexdigest()


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data


def _row(record: FileRecord) -> list[object]:
    return [
        escape_path(record.path),
        record.file_hash,
        record.chunk_count,
        record.reason,
        record.unembedded,
        record.by_words,
        record.is_plain,
    ]


def _may_be_replaced(target: str) -> bool:
    if not os.path.lexists(target):
        return True
    try:
        with _open(target) as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            first = tar.next()
            return first is not None and first.name == FIRST
    except (OSError, *_DAMAGE):
        return False


@contextmanager
def _draft(target: str) -> Iterator[IO[bytes]]:
    """A file beside the target that only its owner can read. It replaces the target if the
    block ends well."""
    import tempfile

    folder, name = os.path.split(os.path.abspath(target))
    handle, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    except BaseException:
        os.unlink(draft)
        raise


# --- read -----------------------------------------------------------------------------


def unpack(file: IO[bytes], folder: str) -> About:
    """Unpack the database in an export into a folder, and return what is known about it.

    Raises `StateError` for a file that is not an export, is damaged, is too large, or has what no export has.
    """
    try:
        with tarfile.open(fileobj=file, mode="r:*", tarinfo=_Member) as tar:
            members = _Members(tar, folder)
            for member in tar:
                members.take(member)
            return members.about()
    except OSError:
        raise
    except _DAMAGE as error:
        raise StateError(_DAMAGED) from error


class _Member(tarfile.TarInfo):
    """The header of a member, bounded so that it cannot fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See `tarfile.TarInfo.frombuf`."""
        found = super().frombuf(buf, encoding, errors)
        if found.type not in tarfile.REGULAR_TYPES and found.size > _MOST_HEADER_BYTES:
            raise tarfile.HeaderError("too large")
        return found


class _Members(Struct):
    """What was unpacked from a tar into a folder."""

    tar: tarfile.TarFile
    folder: str
    digests: dict[str, str] = field(default_factory=dict)
    last: bytes = b""
    bytes: int = 0

    def take(self, member: tarfile.TarInfo) -> None:
        """Unpack the next member. Raises `StateError` for what does not belong there."""
        name = member.name
        self.bytes += member.size
        if not self.digests and name != FIRST:
            raise StateError("it is no exported index")
        is_last = name == LAST
        if not (is_last or name == FIRST or _is_of_database(name)):
            raise StateError(f"no export has a file {name!r}")
        if not member.isreg() or member.issparse():
            raise StateError(f"{name} in it is no plain file")
        if name in self.digests or self.last:
            raise StateError(f"{name} is in it twice, or behind its end")
        most = MOST_ABOUT_BYTES if is_last else MOST_BYTES
        if member.size > most or self.bytes > MOST_BYTES:
            raise StateError(f"it has more than {MOST_BYTES >> 30} GiB")
        if len(self.digests) > MOST_FILES:
            raise StateError(f"it has more than {MOST_FILES:,} files")
        reader = self.tar.extractfile(member)
        assert reader is not None  # it is a plain file
        if is_last:
            self.last = reader.read()
            return
        hashed = _Hashed(reader)
        if name == FIRST:
            if hashed.read(len(FORMAT) + 1) != FORMAT:
                raise StateError("another version of codx-index exported it")
        else:
            self._write(name, hashed, member.size)
        self.digests[name] = hashed.digest.hexdigest()

    def _write(self, name: str, reader: _Hashed, size: int) -> None:
        path = os.path.join(self.folder, *name.split("/"))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, 0o600), "wb") as target:
            shutil.copyfileobj(reader, target, _AT_ONCE)
            if target.tell() != size:
                raise StateError(_DAMAGED)
            target.flush()
            os.fsync(target.fileno())

    def about(self) -> About:
        """What the last member says, if all others match it."""
        about = json.loads(self.last)
        if about["sha256"] != self.digests:
            raise StateError(_DAMAGED)
        records = {}
        for row in about["files"]:
            record = _record(row)
            records[record.path] = record
        names = ("place", "fingerprint", "state", "mark")
        place, fingerprint, state, mark = (_text(about, name) for name in names)
        return About(place, fingerprint, state, mark, records)


def _is_of_database(name: str) -> bool:
    parts = name.split("/")
    is_odd = any(part.strip(".") == "" or part == INDEXES for part in parts)
    return bool(_NAME.fullmatch(name)) and not is_odd


def _text(about: Mapping[str, Any], name: str) -> str:
    if not isinstance(value := about[name], str):
        raise ValueError(name)
    return value


def _record(row: Any) -> FileRecord:
    """The record in a row. Raises `ValueError` if it is not a record."""
    kinds = (str, str, int, str, int, int, bool)
    if not isinstance(row, list) or [*map(type, row)] != [*kinds]:
        raise ValueError("no record")
    path, file_hash, chunks, reason, unembedded, by_words, is_plain = row
    if min(chunks, unembedded, by_words) < 0:
        raise ValueError("no record")
    with suppress(UnicodeEncodeError):
        name = unescape_path(path)
        os.fsencode(name)
        if "\0" not in name:
            return FileRecord(
                name, None, file_hash, chunks, reason, unembedded, by_words, is_plain
            )
    raise ValueError("no path")
