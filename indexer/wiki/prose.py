"""The words of a comment, without the markup that only its own tools would show."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Markup for code, which becomes code in backticks: HTML, reStructuredText, Javadoc.
_CODE_MARKUP = (
    (re.compile(r"<(code|tt|kbd)>([^<>`]++)</\1>", re.IGNORECASE), r"`\2`"),
    (re.compile(r":[a-z][\w:+.-]{0,40}:`[~!]?+([^`<>]++)`"), r"`\1`"),
    (re.compile(r":[a-z][\w:+.-]{0,40}:`([^`<>]*[^`<>\s])\s<[^<>`]++>`"), r"\1"),
    (re.compile(r"(?<!`)`([^`<>]*[^`<>\s])\s<[^<>`]++>`__?+"), r"\1"),
    (re.compile(r"(?<!`)`([^`<>]++)`__?+(?!\w)"), r"\1"),
    (re.compile(r"``([^`]++)``"), r"`\1`"),
    (re.compile(r"(?<!\\)\[(`[^`]++`)\](?:\([^()]*+\)|\[[^\[\]]*+\])?+"), r"\1"),
    # KDoc, rustdoc: the name of something, in brackets.
    (
        re.compile(r"(?<![\w#`\]])\[(\w+(?:\.|::)[\w.:]+|[A-Z]\w+|\w+\(\))\](?![(\[])"),
        r"`\1`",
    ),
    (re.compile(r"(?<![\w*])\*\*(?=\S)([^*]++)(?<=\S)\*\*(?!\w)"), r"\1"),
    (re.compile(r"\{@(?:link|linkplain|code|literal|see)\s([^{}`]++)\}"), r"`\1`"),
)
# Markup outside code: HTML, Markdown, and what is left of either where it was cut off.
_TAG = re.compile(
    r"</?(?:a|b|big|blockquote|br|center|code|dd|div|dl|dt|em|h[1-6]|hr|i|img|kbd|li|ol|p|pre|"
    r"picture|small|source|span|strong|sub|sup|table|td|th|tr|tt|u|ul|var)\b[^<>]*+(?:>|\Z)"
    r"|<!--[^<>]*+(?:-->|\Z)",
    re.IGNORECASE,
)
_MARKUP = (
    (_TAG, ""),
    (re.compile(r"\[?!\[[^\[\]]*+(?:\](?:\([^()]*+)?+)?+\Z"), ""),
    (re.compile(r"\[!\[[^\[\]]*+\](?:\([^()]*+\))?+\](?:\([^()]*+\))?+"), ""),
    (re.compile(r"!\[[^\[\]]*+\](?:\([^()]*+\)|\[[^\[\]]*+\])?+"), ""),
    (
        re.compile(r"\[([^\[\]]++)\](?:\((?:[^()]|\([^()]*+\))*+\)|\[[^\[\]]*+\])"),
        r"\1",
    ),
    (re.compile(r"(\*{2,3})(?=\w)([^*]++)(?<=\w)\1"), r"\2"),
    (
        re.compile(r"(?<![\w*])(\*\*|__(?!\w+__))(?=\S)([^*_]++)(?<=\S)\1(?![\w*])"),
        r"\2",
    ),
    (re.compile(r"(?<![\w*])([*_])(?=\S)([^*_]++)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"!?\[\s*+(?:\]|\Z)|\]\([^()\s]*+\)?+|\]\["), ""),
    (re.compile(r"\\([\[\]*_#<>])"), r"\1"),
)
_CODE = re.compile(r"(`[^`]++`)")
_LONGEST = 4_000  # characters of a paragraph that are looked at


def plain(text: str) -> str:
    """A text on one line whose only markup is code in backticks."""
    text = " ".join(text[:_LONGEST].split())
    text = balanced(_replaced(text, _CODE_MARKUP))
    pieces = split_code(text)
    pieces[::2] = [html.unescape(_replaced(piece, _MARKUP)) for piece in pieces[::2]]
    return " ".join(balanced("".join(pieces)).split())


def _replaced(text: str, markup: Iterable[tuple[re.Pattern[str], str]]) -> str:
    for pattern, replacement in markup:
        text = pattern.sub(replacement, text)
    return text


def balanced(text: str) -> str:
    """A text without the last of its backticks if that one has no partner."""
    if text.count("`") % 2:
        head, _, tail = text.rpartition("`")
        return head + tail
    return text


def split_code(text: str) -> list[str]:
    """A text as an odd number of pieces: words, then code in backticks, and so on."""
    return _CODE.split(text)
