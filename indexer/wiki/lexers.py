"""The names by which Pygments, and GitHub, know our languages."""

from __future__ import annotations

import re

# Those that have other names there. "text" is shown without colours.
_OTHERS = {
    "astro": "html",
    "commonlisp": "common-lisp",
    "elisp": "emacs-lisp",
    "gomod": "text",
    "jupyter": "text",
    "latex": "tex",
    "ocaml_interface": "ocaml",
    "proto": "protobuf",
    "svelte": "html",
    "vue": "html",
}
# Fences that GitHub, or MkDocs with an extension, draws instead of showing them.
_DRAWN = frozenset(("geojson", "math", "mermaid", "stl", "topojson"))


def lexer_of(language: str) -> str:
    """What follows the fence of a listing in one of our languages; "" is no language."""
    return _OTHERS.get(language, language) or "text"


def lexer_of_fence(info: str) -> str:
    """The same for what follows a fence in a project's own document."""
    word = (info.split() or [""])[0].lower()
    if word in _DRAWN or not re.fullmatch(r"[a-z0-9][a-z0-9+#_-]{0,29}", word):
        return "text"
    return word
