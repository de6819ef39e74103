"""What the embedded database looks like from outside, without opening it."""

from __future__ import annotations

import hashlib
import json
import os
import stat


def physical_name(name: str, fingerprint: str) -> str:
    """The collection behind the alias `name` for this fingerprint."""
    return f"{name}__{fingerprint[:8]}"


def is_locked(path: str) -> bool:
    """Has a process locked this file? As the kernel tells: who tried the lock could turn
    a run away that begins just then. False where the kernel does not tell."""
    try:
        inode = f":{os.stat(path).st_ino}"
        with open("/proc/locks", encoding="ascii") as file:
            return any(
                " FLOCK " in line and line.split()[5].endswith(inode) for line in file
            )
    except OSError:
        return False


def peek(database: str, name: str) -> dict[str, str]:
    """What the collection behind the alias says of itself, read from disk without opening
    the embedded database; {} where that does not work, which proves nothing."""
    try:
        with open(os.path.join(database, "aliases.json"), encoding="utf-8") as file:
            physical = json.load(file)[name]
        schema = os.path.join(database, "collections", physical, "schema.json")
        with open(schema, encoding="utf-8") as file:
            return dict(json.load(file)["properties"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def signature(database: str, physical: str) -> str:
    """What the embedded database looks like on disk, without opening it as one.

    "" where the collection is not there. Reading leaves it as it is; any write changes
    the collection's `manifest.json`, its list of segments or its log. Index files are
    left out: they follow from the segments.
    """
    root = os.path.join(database, "collections", physical)
    digest = hashlib.sha256()
    try:
        for name in ("schema.json", "manifest.json"):
            with open(os.path.join(root, name), "rb") as file:
                digest.update(file.read() + b"\0")
        with open(os.path.join(database, "aliases.json"), "rb") as file:
            digest.update(json.dumps(json.load(file), sort_keys=True).encode())
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {"indexes"})
            for name in sorted(names):
                found = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(found.st_mode) and not name.startswith("manifest.json"):
                    where = os.path.relpath(os.path.join(folder, name), root)
                    digest.update(f"{where}\0{found.st_size}\0".encode())
    except (OSError, ValueError):
        return ""
    return digest.hexdigest()
