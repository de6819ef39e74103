"""Where a run is reported besides the terminal: events, metrics, a job's page, a trace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from msgspec import Struct

from indexer import __version__
from indexer.cli.boundary import recorded
from indexer.cli.log import log
from indexer.cli.streams import is_closed
from indexer.errors import UsageError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.settings.declarations import EVENTS, METRICS, WEBHOOK
from indexer.settings.values import Values


class Outlets(Struct, frozen=True):
    """Where to write events and metrics, and where to send events; "" is nowhere."""

    events: str
    webhook: str
    metrics: str

    @classmethod
    def of(cls, values: Values) -> Outlets:
        """The outlets that the settings name. Raises `UsageError`."""
        events, webhook = values[EVENTS], values[WEBHOOK]
        if events:
            from indexer.hooks.stream import check_stream

            with values.naming(EVENTS):
                check_stream(events)
        if webhook:
            from indexer.hooks.webhook import check_webhook

            with values.naming(WEBHOOK):
                check_webhook(webhook)
        return cls(events, webhook, values[METRICS])

    @property
    def files(self) -> tuple[str, ...]:
        """The absolute paths of the files that are written."""
        is_file = self.events not in ("", "-") and not self.events.startswith("fd:")
        names = (self.events if is_file else "", self.metrics)
        return tuple(os.path.abspath(name) for name in names if name)

    @contextmanager
    def open(self, report: Report, quiet: bool) -> Iterator[None]:
        """Report the block and its end, however it ends. No outlet can fail a run.

        Raises `Ended` if an error ends the block.
        """
        with ExitStack() as stack:
            if log.verbosity > 1:
                report.listeners.append(log.debug)
            if self.events or self.webhook:
                stack.enter_context(self._telling(report, quiet))
            if self.metrics or os.environ.get("GITHUB_STEP_SUMMARY"):
                stack.enter_context(self._summing_up(report))
            with recorded(report):
                yield

    @contextmanager
    def _telling(self, report: Report, quiet: bool) -> Iterator[None]:
        from indexer.hooks.events import Events
        from indexer.loop import LoopThread

        secret = os.environ.get("CODX_INDEX_WEBHOOK_SECRET", "")
        with closing(LoopThread()) as loop:
            events = Events(self.events, self.webhook, secret, loop)
            report.events = events.counts
            report.listeners.append(events.emit)
            report.tell(
                "run-started",
                project=escape_path(report.project),
                collection=report.collection,
                uri=report.uri,
                codx_index=__version__,
            )
            try:
                yield
            finally:
                report.tell("run-finished", report=report.as_dict())
                events.close()
                for problem in [] if quiet else events.problems:
                    log.warn(problem)

    @contextmanager
    def _summing_up(self, report: Report) -> Iterator[None]:
        from indexer.cli.job_summary import append_markdown
        from indexer.cli.metrics import write_metrics

        try:
            yield
        finally:
            for write, path in (
                (write_metrics, self.metrics),
                (append_markdown, os.environ.get("GITHUB_STEP_SUMMARY", "")),
            ):
                try:
                    if path:
                        write(path, report)
                except OSError as error:
                    log.warn(f"cannot write {path}: {error.strerror}")


def check_stdout(events: str, *, as_json: bool) -> None:
    """Raise `UsageError` if the report and the events were both to go to stdout, or if the
    events were to go to a standard stream that is closed."""
    descriptor = {"-": 1, "fd:1": 1, "fd:2": 2}.get(events)
    if descriptor and is_closed(descriptor):
        raise UsageError(f"events cannot go to {events}: it is not open")
    if as_json and events == "-":
        raise UsageError(
            "--json and --events - both write to stdout: send one of them to a file"
        )


@contextmanager
def traced(path: str, report: Report) -> Iterator[None]:
    """Write the timeline of the block to the file at `path`, however the block ends.

    With an empty `path` nothing is written. Raises `UsageError` if the file cannot be opened.
    """
    if not path:
        yield
        return
    from indexer.timeline import write_trace

    try:
        file = open(path, "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the trace cannot be written to {path}: {error.strerror}"
        ) from error
    with file:
        try:
            yield
        finally:
            write_trace(file, report.spans.found, "worker")
