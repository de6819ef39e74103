"""The time left that a run shows, on recorded runs and on made-up ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import pytest
from conftest import only_slow

from indexer.cli.eta import Estimate
from indexer.cli.headway import Headway, clock
from indexer.types import Step

LOG = Path(__file__).parents[1] / "data" / "progress.json"
TOLERANCE = 0.3
STARTED = 16.0  # seconds; by then something was measured in any of the runs
CHUNK_S, EMBED_S = 3e-6, 1e-4  # of one worker, for a byte and for a token
ROOM = 1024  # chunks that wait
BATCH, FIRST_BATCH = 64, 4  # chunks that are embedded at once


@dataclass
class Run:
    """A run of two workers, which chunk files as long as few chunks wait, and else embed these.

    A worker begins at its time among `starts`. The machine has `speed(second)` of its speed.
    The files have `sizes`, and so many `tokens_a_byte` as of those that are not cached.
    """

    sizes: list[int]
    tokens_a_byte: list[float]
    starts: tuple[float, float] = (2.0, 3.0)
    speed: Callable[[float], float] = lambda second: 1.0
    events: list[tuple[float, Step]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ready = list(self.starts)
        self._waiting: list[tuple[int, float]] = []  # tokens and bytes of chunks
        self._tasks: list[list[tuple[int, float]]] = []
        files = iter(zip(self.sizes, self.tokens_a_byte, strict=True))
        dice = random.Random(5)
        has_more, self._is_warm = True, False
        while has_more or self._waiting or self._tasks:
            if has_more and len(self._waiting) + BATCH * len(self._tasks) < ROOM:
                file = next(files, None)
                has_more = file is not None
                if file:
                    self._chunk(*file, dice)
            else:
                self._embed(is_last=not has_more)
        self.events.sort(key=lambda event: event[0])

    def _work(self, seconds: float) -> float:
        """Have the worker that is ready first work so long. Returns when it is done."""
        number = self._ready.index(min(self._ready))
        self._ready[number] += seconds / self.speed(self._ready[number])
        return self._ready[number]

    def _chunk(self, size: int, tokens_a_byte: float, dice: random.Random) -> None:
        done, tokens = self._work(size * CHUNK_S), round(size * tokens_a_byte)
        found = size if tokens else 0
        step = Step(known=size - found, found=found, found_tokens=tokens)
        self.events.append((done, step))
        left = tokens
        while left:
            part = min(left, dice.randint(20, 250))
            self._waiting.append((part, size * part / tokens))
            left -= part

    def _embed(self, *, is_last: bool) -> None:
        if not self._tasks:
            most = BATCH if self._is_warm else FIRST_BATCH
            cut, self._waiting = self._waiting[: 4 * most], self._waiting[4 * most :]
            cut.sort(reverse=True)
            size = min(most, max(-(-len(cut) // 4), 4)) if is_last else most
            self._tasks = [cut[at : at + size] for at in range(0, len(cut), size)]
            self._is_warm = True
        task = self._tasks.pop(0)
        # Texts of about the same length are padded to the longest, and attention is more
        # than proportional to the length.
        padded = sum(longest * (1 + longest / 2000) for longest, _ in task[::8]) * 8
        done = self._work(padded * EMBED_S)
        for tokens, share in task:
            self.events.append((done, Step(embedded=share, embedded_tokens=tokens)))

    def estimates(self) -> Iterator[tuple[float, float, float | None]]:
        """At each tenth of the time that it takes: which one, seconds left, and their estimate."""
        estimate = Estimate(sum(self.sizes), 0.0)
        end = self.events[-1][0]
        tenths = [end * tenth / 10 for tenth in range(1, 10)]
        for now, step in self.events:
            while tenths and tenths[0] < now:
                at = tenths.pop(0)
                yield round(at / end, 1), end - at, estimate.remaining(at)
            estimate.advance(now, step)


def sizes(count: int = 1000) -> list[int]:
    """Files as they are in a tree, largest first as they are read."""
    dice = random.Random(7)
    return sorted((round(dice.lognormvariate(8.0, 1.2)) + 50 for _ in range(count)))[
        ::-1
    ]


def texts(count: int = 1000) -> list[float]:
    """Tokens a byte of files that are text."""
    dice = random.Random(9)
    return [dice.uniform(0.22, 0.36) for _ in range(count)]


def cached(is_cached: Callable[[int], bool]) -> list[float]:
    """The same, of which some are in the cache."""
    return [0.0 if is_cached(n) else one for n, one in enumerate(texts())]


def first_half_cached() -> Run:
    half = sum(sizes()) / 2
    before = list(accumulate(sizes()))
    return Run(sizes(), cached(lambda n: before[n] <= half))


# Made where they are needed: each worker of the tests imports this.
ODD = set(random.Random(3).sample(range(1000), 500))
RUNS: dict[str, Callable[[], Run]] = {
    "usual": lambda: Run(sizes(), texts()),
    "few files": lambda: Run([30_000 - 500 * n for n in range(40)], texts(40)),
    "slow start": lambda: Run(sizes(), texts(), (12.0, 16.0)),
    "all cached": lambda: Run([20 * size for size in sizes()], [0.0] * 1000),
    "first half cached": first_half_cached,
    "first files cached": lambda: Run(sizes(), cached(lambda n: n < 20)),
    "any files cached": lambda: Run(sizes(), cached(lambda n: n in ODD)),
    "most files cached": lambda: Run(sizes(), cached(lambda n: n % 10 > 0)),
    "data first": lambda: Run([900_000] * 5 + sizes(), [0.0001] * 5 + texts()),
    "denser to the end": lambda: Run(sizes(), sorted(texts())),
    "thinner to the end": lambda: Run(sizes(), sorted(texts())[::-1]),
    "uneven machine": lambda: Run(
        sizes(), texts(), speed=lambda second: 0.5 if second % 17 < 8 else 1.0
    ),
    "a long run": lambda: Run(sizes(20_000), texts(20_000)),
}


@pytest.mark.parametrize("name", [*list(RUNS)[:-1], *only_slow("a long run")])
def test_time_left_from_the_first_tenth_on(name: str) -> None:
    seen = list(RUNS[name]().estimates())
    assert len(seen) == 9
    # Until the first half is over, nothing tells that the other half is not cached.
    seen = seen[name == "first half cached" :]
    for tenth, left, estimate in seen:
        if estimate is None:
            assert left / (1 - tenth) * tenth < STARTED, tenth
            continue
        assert abs(estimate - left) <= TOLERANCE * left, (tenth, left, estimate)


@pytest.mark.parametrize("name", json.loads(LOG.read_text()))
def test_time_left_of_real_runs(name: str) -> None:
    """On their progress: seconds, and bytes known, found and embedded."""
    log = json.loads(LOG.read_text())[name]
    end = log["steps"][-1][0]
    tenths = [end * tenth / 10 for tenth in range(1, 10)]
    estimate = Estimate(log["total"], 0.0)
    looks = 0
    for seconds, known, found, embedded in log["steps"]:
        while tenths and tenths[0] <= seconds:
            at = tenths.pop(0)
            seen = estimate.remaining(at)
            looks += seen is not None
            assert seen is not None or at < 5, at
            # A bar shows whole seconds.
            assert seen is None or abs(seen - end + at) <= TOLERANCE * (end - at) + 1
        tokens = round(0.3 * found), round(0.3 * embedded)
        estimate.advance(seconds, Step(known, found, embedded, *tokens))
    assert looks >= 5


@pytest.mark.parametrize("part", [0.5, 2.0])
def test_a_machine_that_changes_in_mid_run(part: float) -> None:
    half = RUNS["usual"]().events[-1][0] / 2
    run = Run(sizes(), texts(), speed=lambda second: 1.0 if second < half else part)
    for tenth, left, estimate in list(run.estimates())[-1:]:
        assert estimate is not None
        assert abs(estimate - left) <= TOLERANCE * left, (tenth, left, estimate)


def test_nothing_is_said_while_it_would_be_a_guess() -> None:
    estimate = Estimate(1_000_000, 0.0)
    assert estimate.remaining(5.0) is None
    estimate.advance(6.0, Step(found=1000, found_tokens=300))
    assert estimate.remaining(6.0) is None
    estimate.advance(9.0, Step(embedded=1000, embedded_tokens=300))
    assert estimate.remaining(9.0) is None  # the model was loaded before
    assert estimate.remaining(60.0) is None


def test_the_time_left_goes_by_while_nothing_comes() -> None:
    run = RUNS["usual"]()
    estimate = Estimate(sum(run.sizes), 0.0)
    for now, step in run.events[: len(run.events) // 2]:
        estimate.advance(now, step)
    left = estimate.remaining(now)
    assert left
    estimate.advance(now + 3, Step())
    assert estimate.remaining(now + 3) == pytest.approx(left - 3)
    assert estimate.remaining(now + 10_000) == 0.0


def test_a_clock() -> None:
    assert [clock(one) for one in (0.2, 59.7, 3599, 3600 * 3 - 192)] == [
        "00:00",
        "01:00",
        "59:59",
        "2:56:48",
    ]


def halfway(total: int = 1_234) -> Headway:
    """A run of so many files that has done half of its work, in 100 seconds."""
    headway = Headway(total, 100_000, 0.0)
    for second in range(101):
        headway.advance(
            second,
            Step(found=500, found_tokens=150, chunks=5, files=second % 2),
        )
        headway.advance(second, Step(embedded=500, embedded_tokens=150))
    return headway


@pytest.mark.parametrize("columns", range(1, 120))
def test_a_bar_has_room_for_what_counts_most(columns: int) -> None:
    line = halfway().bar(100.0, columns, is_ascii=True)
    assert len(line) <= columns
    assert "\n" not in line
    if columns >= 10:
        assert "left" in line, line
    if columns >= 16:
        assert "%" in line, line
    # Nothing is cut in the middle.
    texts = line.replace("|", " ").replace("#", " ")
    assert columns < 10 or texts.rstrip().endswith("left"), line
    assert ("files" in line) == (columns >= 31), line
    assert ("chunks/s" in line) == (columns >= 64), line


def test_a_bar_grows_with_the_bytes() -> None:
    assert "|#####" in halfway().bar(100.0, 100, is_ascii=True)
    assert "|█████" in halfway().bar(100.0, 100)


def test_a_sentence_for_the_log() -> None:
    headway = halfway()
    assert headway.sentence(100.0).startswith(
        "50 of 1,234 files done, 50% of the bytes, 505 chunks, about 01:3"
    )
    fields = headway.fields(100.0)
    left = fields.pop("seconds_left")
    assert isinstance(left, int) and 90 <= left <= 110
    assert fields == {
        "files": 50,
        "files_total": 1234,
        "bytes": 50500,
        "bytes_total": 100_000,
        "chunks": 505,
    }
    assert Headway(3, 10, 0.0).fields(0.0)["seconds_left"] is None
