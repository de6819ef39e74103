"""Names of pages, links between them, and any text made safe for Markdown."""

from __future__ import annotations

import hashlib
import html
import os
import posixpath
import re
from functools import lru_cache

from indexer.paths import escape_path

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


_LONGEST_NAME = 180  # characters of one part; a file name may have 255 bytes


_LONGEST_PAGE = 1_000  # characters of all parts; a path may have 4,096 bytes


# Taken by the pages of folders, or by MkDocs.
_TAKEN_FILES = frozenset(("index", "README", "404", "search"))


_TAKEN_FOLDERS = frozenset(("templates",))


@lru_cache(maxsize=4096)
def _safe_name(name: str, *, is_folder: bool) -> str:
    """A name in letters, digits, `-_.` and `~`: no two are the same, and none means
    anything to MkDocs. `~` and two digits are a byte; `~~` comes before a hash."""
    data = os.fsencode(name)
    text = "".join(chr(byte) if byte in _SAFE else f"~{byte:02X}" for byte in data)
    taken = _TAKEN_FOLDERS if is_folder else _TAKEN_FILES
    if text in taken or text.startswith("."):  # MkDocs leaves hidden files out
        text = f"~{data[0]:02X}{text[1:]}"
    if is_folder:  # else it could be that of a file's page
        text = re.sub(r"\.(?=(?:md|html)\Z)", "~2E", text)
    if len(text) > _LONGEST_NAME:
        head = re.sub(r"~[0-9A-F]?\Z", "", text[: _LONGEST_NAME - 40])
        text = f"{head}~~{_digest(data)}"
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def page_of(path: str) -> str:
    """The page of a file, relative to `DOCS`."""
    *folders, name = path.split("/")
    parts = [_safe_name(folder, is_folder=True) for folder in folders]
    page = "/".join([*parts, _safe_name(name, is_folder=False) + ".md"])
    return page if len(page) <= _LONGEST_PAGE else f"~~{_digest(os.fsencode(path))}.md"


def folder_page_of(folder: str) -> str:
    """The page of a folder, relative to `DOCS`; that of the project, "", is the home page."""
    if not folder:
        return "index.md"
    parts = [_safe_name(name, is_folder=True) for name in folder.split("/")]
    page = "/".join([*parts, "index.md"])
    if len(page) <= _LONGEST_PAGE:
        return page
    return f"~~{_digest(os.fsencode(folder))}/index.md"


# Control characters, separators of lines, and what turns the direction of text: none of it
# is seen. Then what is no character, of which YAML and XML want to know nothing.
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


_PICTURES = 0x2400  # of the control characters, in their order


_SPECIAL = re.compile(r"[!-&*+<-@\[-`{-~]|^[^A-Za-z]")


def _code_of(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(path: str) -> str:
    """A path, on one line, in characters that one sees."""
    return _UNSEEN.sub(_code_of, escape_path(path))


def in_markdown(text: str) -> str:
    """A text that shows literally, as one line of Markdown that it may begin."""
    line = _UNSEEN.sub(_code_of, " ".join(text.split()))
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def in_listing(line: str) -> str:
    """A line of a source, within `<pre>`."""
    escaped = html.escape(line.removesuffix("\r")).replace("\t", "&#9;")
    return _UNSEEN.sub(_picture, escaped)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES + code) if code < 0x20 else _code_of(found)


def _link(text: str, page: str, target: str) -> str:
    """A link from one page to another."""
    where = posixpath.relpath(target, posixpath.dirname(page) or ".")
    return f"[{in_markdown(text)}]({where})"


def link_to_file(path: str, page: str) -> str:
    """A link from a page to the page of a file."""
    return _link(shown(path), page, page_of(path))


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, each safe for Markdown."""
    return [in_markdown(part) for part in text.split("\n\n") if part.strip()]
