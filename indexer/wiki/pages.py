"""What the pages of the wiki look like, and where they lie: pure functions.

Nothing of a file is believed to be harmless. In Markdown every character that could mean
something is an entity; in HTML, and in titles, which MkDocs puts into HTML as they are, `<`,
`>`, `&` and quotes are; characters that one does not see are written out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from indexer.config import WIKI_MARKER
from indexer.wiki.describe import Definition
from indexer.wiki.markdown import (
    _link,
    folder_page_of,
    in_listing,
    in_markdown,
    link_to_file,
    page_of,
    paragraphs,
    shown,
)
from indexer.wiki.purpose import first_sentence

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
LONGEST_TITLE = 100  # characters; a key in YAML may have 1,024, with all escapes


# ---- Names ----


# ---- Text ----


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
        yield f"- {link_to_file(path, page)}"
    if limit is not None and len(paths) > limit:
        yield f"- and {len(paths) - limit:,} more"


def _related(related: Sequence[tuple[str, float]], page: str) -> Iterator[str]:
    for path, cosine in related:
        yield f"- {link_to_file(path, page)} ({cosine:.2f})"


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
        f'<span id="L{number}">{in_listing(line)}</span>'
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


def inside(folder: str, name: str) -> str:
    """The path of a name in a folder; "" is the top."""
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
            if purpose := purposes[inside(folder.path, names[speaker])]:
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
        *paragraphs(_folder_purpose(folder, purposes)),
        *_contents(folder, folders, purposes),
    ]
    return "\n\n".join(blocks) + "\n"


def _contents(
    folder: Folder, folders: Mapping[str, Folder], purposes: Mapping[str, str]
) -> Iterator[str]:
    page = folder_page_of(folder.path)
    inner = [folders[inside(folder.path, name)] for name in folder.folders]
    yield from _section("Folders", (_folder_line(one, page, purposes) for one in inner))
    files = (inside(folder.path, name) for name in folder.files)
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
        *paragraphs(_folder_purpose(root, purposes)),
        f"{_count(root.count, 'file')}.",
        *_contents(root, folders, purposes),
        *_section(
            "Most imported",
            (
                f"- {link_to_file(path, page)} ({_count(len(importers[path]), 'file')})"
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
