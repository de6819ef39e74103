"""A project's own document, rewritten in Markdown that every reader understands in the same way.

The document is a stranger's. What it says stays, as words and structure; what it would do does
not: its HTML becomes text, its images become their descriptions, and a link leads to a page of the wiki or
to the web.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from indexer.wiki.document import Document, html_blocks, is_web, path_of
from indexer.wiki.lexers import lexer_of_fence
from indexer.wiki.markdown import begun, code, fenced, in_markdown, words_in_markdown
from indexer.wiki.names import page_of
from indexer.wiki.places import linked

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

MAX_DOCUMENT = 200_000
"""Characters of a document that are shown."""

_HEADINGS_BELOW = 1  # levels: the page has a title of its own
_WEB = re.compile(r"(?:https?://|mailto:)[^\s<>]+\Z", re.IGNORECASE)
_SAFE_IN_TARGET = "/:?#@!$&'+,;=%~.-"


def rewritten(text: str, path: str, linked: Collection[str]) -> str:
    """The document of the file `path` as Markdown for its page; `linked` are the files with pages
    that its links may lead to."""
    document = Document(text[:MAX_DOCUMENT])
    blocks = _Rewriter(document, path, linked).blocks(document.blocks)
    if len(text) > MAX_DOCUMENT:
        blocks.append("The rest of this file is not shown.")
    return "\n\n".join(blocks)


class _Rewriter:
    """Blocks are written as lists of lines, inline nodes as a part of one."""

    def __init__(self, document: Document, path: str, linked: Collection[str]) -> None:
        self._document = document
        self._path = path
        self._linked = linked
        self._is_nested = False
        self._writers: dict[str, Callable[[SyntaxTreeNode], list[str]]] = {
            "heading": self._heading,
            "paragraph": self._paragraph,
            "bullet_list": self._list,
            "ordered_list": self._list,
            "blockquote": self._quote,
            "fence": self._code,
            "code_block": self._code,
            "html_block": self._html,
            "table": self._table,
            "hr": lambda _: ["* * *"],
        }

    def blocks(self, nodes: Sequence[SyntaxTreeNode]) -> list[str]:
        """The blocks of Markdown for some nodes; lists are set apart."""
        found: list[str] = []
        last = ""
        for node in nodes:
            if lines := self._writers[node.type](node):
                if node.type.endswith("_list") and last.endswith("_list"):
                    found.append("<!-- -->")
                found.append("\n".join(lines))
                last = node.type
        return found

    def _heading(self, node: SyntaxTreeNode) -> list[str]:
        level = min(int(node.tag[1]) + _HEADINGS_BELOW, 6)
        words = self._inside(node)
        return [f"{'#' * level} {words}"] if words else []

    def _paragraph(self, node: SyntaxTreeNode) -> list[str]:
        words = self._inside(node)
        return [words] if words else []

    def _list(self, node: SyntaxTreeNode) -> list[str]:
        bodies = [self._item(item) for item in node.children]
        is_loose = any("\n\n" in body for body in bodies) or any(
            not block.hidden
            for item in node.children
            for block in item.children
            if block.type == "paragraph"
        )
        mark = "-   "
        if node.type == "ordered_list":
            start = int(node.attrs.get("start", 1))
            mark = f"{start if start < 100 else 1}.".ljust(4)
        lines: list[str] = []
        for body in bodies:
            first, *rest = body.split("\n")
            lines += [""] if lines and is_loose else []
            lines.append(mark + first)
            lines += (f"    {line}" if line else "" for line in rest)
        return lines

    def _item(self, item: SyntaxTreeNode) -> str:
        blocks = self._nested(item.children)
        if not blocks or item.children[0].type != "paragraph":
            blocks.insert(0, "&#160;\n")
        is_tight = all(one.hidden for one in item.children if one.type == "paragraph")
        return ("\n" if is_tight else "\n\n").join(blocks)

    def _quote(self, node: SyntaxTreeNode) -> list[str]:
        body = "\n\n".join(self._nested(node.children))
        return [f"> {line}".rstrip() for line in body.split("\n")] if body else []

    def _nested(self, nodes: Sequence[SyntaxTreeNode]) -> list[str]:
        was_nested, self._is_nested = self._is_nested, True
        try:
            return self.blocks(nodes)
        finally:
            self._is_nested = was_nested

    def _code(self, node: SyntaxTreeNode) -> list[str]:
        if not self._is_nested:
            return fenced(node.content, lexer_of_fence(node.info)).split("\n")
        # Programs do not agree about what a fence within a list or a quote is.
        lines = node.content.rstrip("\n").split("\n")
        shown = (in_markdown(line.strip()) for line in lines)
        indents = ("&#160;" * (len(one) - len(one.lstrip())) for one in lines)
        body = "<br />".join(map("".join, zip(indents, shown, strict=True)))
        return [f"<code>{body}</code>"]

    def _html(self, node: SyntaxTreeNode) -> list[str]:
        blocks = []
        for is_heading, words in html_blocks(node.content):
            shown = in_markdown(words)
            blocks.append(
                f"**{shown}**" if is_heading and shown[0].isalpha() else shown
            )
        return "\n\n".join(blocks).split("\n") if blocks else []

    def _table(self, node: SyntaxTreeNode) -> list[str]:
        rows = [row.children for part in node.children for row in part.children]
        lines = [f"| {' | '.join(map(self._inside, cells))} |" for cells in rows]
        lines.insert(1, "|" + " --- |" * len(rows[0]))
        return lines

    # -- Inside a line --

    def _inside(self, block: SyntaxTreeNode) -> str:
        return begun(self._inline(self._document.inside(block)).strip())

    def _inline(self, nodes: Sequence[SyntaxTreeNode]) -> str:
        return "".join(piece for node in nodes for piece in self._pieces(node))

    def _pieces(self, node: SyntaxTreeNode) -> Iterator[str]:
        if node.type in ("text", "text_special"):
            yield words_in_markdown(node.content)
        elif node.type == "softbreak":
            yield " "
        elif node.type == "hardbreak":
            yield "<br />"
        elif node.type == "code_inline":
            yield code(node.content)
        elif node.type == "image":
            if words := in_markdown(node.content):
                yield f"<em>{words}</em>"
        elif node.type == "link":
            yield self._link(node)
        elif node.type in ("em", "strong"):
            yield f"<{node.type}>{self._inline(node.children)}</{node.type}>"
        elif node.type == "s":
            yield f"<del>{self._inline(node.children)}</del>"

    def _link(self, node: SyntaxTreeNode) -> str:
        # A picture with a link is a badge, more often than not.
        words = self._inline(
            [one for one in node.children if one.type != "image"]
        ).strip()
        target = self._target(str(node.attrs.get("href", "")))
        return f"[{words}]({target})" if words and target else words

    def _target(self, href: str) -> str:
        """Where a link may lead; "" if it may not."""
        if _WEB.match(href):
            return quote(href, safe=_SAFE_IN_TARGET)
        path, _, fragment = href.partition("#")
        anchor = f"#{quote(fragment, safe='-._~%')}" if fragment else ""
        if is_web(href):
            return anchor if href.startswith("#") else ""
        target = linked(self._path, path_of(path))
        if target is None or target not in self._linked:
            return ""
        folder = posixpath.dirname(page_of(self._path))
        return posixpath.relpath(page_of(target), folder or ".") + anchor
