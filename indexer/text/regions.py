"""The regions of a text that are in another language: `<script>`, `<style>`, frontmatter."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_COMPONENTS = frozenset(("vue", "svelte", "astro", "html"))
_MOST = 500  # regions of one text; a component has three

# An attribute in quotes may have `>` in it, as the types in `generic="T extends A<B>"` do.
_OPENING = re.compile(
    r"""<(?:(?P<comment>!--)|(?P<tag>script|style|i18n)(?=[\s>])
    (?P<attributes>(?:[^<>"']{1,1000}+|"[^"]{0,1000}+"|'[^']{0,1000}+'){0,100}+)>)""",
    re.VERBOSE | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"""\b(lang|type)\s*=\s*["']?([\w/+.-]+)""", re.IGNORECASE)
_FRONTMATTER = re.compile(r"\s*---[ \t]*\n")

_SCRIPTS = {
    **dict.fromkeys(("", "js", "jsx", "mjs", "module", "babel"), "javascript"),
    **dict.fromkeys(("javascript", "ecmascript", "x-javascript"), "javascript"),
    **dict.fromkeys(("ts", "typescript"), "typescript"),
    "tsx": "tsx",
    **dict.fromkeys(("json", "ld+json", "importmap", "speculationrules"), "json"),
    **dict.fromkeys(("html", "x-template", "template", "ng-template"), "html"),
}
_STYLES = {
    **dict.fromkeys(("", "css", "postcss", "pcss"), "css"),
    **dict.fromkeys(
        ("scss", "less"), "scss"
    ),  # what both have in common decides the cuts
}
_MESSAGES = {"": "json", "json": "json", "yaml": "yaml", "yml": "yaml"}
_LANGUAGES = {"script": _SCRIPTS, "style": _STYLES, "i18n": _MESSAGES}


class Region(Struct, frozen=True):
    """A part of a text, its language, and the row on which it begins."""

    text: str
    language: str
    top: int


def regions_in(text: str, language: str) -> Iterator[Region]:
    """Yield the regions of a component or a page, in order.

    What is of one line, in a language that we have no grammar of, or not closed is no region.
    """
    if language not in _COMPONENTS:
        return
    found = counted = row = 0
    for start, end, inner in _spans(text, language):
        row += text.count("\n", counted, start)
        counted = start
        if "\n" in (part := text[start:end]):
            yield Region(part, inner, row)
            found += 1
        if found == _MOST:
            return


def _spans(text: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Yield where each region begins and ends, and its language."""
    position = 0
    if language == "astro" and (fence := _FRONTMATTER.match(text)):
        end = text.find("\n---", fence.end() - 1)
        if end >= 0:
            yield fence.end(), max(end, fence.end()), "typescript"
            position = end
    unclosed: set[str] = set()
    while match := _OPENING.search(text, position):
        tag = "--" if match["comment"] else match["tag"].lower()
        position = match.end()
        if tag in unclosed:
            continue
        end = _end_of(text, tag, position)
        if end < 0:
            unclosed.add(tag)  # nor will any that follows be closed
            continue
        if tag != "--":
            inner = _language(tag, match["attributes"])
            if inner:
                yield position, end, inner
        position = end


def _end_of(text: str, tag: str, start: int) -> int:
    if tag == "--":
        return text.find("-->", start)
    closing = re.compile(rf"</{tag}(?=[\s>])", re.IGNORECASE).search(text, start)
    return closing.start() if closing else -1


def _language(tag: str, attributes: str) -> str | None:
    """What the attributes say, `lang` before `type`."""
    said = {name.lower(): value for name, value in _ATTRIBUTE.findall(attributes)}
    given = said.get("lang", said.get("type", "")).lower()
    for prefix in ("text/", "application/", "x-"):
        given = given.removeprefix(prefix)
    return _LANGUAGES[tag].get(given)
