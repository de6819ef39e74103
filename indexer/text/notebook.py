"""The cells of a notebook: their sources and the texts that they put out.

A notebook is JSON (nbformat 4; 1 to 3 had the cells in worksheets). What a person wrote and
reads in it are the sources. Of the outputs only plain texts count; a picture is none.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

from indexer.languages import known_language
from indexer.text.json_places import Json, Literal, parse
from indexer.text.lines import with_line_feeds
from indexer.text.parts import Part
from indexer.text.shown import PLACEHOLDER

MOST_OUTPUT = 4_000  # characters of the texts of one cell

_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_REPR = re.compile(
    r"\s*<[^<>\n]*>\s*"
)  # `<Figure size 640x480 with 1 Axes>` of a picture
_MAGIC = re.compile(r"%%(?:script\s+)?(\w+)")
_MAGICS = {
    **dict.fromkeys(("bash", "sh"), "bash"),
    **dict.fromkeys(("javascript", "js"), "javascript"),
    **dict.fromkeys(("html", "ruby", "perl", "sql", "latex", "markdown"), ""),
    "R": "r",
}

_OTHER_NAMES = {"c++": "cpp", "c#": "csharp", "f#": "fsharp", "ipython": "python"}


def cells_of(text: str) -> list[Part] | None:
    """The sources of the cells in reading order, each followed by what it put out.

    None if the text is no notebook. Cells are counted from 1, those of every type.
    """
    notebook = parse(text)
    if not isinstance(notebook, dict):
        return None
    cells = _cells(notebook)
    if cells is None:
        return None
    reader = _Reader(text)
    usual = reader.kernel(notebook)
    return [
        part
        for number, cell in enumerate(cells, 1)
        if isinstance(cell, dict)
        for part in reader.parts(cell, f"cell {number}", usual)
        if part.text.strip()
    ]


def _cells(notebook: dict[str, Json]) -> list[Json] | None:
    cells = notebook.get("cells")
    if isinstance(cells, list):
        return cells
    sheets = notebook.get("worksheets")
    if not isinstance(sheets, list):
        return None
    found: list[Json] = []
    for sheet in sheets:
        of_sheet = sheet.get("cells") if isinstance(sheet, dict) else None
        found += of_sheet if isinstance(of_sheet, list) else []
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        lengths = (len(line) + 1 for line in text.split("\n"))
        self._starts = [0, *accumulate(lengths)]

    def kernel(self, notebook: dict[str, Json]) -> str | None:
        """The language of code cells that do not name one."""
        about = _in(notebook, "metadata")
        info, spec = _in(about, "language_info"), _in(about, "kernelspec")
        names = (info.get("name"), spec.get("language"), about.get("language"))
        said = [name for name in map(self._string, names) if name]
        if known := next((k for name in said if (k := _known(name))), None):
            return known
        ending = self._string(info.get("file_extension"))
        if ending and (known := known_language(ending)):
            return known
        return None if said else "python"

    def parts(
        self, cell: dict[str, Json], place: str, usual: str | None
    ) -> Iterator[Part]:
        """Yield the source of a cell and its output."""
        kind = self._string(cell.get("cell_type"))
        names = ("source", "input", "code")
        source = next((cell[name] for name in names if name in cell), None)
        written = _Lines(self._text, self._starts)
        for literal in _literals(source):
            written.add(literal)
        language = self._language(kind, cell, usual, written.first)
        yield from written.parts(language, place)
        said = _Lines(self._text, self._starts)
        for output in self._output(cell.get("outputs")):
            if not said.add(output, MOST_OUTPUT):
                break
        yield from said.parts(None, f"{place} output")

    def _language(
        self, kind: str, cell: dict[str, Json], usual: str | None, first: str
    ) -> str | None:
        if kind in ("markdown", "heading"):
            return "markdown"
        if kind != "code":
            return None
        if magic := _MAGIC.match(first):
            if (known := _MAGICS.get(magic[1])) is not None:
                return known or magic[1]
        return _known(self._string(cell.get("language"))) or usual

    def _output(self, outputs: Json | None) -> Iterator[Literal | None]:
        """Yield the texts of the outputs, None behind each of them."""
        for output in outputs if isinstance(outputs, list) else ():
            if not isinstance(output, dict):
                continue
            data = _in(output, "data")
            # Versions before 4 have the texts beside each other, by shorter names.
            has_picture = any(name.startswith("image/") for name in data) or not (
                output.keys().isdisjoint(("png", "jpeg", "svg"))
            )
            named = (output.get("ename"), output.get("evalue"))
            for value in (output.get("text"), data.get("text/plain"), *named):
                literals = list(_literals(value))
                is_repr = len(literals) == 1 and _REPR.fullmatch(
                    literals[0].value(self._text)
                )
                if literals and not (has_picture and is_repr):
                    yield from literals
                    yield None

    def _string(self, value: Json | None) -> str:
        return value.value(self._text) if isinstance(value, Literal) else ""


class _Lines:
    """Lines made of strings, and the row of the file on which each begins."""

    def __init__(self, text: str, starts: list[int]) -> None:
        self._text, self._starts = text, starts
        self._lines: list[str] = [""]
        self._rows: list[int] = []
        self._size = 0

    @property
    def first(self) -> str:
        """The first line."""
        return self._lines[0]

    def add(self, literal: Literal | None, most: int = 0) -> bool:
        """Add a string, or end the line that the last one left open.

        False if there would be more than `most` characters; then a placeholder is added.
        """
        if literal is None:
            if self._lines[-1]:
                self._lines.append("")
            return True
        row = bisect_right(self._starts, literal.start) - 1
        value = _clean(literal.value(self._text))
        fits = not most or self._size + len(value) <= most
        if not fits:
            head = value[: most - self._size].rpartition("\n")[0]
            value = f"{head}\n{PLACEHOLDER}" if head else PLACEHOLDER
        self._size += len(value)
        lines = value.split("\n")
        if len(self._rows) < len(self._lines):
            self._rows.append(row)
        self._lines[-1] += lines[0]
        self._lines += lines[1:]
        # The line behind the last line feed begins where the next string stands.
        self._rows += [row] * (len(lines) - 1 - (not lines[-1]))
        return fits

    def parts(self, language: str | None, place: str) -> Iterator[Part]:
        """Yield the lines in parts.

        The lines of a part follow each other in the file, or stand all on one line of it, as
        where a notebook is not pretty-printed. So the number of each can be told.
        """
        start = 0
        for end in range(1, len(self._rows) + 1):
            if end == len(self._rows) or not self._goes_on(start, end):
                text = "\n".join(self._lines[start:end])
                yield Part(text, language, place, tuple(self._rows[start:end]))
                start = end

    def _goes_on(self, start: int, end: int) -> bool:
        """Whether the line `end` follows as those from `start` on do."""
        rows = self._rows
        step = rows[end] - rows[end - 1]
        return step in (0, 1) and (
            end == start + 1 or step == rows[start + 1] - rows[start]
        )


def _clean(value: str) -> str:
    value = _COLOURS.sub("", value)
    return _CONTROLS.sub(" ", with_line_feeds(value))


def _literals(value: Json | None) -> Iterator[Literal]:
    if isinstance(value, Literal):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, Literal))


def _in(table: dict[str, Json], name: str) -> dict[str, Json]:
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _known(name: str) -> str | None:
    """The language of a kernel that calls it so: `python`, `R`, `C++17`."""
    if found := known_language(name):
        return found
    plain = re.match(r"[a-z#+]*", name.lower())
    return _OTHER_NAMES.get(plain[0] if plain else "")
