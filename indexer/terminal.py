"""What a person sees: bars, tables, lines; and the signals that a person sends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import click

from indexer.errors import Stopped
from indexer.eta import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tqdm import tqdm

    from indexer.cache.admin import CacheFile
    from indexer.project_options import Found
    from indexer.report import Report
    from indexer.run_all import Result
    from indexer.status import Plan
    from indexer.types import Step
    from indexer.verify import Difference

SHOWN_FAILURES = 20
SHOWN_FILES = 10
SHOWN_DIFFERENCES = 50


class Log:
    """Lines on stderr: text, with the time where no terminal shows it, or JSON.

    Nothing of other libraries is among them: `open` silences their loggers.
    """

    def __init__(self) -> None:
        self.format = "text"
        self.verbosity = 0

    def open(self, kind: str, verbosity: int) -> None:
        """Begin to write "text" or "json"; verbosity 1 is for steps too, 2 for all."""
        import logging

        self.format, self.verbosity = kind, verbosity
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(logging.NullHandler())

    def error(self, message: str, **about: object) -> None:
        """Something could not be done."""
        self._write("error", message, about)

    def warn(self, message: str, **about: object) -> None:
        """Something did not go as it should, and the command goes on."""
        self._write("warning", message, about)

    def info(self, message: str, **about: object) -> None:
        """A step that a person may want to know of; with --verbose."""
        if self.verbosity:
            self._write("info", message, about)

    def debug(self, event: str, about: Mapping[str, object]) -> None:
        """All that happens; with --verbose twice."""
        if self.verbosity > 1:
            self._write("debug", event, about)

    def _write(self, level: str, message: str, about: Mapping[str, object]) -> None:
        now = (
            datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        )
        message = " ".join(message.split())
        if self.format == "json":
            line = {"time": now, "level": level, "message": message, **about}
            click.echo(json.dumps(line, ensure_ascii=False), err=True)
            return
        start = "codx-index: " if sys.stderr.isatty() else f"{now} codx-index: "
        if level == "debug":
            fields = (f"{name}={_field(value)}" for name, value in about.items())
            message = " ".join([message, *fields])
        click.echo(start + printable(message), err=True)


def _field(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text else text


log = Log()


class Bars:
    """A tqdm bar on a terminal's stderr; elsewhere silence, or lines with --verbose."""

    def __init__(self, *, quiet: bool) -> None:
        self._is_shown = not quiet and log.format == "text" and sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._estimate: Estimate | None = None
        self._files = 0
        self._done = 0
        self._chunks = 0
        self._since = 0.0

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, message: str) -> None:
        if self._is_shown and not log.verbosity:
            click.echo(message, err=True)
        log.info(message)

    def warn(self, message: str) -> None:
        log.warn(message)

    def start(self, files: int, size: int) -> None:
        self._files = files
        log.info(f"{count_text(files, 'file')} may have changed")
        if self._is_shown and files:
            from tqdm import tqdm

            self._since = time.monotonic()
            # Bytes tell the time left better than files: the largest come first.
            self._estimate = Estimate(size, self._since)
            self._bar = tqdm(
                total=size,
                leave=False,
                dynamic_ncols=True,
                desc=f" 0/{files:,} files",
                bar_format="{percentage:3.0f}% |{bar}|{desc}",
            )

    def advance(self, step: Step) -> None:
        self._done += step.files
        self._chunks += step.chunks
        if self._bar is None or self._estimate is None:
            return
        now = time.monotonic()
        self._estimate.advance(
            now, known=step.known, found=step.found, embedded=step.embedded
        )
        rate = self._chunks / max(now - self._since, 1e-3)
        left = self._estimate.remaining(now)
        self._bar.set_description_str(
            f" {self._done:,}/{self._files:,} files, {self._chunks:,} chunks, "
            f"{rate:,.0f} chunks/s" + (f", {_clock(left)} left" if left else ""),
            refresh=False,
        )
        self._bar.update(step.known + step.embedded)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


class Signals:
    """The `Interrupts` of a run at a terminal: the first signal is a polite request to
    stop, the second an end."""

    _handled = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.received = 0
        self._deferrals = 0  # of several runs at once
        self._lock = threading.Lock()
        self._old: dict[int, Any] = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        with self._lock:
            self._deferrals += 1
        try:
            yield
        finally:
            with self._lock:
                self._deferrals -= 1

    def __enter__(self) -> Signals:
        for name in self._handled:
            if number := getattr(signal, name, None):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            # The manifest is dirty, so the next run reads the rows and repairs. Workers
            # end with this process.
            os._exit(128 + number)
        self.received = number
        if not self._deferrals:
            raise Stopped(number)
        with suppress(OSError, RuntimeError):  # the terminal is gone, or was in a print
            sys.stderr.write(
                "codx-index: stopping; what is done is kept (once more: stop at once)\n"
            )


