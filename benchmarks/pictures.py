"""Draws the pictures of the README: sessions at a terminal, and charts of measured figures.

    python benchmarks/pictures.py [--only terminal|charts]

The sessions are real. Each command runs at a terminal of its own, in a clone of this repository,
and what it prints is drawn with its colours. The charts are drawn from benchmarks/results/*.json,
which the benchmarks wrote. Each picture is made twice, for a light and for a dark page, below
docs/pictures/. Nothing in them is loaded from elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ
from typing import TYPE_CHECKING, Any

from common import Unexpected, check_plot

if TYPE_CHECKING:
    from rich.terminal_theme import TerminalTheme

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
RESULTS = ROOT / "benchmarks" / "results"

COLUMNS, LINES = 100, 40
LOADED = re.compile(r"@font-face \{.*?\}|<!--.*?-->", re.DOTALL)
ERASED = re.compile(r"[^\n]*\r(?!\n)")  # a bar, which the next one covers

Session = Callable[[Path], Iterator["Shown"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("terminal", "charts"))
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    if options.only != "charts":
        with cloned() as project:
            for name, session in (("run", run), ("search", search)):
                draw_session(name, [*session(project)])
    if options.only != "terminal":
        draw_charts()


# ---- Sessions at a terminal ----


@dataclass(frozen=True, slots=True)
class Shown:
    """A command as one types it, and what it printed, with escapes for colours."""

    command: str
    output: str


@contextmanager
def cloned() -> Iterator[Path]:
    """A clone of this repository, so that what is drawn does not depend on what lies around it."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "codx-index")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
        yield project


def run(project: Path) -> Iterator[Shown]:
    """A first index, one edit, a switch to another branch, and nothing to do."""
    yield typed(project, "codx-index run")
    with (project / "indexer" / "paths.py").open("a") as file:
        file.write("\n# edited\n")
    yield typed(project, "git diff --stat")
    yield typed(project, "codx-index run")
    yield typed(project, "git switch --detach HEAD~5 --merge --quiet && codx-index run")
    yield typed(project, "codx-index run")
    yield typed(project, "codx-index verify")


def search(project: Path) -> Iterator[Shown]:
    """A search in the index that `run` has made."""
    yield typed(
        project, 'codx-index search "wait until another run lets go of the lock" -k 2'
    )


def typed(folder: Path, command: str) -> Shown:
    """Run a command in a folder, at a terminal. Raises `Unexpected` if it fails."""
    program = Path(sys.executable).parent
    variables = {
        **os.environ,
        **{"TERM": "xterm-256color", "PATH": f"{program}:{os.environ['PATH']}"},
        **{"COLUMNS": str(COLUMNS), "LINES": str(LINES), "GIT_PAGER": "cat"},
    }
    variables.pop("NO_COLOR", None)
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        ["sh", "-c", command],
        cwd=folder,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            more = os.read(ours, 65_536)
        except OSError:  # the end, of a terminal on Linux
            break
        if not more:
            break
        printed += more
    os.close(ours)
    if code := process.wait():
        raise Unexpected(f"{command} ended with {code}: {printed.decode()}")
    text = printed.decode().replace("\r\n", "\n")
    return Shown(command, ERASED.sub("", text).strip("\n"))


def draw_session(name: str, session: list[Shown]) -> None:
    """Draw what was typed and printed, for a light and for a dark page."""
    from rich.console import Console
    from rich.text import Text

    for page, theme in (("light", light()), ("dark", dark())):
        with open(os.devnull, "w") as nowhere:
            console = Console(
                record=True,
                file=nowhere,
                width=COLUMNS,
                force_terminal=True,
                color_system="truecolor",
            )
            for number, shown in enumerate(session):
                if number:
                    console.print()
                prompt = Text.assemble(("$ ", "bold green"), (shown.command, "bold"))
                console.print(prompt, soft_wrap=True)
                console.print(Text.from_ansi(shown.output), highlight=False)
        drawn = console.export_svg(title="", theme=theme, unique_id=name)
        # A font that a page would load from a server, and who drew it.
        (PICTURES / f"{name}-{page}.svg").write_text(LOADED.sub("", drawn))


