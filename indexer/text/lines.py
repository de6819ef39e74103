"""What a line of a text is."""

from __future__ import annotations

import re

_BEFORE_LINE_FEED = re.compile(r"\r+\n")


def with_line_feeds(text: str) -> str:
    """The text with a line feed at the end of every line, and no carriage return at all.

    A line ends with a line feed, as git, grep and POSIX have it, and the carriage returns right
    before that are part of its end. Where the text has no line feed, carriage returns end its
    lines, as they did on the first Macintosh; so editors tell such a file as well. Any other
    one moved the cursor of a terminal back: it becomes a space.
    """
    if "\r" not in text:
        return text
    if "\n" not in text:
        return text.replace("\r", "\n")
    return _BEFORE_LINE_FEED.sub("\n", text).replace("\r", " ")
