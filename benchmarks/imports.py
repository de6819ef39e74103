"""What does each command import before it can work? Exits with 1 when that is too much.

    python benchmarks/imports.py [--rounds N] [--cache-dir DIR]

Runs commands of codx-index under `python -X importtime` and checks what does not depend on how
fast or busy the machine is: that no package is imported which the command has no use for, and
that the number of imported modules stays within its bound. `others` counts the modules of other
distributions, in the versions that constraints.txt pins; `own` counts those of codx-index. The
standard library is checked by name alone, because its number of modules changes from one Python
to the next. Modules that every Python here imports at its start do not count.

Times are printed, but decide nothing: milliseconds of the fastest round, and the same in units
of what `import asyncio` takes beside it.

`--cache-dir`, a cache folder with the converted model, adds a run that indexes one file and a
run that has nothing to do.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from common import COMMAND, Indexer, Unexpected, emptied, headline

OWN = "indexer"
START = ("-c", "pass")
UNIT = ("-c", "import asyncio")
LINE = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)
TOP = 4
# Without bytecode every start would compile, and our own spawning sets the other one; neither
# is set in a user's shell.
NOT_A_USERS = {"PYTHONDONTWRITEBYTECODE", "PYTHONSAFEPATH"}

# The conversion of another model than the default one needs these, in a process of its own.
TORCH = {"torch", "transformers", "sentence_transformers", "scipy", "sklearn", "nncf"}
# Of pymilvus and milvus-lite. What is only looked for, in vain, has no more than its own name.
UNUSED = {"pandas.core", "requests", "faiss.loader"}
WORKERS = TORCH | {"openvino", "tokenizers", "tree_sitter", "detect_secrets"}
MILVUS = {"pymilvus", "milvus_lite", "grpc", "pandas", "numpy"}
# Parts of the standard library that take long to import, or bring many others with them.
SERVERS = set("asyncio ctypes email http multiprocessing socketserver ssl xml".split())
FILES = set("logging sqlite3 subprocess tempfile".split())


@dataclass(slots=True)
class Command:
    """A command, what it must do without, and the most modules it may import.

    A bound of None lets any number pass.
    """

    name: str
    arguments: tuple[str, ...]
    without: set[str] = field(default_factory=set)
    most_others: int | None = None
    most_own: int | None = None
    rounds: list[Counter[str]] = field(default_factory=list)

    @property
    def fastest(self) -> Counter[str]:
        """Microseconds by module, in the fastest round."""
        return min(self.rounds, key=Counter.total)

    @property
    def modules(self) -> set[str]:
        """Every module that any of the rounds imported."""
        return set().union(*self.rounds)

    @property
    def packages(self) -> Counter[str]:
        """Microseconds by package, in the fastest round."""
        packages: Counter[str] = Counter()
        for module, time in self.fastest.items():
            packages[package_of(module)] += time
        return packages


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache-dir", type=Path, help="adds two runs")
    options = parser.parse_args()
    start, unit = Command("python", START), Command("import asyncio", UNIT)
    with tempfile.TemporaryDirectory() as name:
        project, cache = Path(name, "project"), Path(name, "cache")
        project.mkdir()
        (project / "module.py").write_text("ANSWER = 42\n")
        commands = [*commands_for(project, cache, options.cache_dir is not None)]
        for _ in range(options.rounds):
            if options.cache_dir:
                # A run that finds its embedding in the cache loads no model.
                emptied(Indexer(options.cache_dir), cache)
            for command in (start, unit, *commands):
                command.rounds.append(imported(command))
    print(headline())
    print(*table(start, unit, commands), sep="\n")
    if faults := [*violations(start, commands)]:
        sys.exit("\n".join(faults))


def commands_for(project: Path, cache_dir: Path, runs: bool) -> Iterator[Command]:
    """The commands to look at, with what each of them imports today as its bound.

    The bounds on our own modules leave room for more and smaller files. The dry run has a cache
    of its own, without a converted model, so that it does not depend on the machine's.
    """
    script, root = (COMMAND,), str(project)
    light = WORKERS | MILVUS | SERVERS
    yield Command("--version", (*script, "--version"), light | FILES, 12, 40)
    yield Command("--help", (*script, "--help"), light | FILES, 13, 40)
    no_model = str(cache_dir.with_name("no-model"))
    dry_run = (*script, "run", "--dry-run", "--cache-dir", no_model, root)
    yield Command("run --dry-run", dry_run, light, 25, 125)
    if runs:
        run = (*script, "run", "--cache-dir", str(cache_dir), root)
        yield Command("run", (*run, "--force"), TORCH | UNUSED, 480, 185)
        yield Command("run, unchanged", run, light, 30, 122)


def imported(command: Command) -> Counter[str]:
    """Microseconds that each module took itself, without the modules it imports."""
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


def package_of(module: str) -> str:
    return module.partition(".")[0]


@cache
def other_packages() -> frozenset[str]:
    """The importable names of every installed distribution but our own.

    Python also reports modules that it looks for in vain, which belong to none.
    """
    return frozenset(packages_distributions().keys() - {OWN})


def counts(start: Command, command: Command) -> tuple[int, int]:
    """How many modules of others a command imports, and how many of our own."""
    packages = [package_of(module) for module in command.modules - start.modules]
    return sum(name in other_packages() for name in packages), packages.count(OWN)


def table(start: Command, unit: Command, commands: list[Command]) -> Iterator[str]:
    yield (
        f"{'':16}{'modules':>8}{'others':>8}{'bound':>7}{'own':>5}{'bound':>7}"
        f"{'ms':>7}{'units':>7}  most"
    )
    for command in (start, unit, *commands):
        others, own = counts(start, command)
        most = command.packages.most_common(TOP)
        taken, units = command.fastest.total(), unit.fastest.total()
        yield (
            f"{command.name:16}{len(command.modules):8}"
            f"{others:8}{shown(command.most_others)}{own:5}{shown(command.most_own)}"
            f"{taken / 1000:7.0f}{taken / units:7.1f}  "
            + ", ".join(f"{name} {time / 1000:.0f}" for name, time in most)
        )


def shown(bound: int | None) -> str:
    return f"{'' if bound is None else bound:>7}"


def violations(start: Command, commands: list[Command]) -> Iterator[str]:
    for command in commands:
        others, own = counts(start, command)
        for what, found, most in (
            ("other packages", others, command.most_others),
            (OWN, own, command.most_own),
        ):
            if most is not None and found > most:
                yield f"{command.name}: imports {found} modules of {what}, more than {most}"
        modules = command.modules - start.modules
        packages = {package_of(one) for one in modules}
        if useless := sorted((modules | packages) & command.without):
            yield f"{command.name}: imports {', '.join(useless)}"


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
