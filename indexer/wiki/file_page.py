"""The page of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from indexer.wiki.describe import Definition
from indexer.wiki.lexers import lexer_of
from indexer.wiki.markdown import (
    PAGE_MARKER,
    counted,
    fenced,
    in_markdown,
    link_to_file,
    paragraphs,
    prose,
    section,
    shown,
    trail,
)
from indexer.wiki.names import page_of
from indexer.wiki.rewriting import rewritten

MAX_OUTLINE = 300
MAX_IMPORTERS = 50
MAX_LINES = 5_000
"""Lines of a file that its page shows."""

MAX_SOURCE = 300_000
"""Characters of them."""


class FilePage(Struct, frozen=True):
    """What the page of a file shows; `related` holds paths with their cosines."""

    path: str
    language: str
    lines: int
    purpose: str
    summary: str
    definitions: Sequence[Definition]
    imports: Sequence[str]
    importers: Sequence[str]
    links: Sequence[str]
    linkers: Sequence[str]
    related: Sequence[tuple[str, float]]
    text: str


def file_page(file: FilePage) -> str:
    """The page of a file, as Markdown."""
    page = page_of(file.path)
    folder, _, name = file.path.rpartition("/")
    about = ", ".join(filter(None, (file.language, counted(file.lines, "line"))))
    is_document = file.language == "markdown"
    blocks = [
        PAGE_MARKER,
        f"{trail(folder, page)} / {in_markdown(shown(name))}",
        f"# {in_markdown(shown(name))}",
        *([] if is_document else paragraphs(file.purpose)),
        *paragraphs(file.summary),
        in_markdown(about),
    ]
    around = [
        *section("Imports", _links(file.imports, page)),
        *section("Imported by", _links(file.importers, page, MAX_IMPORTERS)),
        *section("Links to", _links(file.links, page, MAX_IMPORTERS)),
        *section("Linked from", _links(file.linkers, page, MAX_IMPORTERS)),
        *section("Related files", _related(file.related, page)),
    ]
    if is_document:
        blocks += [rewritten(file.text, file.path, file.links), "* * *", *around]
    else:
        lines = _shown_lines(file.text)
        outline = section("Outline", _outline(file.definitions, len(lines)))
        blocks += [*outline, *around, *_listing(lines, file.lines, file.language)]
    return "\n\n".join(blocks) + "\n"


def _links(paths: Sequence[str], page: str, limit: int | None = None) -> Iterator[str]:
    for path in paths[:limit]:
        yield f"- {link_to_file(path, page)}"
    if limit is not None and len(paths) > limit:
        yield f"- and {len(paths) - limit:,} more"


def _related(related: Sequence[tuple[str, float]], page: str) -> Iterator[str]:
    for path, cosine in related:
        yield f"- {link_to_file(path, page)} ({cosine:.2f})"


def _outline(definitions: Sequence[Definition], last_line: int) -> Iterator[str]:
    """A list item for each definition, nested like the definitions. If there are too many, only the
    outer ones. Those up to `last_line` lead there."""
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
        summary = f": {prose(found.summary)}" if found.summary else ""
        anchor = line_anchor(found.line)
        where = f"[{label}](#{anchor})" if found.line <= last_line else label
        yield f"{'    ' * depth}- {where} {lines}{summary}"
    if (left := len(definitions) - min(len(nested), MAX_OUTLINE)) > 0:
        yield f"- and {left:,} more"


def _nested(
    definitions: Sequence[Definition],
) -> Iterator[tuple[int, str, Definition]]:
    """Each definition with its depth and its name inside the definition around it."""
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


def line_anchor(line: int) -> str:
    """The anchor of a line of the source, as MkDocs makes it: see `navigation.mkdocs_settings`."""
    return f"L-0-{line}"


def _shown_lines(text: str) -> list[str]:
    """The lines that a page shows, from the beginning on."""
    lines = text[:MAX_SOURCE].removesuffix("\n").split("\n")
    return lines[:MAX_LINES]


def _listing(lines: Sequence[str], count: int, language: str) -> Iterator[str]:
    """The source. The search leaves it out: it would find each use of a name."""
    yield "## Source"
    yield '<section data-search-exclude markdown="1">'
    yield fenced("\n".join(lines), lexer_of(language))
    yield "</section>"
    if left := count - len(lines):
        yield f"The last {counted(left, 'line')} of this file are not shown."
