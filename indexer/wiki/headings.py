"""What a document for people is about: its title, its first heading and paragraph."""

from __future__ import annotations

import html
import re


def markdown_summary(text: str) -> list[str]:
    """The first heading and the first paragraph after it, as one paragraph; none if there is
    neither."""
    text = re.sub(r"\A---\n(?s:.*?)\n---[^\S\n]*\n", "", text)
    text = re.sub(r"<!--(?s:.*?)(?:-->|\Z)", "", text)
    heading = ""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = block.strip("\n").split("\n")
        if not heading and (found := re.match(r"#{1,6}\s+(?=\S)", lines[0])):
            heading = _inline(lines[0][found.end() :].rstrip("# "))
            lines = lines[1:]
        elif not heading and len(lines) > 1 and re.match(r"(=+|-+)\s*$", lines[1]):
            heading, lines = _inline(lines[0]), lines[2:]
        if not lines or re.match(r"\s{4}|#|[-*+>|]\s|\d+[.)]\s|```|~~~", lines[0]):
            continue
        if paragraph := _inline(" ".join(lines)):
            return [_headed(heading, paragraph)]
    return [heading] if heading else []


_LONGEST_PARAGRAPH = 4_000  # characters with marks: some patterns take quadratic time


def _inline(text: str) -> str:
    text = text[:_LONGEST_PARAGRAPH]
    text = re.sub(
        r"\[?!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])(?:\]\([^)\n]*\))?", "", text
    )
    text = re.sub(r"\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])", r"\1", text)
    text = re.sub(r"</?[A-Za-z][^<>]*>", "", text)
    return " ".join(html.unescape(re.sub(r"[*`]+", "", text)).split())


def rst_summary(text: str) -> list[str]:
    """The same for reStructuredText."""
    heading = ""
    for block in re.split(r"\n[^\S\n]*\n", text):
        lines = [
            line
            for line in block.split("\n")
            if not re.match(r"([^\w\s])\1*\s*$", line)
        ]
        is_title = len(lines) == 1 and lines != block.strip("\n").split("\n")
        if not lines or re.match(r"\s|\.\.|:\w+:|[-*+|]\s", lines[0]):
            continue
        shown = " ".join(re.sub(r"[*`]+", "", " ".join(lines)).split())
        if is_title and not heading:
            heading = shown
        elif not is_title:
            return [_headed(heading, shown)]
    return [heading] if heading else []


def _headed(heading: str, paragraph: str) -> str:
    if not heading:
        return paragraph
    return f"{heading}{'' if heading[-1] in '.:!?' else ':'} {paragraph}"


def html_title(text: str) -> str:
    """The title of an HTML or XML file; "" if it has none."""
    found = re.search(r"<title[^<>]*>([^<]*+)</title", text, re.IGNORECASE)
    return " ".join(html.unescape(found[1]).split()) if found else ""
