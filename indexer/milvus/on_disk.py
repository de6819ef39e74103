"""What the embedded database looks like from outside, without opening it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress

from indexer.milvus.internals import (
    INDEXES,
    MANIFEST,
    SCHEMA,
    aliases_file,
    collection_folder,
    lock_file,
)

LOCKS = "/proc/locks"  # proc(5): kind, …, major:minor:inode in hex, hex and decimal
SAMPLE_BYTES = 4096  # of each end, and of the middle, of a file with rows


def is_locked(path: str) -> bool:
    """Whether a process has locked this file; False if the kernel does not tell.

    This reads the kernel's list, because trying the lock could turn away a run that starts
    at the same moment.
    """
    try:
        found = os.stat(path)
        locks = _flocks_of(found.st_ino)
    except (OSError, ValueError):
        return False
    if not locks:
        return False
    return found.st_dev in locks or _device_of_mount(path) in locks


def _flocks_of(inode: int) -> set[int]:
    """The devices of the file systems on which a file with this number is locked."""
    devices = set()
    with open(LOCKS, encoding="ascii") as file:
        for line in file:
            kind, *_, place, _, _ = line.replace(" -> ", " ").split()[1:]
            major, minor, number = place.split(":")
            if kind == "FLOCK" and int(number) == inode:
                devices.add(os.makedev(int(major, 16), int(minor, 16)))
    return devices


def _device_of_mount(path: str) -> int | None:
    """The device of the mount that holds a file, None if it is unknown.

    The kernel's list of locks has this device. On btrfs and overlayfs a file's own `st_dev`
    differs.
    """
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
                about = dict(line.split(":", 1) for line in file)
        finally:
            os.close(handle)
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                mount, _, device, *_ = line.split()
                if mount == about["mnt_id"].strip():
                    return os.makedev(*map(int, device.split(":")))
    except (OSError, ValueError, KeyError):
        pass
    return None


def peek(database: str, name: str) -> dict[str, str]:
    """The properties of the collection behind the alias `name`, read from disk.

    {} if they cannot be read, which does not prove that there is no collection.
    """
    try:
        folder = _folder(database, name)
        with open(os.path.join(folder, SCHEMA), encoding="utf-8") as file:
            return dict(json.load(file)["properties"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _folder(database: str, name: str) -> str:
    """The folder of the collection behind the alias `name`, or of the one with that name.

    Raises `OSError`, `ValueError`, `TypeError`, `KeyError` or `AttributeError` if there is none.
    """
    with suppress(FileNotFoundError):  # as long as no collection has an alias
        with open(aliases_file(database), encoding="utf-8") as file:
            if physical := json.load(file).get(name):
                return collection_folder(database, physical)
    folder = collection_folder(database, name)
    os.stat(folder)
    return folder


def missing_part(database: str, name: str) -> str:
    """The missing file of the collection behind the alias `name` without which rows are missing.

    milvus-lite goes on without it: it takes the last but one list of segments, or none, leaves out
    a missing segment, and then removes what that list does not name. "" if no such file is missing,
    or there is no such collection.
    """
    try:
        folder = _folder(database, name)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ""  # opening the collection says what is wrong
    manifest = os.path.join(folder, MANIFEST)
    try:
        with open(manifest, "rb") as file:
            listed = [os.path.join(folder, one) for one in listed_files(file.read())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return manifest
    return next((path for path in listed if not os.path.isfile(path)), "")


def listed_files(manifest: bytes) -> list[str]:
    """The segments in the list of a collection, by their path in its folder.

    Raises `ValueError`, `TypeError`, `KeyError` or `AttributeError` if the bytes are no such list.
    """
    return [
        os.path.join("partitions", partition, file)
        for partition, kinds in json.loads(manifest)["partitions"].items()
        for kind in ("data_files", "delta_files")
        for file in kinds[kind]
    ]


def signature(database: str, physical: str, *, has_alias: bool = True) -> str:
    """A hash of what the embedded database looks like on disk; "" without the collection.

    Reading leaves it as it is. Any write changes it, because a write changes the
    collection's manifest, its segments or its log. So does damage that samples of the files
    with rows can show. Index files are left out, because they follow from the segments.
    """
    root = collection_folder(database, physical)
    digest = hashlib.sha256()
    if os.path.isdir(lock_file(database)):
        return ""  # nobody can open it, so nobody can trust it
    try:
        for name in (SCHEMA, MANIFEST):
            with open(os.path.join(root, name), "rb") as file:
                digest.update(file.read() + b"\0")
        if has_alias:
            with open(aliases_file(database), "rb") as file:
                digest.update(json.dumps(json.load(file), sort_keys=True).encode())
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {INDEXES})
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name.startswith((MANIFEST, SCHEMA)) or os.path.islink(path):
                    continue
                where = os.path.relpath(path, root)
                digest.update(os.fsencode(where) + b"\0" + _samples(path))
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()


def _samples(path: str) -> bytes:
    """The size of a file, and what is at its beginning, in its middle and at its end.

    A file that was lost in a power failure, or filled with zeros when the file system was repaired, keeps its
    name and size. The times of a file say nothing, because those of a restored cache differ.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return b""
        size = found.st_size
        if size <= 3 * SAMPLE_BYTES:
            parts = [os.pread(handle, size, 0)]
        else:
            starts = (0, (size - SAMPLE_BYTES) // 2, size - SAMPLE_BYTES)
            parts = [os.pread(handle, SAMPLE_BYTES, start) for start in starts]
    finally:
        os.close(handle)
    return b"%d\0%s" % (size, hashlib.sha256(b"".join(parts)).digest())
