"""One index brought up to date, as `run`, `run-all` and `verify --repair` do it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from indexer.cli.bars import Bars
from indexer.cli.signals import handled_signals
from indexer.config import Settings
from indexer.deadline import ends_by
from indexer.report import KNEE, RUN, Report
from indexer.run.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Set

    from indexer.run.progress import Interrupts
    from indexer.work.workshop import Workshop


def refresh_alone(
    settings: Settings,
    report: Report,
    *,
    quiet: bool,
    doubted: Set[str] = frozenset(),
) -> None:
    """Bring the only index of this process up to date, with its own bars and signals."""
    report.spans.begin("start")
    with closing(Bars(quiet=quiet)) as bars, handled_signals() as signals:
        refresh(settings, report, bars, signals, doubted)


def refresh(
    settings: Settings,
    report: Report,
    bars: Bars,
    interrupts: Interrupts,
    doubted: Set[str] = frozenset(),
    workshop: Workshop | None = None,
) -> None:
    """Bring an index up to date, and say of a large one how it grows."""
    bring_up_to_date(settings, report, bars, interrupts, doubted, workshop)
    if report.chunks.total >= KNEE:
        from indexer.run.growth import foretell

        foretell(settings, report)


def _seconds_to_list(settings: Settings) -> float:
    return Budget(settings.max_seconds, settings.least_seconds).seconds_to_list


def bring_up_to_date(
    settings: Settings,
    report: Report,
    bars: Bars,
    interrupts: Interrupts,
    doubted: Set[str] = frozenset(),
    workshop: Workshop | None = None,
) -> None:
    """Run the pipeline, unless the stamp shows that nothing has changed."""
    from indexer.index import stamp

    last_moment = time.monotonic() + _seconds_to_list(settings)
    with report.spans.span(RUN), ends_by(last_moment):
        look = None if doubted else stamp.look(settings, report)
        if look is not None and look.is_unchanged:
            look.tell(report)
        else:
            from indexer.pipeline import run as run_pipeline

            run_pipeline(settings, report, bars, interrupts, doubted, workshop, look)
