"""How far a run came, and what its report concludes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from indexer.index.identity import Identity
from indexer.index.manifest import Manifest
from indexer.index.writer import Writer
from indexer.report import Report
from indexer.tree.diff import Comparison


@dataclass(frozen=True, slots=True)
class Extent:
    """A run `is_cut` by a signal or a budget before it did what it was asked for; it
    `is_whole` where that was the whole tree, and all of it was done. The index it leaves
    `is_complete` where nothing is missing that a search finds in the one before."""

    is_cut: bool
    is_whole: bool
    is_complete: bool


class Loaded(NamedTuple):
    """What loading the changed files leaves for the end of the run: the last writer, and
    whether one before it `has_begun`; `is_settled` as for `Reader`."""

    writer: Writer
    extent: Extent
    is_settled: bool
    has_begun: bool = False


def tell_plan(report: Report, comparison: Comparison) -> None:
    """Send the `plan` event."""
    report.tell(
        "plan",
        scanned=report.files.scanned,
        unchanged=len(comparison.unchanged),
        changed=len(comparison.suspects),
        bytes=comparison.suspected_bytes,
        gone=len(comparison.missing),
    )


def conclude(
    report: Report,
    identity: Identity,
    manifest: Manifest,
    stopped: int,
    extent: Extent,
) -> None:
    """Put totals and status into the report."""
    report.fingerprint = identity.fingerprint
    report.chunks.total = manifest.chunk_total()
    report.chunks.unembedded = manifest.unembedded_total()
    report.signal = stopped
    if stopped:
        report.status = "interrupted"
    elif extent.is_cut:
        report.status = "budget"
    elif report.failures:
        report.status = "partial"
    elif report.chunks.upserted or report.chunks.deleted:
        report.status = "updated"
    else:
        report.status = "unchanged"
