"""Does an index equal its tree, whatever happened to the tree?

Things that users meet happen to a small git project: one event at a time, each to a project and an
index of its own. Then the program is told to bring its index up to date, by the command that its
documentation names, and the index is read: each function must be found in the files that have it,
and nothing that is gone may be found. Before that, the program's `status`, if it has one that
compares index and tree, is asked whether there is something to do.

    python benchmarks/conformance.py [--only NAMES] [--events NAMES] [--environments DIR]
        [--cache-dir DIR] [--json FILE] [--keep DIR]
    python benchmarks/conformance.py --results FILE …

NAMES are separated by commas; `--list` names all. The peers are installed once, each into an
environment of its own (cocoindex-code takes 2 GB); then nothing is fetched, and where `unshare`
is allowed the programs have no network. One that cannot be installed is left out with the reason.
A peer's ignore rules and limits are those of its documentation: an event that this excludes is
not claimed (–).

With `--keep` the projects of events that went wrong stay in that folder. `--results` makes the table
of what earlier runs wrote with `--json`, because all programs in turn take an hour or two.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from common import Unexpected, headline, prepared, surroundings, write_json
from conformance_events import EVENTS, Event
from conformance_programs import PEERS, Ours, Program
from conformance_tree import World, faults
from peers import default_environments

OURS = Ours.name
SHOWN = 3  # faults of an event
# What a program may do wrong that is no mistake of ours.
FAILURES = (
    *(Unexpected, OSError, subprocess.SubprocessError),
    *(ValueError, KeyError, LookupError),
)


def main() -> None:
    options = parse()
    if options.list:
        print(*listing(), sep="\n")
        return
    events = [EVENTS[name] for name in options.events or EVENTS]
    if options.results:
        results = joined(options.results)
        write_json(options.json, as_dict(results, {}))
        print(*told(results), sep="\n")
        return
    environments = (options.environments or default_environments()).absolute()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name).resolve()
        programs: list[Program] = []
        reasons: dict[str, str] = {}
        for one in options.only or [OURS, *PEERS]:
            if one == OURS:
                indexer = prepared(folder, options.cache_dir, jobs=0)
                program: Program = Ours(folder, environments, indexer)
            else:
                program = PEERS[one](folder, environments)
            stack.enter_context(closing(program))
            try:
                program.install()
            except FAILURES as error:
                reasons[one] = brief(error)
            else:
                programs.append(program)
        print(headline(), flush=True)
        results = [Results(one.name, one.version, one.commands) for one in programs]
        for event in events:
            for program, found in zip(programs, results, strict=True):
                outcome = attempt(program, event, folder, options.keep)
                found.outcomes[event.name] = outcome
                print(f"{event.name}: {program.name}: {outcome}", file=sys.stderr)
            write_json(options.json, as_dict(results, reasons))
        print(*told(results), sep="\n")
        print(*(f"\n{name} is left out: {why}" for name, why in reasons.items()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", type=names_of({OURS, *PEERS}), help="programs; all by default"
    )
    parser.add_argument(
        "--events", type=names_of(set(EVENTS)), help="events; all by default"
    )
    parser.add_argument("--list", action="store_true", help="name all, and do nothing")
    parser.add_argument("--environments", type=Path, help="where the peers are")
    parser.add_argument("--cache-dir", type=Path, help="where our converted model is")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--results", type=Path, nargs="+", help="of earlier runs")
    parser.add_argument("--keep", type=Path, help="where what went wrong is kept")
    return parser.parse_args()


class names_of:  # noqa: N801
    """Reads names that are separated by commas."""

    def __init__(self, known: set[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        found = [name.strip() for name in text.split(",")]
        if unknown := set(found) - self._known:
            raise argparse.ArgumentTypeError(f"there is no {sorted(unknown)[0]!r}")
        return found


# ---- One event ----


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an index compares with its tree after an event.

    `faults` has a line for each function that it lacks or still has. `reason` tells why the event
    says nothing of the program, or what stopped it. `said` is what the program's last update
    printed if it failed. `is_truthful` tells whether `status` was right before the update, None if
    it was not asked.
    """

    faults: list[str] = field(default_factory=list)
    reason: str = ""
    is_claimed: bool = True
    said: str = ""
    is_truthful: bool | None = None

    @property
    def is_right(self) -> bool:
        return not self.faults

    def __str__(self) -> str:
        if not self.is_claimed:
            return f"not claimed: {self.reason}"
        shown = "; ".join(self.faults[:SHOWN]) or "right"
        more = len(self.faults) - SHOWN
        status = "; status is wrong" if self.is_truthful is False else ""
        return f"{shown}{f'; and {more} more' if more > 0 else ''}{status}"


