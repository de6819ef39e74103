"""What a document for people is about: its title, its first heading and paragraph."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from indexer.wiki.prose import plain

if TYPE_CHECKING:
    from indexer.wiki.document import Document


def markdown_summary(text: str) -> list[str]:
    """The first heading and the first paragraph after it, as one paragraph; none if there is
    neither."""
    from indexer.wiki.document import Document

    heading = ""
    for is_heading, words in _blocks(Document(text)):
        if not is_heading:
            return [_headed(heading, words)]
        heading = heading or words
    return [heading] if heading else []


def _blocks(document: Document) -> Iterator[tuple[bool, str]]:
    """The headings and paragraphs outside of lists and the like, each with whether it is a heading."""
    from indexer.wiki.document import html_blocks, plain_text

    for block in document.blocks:
        if block.type in ("heading", "paragraph"):
            words = plain(plain_text(document.inside(block)))
            if words and not words.startswith("<"):  # a component of MDX
                yield block.type == "heading", words
        elif block.type == "html_block":
            for is_heading, words in html_blocks(block.content):
                if words := plain(words):
                    yield is_heading, words


def rst_summary(text: str) -> list[str]:
    """The same for reStructuredText."""
    heading = ""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = [
            line
            for line in block.strip("\n").split("\n")
            if not re.match(r"([^\w\s])\1*\s*$", line)
        ]
        is_title = len(lines) == 1 and lines != block.strip("\n").split("\n")
        if not lines or re.match(r"\s|\.\.|:\w+:|[-*+|]\s", lines[0]):
            continue
        shown = plain(" ".join(lines))
        if not shown:
            continue
        if is_title and not heading:
            heading = shown
        elif not is_title:
            return [_headed(heading, shown)]
    return [heading] if heading else []


def _headed(heading: str, paragraph: str) -> str:
    if not heading:
        return paragraph
    if paragraph.casefold().startswith(heading.casefold()):
        return paragraph
    return f"{heading}{'' if heading[-1] in '.:!?' else ':'} {paragraph}"


def html_title(text: str) -> str:
    """The title of an HTML or XML file; "" if it has none."""
    found = re.search(r"<title[^<>]*>([^<]*+)</title", text, re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split()) if found else ""
