"""How does the cost of a day's work grow with the project? Tables and a figure.

    python benchmarks/growth.py FILE.json ... --plot FILE.png

prints and draws what `updates.py --against REV --json FILE.json` has written, or `updates.py
--small` with one revision. `turns.py` measures it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import Unexpected, check_plot, median

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOW = "now"
CHUNKS = 19  # of a module in a project of many rows
FIRST = "first"
EDIT, RENAME, DELETE, COMMIT = "edit", "rename", "delete", "commit"
NO_OP, CHECK, SEARCH, NEXT_SEARCH = "no-op", "check", "search", "next search"
ACTS = {
    EDIT: "edit one file",
    RENAME: "rename one file",
    DELETE: "delete one file",
    COMMIT: "commit, of four files",
    NO_OP: "nothing to do",
    CHECK: "status --check",
    SEARCH: "first search, new process",
    NEXT_SEARCH: "next search, same process",
}
ROWS = {FIRST: "first index", **ACTS}  # of a table
FIGURES = ("wall", "cpu", "mib")


def table(size: Mapping[str, Any]) -> str:
    """What each act took, as Markdown, with the ratios of now to the other revision."""
    names = list(size["rows"])
    rows = " and ".join(f"{count:,}" for count in dict.fromkeys(size["rows"].values()))
    head = f"| {size['title'] + ', ' + rows + ' rows':47}"
    for name in names:
        head += f"| {name}: wall s | CPU s | MiB "
    head += "| × wall | × CPU | × MiB " * (len(names) > 1)
    lines = ["", head + "|", "|---|" + "---:|" * (head.count("|") - 1)]
    for act, title in ROWS.items():
        cells = [f"{title:46}"]
        found = size["acts"][act]
        for name in names:
            one = found[name]
            cells += [f"{one['wall']:.3f}", f"{one['cpu']:.3f}", f"{one['mib']:.0f}"]
        if len(names) > 1:
            now, then = (found[name]["samples"] for name in names)
            cells += [f"{ratio(now[key], then[key]):.2f}" for key in FIGURES]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ratio(now: Sequence[float], then: Sequence[float]) -> float:
    return median([ours / theirs for ours, theirs in zip(now, then, strict=True)])


PANELS = [
    *((EDIT, "cpu"), (RENAME, "cpu"), (DELETE, "cpu"), (EDIT, "mib")),
    *((NO_OP, "cpu"), (CHECK, "cpu"), (SEARCH, "cpu"), (NEXT_SEARCH, "cpu")),
]
UNITS = {"cpu": "CPU seconds", "mib": "MiB at the peak"}
STYLES = {NOW: ("C0", "-")}  # the other revision is what it is compared with
OTHER = ("0.5", "--")


def plot(growth: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot how the cost of each act grows with the rows, one panel an act."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 4, figsize=(11, 5.6))
    for axis, (act, key) in zip(axes.flat, PANELS, strict=True):
        draw(axis, growth, act, key)
    figure.supxlabel("rows in the index", fontsize="medium", y=0.07)
    lines, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110)


def draw(axis: Axes, growth: Sequence[Mapping[str, Any]], act: str, key: str) -> None:
    """Draw an act: a line for each revision, and hollow marks for many rows in few files."""
    for name in growth[0]["rows"]:
        colour, line = STYLES.get(name, OTHER)
        for is_large, style in ((False, f"o{line}"), (True, "D")):
            group = [size for size in growth if size["is_many_rows"] == is_large]
            if group:
                axis.plot(
                    [size["rows"][name] for size in group],
                    [size["acts"][act][name][key] for size in group],
                    style,
                    color=colour,
                    fillstyle="none" if is_large else "full",
                    label=f"{name}, {CHUNKS} rows a file" if is_large else name,
                )
    ticks = sorted({round(size["rows"][NOW], -3) for size in growth})
    axis.set_xscale("log")
    axis.set_xticks(ticks, labels=[f"{tick // 1000}k" for tick in ticks])
    axis.minorticks_off()
    axis.margins(y=0.1)
    axis.set_ylim(bottom=0)
    axis.set_title(ACTS[act].replace(", ", ",\n"), fontsize="medium")
    axis.set_ylabel(UNITS[key], fontsize="small")
    axis.grid(alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    written = "what updates.py --json has written, once or in several runs"
    parser.add_argument("found", type=Path, nargs="+", help=written)
    parser.add_argument("--plot", type=Path, required=True)
    options = parser.parse_args()
    check_plot(options.plot)
    growth: list[dict[str, Any]] = []
    for path in options.found:
        here = json.loads(path.read_text()).get("growth")
        if not here:
            raise Unexpected(f"{path}: updates.py --small has not written this")
        growth += here
    growth.sort(key=lambda size: size["files"])
    if len({tuple(size["rows"]) for size in growth}) > 1:
        raise Unexpected("the files are about different revisions")
    print(*map(table, growth), sep="\n")
    plot(growth, options.plot)


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
