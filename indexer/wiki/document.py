"""A project's own documents in Markdown, read as CommonMark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

# The parser takes quadratic time over brackets: more characters than these in one paragraph are
# shown as they are.
_LONGEST_PARAGRAPH = 4_000
_FRONT_MATTER = re.compile(r"\A---\n(?s:.*?)\n(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)")
_WEB = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//|#")


class Document:
    """The blocks of a document, without its front matter. The content of a paragraph is parsed when it
    is asked for."""

    def __init__(self, text: str) -> None:
        from markdown_it.tree import SyntaxTreeNode

        self._env: dict[str, object] = {}
        tokens = _parser().parse(_FRONT_MATTER.sub("", text, count=1), self._env)
        for token in tokens:
            token.children = None
        self._paragraphs = [t.content for t in tokens if t.type == "inline"]
        self.blocks: Sequence[SyntaxTreeNode] = SyntaxTreeNode(tokens).children

    def inside(self, block: SyntaxTreeNode) -> Sequence[SyntaxTreeNode]:
        """The inline nodes of a heading, a paragraph or a cell of a table."""
        return self._parsed("".join(one.content for one in block.children))

    def links(self) -> Iterator[str]:
        """The paths that the document links to, relative to its folder or, with `/` before them,
        to the project."""
        for paragraph in self._paragraphs:
            for node in self._parsed(paragraph):
                for link in node.walk():
                    target = str(link.attrs.get("href", ""))
                    if target and not is_web(target):
                        yield path_of(target)

    def _parsed(self, content: str) -> Sequence[SyntaxTreeNode]:
        from markdown_it.token import Token
        from markdown_it.tree import SyntaxTreeNode

        parser, found = _parser(), list[Token]()
        if len(content) <= _LONGEST_PARAGRAPH:
            parser.inline.parse(content, parser, self._env, found)
        else:
            found.append(Token("text", "", 0, content=content))
        return SyntaxTreeNode(found).children


def path_of(target: str) -> str:
    """The path in the target of a link, without query and fragment."""
    from urllib.parse import unquote

    return unquote(re.split(r"[?#]", target, maxsplit=1)[0])


def is_web(target: str) -> bool:
    """Whether the target of a link is not a path: it has a scheme or a host, or is a fragment."""
    return bool(_WEB.match(target))


def plain_text(nodes: Sequence[SyntaxTreeNode]) -> str:
    """The words of inline nodes on one line, code in backticks. Images and HTML have none."""
    return " ".join("".join(map(_words, nodes)).split())


def _words(node: SyntaxTreeNode) -> str:
    if node.type in ("text", "text_special"):
        return node.content
    if node.type == "code_inline":
        return f"`{node.content.replace('`', '')}`"
    if node.type in ("softbreak", "hardbreak"):
        return " "
    if node.type in ("image", "html_inline"):
        return ""
    return "".join(map(_words, node.children))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": 60})
    return parser.enable(["table", "strikethrough"]).disable("inline")


class _Text(HTMLParser):
    """The text of HTML, a paragraph for each block; that of `<h1>` to `<h6>` is a heading."""

    _BLOCKS = frozenset(
        "address article blockquote br dd details div dl dt h1 h2 h3 h4 h5 h6 hr li ol p pre "
        "section summary table td th tr ul".split()
    )
    _HIDDEN = frozenset(("script", "style", "svg", "template"))

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[bool, str]] = []
        self._is_heading = False
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in self._HIDDEN
        self._begin(tag, re.fullmatch("h[1-6]", tag) is not None)

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in self._HIDDEN))
        self._begin(tag, False)

    def _begin(self, tag: str, is_heading: bool) -> None:
        if tag in self._BLOCKS:
            self.blocks.append((is_heading, ""))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            is_heading, text = self.blocks.pop() if self.blocks else (False, "")
            self.blocks.append((is_heading, text + data))


def html_blocks(html: str) -> Iterator[tuple[bool, str]]:
    """The text of HTML block by block, each with whether it is a heading."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    for is_heading, text in parser.blocks:
        if words := " ".join(text.split()):
            yield is_heading, words
