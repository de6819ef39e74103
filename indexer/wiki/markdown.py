"""Markdown and HTML that show any text without running or hiding any of it.

Nothing in a file is trusted. In Markdown every character that could mean something becomes an
entity, whoever reads it: GitHub, MkDocs, an editor. Source code is put between fences that are
longer than any in it. Invisible characters are spelled out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable

from indexer.paths import escape_path
from indexer.wiki.names import folder_page_of, page_of
from indexer.wiki.prose import split_code

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
    number = ord(found[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


_SPECIAL = re.compile(r"[!-&*+<-@\[-`{-~]")
# What may begin a list or another block, at the beginning of a line.
_FIRST = re.compile(r"\A[^A-Za-z&<\[`]")


def in_markdown(text: str) -> str:
    """Markdown that shows a text literally, in one line, even at the beginning of a line."""
    return begun(_literal(text))


def _literal(text: str) -> str:
    line = _UNSEEN.sub(_code_of, " ".join(text.split()))
    return _SPECIAL.sub(_entity, line)


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"


def begun(line: str) -> str:
    """A line of Markdown of ours that cannot be taken for the beginning of a block."""
    return _FIRST.sub(_entity, line)


def words_in_markdown(text: str) -> str:
    """The same for words between others: a blank at either end stays one."""
    around = " " if text[:1].isspace() else "", " " if text[-1:].isspace() else ""
    words = _literal(text)
    return f"{around[0]}{words}{around[1]}" if words else around[0]


def prose(text: str) -> str:
    """Markdown for a text whose only markup is code in backticks, as `prose.plain` makes it."""
    pieces = split_code(" ".join(text.split()))
    pieces[::2] = map(words_in_markdown, pieces[::2])
    pieces[1::2] = (code(piece.strip("`")) for piece in pieces[1::2])
    return begun("".join(pieces))


# What means nothing within backticks, whatever program reads them.
_HARMLESS = re.compile(r"[\w ./:;,()=+*@#%!?'\"-]*[\w./:;,()=+*@#%!?'\"-]", re.ASCII)


def code(text: str) -> str:
    """Markdown that shows a text as code, in one line."""
    line = " ".join(text.split())
    if _HARMLESS.fullmatch(line):
        return f"`{line}`"
    return f"<code>{in_markdown(line)}</code>" if line else ""


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text, each safe for Markdown."""
    return [prose(part) for part in text.split("\n\n") if part.strip()]


def fenced(text: str, lexer: str) -> str:
    """A block of code, which nothing in the text can close."""
    lines = (line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))
    body = "\n".join(_UNSEEN.sub(_picture, line) for line in lines)
    longest = max(map(len, re.findall(r"`{3,}", body)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{lexer}\n{body}\n{fence}"


_PICTURES = 0x2400  # the symbols of the control characters, in the same order


def _picture(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number == 9:  # a tab can be seen
        return found[0]
    return chr(_PICTURES + number) if number < 0x20 else _code_of(found)


def link_to_page(text: str, page: str, target: str) -> str:
    """A link from one page to another."""
    return f"[{in_markdown(text)}]({relative(target, page)})"


def relative(target: str, page: str) -> str:
    """The path of a page as seen from another."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


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