def attempt(program: Program, event: Event, folder: Path, keep: Path | None) -> Outcome:
    if reason := program.not_claimed.get(event.name):
        return Outcome(reason=reason, is_claimed=False)
    place = folder / program.name / event.name.replace(" ", "-")
    try:
        outcome = observe(program, event, place)
    except FAILURES as error:
        outcome = Outcome(faults=[f"stopped: {brief(error)}"], said=program.said)
    if keep is not None and not outcome.is_right:
        target = keep / program.name / place.name
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", place, target], check=True)  # sockets too
    shutil.rmtree(place, ignore_errors=True)
    return outcome


def observe(program: Program, event: Event, place: Path) -> Outcome:
    """Let the event happen to a new project, and compare its index with it."""
    world = World(place / "project", program, random.Random(event.name))
    world.make()
    world.first()
    if wrong := faults(*world.expected(), program.read(world.root)):
        raise Unexpected(f"the first index is not right: {wrong[0]}")
    event.act(world)
    is_truthful = None
    if event.has_status:
        says_changed = program.says_changed(world.root)
        if says_changed is not None:
            differs = bool(faults(*world.expected(), program.read(world.root)))
            is_truthful = says_changed == differs
    world.update()
    said = program.said
    wrong = faults(*world.expected(), program.read(world.root))
    wrong += program.check(world.root)
    return Outcome(wrong, said=said, is_truthful=is_truthful)


def brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


# ---- Results ----


@dataclass(slots=True)
class Results:
    """What came of each event with one program."""

    name: str
    version: str
    commands: tuple[str, str, str]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def claimed(self) -> list[Outcome]:
        return [one for one in self.outcomes.values() if one.is_claimed]

    @property
    def right(self) -> int:
        return sum(one.is_right for one in self.claimed)

    @property
    def answers(self) -> list[bool]:
        """Whether `status` was right, each time that it was asked."""
        found = [one.is_truthful for one in self.outcomes.values()]
        return [one for one in found if one is not None]


def joined(paths: list[Path]) -> list[Results]:
    """What earlier runs wrote, those of one program as one."""
    results: dict[str, Results] = {}
    for path in paths:
        for name, found in json.loads(path.read_text())["programs"].items():
            new = Results(name, found["version"], found["commands"])
            kept = results.setdefault(name, new)
            for event, outcome in found["outcomes"].items():
                kept.outcomes[event] = Outcome(**outcome)
    return list(results.values())


def told(results: list[Results]) -> Iterator[str]:
    """The table of events and programs, in Markdown, and below it what was wrong."""
    yield ""
    yield row(
        "event", "what happens", *(f"{one.name} {one.version}" for one in results)
    )
    yield row("---", "---", *(":---:" for _ in results))
    for event in EVENTS.values():
        if any(event.name in one.outcomes for one in results):
            cells = [cell(one.outcomes.get(event.name)) for one in results]
            yield row(event.name, event.about, *cells)
    counts = [f"**{one.right} of {len(one.claimed)}**" for one in results]
    yield row("**right**", "", *counts)
    answers = [one.answers for one in results]
    counts = [f"{sum(one)} of {len(one)}" if one else "–" for one in answers]
    yield row("`status` was right", "", *counts)
    for one in results:
        yield f"\n{one.name} {one.version}"
        for name, outcome in one.outcomes.items():
            if not outcome.is_right or outcome.is_truthful is False:
                said = f" (it said: {outcome.said})" if outcome.said else ""
                yield f"  {name}: {outcome}{said}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def cell(outcome: Outcome | None) -> str:
    """✓ where the index was right, ✗ where not, – where this is not claimed.

    A program that ends with a failure leaves nobody in the belief that all is well.
    """
    if outcome is None:
        return ""
    if not outcome.is_claimed:
        return "–"
    if outcome.is_right:
        mark = "✓"
    else:
        mark = "✗ (says so)" if outcome.said else "✗"
    return f"{mark} (status wrong)" if outcome.is_truthful is False else mark


def listing() -> Iterator[str]:
    yield f"programs: {', '.join([OURS, *PEERS])}"
    for event in EVENTS.values():
        yield f"{event.group}: {event.name}: {event.about}"


def as_dict(results: list[Results], reasons: dict[str, str]) -> dict[str, Any]:
    return {
        **surroundings(),
        "events": {
            event.name: {"about": event.about, "group": event.group}
            for event in EVENTS.values()
        },
        "programs": {
            one.name: {
                "version": one.version,
                "commands": one.commands,
                "right": one.right,
                "claimed": len(one.claimed),
                "outcomes": {name: asdict(it) for name, it in one.outcomes.items()},
            }
            for one in results
        },
        "left_out": reasons,
    }


if __name__ == "__main__":
    try:
        main()
    except Unexpected as error:
        sys.exit(str(error))
