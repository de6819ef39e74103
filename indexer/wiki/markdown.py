"""Markdown and HTML that show any text without running or hiding any of it.

Nothing in a file is trusted. In Markdown every character that could mean something becomes an
entity; in HTML, and in titles, which MkDocs copies into HTML, `<`, `>`, `&` and quotes do.
Invisible characters are spelled out.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterable

from indexer.paths import escape_path
from indexer.wiki.names import folder_page_of, page_of

PAGE_MARKER = "<!-- Written by codx-index -->"
"""The first line of every page of ours."""

# Control characters, line separators and characters that change the direction of text, none of
# which can be seen; then those that are no characters at all, which YAML and XML do not accept.
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def shown(path: str) -> str:
    """A path on one line, in visible characters."""
    return _UNSEEN.sub(_code_of, escape_path(path))


def _code_of(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


_SPECIAL = re.compile(r"[!-&*+<-@\[-`{-~]|^[^A-Za-z]")


def in_markdown(text: str) -> str:
    """Markdown that shows a text literally, in one line, even at the beginning of a line."""
    line = _UNSEEN.sub(_code_of, " ".join(text.split()))
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, each safe for Markdown."""
    return [in_markdown(part) for part in text.split("\n\n") if part.strip()]


def in_listing(line: str) -> str:
    """HTML that shows a line of source code inside `<pre>`."""
    escaped = html.escape(line.removesuffix("\r")).replace("\t", "&#9;")
    return _UNSEEN.sub(_picture, escaped)


_PICTURES = 0x2400  # the symbols of the control characters, in the same order


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES + code) if code < 0x20 else _code_of(found)


def link_to_page(text: str, page: str, target: str) -> str:
    """A link from one page to another."""
    where = posixpath.relpath(target, posixpath.dirname(page) or ".")
    return f"[{in_markdown(text)}]({where})"


def link_to_file(path: str, page: str) -> str:
    """A link from a page to the page of a file."""
    return link_to_page(shown(path), page, page_of(path))


def trail(folder: str, page: str) -> str:
    """Links from a page to a folder and to those around it."""
    links = [link_to_page("home", page, folder_page_of(""))]
    parts = folder.split("/") if folder else []
    for depth, part in enumerate(parts, 1):
        target = folder_page_of("/".join(parts[:depth]))
        links.append(link_to_page(shown(part), page, target))
    return " / ".join(links)


def section(title: str, lines: Iterable[str]) -> list[str]:
    """A heading and the lines under it, as two blocks; none if there are no lines."""
    body = "\n".join(lines)
    return [f"## {title}", body] if body else []


def counted(number: int, name: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"
