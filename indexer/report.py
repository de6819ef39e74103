"""The report: what a run did, for people and for machines, and its exit code."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import asdict

from indexer.paths import escape_path
from indexer.timeline import FileTime, Spans

if TYPE_CHECKING:
    from indexer.types import EmbeddedFile, Mention

RUN = "run"  # the span of the whole run
STAGES = (
    "start lock seed model scan diff read open load chunk embed upsert commit finish wiki close"
    " stamp"
).split()
"""The stages in the order in which they begin. Load, chunk and embed are stages of the workers,
summed over all of them; start is summed over all processes."""

KNEE = 100_000  # chunks; from here on the report says what more of them will cost
FEW = 1_000  # rows; a run that writes no more tells what an edit costs
_STORE = "open upsert commit finish close".split()  # the stages that use the store
_SLOWEST = 50
_EXIT_CODES: Mapping[str, int] = {
    "updated": 0,
    "unchanged": 0,
    "planned": 0,
    "partial": 3,
    "budget": 4,
}

Listener = Callable[[str, Mapping[str, object]], None]
"""Called with the name of an event and its fields, as in `schema.json`."""


class FileCounts(Struct):
    """Files of a run or a plan, by what happened, or would happen, to them.

    `embedded` files were indexed before and only got their vectors, `stripped` ones only lost them.
    `by_words` files of the index are found by words alone. `deferred` files may have changed and were left for a
    later run.
    """

    scanned: int = 0
    unchanged: int = 0
    added: int = 0
    modified: int = 0
    renamed: int = 0
    deleted: int = 0
    embedded: int = 0
    stripped: int = 0
    by_words: int = 0
    failed: int = 0
    deferred: int = 0
    read: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


class PlanCounts(Struct, frozen=True):
    """What lies before a run: files that are `unchanged`, files that may have `changed`, the
    `bytes` of these in all, and files that are `gone`."""

    unchanged: int
    changed: int = 0
    bytes: int = 0
    gone: int = 0


class ChunkCounts(Struct):
    """Chunks of a run.

    `total` is what the collection holds at its end, and `unembedded` is how many of these have
    no vector yet. As many as `by_words` are to have none. `tokens` were computed by the model, special ones included; `padding` was
    computed beside them.
    """

    total: int = 0
    unembedded: int = 0
    by_words: int = 0
    embedded: int = 0
    cached: int = 0
    upserted: int = 0
    deleted: int = 0
    truncated: int = 0
    tokens: int = 0
    padding: int = 0


class SecretCounts(Struct):
    """Secrets in the files of a run. Files that are skipped for their names are not counted."""

    masked: int = 0


class MentionCounts(Struct):
    """Mentions found in the changed files of a run, and for how many of these files the command
    `succeeded` or `failed`."""

    pending: list[Mention] = field(default_factory=list)
    succeeded: int = 0
    failed: int = 0


class EventCounts(Struct):
    """Events of a run; `undelivered` is summed over the places they were meant for."""

    emitted: int = 0
    undelivered: int = 0


class WikiCounts(Struct):
    """Pages of the wiki: how many there are, and what this run did to them."""

    pages: int = 0
    written: int = 0
    deleted: int = 0
    failed: int = 0


class Growth(Struct, frozen=True):
    """What this many `rows` of an embedded database cost, and what `next_rows` more would add.

    `row_bytes` are bytes on disk, and megabytes are 10⁶ bytes of memory. `edit_seconds` is the time that the
    last small run spent in the store, None if there was none.
    """

    rows: int
    row_bytes: int
    search_megabytes: int
    edit_seconds: float | None
    next_rows: int
    next_search_megabytes: int
    next_edit_seconds: float | None


class Seeded(Struct):
    """The index that a first one started from: its `origin`, and how many `files` are the same there."""

    origin: str
    files: int = 0


class IgnoredSeed(Struct, frozen=True):
    """An index that a first one could not start from, and why."""

    origin: str
    reason: str


class Report(Struct):
    """Counts and timings (seconds) of a run; `as_dict` is the object that `--json` prints.

    Whatever is counted here is told to the `listeners` here as well, so that both agree.
    """

    project: str = ""
    collection: str = ""
    uri: str = ""
    fingerprint: str = ""
    status: str = "failed"
    error: str = ""
    error_code: int = 1
    signal: int = 0
    files: FileCounts = field(default_factory=FileCounts)
    chunks: ChunkCounts = field(default_factory=ChunkCounts)
    secrets: SecretCounts = field(default_factory=SecretCounts)
    mentions: MentionCounts = field(default_factory=MentionCounts)
    wiki: WikiCounts = field(default_factory=WikiCounts)
    events: EventCounts = field(default_factory=EventCounts)
    listeners: list[Listener] = field(default_factory=list)
    spans: Spans = field(default_factory=Spans)
    failures: dict[str, str] = field(default_factory=dict)
    growth: Growth | None = None
    seeded: Seeded | None = None
    seeds_ignored: list[IgnoredSeed] = field(default_factory=list)
    _times: list[FileTime] = field(default_factory=list)

    def tell(self, event: str, **about: object) -> None:
        """Tell the listeners that something happened."""
        for listener in self.listeners:
            listener(event, about)

    def fail(self, path: str, error: str) -> None:
        """Record a file that could not be indexed."""
        if path in self.failures:
            error = f"{self.failures[path]}; {error}"
        self.failures[path] = error
        self.files.failed = len(self.failures)
        self.tell("file-failed", path=escape_path(path), error=escape_path(error))

    def skip(self, path: str, reason: str) -> None:
        """Count a file that was looked at, but left out."""
        self.files.skipped[reason] = self.files.skipped.get(reason, 0) + 1
        self.tell("file-skipped", path=escape_path(path), reason=reason)

    def mention(self, mention: Mention) -> None:
        """Record a mention that waits for somebody to act on it."""
        self.mentions.pending.append(mention)
        self.tell("mention-pending", **_mention(mention))

    def tell_plan(self, counts: PlanCounts) -> None:
        """Tell the listeners how much there is to do; the scan has been counted."""
        self.tell("plan", scanned=self.files.scanned, **asdict(counts))

    def conclude(self, *, is_cut: bool, signal: int) -> None:
        """Set the status of a run that ended in order: it `is_cut` if it did not do all that
        was asked for, and `signal` is the one that stopped it, 0 if none did."""
        self.signal = signal
        if signal:
            self.status = "interrupted"
        elif is_cut:
            self.status = "budget"
        elif self.failures:
            self.status = "partial"
        elif self.chunks.upserted or self.chunks.deleted or self.seeded:
            self.status = "updated"
        else:
            self.status = "unchanged"

    def count_time(self, file: EmbeddedFile) -> None:
        """Remember the time that a file took, if it is one of the slowest."""
        self._times.append(
            FileTime(
                escape_path(file.record.path),
                file.size,
                len(file.chunks),
                file.chunk_seconds,
                file.embed_seconds,
            )
        )
        if len(self._times) >= 10 * _SLOWEST:
            self._times = self.slowest()

    def slowest(self) -> list[FileTime]:
        """The files that took the workers longest, the slowest first."""
        import heapq

        return heapq.nlargest(_SLOWEST, self._times, operator.attrgetter("seconds"))

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds of the whole run ("total") and of each of the `STAGES`."""
        seconds = dict.fromkeys([RUN, *STAGES], 0.0)
        for span in self.spans.found:
            seconds[span.name] += span.seconds
        return {"total": seconds.pop(RUN), **seconds}

    @property
    def edit_seconds(self) -> float:
        """The seconds that the store took of this run, 0 unless it wrote few rows, and some."""
        if not 0 < self.chunks.upserted + self.chunks.deleted <= FEW:
            return 0.0
        seconds = self.seconds
        return sum(seconds[stage] for stage in _STORE)

    @property
    def exit_code(self) -> int:
        """The exit code that the report calls for.

        0: the index equals the tree. 3: it does, except for the failures. 4: a budget stopped
        the run. 128 + n: signal n did. Otherwise the code of the error (`indexer.errors`).
        """
        if self.status == "interrupted":
            return 128 + self.signal
        return _EXIT_CODES.get(self.status, self.error_code)

    def profile(self) -> dict[str, object]:
        """Where the time went, as JSON-ready values."""
        return {"slowest": [asdict(time) for time in self.slowest()]}

    def as_dict(self) -> dict[str, object]:
        """The report as JSON-ready values; fields are only ever added."""
        return {
            "status": self.status,
            "exit_code": self.exit_code,
            "error": escape_path(self.error),
            "project": escape_path(self.project),
            "collection": self.collection,
            "uri": escape_path(self.uri),
            "fingerprint": self.fingerprint,
            "files": asdict(self.files),
            "chunks": asdict(self.chunks),
            "secrets": asdict(self.secrets),
            "mentions": {
                "pending": [_mention(one) for one in self.mentions.pending],
                "succeeded": self.mentions.succeeded,
                "failed": self.mentions.failed,
            },
            "wiki": asdict(self.wiki),
            "events": asdict(self.events),
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "failures": [
                {"path": escape_path(path), "error": error}
                for path, error in sorted(self.failures.items())
            ],
            "growth": asdict(self.growth) if self.growth else None,
            "seeded": _seeded(self.seeded) if self.seeded else None,
            "seeds_ignored": [
                {"from": escape_path(one.origin), "reason": escape_path(one.reason)}
                for one in self.seeds_ignored
            ],
        }


def _seeded(seeded: Seeded) -> dict[str, object]:
    return {"from": escape_path(seeded.origin), "files": seeded.files}


def _mention(mention: Mention) -> dict[str, object]:
    return {
        "path": escape_path(mention.path),
        "line": mention.line,
        "text": mention.text,
    }
