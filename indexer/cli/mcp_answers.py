"""What the tools of the MCP server say about what they found, as pages for a model."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from indexer.cli.mcp_page import Block, Page
from indexer.cli.mcp_places import labels_of
from indexer.cli.texts import count_text
from indexer.paths import escape_path
from indexer.search import answers
from indexer.search.symbols import FileOutline, Outline, Symbol
from indexer.search.uses import Uses

NO_HITS = Block("no hits", [])


class Names:
    """What files are called in an answer about some projects.

    If there are several projects, each path begins with a short name of its project.
    """

    def __init__(self, projects: Iterable[str]) -> None:
        self._labels = labels_of(dict.fromkeys(projects))
        self._is_several = len(self._labels) > 1

    def path(self, project: str, path: str) -> str:
        """The name of a file or folder; `path` is as in rows."""
        if not self._is_several or os.path.isabs(path):
            return path or "."
        return f"{self._labels[project]}/{path}".rstrip("/")

    def note(self, project: str, text: str) -> str:
        """A note on a project."""
        return f"{self._labels[project]}: {text}" if self._is_several else text

    def legend(self, projects: Iterable[str]) -> list[Block]:
        """The lines that say which folders the short names of these projects stand for."""
        if not self._is_several:
            return []
        lines = [
            f"{self._labels[one]}/ is {escape_path(one)}"
            for one in dict.fromkeys(projects)
            if self._labels[one] != escape_path(one)
        ]
        return [Block(lines[0], lines[1:])] if lines else []


def hits_page(
    answer: answers.Answer, projects: Sequence[str], remarks: Mapping[str, str]
) -> Page:
    """The hits in these projects, each under its place; `remarks` are about the age of their indexes."""
    names = Names([*projects, *(hit.project for hit in answer.hits)])
    notes = [*answer.missing, *answer.notes, *_notes(names, remarks)]
    hits = [_hit(hit, names) for hit in answer.hits]
    legend = names.legend(hit.project for hit in answer.hits)
    return Page(notes, [*legend, *hits] if hits else [NO_HITS])


def outlines_page(
    outlines: Mapping[str, Outline], projects: Sequence[str], remarks: Mapping[str, str]
) -> Page:
    """The outlines of a file or folder, by the projects that have it."""
    names = Names(projects)
    notes = [*_notes(names, remarks)]
    blocks = names.legend(outlines)
    for project, outline in outlines.items():
        if outline.is_cut:
            path = names.path(project, outline.path)
            notes.append(f"{path} has more files than are shown: ask for its folders")
        if outline.is_folder:
            blocks.append(_folder(project, outline, names))
        else:
            blocks += [_file(project, one, names) for one in outline.files]
    return Page(notes, blocks)


def uses_page(
    name: str,
    found: Sequence[Uses],
    missing: Sequence[str],
    projects: Sequence[str],
    remarks: Mapping[str, str],
) -> Page:
    """The uses of an identifier, under their files."""
    names = Names(projects)
    notes = [*missing, *_notes(names, remarks)]
    blocks = names.legend(one.project for one in found if one.uses)
    number = files = 0
    for one in found:
        notes += [names.note(one.project, note) for note in one.notes]
        for path, uses in groupby(one.uses, key=lambda use: use.path):
            lines = [f"{use.line}: {use.text}" for use in uses]
            head = names.path(one.project, path), _mark(path in one.stale)
            blocks.append(Block("  ".join(filter(None, head)), lines))
            number, files = number + len(lines), files + 1
    if not number:
        return Page(notes, [Block(f"no uses of {name} in the index", [])])
    total = f"{name}: {count_text(number, 'line')} in {count_text(files, 'file')}"
    return Page(notes, [Block(total, []), *blocks])


def _notes(names: Names, remarks: Mapping[str, str]) -> Iterator[str]:
    for project, text in remarks.items():
        if text:
            yield names.note(project, text)


def _hit(hit: answers.Hit, names: Names) -> Block:
    """A heading and the lines that it names."""
    before, after = _lines(hit.before), _lines(hit.after)
    first, last = hit.start_line - len(before), hit.end_line + len(after)
    place = f"{names.path(hit.project, hit.path)}:{first}-{last}"
    head = "  ".join(filter(None, (place, hit.symbol, _mark(hit.stale))))
    return Block(head, [*before, *hit.text.split("\n"), *after])


def _mark(is_stale: bool | None) -> str:
    return f"({answers.CHANGED_SINCE})" if is_stale else ""


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []


def _file(project: str, file: FileOutline, names: Names) -> Block:
    """A file with its symbols; inner symbols follow the outer one and leave out its name."""
    head = f"{names.path(project, file.path)}  {_about(file)}"
    return Block(head, [*_nested(file.symbols)])


def _about(file: FileOutline) -> str:
    lines = count_text(file.last_line, "line")
    about = f"{file.language}, {lines}" if file.language else lines
    return f"{about} {_mark(file.stale)}".rstrip()


def _nested(symbols: Sequence[Symbol]) -> Iterator[str]:
    around: list[str] = []
    for symbol in symbols:
        while around and not symbol.name.startswith(f"{around[-1]}."):
            around.pop()
        name = symbol.name.removeprefix(f"{around[-1]}." if around else "")
        lines = f"{symbol.start_line}-{symbol.end_line}"
        yield f"{'  ' * len(around)}{lines} {name}"
        around.append(symbol.name)


def _folder(project: str, outline: Outline, names: Names) -> Block:
    """A folder with what is directly in it, each entry on a line."""
    lines = [
        f"{name}/  {count_text(number, 'file')}"
        for name, number in outline.folders.items()
    ]
    for file in outline.files:
        name = file.path.removeprefix(f"{outline.path}/" if outline.path else "")
        symbols = ", ".join(symbol.name for symbol in file.symbols)
        lines.append(f"{name}  {_about(file)}{f': {symbols}' if symbols else ''}")
    return Block(names.path(project, outline.path), lines)
