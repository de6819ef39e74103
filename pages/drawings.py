"""The drawings of the pages, as SVG: plain files that need neither a network nor a script."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

INK, FAINT, PAPER = "#1f2328", "#656d76", "#f6f8fa"
PARENT, WORKER, STORE, PLAIN = "#d0e3ff", "#ffe3b8", "#cdeed5", "#ffffff"
FONT = "font-family='system-ui, sans-serif'"


@dataclass
class Drawing:
    """Boxes, arrows and texts on a sheet of `width` × `height` pixels."""

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(
        self, x: int, y: int, width: int, height: int, fill: str, *lines: str
    ) -> None:
        """A box with its centred lines, of which the first is bold."""
        self.parts.append(
            f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='6'"
            f" fill='{fill}' stroke='{FAINT}'/>"
        )
        top = y + height / 2 - 9 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            self.text(x + width / 2, top + 18 * number, line, is_bold=number == 0)

    def text(
        self,
        x: float,
        y: float,
        line: str,
        *,
        is_bold: bool = False,
        at: str = "middle",
    ) -> None:
        """A line of text, centred at `x` unless it begins there (`at` is "start")."""
        weight = " font-weight='600'" if is_bold else ""
        size = 14 if is_bold else 12.5
        self.parts.append(
            f"<text x='{x:g}' y='{y:g}' text-anchor='{at}' font-size='{size}'"
            f" fill='{INK}'{weight}>{escape(line)}</text>"
        )

    def arrow(self, path: str, *, is_dashed: bool = False) -> None:
        """A line along an SVG path, with a head at its end."""
        dashes = " stroke-dasharray='5 4'" if is_dashed else ""
        self.parts.append(
            f"<path d='{path}' fill='none' stroke='{FAINT}' stroke-width='1.5'{dashes}"
            " marker-end='url(#head)'/>"
        )

    def svg(self) -> str:
        """The file."""
        head = (
            "<marker id='head' viewBox='0 0 10 10' refX='9' refY='5' markerWidth='7'"
            " markerHeight='7' orient='auto-start-reverse'>"
            f"<path d='M 0 0 L 10 5 L 0 10 z' fill='{FAINT}'/></marker>"
        )
        return "\n".join(
            [
                f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {self.width}"
                f" {self.height}' role='img' {FONT}>",
                f"<title>{escape(self.title)}</title>",
                f"<defs>{head}</defs>",
                f"<rect width='{self.width}' height='{self.height}' rx='8' fill='{PAPER}'/>",
                *self.parts,
                "</svg>\n",
            ]
        )


def run() -> str:
    """The steps of a run, and which process takes each."""
    made = Drawing(800, 320, "A run: scan, diff, chunk, embed, upsert, commit")
    made.text(18, 62, "the run’s process", at="start")
    made.text(18, 172, "worker processes", at="start")
    made.text(18, 276, "on the disk, or a server", at="start")
    made.box(170, 30, 130, 56, PARENT, "scan", "list the files")
    made.box(325, 30, 130, 56, PARENT, "diff", "what changed?")
    made.box(480, 30, 140, 56, PARENT, "upsert", "new rows, then stale")
    made.box(645, 30, 140, 56, PARENT, "commit", "after Milvus’ answer")
    made.box(170, 140, 130, 56, WORKER, "chunk", "bytes to chunks")
    made.box(325, 140, 130, 56, WORKER, "embed", "chunks to vectors")
    made.box(480, 244, 140, 56, STORE, "collection", "rows in Milvus")
    made.box(645, 244, 140, 56, STORE, "known files", "manifest and cache")
    made.arrow("M 300 58 H 323")
    made.arrow("M 390 86 V 113 H 235 V 138")
    made.arrow("M 300 168 H 323")
    made.arrow("M 455 168 H 520 V 88")
    made.arrow("M 620 58 H 643")
    made.arrow("M 570 86 V 242")
    made.arrow("M 715 86 V 242")
    return made.svg()


def writing() -> str:
    """The write protocol: what a reader finds while a file changes from two chunks to one."""
    made = Drawing(760, 300, "The write protocol: new rows first, then stale rows")
    states = (
        ("before", ("v1 chunk 0", "v1 chunk 1"), "all of v1"),
        (
            "upsert new rows",
            ("v2 chunk 0", "v1 chunk 1"),
            "all of v2, and a rest of v1",
        ),
        ("delete stale rows", ("v2 chunk 0",), "all of v2"),
        ("commit", ("v2 chunk 0",), "all of v2"),
    )
    for number, (step, rows, found) in enumerate(states):
        x = 22 + 184 * number
        is_step = number > 0
        made.text(x + 82, 40, f"{number}. {step}" if is_step else step, is_bold=True)
        for row, name in enumerate(rows):
            fill = STORE if name.startswith("v2") else WORKER
            made.box(x + 12, 62 + 56 * row, 140, 44, fill, name)
        made.text(x + 82, 200, "a reader finds")
        made.text(x + 82, 220, found)
        if is_step:
            made.arrow(f"M {x - 30} 84 H {x + 10}")
    made.text(656, 140, "manifest, cache")
    made.text(
        380,
        256,
        "A kill between two steps leaves rows from which the next run tells what is missing:",
    )
    made.text(
        380, 276, "a file is current exactly when all of its rows are there, each once."
    )
    return made.svg()


ROWS = (
    "cli",
    "api pipeline githooks",
    "run",
    "search wiki",
    "settings index work",
    "tree hooks clients vectors",
    "milvus text cache pool",
)


def rooms(table: Mapping[str, Iterable[str]]) -> str:
    """The rooms, and which others each may import, without what follows from the rest."""
    made = Drawing(760, 640, "The rooms of indexer/, and what each may import")
    places: dict[str, tuple[int, int]] = {}
    for row, names in enumerate(ROWS):
        found = names.split()
        for number, name in enumerate(found):
            x = (2 * number + 1) * 740 // (2 * len(found)) + 10
            places[name] = (x, 36 + 88 * row)
    assert set(places) == set(table), "each room has a place in the drawing"
    every = {name: set(table[name]) for name in places}
    for name, (x, y) in places.items():
        for other in sorted(_direct(name, every)):
            to_x, to_y = places[other]
            made.arrow(
                f"M {x} {y + 20} C {x} {y + 62}, {to_x} {to_y - 62}, {to_x} {to_y - 21}"
            )
    for name, (x, y) in places.items():
        fill = WORKER if name in ("work", "vectors", "text", "pool") else PARENT
        fill = STORE if name in ("milvus", "cache") else fill
        shown = f"{name}.py" if name in ("api", "pipeline") else f"{name}/"
        made.box(x - 58, y - 19, 116, 38, fill, shown)
    made.text(
        380,
        616,
        "Orange: what a worker has. Green: what is stored. Every room may import the words.",
    )
    return made.svg()


def _direct(name: str, table: Mapping[str, set[str]]) -> set[str]:
    """The rooms that a room may import and that none of the others, which it may, imports."""
    return {
        one
        for one in table[name]
        if not any(one in table[other] for other in table[name] - {one})
    }


def rooms_of(page: Path) -> dict[str, set[str]]:
    """Each room with those that it may import, by the table of the design page."""
    rows = re.findall(
        r"^\| `(\w+)(?:/|\.py)` \|.*\| ([^|]*) \|$", page.read_text(), re.M
    )
    found = {
        name: set(" ".join(re.findall("`([^`]+)`", allowed)).split())
        for name, allowed in rows
    }
    below = set(found) - {"run", "pipeline", "api", "githooks", "cli"}
    found["run"] = below - found["run"]  # its row says: all but these
    found["pipeline"] = {"run", *found["run"]}
    found["cli"] = {*below, "run", "pipeline", "api", "githooks"} - found["cli"]
    return found
