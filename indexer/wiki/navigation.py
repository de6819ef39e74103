"""The MkDocs settings of a wiki, including its navigation."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Mapping

from indexer.config import WIKI_MARKER
from indexer.wiki.folders import Folder, inside
from indexer.wiki.markdown import shown
from indexer.wiki.names import DOCS, STYLE, folder_page_of, page_of

MAX_NAV_FILES = 500
"""With more files only folders are in the navigation, because every built page repeats it."""

MAX_NAV_FOLDERS = 500
MAX_NAV_DEPTH = 12  # folders within folders
LONGEST_TITLE = 100  # characters; a YAML key may have 1,024, including all escapes

STYLE_SHEET = """\
/* Written by codx-index */
.md-typeset .highlight code { font-size: 0.95em; }
.md-typeset .highlight span[id]:target { background: var(--md-typeset-mark-color); }
.md-typeset .highlight .linenos { min-width: 2.5em; }
/* If its colour scheme differed from the page's, a drawing would get a background of its own. */
.md-typeset object.imports { display: block; max-width: 100%; margin: 0 auto; color-scheme: light; }
/* The drawing above already shows what Mermaid would draw. */
.md-typeset object.imports + .highlight,
.md-typeset p:has(> object.imports) + .highlight { display: none; }
"""

# A name such as `read_text` is one word: its parts would find more files than the one that has it.
_SEPARATOR = r"[\s\-./:,()`]+"

# Each line has an anchor of its own: see `file_page.line_anchor`.
_HIGHLIGHT = {
    "linenums": True,
    "linenums_style": "pymdownx-inline",
    "line_spans": "L",
}
_LIGHT = {
    "media": "(prefers-color-scheme: light)",
    "scheme": "default",
    "primary": "indigo",
    "toggle": {"icon": "material/weather-night", "name": "Dark"},
}
_DARK = {
    "media": "(prefers-color-scheme: dark)",
    "scheme": "slate",
    "primary": "indigo",
    "toggle": {"icon": "material/weather-sunny", "name": "Light"},
}


def mkdocs_settings(title: str, folders: Mapping[str, Folder]) -> str:
    """The `mkdocs.yml` of a wiki, for Material for MkDocs."""
    settings = {
        "site_name": _title(title),
        "docs_dir": DOCS,
        "site_dir": "site",
        # Links to files, so that a built wiki can be read without a server.
        "use_directory_urls": False,
        "theme": {
            "name": "material",
            "font": False,  # it would be fetched from the network
            "palette": [_LIGHT, _DARK],
            "features": [
                *("navigation.indexes", "navigation.prune", "navigation.top"),
                *("content.code.copy", "search.highlight", "search.suggest"),
                "toc.follow",
            ],
        },
        "plugins": [{"search": {"separator": _SEPARATOR}}],
        "markdown_extensions": [
            *("tables", "md_in_html", {"toc": {"permalink": True}}),
            {"pymdownx.highlight": _HIGHLIGHT},
            {"pymdownx.superfences": {"preserve_tabs": True}},
        ],
        "extra_css": [STYLE],
        # MkDocs does not see the anchors of the lines of code.
        "validation": {"nav": {"omitted_files": "ignore"}, "anchors": "ignore"},
        "nav": _navigation(folders),
    }
    lines = [WIKI_MARKER]
    for name, value in settings.items():
        # JSON without escapes is YAML, because no invisible character is in it.
        indent = 2 if name == "nav" else None
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False, indent=indent)}")
    return "\n".join(lines) + "\n"


def _title(text: str) -> str:
    return html.escape(shown(text)[:LONGEST_TITLE])


Navigation = list["str | dict[str, str | Navigation]"]


def _navigation(folders: Mapping[str, Folder]) -> Navigation:
    with_files = folders[""].count <= MAX_NAV_FILES
    depth = _navigation_depth(folders)
    home: Navigation = [{"Home": folder_page_of("")}]
    return home + _entries(folders[""], folders, with_files, depth)


def _navigation_depth(folders: Mapping[str, Folder]) -> int:
    """The depth to which all folders together are at most `MAX_NAV_FOLDERS`, at most
    `MAX_NAV_DEPTH`."""
    depths = Counter(folder.count("/") + 1 for folder in folders if folder)
    total = 0
    for depth in sorted(depths):
        total += depths[depth]
        if total > MAX_NAV_FOLDERS:
            return max(1, depth - 1)
    return min(len(depths), MAX_NAV_DEPTH)


def _entries(
    folder: Folder, folders: Mapping[str, Folder], with_files: bool, depth: int
) -> Navigation:
    found: Navigation = []
    for name in folder.folders if depth else ():
        inner = folders[inside(folder.path, name)]
        below = _entries(inner, folders, with_files, depth - 1)
        page = folder_page_of(inner.path)
        title = f"{_title(name)}/"
        found.append({title: [page, *below] if below else page})
    for name in folder.files if with_files else ():
        found.append({_title(name): page_of(inside(folder.path, name))})
    return found
