"""What does each command import before it can work? Holds a budget.

    python benchmarks/imports.py [--rounds N] [--cache-dir DIR]

Runs commands of codx-index under `python -X importtime` and adds up what each module took
itself. Machines differ, so the budget is in units of what `import asyncio` takes beside it,
in rounds that take turns; of the rounds the fastest counts. Exits with 1 over budget, or where
something is imported that the command has no use for.

`--cache-dir`, a cache folder with the converted model, adds a run that indexes a file.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common import COMMAND, Unexpected, headline

UNIT = ("-c", "import asyncio")
LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)
TOP = 4
# Without bytecode every start would compile; the other is set where our spawning was used.
NOT_A_USERS = {"PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH"}

# Needed for a conversion, which has a process of its own.
TORCH = {"torch", "transformers", "sentence_transformers", "scipy", "sklearn", "nncf"}
WORKERS = TORCH | {"openvino", "tokenizers", "tree_sitter", "detect_secrets"}
MILVUS = {"pymilvus", "milvus_lite", "grpc", "pandas", "numpy"}


@dataclass(slots=True)
class Command:
    """A command, its budget in units, and the packages that it must do without."""

    name: str
    arguments: tuple[str, ...]
    budget: float
    without: Collection[str]
    rounds: list[Counter[str]] = field(default_factory=list)

    @property
    def microseconds(self) -> int:
        return min(found.total() for found in self.rounds)

    def packages(self) -> Counter[str]:
        """Microseconds by package, of the fastest round."""
        packages: Counter[str] = Counter()
        for module, time in min(self.rounds, key=Counter.total).items():
            packages[module.split(".")[0]] += time
        return packages


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache-dir", type=Path, help="adds a run that indexes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        project = Path(name, "project")
        project.mkdir()
        (project / "module.py").write_text("ANSWER = 42\n")
        commands = [*commands_for(project, options.cache_dir)]
        unit = Command("import asyncio", UNIT, 0, ())
        for _ in range(options.rounds):
            for command in (unit, *commands):
                command.rounds.append(imported(command))
    print(headline())
    print(*table(unit, commands), sep="\n")
    if faults := [*violations(unit, commands)]:
        sys.exit("\n".join(faults))


def commands_for(project: Path, cache_dir: Path | None) -> Iterator[Command]:
    """The commands that are looked at."""
    script, root = (COMMAND,), str(project)
    yield Command("--version", (*script, "--version"), 1.8, WORKERS | MILVUS)
    yield Command(
        "run --dry-run", (*script, "run", "--dry-run", root), 3.0, WORKERS | MILVUS
    )
    if cache_dir is not None:
        run = (*script, "run", "--force", "--cache-dir", str(cache_dir), root)
        yield Command("run", run, 20.0, TORCH)  # a third is pandas, for pymilvus


def imported(command: Command) -> Counter[str]:
    """Microseconds that each module took itself, without those that it imports."""
    python = (sys.executable, "-X", "importtime")
    done = subprocess.run(
        [*python, *command.arguments],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in NOT_A_USERS},
    )
    if done.returncode:
        last = (done.stderr.splitlines() or [""])[-1]
        raise Unexpected(f"{command.name} ended with {done.returncode}: {last}")
    found: Counter[str] = Counter()
    for time, module in LINE.findall(done.stderr):
        found[module] += int(time)
    return found


def table(unit: Command, commands: list[Command]) -> Iterator[str]:
    yield f"{'':16}{'modules':>8}{'ms':>7}{'units':>7}{'budget':>8}  most"
    for command in (unit, *commands):
        most = command.packages().most_common(TOP)
        budget = f"{command.budget:8.1f}" if command.budget else f"{'':8}"
        yield (
            f"{command.name:16}{len(command.rounds[0]):8}"
            f"{command.microseconds / 1000:7.0f}"
            f"{command.microseconds / unit.microseconds:7.1f}{budget}  "
            + ", ".join(f"{name} {time / 1000:.0f}" for name, time in most)
        )


def violations(unit: Command, commands: list[Command]) -> Iterator[str]:
    for command in commands:
        units = command.microseconds / unit.microseconds
        if units > command.budget:
            yield f"{command.name}: imports take {units:.1f} units of {command.budget}"
        if useless := sorted(command.packages().keys() & command.without):
            yield f"{command.name}: imports {', '.join(useless)}"


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