def summary(report: Report) -> str:
    """One line where a program reads, a few where a person does."""
    files, chunks, seconds = report.files, report.chunks, report.seconds["total"]
    total = f"{count_text(chunks.total, 'chunk')} in the index"
    notes = "".join(f"; {note}" for note in _notes(report))
    if report.status == "unchanged":
        head = f"unchanged: {count_text(files.unchanged, 'file')}, {total}"
        return f"{head}{notes} ({seconds:.1f} s)"
    changes = _changes(
        files.added,
        files.modified,
        files.renamed,
        files.deleted,
        files.failed,
        files.embedded,
    )
    head = f"{report.status}: {changes or 'no files'}; {total}"
    work = (
        f"{chunks.embedded:,} embedded, {chunks.cached:,} from the cache, "
        f"{chunks.deleted:,} removed"
    )
    if not sys.stdout.isatty():
        return f"{head}; {work}{notes} ({seconds:.1f} s)"
    lines = [head + notes, f"  chunks   {work}"]
    if files.skipped:
        skipped = sorted(files.skipped.items(), key=lambda item: -item[1])
        text = ", ".join(f"{count:,} {_word(reason)}" for reason, count in skipped)
        lines.append(f"  skipped  {text}")
    rate = f", {chunks.embedded / seconds:,.0f} chunks/s" if chunks.embedded else ""
    lines.append(f"  time     {seconds:.1f} s{rate}")
    return "\n".join(lines)


def _notes(report: Report) -> Iterator[str]:
    """What a person may have to act upon."""
    files, chunks, wiki = report.files, report.chunks, report.wiki
    if chunks.unembedded:
        yield f"{count_text(chunks.unembedded, 'chunk')} not embedded"
    if files.deferred:
        yield f"{count_text(files.deferred, 'file')} left for later"
    if report.status in ("interrupted", "budget"):
        yield "run again to go on"
    if busy := files.skipped.get("processing", 0):
        yield f"{count_text(busy, 'file')} with mentions in progress"
    if report.mentions.pending:
        yield count_text(len(report.mentions.pending), "pending mention")
    if wiki.written or wiki.deleted:
        yield f"{wiki.written:,} of {count_text(wiki.pages, 'wiki page')} written"
    if report.events.undelivered:
        yield count_text(report.events.undelivered, "undelivered event")


def result_line(result: Result) -> str:
    """What became of one project of many, in a line."""
    if result.report is None:
        return f"left alone until {result.until}" if result.until else "not watched"
    if result.report.error:
        return f"{result.report.status} (exit code {result.report.exit_code})"
    return summary(result.report).partition("\n")[0]


def profile_table(report: Report) -> str:
    """Two tables: the stages, and the slowest files."""
    from collections import Counter

    seconds = report.seconds
    total = max(seconds.pop("total"), 1e-9)
    counts = Counter(span.name for span in report.spans.found)
    lines = [f"{'stage':8}{'seconds':>9}{'of run':>8}{'times':>8}"]
    for stage, spent in seconds.items():
        if counts[stage]:
            lines.append(f"{stage:8}{spent:9.3f}{spent / total:8.0%}{counts[stage]:8,}")
    slowest = report.slowest()[:SHOWN_FILES]
    if slowest:
        lines.append(f"{'chunk s':>9}{'embed s':>9}{'chunks':>8}  slowest files")
    for file in slowest:
        lines.append(
            f"{file.chunk:9.3f}{file.embed:9.3f}{file.chunks:8,}  {shown(file.path)}"
        )
    return "\n".join(lines)


def _changes(
    added: int, modified: int, renamed: int, deleted: int, failed: int, embedded: int
) -> str:
    named = {
        "added": added,
        "modified": modified,
        "renamed": renamed,
        "deleted": deleted,
        "failed": failed,
        "embedded": embedded,
    }
    return ", ".join(f"{count:,} {name}" for name, count in named.items() if count)


def behind(planned: Plan) -> str:
    """What a run would do, in one line; "" when it would do nothing."""
    changes = _changes(
        len(planned.added),
        len(planned.modified),
        len(planned.renamed),
        len(planned.deleted),
        0,
        0,
    )
    if lacking := len(planned.unembedded):
        changes = ", ".join(filter(None, (changes, f"{lacking:,} to embed")))
    return "; ".join(text for text in (planned.doubt, changes) if text)


