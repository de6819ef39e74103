"""What a run did, in Markdown for the page of a CI job."""

from __future__ import annotations

from collections.abc import Iterator

from indexer.cli.summary import SHOWN_FAILURES
from indexer.cli.texts import counts_text, without_controls
from indexer.paths import escape_path
from indexer.report import Report

_CHANGES = "added modified renamed deleted failed deferred".split()
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "&<>|`*_[]#\\"}


def append_markdown(path: str, report: Report) -> None:
    """Append a summary in Markdown to the file that GitHub shows on the page of a job.

    Raises `OSError`.
    """
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
    changed = counts_text({name: getattr(files, name) for name in _CHANGES})
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


def _cell(text: str) -> str:
    """Any text as it is, fit for a cell of a table."""
    return without_controls(" ".join(text.split())).translate(_ENTITIES)
