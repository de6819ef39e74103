"""What the embedded database looks like from outside, without opening it."""

from __future__ import annotations

import hashlib
import json
import os
import stat

from indexer.milvus.internals import (
    INDEXES,
    MANIFEST,
    SCHEMA,
    aliases_file,
    collection_folder,
    lock_file,
)


def is_locked(path: str) -> bool:
    """Whether a process has locked this file; False where the kernel does not tell.

    The kernel's list is read, because trying the lock could turn away a run that starts
    at the same moment.
    """
    try:
        inode = f":{os.stat(path).st_ino}"
        with open("/proc/locks", encoding="ascii") as file:
            return any(
                " FLOCK " in line and line.split()[5].endswith(inode) for line in file
            )
    except OSError:
        return False


def peek(database: str, name: str) -> dict[str, str]:
    """The properties of the collection behind the alias `name`, read from disk.

    {} where they cannot be read, which does not prove that there is no collection.
    """
    try:
        with open(aliases_file(database), encoding="utf-8") as file:
            folder = collection_folder(database, json.load(file)[name])
        with open(os.path.join(folder, SCHEMA), encoding="utf-8") as file:
            return dict(json.load(file)["properties"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def signature(database: str, physical: str) -> str:
    """A hash of what the embedded database looks like on disk; "" without the collection.

    Reading leaves it as it is. Any write changes it, because a write changes the
    collection's manifest, its segments or its log. Index files are left out: they follow
    from the segments.
    """
    root = collection_folder(database, physical)
    digest = hashlib.sha256()
    if os.path.isdir(lock_file(database)):
        return ""  # nobody can open it, so nobody may trust it
    try:
        for name in (SCHEMA, MANIFEST):
            with open(os.path.join(root, name), "rb") as file:
                digest.update(file.read() + b"\0")
        with open(aliases_file(database), "rb") as file:
            digest.update(json.dumps(json.load(file), sort_keys=True).encode())
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {INDEXES})
            for name in sorted(names):
                found = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(found.st_mode) and not name.startswith(MANIFEST):
                    where = os.path.relpath(os.path.join(folder, name), root)
                    digest.update(f"{where}\0{found.st_size}\0".encode())
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
