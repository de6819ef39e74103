"""What a run did, for people and machines; the exit code is a property of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from indexer.paths import escape_path
from indexer.types import ChunkCounts, FileCounts, Seconds

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
    seconds: Seconds = field(default_factory=Seconds)
    failures: dict[str, str] = field(default_factory=dict)

    def fail(self, path: str, error: str) -> None:
        """Record a file that could not be indexed."""
        self.failures[path] = error
        self.files.failed = len(self.failures)

    @property
    def exit_code(self) -> int:
        """0 the index equals the tree, 3 all but the failures, 128 + n stopped by signal
        n, else what the error says (`indexer.errors`)."""
        if self.status == "interrupted":
            return 128 + self.signal
        return _EXIT_CODES.get(self.status, self.error_code)

    def as_dict(self) -> dict[str, object]:
        """The report as JSON-ready values; fields are only ever added."""
        return {
            "status": self.status,
            "exit_code": self.exit_code,
            "error": self.error,
            "project": self.project,
            "collection": self.collection,
            "uri": self.uri,
            "fingerprint": self.fingerprint,
            "files": asdict(self.files),
            "chunks": asdict(self.chunks),
            "seconds": {
                name: round(value, 3) for name, value in asdict(self.seconds).items()
            },
            "failures": [
                {"path": escape_path(path), "error": error}
                for path, error in sorted(self.failures.items())
            ],
        }
