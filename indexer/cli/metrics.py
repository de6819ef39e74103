"""What a run did, in numbers for Prometheus."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress

from indexer.cli.texts import without_controls
from indexer.paths import escape_path
from indexer.report import Report

_LAST_SUCCESS = "codx_index_last_success_timestamp_seconds"


def write_metrics(path: str, report: Report) -> None:
    """Write the figures of a run in Prometheus' text format, for node_exporter's textfile
    collector.

    The file is replaced atomically and can be read by everyone. A run that fails keeps the
    time of the last success. Raises `OSError`.
    """
    before = _last_success(path)
    folder = os.path.dirname(os.path.abspath(path))
    # The collector would read a draft named *.prom.
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
    folder = without_controls(escape_path(report.project))
    project = {"project": folder, "collection": report.collection}

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
    """The time of the last success that an earlier run wrote, 0 if none did."""
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith(_LAST_SUCCESS + "{"):
                return float(line.rpartition(" ")[2])
    return 0.0
