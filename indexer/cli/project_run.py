"""The run of one project of many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, locate, recorded
from indexer.cli.outlets import Outlets
from indexer.cli.refresh import refresh
from indexer.cli.run import RUN_OPTIONS
from indexer.cli.signals import Signals
from indexer.cli.summary import summary
from indexer.cli.texts import shown
from indexer.config import Settings
from indexer.errors import Stopped, UsageError
from indexer.report import Report
from indexer.run.repositories import Repository
from indexer.run.run_all import Outcome
from indexer.run.scratch import Scratch
from indexer.settings.assembly import make_settings
from indexer.settings.files import project_files
from indexer.settings.setting import Setting
from indexer.settings.values import Value, resolve

if TYPE_CHECKING:
    from indexer.work.workers import Workshop

NO_SERVER = (
    "the index of a repository that is cloned needs a place that its readers know: give one "
    "with --uri (CODX_INDEX_URI)"
)


def run_project(
    project: Repository,
    workshop: Workshop,
    *,
    given: Mapping[Setting, Value],
    scratch: Scratch,
    signals: Signals,
    shows_bar: bool,
) -> Outcome:
    """Run for one project of many. Never raises a failure: the report says how it ended."""
    report = Report(project=project.name)
    with (
        suppress(Ended),
        recorded(report),
        _folder(project, scratch, signals) as folder,
    ):
        values = resolve(RUN_OPTIONS, given, project_files(folder))
        outlets = Outlets.of(values)
        settings = make_settings(folder, values, outlets.files)
        if project.remote:
            settings = _of_a_clone(settings, project.name, scratch.root)
        locate(report, settings)
        bars = Bars(quiet=not shows_bar, about=shown(project.name))
        with outlets.open(report, quiet=False), closing(bars):
            refresh(settings, report, bars, signals, workshop=workshop)
    line = f"{report.status} (exit code {report.exit_code})"
    if not report.error:
        line = summary(report).partition("\n")[0]
    return Outcome(report.as_dict(), line)


@contextmanager
def _folder(project: Repository, scratch: Scratch, signals: Signals) -> Iterator[str]:
    """The folder of the project, which is cloned if it is not on this machine."""

    def check() -> None:
        if signals.received:
            raise Stopped(signals.received)

    if project.remote is None:
        yield project.name
        return
    with scratch.checkout(project, check) as folder:
        yield folder


def _of_a_clone(settings: Settings, origin: str, scratch: str) -> Settings:
    """The settings of a project that may lie anywhere: its index and state have its own name."""
    if not settings.uri:
        raise UsageError(NO_SERVER)
    return replace(settings, origin=origin, state_root=settings.state_root or scratch)
