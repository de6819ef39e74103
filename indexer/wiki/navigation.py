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
LONGEST_TITLE = 100  # characters; a YAML key may have 1,024, including all escapes

STYLE_SHEET = """\
/* Written by codx-index */
.wy-nav-content { max-width: 1100px; }
div[role=navigation] > .wy-breadcrumbs, div[role=navigation] > hr { display: none; }
pre.source {
  border: 1px solid #e1e4e5; background: #fcfcfc; padding: 8px 0; overflow-x: auto;
  font-size: 12px; line-height: 1.5; tab-size: 4; counter-reset: line;
}
pre.source span {
  counter-increment: line; display: inline-block; min-width: 100%; min-height: 1.5em;
}
pre.source span::before {
  content: counter(line); display: inline-block; width: 4em; margin-right: 1em;
  text-align: right; color: #999; user-select: none;
}
pre.source span:target { background: #fff5b1; }
"""


def mkdocs_settings(title: str, folders: Mapping[str, Folder]) -> str:
    """The `mkdocs.yml` of a wiki."""
    settings = {
        "site_name": _title(title),
        "docs_dir": DOCS,
        "site_dir": "site",
        # Links to files, so that a built wiki can be read without a server.
        "use_directory_urls": False,
        "theme": {
            "name": "readthedocs",
            "highlightjs": False,  # it would be fetched from the network
            "prev_next_buttons_location": "none",
            "navigation_depth": 6,
        },
        "plugins": [{"search": {"indexing": "titles", "separator": r"[\s\-_./]+"}}],
        "extra_css": [STYLE],
        "validation": {"nav": {"omitted_files": "ignore"}},
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
    # Everything is under one heading, because the theme folds what is under a heading.
    tree = _entries(folders[""], folders, with_files, depth)
    home: Navigation = [{"Home": folder_page_of("")}]
    return [*home, {"Files": tree}] if tree else home


def _navigation_depth(folders: Mapping[str, Folder]) -> int:
    """The depth to which all folders together are at most `MAX_NAV_FOLDERS`."""
    depths = Counter(folder.count("/") + 1 for folder in folders if folder)
    total = 0
    for depth in sorted(depths):
        total += depths[depth]
        if total > MAX_NAV_FOLDERS:
            return max(1, depth - 1)
    return len(depths)


def _entries(
    folder: Folder, folders: Mapping[str, Folder], with_files: bool, depth: int
) -> Navigation:
    found: Navigation = []
    for name in folder.folders if depth else ():
        inner = folders[inside(folder.path, name)]
        below = _entries(inner, folders, with_files, depth - 1)
        page = folder_page_of(inner.path)
        title = f"{_title(name)}/"
        found.append({title: [{"Contents": page}, *below] if below else page})
    for name in folder.files if with_files else ():
        found.append({_title(name): page_of(inside(folder.path, name))})
    return found
