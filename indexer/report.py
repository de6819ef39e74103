"""What a run did, for people and machines; the exit code is a property of it."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from indexer.paths import escape_path
from indexer.timeline import FileTime, Spans
from indexer.types import ChunkCounts, EmbeddedFile, FileCounts, SecretCounts

RUN = "run"  # the span of all of it
STAGES = (
    "start lock model scan diff read open load chunk embed upsert commit finish close stamp"
).split()
"""In the order in which they begin. The workers' own, load, chunk and embed, are summed
over them, and so is start, of all processes."""

_SLOWEST = 50
_EXIT_CODES: Mapping[str, int] = {"updated": 0, "unchanged": 0, "partial": 3}


@dataclass(slots=True)
class Report:
    """Counts and timings (seconds) of a run; `as_dict` is the object of `--json`."""

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
    spans: Spans = field(default_factory=Spans)
    _times: list[FileTime] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def fail(self, path: str, error: str) -> None:
        """Record a file that could not be indexed."""
        self.failures[path] = error
        self.files.failed = len(self.failures)

    def count_time(self, file: EmbeddedFile) -> None:
        """Remember what a file took, if it is one of the slowest."""
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
        """The files that took most of the workers, the slowest first."""
        return heapq.nlargest(_SLOWEST, self._times, operator.attrgetter("seconds"))

    @property
    def seconds(self) -> dict[str, float]:
        """Of the whole run ("total"), and of each of `STAGES`."""
        seconds = dict.fromkeys([RUN, *STAGES], 0.0)
        for span in self.spans.found:
            seconds[span.name] += span.seconds
        return {"total": seconds.pop(RUN), **seconds}

    @property
    def exit_code(self) -> int:
        """0 the index equals the tree, 3 all but the failures, 128 + n stopped by signal
        n, else what the error says (`indexer.errors`)."""
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
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "failures": [
                {"path": escape_path(path), "error": error}
                for path, error in sorted(self.failures.items())
            ],
        }
