"""The names of the pages: one for every file and folder, and all different."""

from __future__ import annotations

import hashlib
import os
import re
from functools import lru_cache

DOCS = "docs"
"""The folder of all pages, in that of the wiki."""

STYLE = "~style.css"
"""The style sheet, relative to `DOCS`. No page can have this name: see `_safe_name`."""


def in_docs(page: str) -> str:
    """The name of a page, relative to the wiki's folder."""
    return f"{DOCS}/{page}"


_LONGEST_PAGE = 1_000  # characters; a path may have 4,096 bytes


def page_of(path: str) -> str:
    """The page of a file, relative to `DOCS`."""
    *folders, name = path.split("/")
    parts = [_safe_name(folder, is_folder=True) for folder in folders]
    page = "/".join([*parts, _safe_name(name, is_folder=False) + ".md"])
    return page if len(page) <= _LONGEST_PAGE else f"~~{_digest(os.fsencode(path))}.md"


def folder_page_of(folder: str) -> str:
    """The page of a folder, relative to `DOCS`; the project's own, "", is the home page."""
    if not folder:
        return "index.md"
    parts = [_safe_name(name, is_folder=True) for name in folder.split("/")]
    page = "/".join([*parts, "index.md"])
    if len(page) <= _LONGEST_PAGE:
        return page
    return f"~~{_digest(os.fsencode(folder))}/index.md"


def drawing_of(folder: str) -> str:
    """The drawing on the page of a folder, relative to `DOCS`. No page can have this name."""
    return f"{folder_page_of(folder).removesuffix('index.md')}~imports.svg"


_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_LONGEST_NAME = 180  # characters of one part; a file name may have 255 bytes

# Names that folders' pages or MkDocs use.
_TAKEN_FILES = frozenset(("index", "README", "404", "search"))
_TAKEN_FOLDERS = frozenset(("templates",))


@lru_cache(maxsize=4096)
def _safe_name(name: str, *, is_folder: bool) -> str:
    """A name in letters, digits, `-_.` and `~` that is unique and means nothing to MkDocs. `~` and
    two hexadecimal digits stand for a byte; `~~` precedes a hash."""
    data = os.fsencode(name)
    text = "".join(chr(byte) if byte in _SAFE else f"~{byte:02X}" for byte in data)
    taken = _TAKEN_FOLDERS if is_folder else _TAKEN_FILES
    if text in taken or text.startswith("."):  # MkDocs omits hidden files
        text = f"~{data[0]:02X}{text[1:]}"
    if is_folder:  # otherwise it could be the name of a file's page
        text = re.sub(r"\.(?=(?:md|html)\Z)", "~2E", text)
    if len(text) > _LONGEST_NAME:
        head = re.sub(r"~[0-9A-F]?\Z", "", text[: _LONGEST_NAME - 40])
        text = f"{head}~~{_digest(data)}"
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