def print_plan(planned: Plan) -> None:
    """List what a run would do, a file a line, as `git status --short` does."""
    for letter, paths in (("A", planned.added), ("M", planned.modified)):
        for name in paths:
            click.echo(f"{letter} {shown(name)}")
    for old, new in planned.renamed:
        click.echo(f"R {shown(old)} -> {shown(new)}")
    for name in planned.deleted:
        click.echo(f"D {shown(name)}")
    for name in planned.unembedded:
        click.echo(f"E {shown(name)}")


def plan_dict(planned: Plan) -> dict[str, object]:
    """The same, as JSON-ready values."""
    return {
        "doubt": planned.doubt,
        "plan": {
            "added": [shown(name) for name in planned.added],
            "modified": [shown(name) for name in planned.modified],
            "renamed": [[shown(old), shown(new)] for old, new in planned.renamed],
            "deleted": [shown(name) for name in planned.deleted],
            "unembedded": [shown(name) for name in planned.unembedded],
        },
    }


def print_differences(differences: list[Difference]) -> None:
    """List what `verify` has found, the first of it."""
    for difference in differences[:SHOWN_DIFFERENCES]:
        click.echo(f"{shown(difference.path) or 'index'}: {difference.problem}")
    if len(differences) > SHOWN_DIFFERENCES:
        click.echo(f"… and {len(differences) - SHOWN_DIFFERENCES:,} more")


def differences_dict(differences: list[Difference]) -> list[dict[str, str]]:
    """All of it, as JSON-ready values."""
    from indexer.paths import escape_path

    return [
        {"path": escape_path(difference.path), "problem": difference.problem}
        for difference in differences
    ]


def print_status(report: Report, planned: Plan) -> None:
    """A table: project, collection, model, size and state of the index."""
    backend = planned.identity.backend
    files = count_text(planned.indexed_files, "file")
    late = behind(planned)
    lacking = report.chunks.unembedded
    embedded = (
        f", {report.chunks.total - lacking:,} of them embedded" if lacking else ""
    )
    for name, text in (
        ("project", shown(report.project)),
        ("collection", f"{report.collection} at {shown(report.uri)}"),
        (
            "model",
            f"{backend.model.name} ({backend.kind}, {backend.precision}, {backend.device})",
        ),
        ("index", f"{files}, {count_text(report.chunks.total, 'chunk')}{embedded}"),
        ("state", f"behind: {late}" if late else "up to date"),
    ):
        click.echo(f"{name:<11}{text}")


def print_settings(settings: list[Found]) -> None:
    """A table: name, value, and where it comes from."""
    for one in settings:
        value = (
            " ".join(one.value) if isinstance(one.value, tuple | list) else one.value
        )
        place = f"{one.source}: {shown(one.place)}" if one.place else one.source
        trust = " (needs --trust)" if one.needs_trust else ""
        click.echo(f"{one.name:<24}{printable(str(value)):<24}  {place}{trust}")


def print_failures(report: Report, project: str = "") -> None:
    """A line for each file that could not be indexed, the first of them."""
    where = f"{shown(project)}: " if project else ""
    for path, error in sorted(report.failures.items())[:SHOWN_FAILURES]:
        log.error(f"{where}{shown(path)}: {error}", path=shown(path))
    if len(report.failures) > SHOWN_FAILURES:
        more = len(report.failures) - SHOWN_FAILURES
        log.error(f"{where}… and {count_text(more, 'more file')}")
    if project and report.error:
        log.error(where + report.error)


def cache_line(file: CacheFile) -> str:
    """One file of the cache, in a line."""
    if file.error:
        return f"{shown(file.name)}: {size_text(file.bytes)}, unreadable: {file.error}"
    model = f"{printable(file.model)} ({printable(file.precision)}, {file.dimension})"
    line = f"{model}: {entries_text(file.entries)}, {size_text(file.bytes)}"
    return f"{line}, last used {file.last_used}" if file.last_used else line


def entries_text(number: int) -> str:
    """A number of cache entries, as a person reads it."""
    return f"{number:,} " + ("entry" if number == 1 else "entries")


def size_text(size: int) -> str:
    """Bytes as a person reads them: 118.2 MiB."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"


def print_json(value: dict[str, object]) -> None:
    """One object, in one line on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def count_text(number: int, noun: str) -> str:
    """A number of things, as a person reads it: 1 file, 2,000 files."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _word(reason: str) -> str:
    return reason.replace("_", " ")


def shown(path: str) -> str:
    """A path fit for a terminal: bytes that are not UTF-8, and controls, escaped."""
    from indexer.paths import escape_path

    return shown_row(escape_path(path))


def shown_row(path: str) -> str:
    """The same, for a path as rows have it."""
    return printable(path)


def printable(text: str) -> str:
    """Without the characters that move a cursor or turn text around."""
    return "".join(
        char if char.isprintable() or char in "\t" else f"\\u{ord(char):04x}"
        for char in text
    )
