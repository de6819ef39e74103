"""The run of one project of many, here or on a host of a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import replace
from typing import TYPE_CHECKING

from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, locate, recorded
from indexer.cli.outlets import Outlets
from indexer.cli.refresh import refresh
from indexer.cli.run import RUN_OPTIONS
from indexer.cli.summary import summary
from indexer.cli.texts import shown
from indexer.config import Settings
from indexer.errors import ProjectError, Stopped, UsageError
from indexer.report import Report
from indexer.run.fleet import Errand, ended_by, shared_scratch, shared_workshop
from indexer.run.repositories import Repository
from indexer.run.run_all import Outcome
from indexer.run.scratch import Scratch
from indexer.settings.assembly import make_settings
from indexer.settings.declarations import CACHE_DIR
from indexer.settings.files import ProjectFiles, project_files
from indexer.settings.folders import cache_folder
from indexer.settings.requests import SCRATCH, SCRATCH_SIZE, TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import Origin, Value, resolve
from indexer.timeline import process_age
from indexer.types import Premises

if TYPE_CHECKING:
    from indexer.run.progress import Interrupts
    from indexer.work.workshop import Workshop

NO_SERVER = (
    "the index of a cloned repository needs a Milvus that its readers can reach: give its "
    "address with --uri (CODX_INDEX_URI)"
)


def run_project(
    project: Repository,
    workshop: Workshop,
    *,
    given: Mapping[Setting, Value],
    scratch: Scratch,
    interrupts: Interrupts,
    shows_bar: bool = False,
    patience: float = 0,
    fit: Callable[[Settings], Settings] = lambda settings: settings,
) -> Outcome:
    """Run for one project of many. Never raises a failure: the report says how it ended.

    `patience` are the seconds to wait for another run that has the clone. `fit` changes the
    settings for the host that this is.
    """
    report = Report(project=project.name)
    with (
        suppress(Ended),
        recorded(report),
        _folder(project, scratch, interrupts, patience) as folder,
    ):
        values = resolve(RUN_OPTIONS, given, project_files(folder))
        outlets = Outlets.of(values)
        settings = fit(make_settings(folder, values, outlets.files))
        if project.remote:
            settings = _of_a_clone(settings, project.name, scratch.root)
        locate(report, settings)
        bars = Bars(quiet=not shows_bar, about=shown(project.name))
        with outlets.open(report, quiet=False), closing(bars):
            refresh(settings, report, bars, interrupts, workshop=workshop)
    if report.error:
        return ended_by(report)
    return Outcome(report.as_dict(), summary(report).partition("\n")[0])


@contextmanager
def _folder(
    project: Repository, scratch: Scratch, interrupts: Interrupts, patience: float
) -> Iterator[str]:
    """The folder of the project, which is cloned if it is not on this machine."""

    def check() -> None:
        if interrupts.received:
            raise Stopped(interrupts.received)

    if project.remote is None:
        yield project.name
        return
    with scratch.checkout(project, check, patience) as folder:
        yield folder


def _of_a_clone(settings: Settings, origin: str, scratch: str) -> Settings:
    """The settings of a project that may lie anywhere: its index and state have its own name."""
    if not settings.uri:
        raise UsageError(NO_SERVER)
    return replace(settings, origin=origin, state_root=settings.state_root or scratch)


def scratch_of(given: Mapping[Setting, Value]) -> Scratch:
    """Where repositories are cloned on this host. Raises `UsageError`."""
    values = resolve((TRUST, SCRATCH, SCRATCH_SIZE, CACHE_DIR), given, ProjectFiles(""))
    folder = values[SCRATCH]
    if not folder:
        folder = os.path.join(cache_folder(values[CACHE_DIR]), "clones")
    return Scratch(os.path.abspath(folder), values[SCRATCH_SIZE])


class _Wanted:
    """The `Interrupts` of a run for somebody else: it ends once nobody wants it any more."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self._is_wanted = is_wanted

    @property
    def received(self) -> int:
        """As if a signal had come."""
        return 0 if self._is_wanted() else signal.SIGTERM

    def deferred(self) -> AbstractContextManager[None]:
        """A block in which nothing is different: nothing is ever raised."""
        return nullcontext()


_SETTINGS = {one.name: one for one in (*RUN_OPTIONS, SCRATCH, SCRATCH_SIZE)}


def errand_for(
    project: Repository,
    given: Mapping[Setting, Value],
    patience: float = 0,
    seconds: float = 0,
) -> Errand:
    """What another host is told, to run for a project there."""
    told = [
        (setting.name, value.value, value.origin.value, value.place)
        for setting, value in given.items()
        if setting.name in _SETTINGS
    ]
    return Errand(project, tuple(told), patience, seconds)


def run_errand(errand: Errand, premises: Premises) -> Outcome:
    """Run for a project in this process, which is a host of a cluster."""
    given = {
        _SETTINGS[name]: Value(value, Origin(origin), place)
        for name, value, origin, place in errand.given
    }
    given.setdefault(CACHE_DIR, Value(premises.cache_dir, Origin.OPTION))
    project = errand.project

    def fit(settings: Settings) -> Settings:
        bounds = [one for one in (settings.max_seconds, errand.seconds) if one]
        return replace(
            settings,
            executor="process",
            jobs=settings.jobs or premises.jobs,
            wait=max(settings.wait, errand.patience),
            # A budget begins with its process, which is older than the run.
            max_seconds=min(bounds) + process_age() if bounds else 0,
        )

    report = Report(project=project.name)
    with suppress(Ended), recorded(report):
        if project.remote is None and not os.path.isdir(project.name):
            raise ProjectError(
                f"no such folder on {os.uname().nodename}: a cluster indexes folders on its "
                "own hosts, so share this one with them, or give a URL"
            )
        return run_project(
            project,
            shared_workshop(),
            given=given,
            scratch=shared_scratch(scratch_of(given)),
            interrupts=_Wanted(premises.is_wanted),
            patience=errand.patience,
            fit=fit,
        )
    return ended_by(report)
