"""What a run did, in a few lines for a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from indexer.cli.log import log
from indexer.cli.texts import count_text, counts_text, shown
from indexer.report import Growth, Report, Seeded

SHOWN_FAILURES = 20
_CHANGES = "added modified renamed deleted failed embedded stripped".split()


def summary(report: Report) -> str:
    """One line where a program reads stdout, a few lines at a terminal."""
    files, chunks, seconds = report.files, report.chunks, report.seconds["total"]
    total = f"{count_text(chunks.total, 'chunk')} in the index"
    notes = "".join(f"; {note}" for note in _notes(report))
    if report.status == "unchanged":
        head = f"unchanged: {count_text(files.unchanged, 'file')}, {total}"
        return f"{head}{notes} ({seconds:.1f} s)"
    changes = counts_text({name: getattr(files, name) for name in _CHANGES})
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
        counts = {reason.replace("_", " "): count for reason, count in skipped}
        lines.append(f"  skipped  {counts_text(counts)}")
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
        yield "run again to continue"
    if busy := files.skipped.get("processing", 0):
        yield f"{count_text(busy, 'file')} with mentions in progress"
    if report.mentions.pending:
        yield count_text(len(report.mentions.pending), "pending mention")
    if wiki.written or wiki.deleted:
        yield f"{wiki.written:,} of {count_text(wiki.pages, 'wiki page')} written"
    if report.seeded:
        yield _seed_text(report.seeded, report)
    if report.events.undelivered:
        yield count_text(report.events.undelivered, "undelivered event")


def _seed_text(seeded: Seeded, report: Report) -> str:
    """Which index a first one started from, a folder as seen from the project."""
    origin = seeded.origin
    if os.path.isabs(origin):
        origin = min(os.path.relpath(origin, report.project), origin, key=len)
    files = report.files
    total = seeded.files + files.added + files.modified + files.renamed
    return (
        f"started from the index of {shown(origin)}: {seeded.files:,} of "
        f"{count_text(total, 'file')} are the same there"
    )


def growth_text(growth: Growth) -> str:
    """What the next chunks of an embedded database will cost, and what to do about it."""
    edit, more = "", ""
    if growth.edit_seconds is not None and growth.next_edit_seconds is not None:
        edit = f", and the store {growth.edit_seconds:.1f} s of an edit"
        more = f" and {growth.next_edit_seconds:.1f} s"
    return (
        f"{growth.rows:,} chunks in the embedded database: a search takes about "
        f"{growth.search_megabytes:,} MB{edit}; {growth.next_rows:,} more add "
        f"{growth.next_search_megabytes:,} MB{more}. A Milvus server (--uri) avoids that"
    )


def print_failures(report: Report) -> None:
    """Log a line for each of the first files that could not be indexed."""
    print_failed_files(sorted(report.failures.items()))


def print_failed_files(failures: Sequence[tuple[str, str]], where: str = "") -> None:
    """Log a line for the first of these files, each with its error; `where` begins each line."""
    for path, error in failures[:SHOWN_FAILURES]:
        log.error(f"{where}{shown(path)}: {error}", path=shown(path))
    if len(failures) > SHOWN_FAILURES:
        more = len(failures) - SHOWN_FAILURES
        log.error(f"{where}… and {count_text(more, 'more file')}")
