"""Whether a file still has the bytes that were indexed."""

from __future__ import annotations

import os

from indexer.config import Settings
from indexer.paths import unescape_path
from indexer.tree.files import NotIndexable, Vanished, open_root, read_file
from indexer.tree.git import blob_id
from indexer.types import SourceFile

MOST_BYTES = 256 << 20  # that are read; a larger file is another one
_FORMATS = {40: "sha1", 64: "sha256"}  # by the digits of a blob id


def has_other_bytes(settings: Settings, path: str, file_hash: str) -> bool:
    """Whether a file of the project has other bytes than those with this blob id, or is gone.

    `path` is as in rows. The file is read, because stat fields can be as they were. What is there in
    its place, as a folder or a symlink, has other bytes.
    """
    name = unescape_path(path)
    # That of a file in an external folder is absolute.
    root, name = (
        os.path.split(name) if os.path.isabs(name) else (settings.project, name)
    )
    try:
        with open_root(root) as folder:
            content = read_file(folder, SourceFile(name, 0, 0, 0, 0), MOST_BYTES)
    except (NotIndexable, Vanished, OSError):
        return True
    return blob_id(content.data, _FORMATS.get(len(file_hash), "sha1")) != file_hash
