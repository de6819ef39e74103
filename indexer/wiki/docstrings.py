"""What a definition says about itself: in its docstring, or in the comment above it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from indexer.wiki.comments import closing_comment
from indexer.wiki.purpose import first_sentence, prose_of

LONGEST = 120  # characters
_NEAR = 40  # lines of a signature, or of a comment, that are looked at

# The signature of a Python function or class: strings, comments and brackets may have colons.
_NESTED = r"""(?:[^()\[\]{}"'#]|"[^"\n]*"|'[^'\n]*'|\#[^\n]*)"""
_BRACKETS = rf"[(\[{{](?:{_NESTED}|[(\[{{](?:{_NESTED}|[(\[{{]{_NESTED}*+[)\]}}])*+[)\]}}])*+[)\]}}]"
_PYTHON = re.compile(
    rf"[^\S\n]*+(?:async[^\S\n]+)?(?:def|class)\b(?:[^:()\[\]{{}}\"'#\n]|{_BRACKETS}|\\\n)*+:"
    r"[^\S\n]*+(?:\#[^\n]*+)?\s*+"
    r"[rRuU]?(?:\"\"\"(?P<long>(?:[^\"\\]|\\[\s\S]|\"(?!\"\"))*+)"
    r"|'''(?P<other>(?:[^'\\]|\\[\s\S]|'(?!''))*+)"
    r"|(?P<q>[\"'])(?P<short>[^\"'\\\n]++)(?P=q))"
)
# Lines between a definition and the comment above it.
_ATTRIBUTES = re.compile(r"\s*(?:@\w|#!?\[|\[\w[^\]]*\]\s*$|template\s*<)")


def summary_of(lines: Sequence[str], line: int, end_line: int, language: str) -> str:
    """The first sentence that the definition on the lines `line` to `end_line` (1-based,
    inclusive) says about itself; "" if it says nothing."""
    if language == "python":
        text = "\n".join(lines[line - 1 : min(end_line, line - 1 + _NEAR)])
        found = _PYTHON.match(text)
        comment = (found["long"] or found["other"] or found["short"]) if found else ""
    else:
        start = line - 1
        while start and _ATTRIBUTES.match(lines[start - 1]):
            start -= 1
        text = "\n".join(lines[max(0, start - _NEAR) : start])
        comment = closing_comment(text, language)
    return first_sentence("\n\n".join(prose_of(comment, "")[:1]), LONGEST)
