"""Documents of strangers on pages of ours: whoever reads the page, it does nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown import markdown
from markdown_it import MarkdownIt

from indexer.wiki.markdown import fenced
from indexer.wiki.prose import plain
from indexer.wiki.rewriting import rewritten

LINKED = ("README.md", "src/a b.py")


def shown(text: str) -> str:
    return rewritten(text, "docs/x.md", LINKED)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("# A *b*", "## A <em>b</em>"),
        ("A\n===\nText\nof two lines.", "## A\n\nText of two lines."),
        ("---\na: b\n---\nText", "Text"),
        ("[a](../README.md#b)", "[a](../README.md.md#b)"),
        ("[a](</src/a b.py>)", "[a](../src/a~20b.py.md)"),
        ("[a](gone.md) [b](../..)", "a b"),
        ("[a][b]\n\n[b]: https://x.org/c_d?e=(f)", "[a](https://x.org/c_d?e=%28f%29)"),
        ("[a](javascript:alert) ![b](c.png)", "[a](javascript:alert) <em>b</em>"),
        ("[![b](c.svg)](https://x.org) a", "a"),
        ("<p align=center><b>a</b></p>\n\nb<br>c", "a\n\nbc"),
        ("<h1>Title</h1>\n<script>x</script>\n<!-- y -->", "**Title**"),
        ("- a\n- b\n  - c", "-   a\n-   b\n    -   c"),
        ("- a\n\n  b\n- c", "-   a\n\n    b\n\n-   c"),
        ("- a\n\n3. b", "-   a\n\n<!-- -->\n\n3.  b"),
        ("> a\n>\n> b", "> a\n>\n> b"),
        ("```python x=y\na\n```", "```python\na\n```"),
        ("```mermaid\na\n```", "```text\na\n```"),
        ("    a\n    b", "```text\na\nb\n```"),
        ("- a\n  ```\n  <b>\n  ```", "-   a\n    <code>&#60;b&#62;</code>"),
        ("|a|b|\n|-|-|\n|`c`|[d](../README.md)|", "| a | b |\n| --- | --- |\n| `c` | [d](../README.md.md) |"),
        ("***", "* * *"),
        ("1\\. a", "&#49;. a"),
        ("a &lt;b&gt; `<c>`", "a &#60;b&#62; <code>&#60;c&#62;</code>"),
    ],
)  # fmt: skip
def test_documents_are_written_anew(text: str, expected: str) -> None:
    expected = expected.replace("[a](javascript", "&#91;a&#93;(javascript")
    assert shown(text) == expected


def test_a_long_document_is_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("indexer.wiki.rewriting.MAX_DOCUMENT", 600)
    page = shown("word\n\n" * 200)
    assert page.count("word") == 100
    assert page.endswith("The rest of this file is not shown.")


# What a page of a wiki is built with: see `navigation.mkdocs_settings`.
EXTENSIONS = [
    *("tables", "md_in_html", "toc"),
    *("pymdownx.highlight", "pymdownx.superfences"),
]
# Those of the page itself, and of colours.
TAGS = set("""
    a blockquote br code del div em h2 h3 h4 h5 h6 hr li ol p pre s span strong
    table tbody td th thead tr ul
    """.split())


class Tags(HTMLParser):
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        for name, value in attrs:
            assert name in ("href", "id", "class", "start", "style"), name
            if name == "href":
                assert re.match(r"https?:|mailto:|[#.]|[\w-]+\.md", value or ""), value
            if name == "style":
                assert value in ("text-align: left;", "text-align: center;")

    def handle_comment(self, data: str) -> None:
        assert not data.strip()


PIECES = st.sampled_from([
    *("<script>alert(1)</script>", "<img src=x onerror=y>", "</pre>", "<b", "-->", "<!--", "]]>"),
    *("```", "````js", "~~~", "`", "``", "$$", "{{ x }}", "{% y %}", "{: onclick=z }", "[TOC]"),
    *("[a](javascript:b)", "[a](x.md)", "![", "](", "[", "]", "[a]: javascript:b", "<javascript:c>"),
    *("# ", "> ", "- ", "1. ", "| a | b |\n|---|---|\n", "    ", "\t", "***", "__", "~~", "===", "!!! a"),
    *("\n", "\n\n", "\n", "word", " ", "\\", "&lt;", "&#60;", "/// x", "--8<-- 'y'", ":::", "*[a]: b"),
])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_document_does_anything(text: str) -> None:
    page = shown(text)
    Tags().feed(markdown(page, extensions=EXTENSIONS))
    Tags().feed(MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(page))


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_source_closes_its_fence(text: str) -> None:
    page = fenced(text, "text") + "\n\nafter\n"
    block, *others = MarkdownIt("commonmark").parse(page)
    assert block.type == "fence" and len(others) == 3
    assert block.content.rstrip("\n") == text.removesuffix("\n").rstrip("\n")
    built = markdown(page, extensions=EXTENSIONS)
    assert built.count("<pre>") == 1 and built.endswith("<p>after</p>")


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Uses :class:`~a.B` and ``c``.", "Uses `a.B` and `c`."),
        ("See `the docs <https://x.org>`_.", "See the docs."),
        ("Gets a {@link Foo} &amp; <code>b</code>.<p>", "Gets a `Foo` & `b`."),
        ("A [link](x.md) and [`Some`] or [Other::x].", "A link and `Some` or `Other::x`."),
        ("[![CI](a.svg)](b) **Bold** and *it*.", "Bold and it."),
        ("[![CI](a.sv", ""),
        ("A list: a[0], List<String>, x * y * z.", "A list: a[0], List<String>, x * y * z."),
        ("Half `code", "Half code"),
        ("a_b_c and __init__ and **kwargs", "a_b_c and __init__ and **kwargs"),
    ],
)  # fmt: skip
def test_comments_lose_their_markup(text: str, expected: str) -> None:
    assert plain(text) == expected
