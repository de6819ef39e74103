"""What the pages of the wiki look like, and where they lie: pure functions.

Nothing of a file is believed to be harmless. In Markdown every character that could mean
something is an entity; in HTML, and in titles, which MkDocs puts into HTML as they are, `<`,
`>`, `&` and quotes are; characters that one does not see are written out.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from indexer.config import WIKI_MARKER
from indexer.hooks.describe import Definition
from indexer.hooks.purpose import first_sentence
from indexer.paths import escape_path

MARKER = WIKI_MARKER
"""How our `mkdocs.yml` begins."""

PAGE_MARKER = "<!-- Written by codx-index -->"
"""How our pages begin."""

DOCS = "docs"
STYLE = "~style.css"  # no file's page can have this name: see `_safe_name`

MAX_OUTLINE = 300
MAX_IMPORTERS = 50
MAX_HOME_FILES = 10
MAX_NAV_FILES = 500
"""With more files the navigation names folders alone: every built page repeats all of it."""
MAX_NAV_FOLDERS = 500
_LONGEST_TITLE = 100  # characters; a key in YAML may have 1,024, with all escapes


# ---- Names ----

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_LONGEST_NAME = 180  # characters of one part; a file name may have 255 bytes
_LONGEST_PAGE = 1_000  # characters of all parts; a path may have 4,096 bytes
# Taken by the pages of folders, or by MkDocs.
_TAKEN_FILES = frozenset(("index", "README", "404", "search"))
_TAKEN_FOLDERS = frozenset(("templates",))


@lru_cache(maxsize=4096)
def _safe_name(name: str, *, is_folder: bool) -> str:
    """A name in letters, digits, `-_.` and `~`: no two are the same, and none means
    anything to MkDocs. `~` and two digits are a byte; `~~` comes before a hash."""
    data = os.fsencode(name)
    text = "".join(chr(byte) if byte in _SAFE else f"~{byte:02X}" for byte in data)
    taken = _TAKEN_FOLDERS if is_folder else _TAKEN_FILES
    if text in taken or text.startswith("."):  # MkDocs leaves hidden files out
        text = f"~{data[0]:02X}{text[1:]}"
    if is_folder:  # else it could be that of a file's page
        text = re.sub(r"\.(?=(?:md|html)\Z)", "~2E", text)
    if len(text) > _LONGEST_NAME:
        head = re.sub(r"~[0-9A-F]?\Z", "", text[: _LONGEST_NAME - 40])
        text = f"{head}~~{_digest(data)}"
    return text


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def page_of(path: str) -> str:
    """The page of a file, relative to `DOCS`."""
    *folders, name = path.split("/")
    parts = [_safe_name(folder, is_folder=True) for folder in folders]
    page = "/".join([*parts, _safe_name(name, is_folder=False) + ".md"])
    return page if len(page) <= _LONGEST_PAGE else f"~~{_digest(os.fsencode(path))}.md"


def folder_page_of(folder: str) -> str:
    """The page of a folder, relative to `DOCS`; that of the project, "", is the home page."""
    if not folder:
        return "index.md"
    parts = [_safe_name(name, is_folder=True) for name in folder.split("/")]
    page = "/".join([*parts, "index.md"])
    if len(page) <= _LONGEST_PAGE:
        return page
    return f"~~{_digest(os.fsencode(folder))}/index.md"


# ---- Text ----

# Control characters, separators of lines, and what turns the direction of text: none of it
# is seen. Then what is no character, of which YAML and XML want to know nothing.
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_PICTURES = 0x2400  # of the control characters, in their order
_SPECIAL = re.compile(r"[!-&*+<-@\[-`{-~]|^[^A-Za-z]")


def _code_of(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shown(path: str) -> str:
    """A path, on one line, in characters that one sees."""
    return _UNSEEN.sub(_code_of, escape_path(path))


def in_markdown(text: str) -> str:
    """A text that shows literally, as one line of Markdown that it may begin."""
    line = _UNSEEN.sub(_code_of, " ".join(text.split()))
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line)


def _in_listing(line: str) -> str:
    """A line of a source, within `<pre>`."""
    escaped = html.escape(line.removesuffix("\r")).replace("\t", "&#9;")
    return _UNSEEN.sub(_picture, escaped)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES + code) if code < 0x20 else _code_of(found)


def _link(text: str, page: str, target: str) -> str:
    """A link from one page to another."""
    where = posixpath.relpath(target, posixpath.dirname(page) or ".")
    return f"[{in_markdown(text)}]({where})"


def _link_to_file(path: str, page: str) -> str:
    return _link(shown(path), page, page_of(path))


# ---- Pages ----


@dataclass(frozen=True, slots=True)
class FilePage:
    """What a file's page is made of. `related` are paths with their cosines."""

    path: str
    language: str
    lines: int
    purpose: str
    summary: str
    definitions: Sequence[Definition]
    imports: Sequence[str]
    importers: Sequence[str]
    related: Sequence[tuple[str, float]]
    text: str


