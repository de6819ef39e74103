"""Where a run is told of, besides the terminal: events, metrics, summaries, traces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from indexer import __version__
from indexer.cli.boundary import recorded
from indexer.cli.log import log
from indexer.errors import UsageError
from indexer.paths import escape_path
from indexer.report import Report
from indexer.settings.declarations import EVENTS, METRICS, WEBHOOK
from indexer.settings.values import Values


@dataclass(frozen=True, slots=True)
class Outlets:
    """The places that were asked for; "" is nowhere."""

    events: str
    webhook: str
    metrics: str

    @classmethod
    def of(cls, values: Values) -> Outlets:
        """The places that the settings name. Raises `UsageError`."""
        events, webhook = values[EVENTS], values[WEBHOOK]
        if events or webhook:
            from indexer.hooks.events import check_stream, check_webhook

            events = check_stream(events) if events else ""
            webhook = check_webhook(webhook) if webhook else ""
        return cls(events, webhook, values[METRICS])

    @property
    def files(self) -> tuple[str, ...]:
        """The files that are written."""
        is_file = self.events not in ("", "-") and not self.events.startswith("fd:")
        names = (self.events if is_file else "", self.metrics)
        return tuple(os.path.abspath(name) for name in names if name)

    @contextmanager
    def open(self, report: Report, quiet: bool) -> Iterator[None]:
        """Tell of the block, and of its end, whatever it is. None of this fails a run."""
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
        from indexer.hooks.loop import HookLoop

        secret = os.environ.get("CODX_INDEX_WEBHOOK_SECRET", "")
        with closing(HookLoop()) as loop:
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
        from indexer.cli.summaries import append_markdown, write_metrics

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


@contextmanager
def traced(path: str, report: Report) -> Iterator[None]:
    """Write the timeline of the block to the file at `path`, if there is one to write,
    however the block ends."""
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
