"""What a person sees: bars, tables, lines; and the signals that a person sends."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from indexer.cli.log import log, printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from indexer.cache.contents import CacheFile
    from indexer.report import Report
    from indexer.run.plan import Plan
    from indexer.run.run_all import Result
    from indexer.run.verify import Difference
    from indexer.settings.show import Found

SHOWN_FAILURES = 20
SHOWN_FILES = 10
SHOWN_DIFFERENCES = 50


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