def file_page(file: FilePage) -> str:
    """The page of a file, as Markdown."""
    page = page_of(file.path)
    folder, _, name = file.path.rpartition("/")
    about = ", ".join(filter(None, (file.language, _count(file.lines, "line"))))
    blocks = [
        PAGE_MARKER,
        f"{_trail(folder, page)} / {in_markdown(shown(name))}",
        f"# {in_markdown(shown(name))}",
        *_purpose(file),
        in_markdown(about),
        *_section("Outline", _outline(file.definitions)),
        *_section("Imports", _links(file.imports, page)),
        *_section("Imported by", _links(file.importers, page, MAX_IMPORTERS)),
        *_section("Related files", _related(file.related, page)),
        "## Source",
        _listing(file.text),
    ]
    return "\n\n".join(blocks) + "\n"


def _purpose(file: FilePage) -> Iterator[str]:
    for text in (file.purpose, file.summary):
        yield from (in_markdown(part) for part in text.split("\n\n") if part.strip())


def _trail(folder: str, page: str) -> str:
    """Links to the folders around."""
    links = [_link("home", page, folder_page_of(""))]
    parts = folder.split("/") if folder else []
    for depth, part in enumerate(parts, 1):
        target = folder_page_of("/".join(parts[:depth]))
        links.append(_link(shown(part), page, target))
    return " / ".join(links)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = "\n".join(lines)
    return [f"## {title}", body] if body else []


def _links(paths: Sequence[str], page: str, limit: int | None = None) -> Iterator[str]:
    for path in paths[:limit]:
        yield f"- {_link_to_file(path, page)}"
    if limit is not None and len(paths) > limit:
        yield f"- and {len(paths) - limit:,} more"


def _related(related: Sequence[tuple[str, float]], page: str) -> Iterator[str]:
    for path, cosine in related:
        yield f"- {_link_to_file(path, page)} ({cosine:.2f})"


def _outline(definitions: Sequence[Definition]) -> Iterator[str]:
    """A list within a list for what is defined within something; of very many definitions,
    the outer ones."""
    nested = list(_nested(definitions))
    deepest = max((depth for depth, _, _ in nested), default=0)
    while len(nested) > MAX_OUTLINE and deepest:
        nested = [one for one in nested if one[0] < deepest]
        deepest -= 1
    for depth, name, found in nested[:MAX_OUTLINE]:
        lines = f"{found.line}"
        if found.end_line > found.line:
            lines += f"–{found.end_line}"
        label = in_markdown(name) or "&#63;"
        yield f"{'    ' * depth}- [{label}](#L{found.line}) {lines}"
    if (left := len(definitions) - min(len(nested), MAX_OUTLINE)) > 0:
        yield f"- and {left:,} more"


def _nested(
    definitions: Sequence[Definition],
) -> Iterator[tuple[int, str, Definition]]:
    """Each definition with its depth and its name within what it is defined in."""
    around: list[Definition] = []
    for found in definitions:
        while around and not _is_within(found, around[-1]):
            around.pop()
        outer = f"{around[-1].symbol}." if around else ""
        yield len(around), found.symbol.removeprefix(outer), found
        around.append(found)


def _is_within(inner: Definition, outer: Definition) -> bool:
    return (
        inner.symbol.startswith(f"{outer.symbol}.") and inner.end_line <= outer.end_line
    )


def _listing(text: str) -> str:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    numbered = (
        f'<span id="L{number}">{_in_listing(line)}</span>'
        for number, line in enumerate(lines, 1)
    )
    return f'<pre class="source">{chr(10).join(numbered)}</pre>'


# ---- Folders ----


@dataclass(slots=True)
class Folder:
    """A folder of the project that has indexed files in it or below it: the names of what
    is directly in it, sorted, and how many files there are in all."""

    path: str
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    count: int = 0


def folders_of(paths: Iterable[str]) -> dict[str, Folder]:
    """The folders of some files by path, the project's, "", among them."""
    found = {"": Folder("")}
    for path in sorted(paths):
        parts = path.split("/")
        for depth in range(len(parts)):
            around = "/".join(parts[:depth])
            if around not in found:
                found[around] = Folder(around)
                found["/".join(parts[: depth - 1])].folders.append(parts[depth - 1])
            found[around].count += 1
        found["/".join(parts[:-1])].files.append(parts[-1])
    for folder in found.values():
        folder.folders.sort()
    return found