def light() -> TerminalTheme:
    """The colours of a terminal on white."""
    from rich.terminal_theme import TerminalTheme

    usual = [(36, 41, 47), (180, 30, 40), (17, 99, 41), (125, 78, 0)]
    usual += [(9, 80, 180), (130, 60, 190), (20, 110, 120), (87, 96, 106)]
    return TerminalTheme((255, 255, 255), (36, 41, 47), usual, usual)


def dark() -> TerminalTheme:
    """The colours of a terminal on black."""
    from rich.terminal_theme import TerminalTheme

    usual = [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)]
    usual += [(88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)]
    return TerminalTheme((13, 17, 23), (201, 209, 217), usual, usual)


# ---- Charts ----


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars with their labels, of which ours comes first; `text` says a value."""

    title: str
    bars: list[tuple[str, float, str]]


def draw_charts() -> None:
    """Draw a chart of the peers, and one of what an index holds after events."""
    check_plot(PICTURES / "peers-light.svg")
    draw("peers", peers(measured("peers")))
    draw("conformance", [conformance(measured("conformance"))])


def measured(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


SCENARIOS = {
    "first index": "First index",
    "no-op": "Nothing to do",
    "edit": "One function edited",
    "rename": "A folder renamed",
}


def peers(found: dict[str, Any]) -> list[Chart]:
    """Seconds of each program in each scenario."""
    return [
        Chart(
            f"{title}, seconds",
            [
                (
                    one["name"],
                    seconds,
                    f"{seconds:,.2g}" if seconds < 10 else f"{seconds:,.0f}",
                )
                for one in found["contestants"]
                if scenario in one["scenarios"]
                for seconds in [one["scenarios"][scenario]["wall"]]
            ],
        )
        for scenario, title in SCENARIOS.items()
    ]


def conformance(found: dict[str, Any]) -> Chart:
    """After how many of the events a program's index differs from its tree."""
    return Chart(
        "Events after which the index differs from the tree",
        [
            (f"{name} {one['version']}", wrong, f"{wrong} of {one['claimed']}")
            for name, one in found["programs"].items()
            for wrong in [one["claimed"] - one["right"]]
        ],
    )


def draw(name: str, charts: list[Chart]) -> None:
    """Draw charts beside each other, two in a row."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    rows = (len(charts) + 1) // 2
    height = sum(len(one.bars) for one in charts[::2]) * 0.3 + rows * 0.5
    for page, ink, ours, others in (
        ("light", "#24292f", "#0969da", "#afb8c1"),
        ("dark", "#c9d1d9", "#58a6ff", "#484f58"),
    ):
        style: Any = {
            "svg.fonttype": "none",
            "svg.hashsalt": name,
            "font.family": "sans-serif",
            "font.size": 10,
            **dict.fromkeys(("text.color", "ytick.color", "axes.edgecolor"), ink),
        }
        with pyplot.rc_context(style):
            figure, places = pyplot.subplots(
                rows, min(len(charts), 2), figsize=(9, height), squeeze=False
            )
            for axes, chart in zip(places.flat, charts):
                labels, values, texts = zip(*chart.bars)
                colours = [
                    ours if label.startswith("codx-index") else others
                    for label in labels
                ]
                bars = axes.barh(labels, values, color=colours, height=0.7)
                axes.bar_label(bars, texts, padding=4, color=ink)
                axes.set_title(
                    chart.title, loc="left", fontsize=11, fontweight="bold", color=ink
                )
                axes.invert_yaxis()
                axes.set_xlim(0, max(values) * 1.18)
                axes.set_xticks([])
                axes.tick_params(length=0)
                for side in axes.spines.values():
                    side.set_visible(False)
                axes.patch.set_alpha(0)
            figure.patch.set_alpha(0)
            figure.tight_layout()
            figure.savefig(PICTURES / f"{name}-{page}.svg", metadata={"Date": None})
            pyplot.close(figure)


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
