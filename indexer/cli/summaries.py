"""What a run did, for those who read no terminal: Prometheus, and the page of a CI job."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress

from indexer.paths import escape_path
from indexer.report import Report

SHOWN_FAILURES = 20
_LAST_SUCCESS = "codx_index_last_success_timestamp_seconds"


def write_metrics(path: str, report: Report) -> None:
    """Write the figures of a run in Prometheus' text format, for the textfile collector of
    node_exporter: the file is replaced in one step, and all may read it.

    The time of the last success outlives runs that fail. Raises `OSError`.
    """
    before = _last_success(path)
    folder = os.path.dirname(os.path.abspath(path))
    # Not *.prom, which the collector would read.
    handle, draft = tempfile.mkstemp(prefix=".codx-index-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_metrics(report, before))
            os.fchmod(file.fileno(), 0o644)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _metrics(report: Report, last_success: float) -> bytes:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    project = {"project": escape_path(report.project), "collection": report.collection}

    def gauge(
        name: str, what: str, values: dict[tuple[str, ...], float], *by: str
    ) -> None:
        found = Gauge(name, what, [*project, *by], registry=registry)
        for labels, value in values.items():
            found.labels(*project.values(), *labels).set(value)

    now = time.time()
    is_good = report.exit_code == 0
    success = now if is_good else last_success
    files, chunks = report.files, report.chunks
    gauge("codx_index_exit_code", "Exit code of the last run.", {(): report.exit_code})
    gauge("codx_index_last_run_timestamp_seconds", "End of the last run.", {(): now})
    gauge(_LAST_SUCCESS, "End of the last run with exit code 0.", {(): success})
    gauge("codx_index_chunks", "Chunks in the index.", {(): chunks.total})
    gauge(
        "codx_index_run_seconds",
        "Seconds of the last run, by stage.",
        {(stage,): seconds for stage, seconds in report.seconds.items()},
        "stage",
    )
    gauge(
        "codx_index_run_files",
        "Files of the last run, by what happened to them.",
        {
            (change,): getattr(files, change)
            for change in (
                "scanned unchanged added modified renamed deleted failed deferred read"
            ).split()
        },
        "change",
    )
    gauge(
        "codx_index_run_skipped_files",
        "Files that the last run left out, by reason.",
        {(reason,): count for reason, count in files.skipped.items()},
        "reason",
    )
    gauge(
        "codx_index_run_chunks",
        "Chunks of the last run, by what happened to them.",
        {
            (change,): getattr(chunks, change)
            for change in "embedded cached upserted deleted truncated".split()
        },
        "change",
    )
    gauge(
        "codx_index_run_undelivered_events",
        "Events of the last run that nobody received.",
        {(): report.events.undelivered},
    )
    return bytes(generate_latest(registry))


def _last_success(path: str) -> float:
    """What an earlier run wrote, 0 where there was none."""
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(_LAST_SUCCESS + "{"):
                return float(line.rpartition(" ")[2])
    return 0.0


def append_markdown(path: str, report: Report) -> None:
    """Append a summary in Markdown, as GitHub shows it on the page of a job. Raises
    `OSError`."""
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n".join(_markdown(report)) + "\n")


def _markdown(report: Report) -> Iterator[str]:
    files, chunks = report.files, report.chunks
    yield f"### codx-index: {report.status} (exit code {report.exit_code})"
    yield ""
    if report.error:
        yield _cell(report.error)
        yield ""
    yield "| | |"
    yield "|---|---|"
    changes = "added modified renamed deleted failed deferred".split()
    counts = [(name, getattr(files, name)) for name in changes]
    changed = ", ".join(f"{count:,} {name}" for name, count in counts if count)
    skipped = sum(files.skipped.values())
    for name, text in (
        ("project", _cell(escape_path(report.project))),
        ("collection", _cell(report.collection)),
        ("files", f"{files.scanned:,} scanned, {skipped:,} skipped"),
        ("changes", changed or "none"),
        (
            "chunks",
            f"{chunks.total:,} in the index; {chunks.embedded:,} embedded, "
            f"{chunks.cached:,} from the cache",
        ),
        ("pending mentions", f"{len(report.mentions.pending):,}"),
        ("seconds", f"{report.seconds['total']:.1f}"),
    ):
        yield f"| {name} | {text} |"
    if report.failures:
        yield ""
        yield "| failed | why |"
        yield "|---|---|"
        for path, error in sorted(report.failures.items())[:SHOWN_FAILURES]:
            yield f"| {_cell(escape_path(path))} | {_cell(error)} |"
        if len(report.failures) > SHOWN_FAILURES:
            yield f"| … | {len(report.failures) - SHOWN_FAILURES:,} more |"
    yield ""


_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "&<>|`*_[]#\\"}


def _cell(text: str) -> str:
    """Any text, as itself, in a cell of a table."""
    return " ".join(text.split()).translate(_ENTITIES)