def _inside(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


# A file that speaks for its folder, in lower case.
_SPEAKERS = (
    *("readme.md", "readme.rst", "readme", "__init__.py", "mod.rs", "lib.rs", "doc.go"),
    *("index.ts", "index.js", "package-info.java"),
)


def _folder_purpose(folder: Folder, purposes: Mapping[str, str]) -> str:
    names = {name.lower(): name for name in reversed(folder.files)}
    for speaker in _SPEAKERS:
        if speaker in names:
            if purpose := purposes[_inside(folder.path, names[speaker])]:
                return purpose
    return ""


def folder_page(
    folder: Folder, folders: Mapping[str, Folder], purposes: Mapping[str, str]
) -> str:
    """The page of a folder, as Markdown; `purposes` are those of all files."""
    page = folder_page_of(folder.path)
    around, _, name = folder.path.rpartition("/")
    blocks = [
        PAGE_MARKER,
        f"{_trail(around, page)} / {in_markdown(shown(name))}",
        f"# {in_markdown(shown(name))}/",
        *_paragraphs(_folder_purpose(folder, purposes)),
        *_contents(folder, folders, purposes),
    ]
    return "\n\n".join(blocks) + "\n"


def _paragraphs(text: str) -> list[str]:
    return [in_markdown(part) for part in text.split("\n\n") if part.strip()]


def _contents(
    folder: Folder, folders: Mapping[str, Folder], purposes: Mapping[str, str]
) -> Iterator[str]:
    page = folder_page_of(folder.path)
    inner = [folders[_inside(folder.path, name)] for name in folder.folders]
    yield from _section("Folders", (_folder_line(one, page, purposes) for one in inner))
    files = (_inside(folder.path, name) for name in folder.files)
    yield from _section("Files", (_file_line(path, page, purposes) for path in files))


def _folder_line(folder: Folder, page: str, purposes: Mapping[str, str]) -> str:
    name = folder.path.rpartition("/")[2]
    link = _link(f"{shown(name)}/", page, folder_page_of(folder.path))
    sentence = first_sentence(_folder_purpose(folder, purposes))
    return _listed(f"{link} ({_count(folder.count, 'file')})", sentence)


def _file_line(path: str, page: str, purposes: Mapping[str, str]) -> str:
    link = _link(shown(path.rpartition("/")[2]), page, page_of(path))
    return _listed(link, first_sentence(purposes[path]))


def _listed(link: str, sentence: str) -> str:
    return f"- {link}: {in_markdown(sentence)}" if sentence else f"- {link}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def home_page(
    title: str,
    folders: Mapping[str, Folder],
    purposes: Mapping[str, str],
    languages: Counter[str],
    importers: Mapping[str, Sequence[str]],
) -> str:
    """The first page, as Markdown. `languages` counts files; `importers` are, for a file,
    those that import it."""
    page = folder_page_of("")
    root = folders[""]
    known = sorted(languages.items(), key=lambda one: (-one[1], one[0]))
    most = sorted(importers, key=lambda path: (-len(importers[path]), path))
    blocks = [
        PAGE_MARKER,
        f"# {in_markdown(shown(title))}",
        *_paragraphs(_folder_purpose(root, purposes)),
        f"{_count(root.count, 'file')}.",
        *_contents(root, folders, purposes),
        *_section(
            "Most imported",
            (
                f"- {_link_to_file(path, page)} ({_count(len(importers[path]), 'file')})"
                for path in most[:MAX_HOME_FILES]
            ),
        ),
        *_section(
            "Languages",
            (
                f"- {in_markdown(name or 'other')} ({_count(count, 'file')})"
                for name, count in known
            ),
        ),
    ]
    return "\n\n".join(blocks) + "\n"


# ---- MkDocs ----

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
    """The `mkdocs.yml`."""
    settings = {
        "site_name": _title(title),
        "docs_dir": DOCS,
        "site_dir": "site",
        # Pages are files, so that a built wiki can be read without a server.
        "use_directory_urls": False,
        "theme": {
            "name": "readthedocs",
            "highlightjs": False,  # it would be fetched from elsewhere
            "prev_next_buttons_location": "none",
            "navigation_depth": 6,
        },
        "plugins": [{"search": {"indexing": "titles", "separator": r"[\s\-_./]+"}}],
        "extra_css": [STYLE],
        "validation": {"nav": {"omitted_files": "ignore"}},
        "nav": _navigation(folders),
    }
    lines = [MARKER]
    for name, value in settings.items():
        # What is JSON without escapes is YAML: there is nothing unseen in it.
        indent = 2 if name == "nav" else None
        lines.append(f"{name}: {json.dumps(value, ensure_ascii=False, indent=indent)}")
    return "\n".join(lines) + "\n"


def _title(text: str) -> str:
    return html.escape(shown(text)[:_LONGEST_TITLE])


Navigation = list["str | dict[str, str | Navigation]"]


def _navigation(folders: Mapping[str, Folder]) -> Navigation:
    with_files = folders[""].count <= MAX_NAV_FILES
    depth = _navigation_depth(folders)
    # All below one heading: the theme folds what is within one.
    tree = _entries(folders[""], folders, with_files, depth)
    home: Navigation = [{"Home": folder_page_of("")}]
    return [*home, {"Files": tree}] if tree else home


def _navigation_depth(folders: Mapping[str, Folder]) -> int:
    """How deep folders may lie to be among `MAX_NAV_FOLDERS`."""
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
        inner = folders[_inside(folder.path, name)]
        below = _entries(inner, folders, with_files, depth - 1)
        page = folder_page_of(inner.path)
        title = f"{_title(name)}/"
        found.append({title: [{"Contents": page}, *below] if below else page})
    for name in folder.files if with_files else ():
        found.append({_title(name): page_of(_inside(folder.path, name))})
    return found
