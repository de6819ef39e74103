"""Brings indexes up to date before they answer, by words first and within a budget."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace

from msgspec import Struct, field

from indexer.cli.background import BackgroundRun
from indexer.cli.bars import Bars
from indexer.cli.boundary import Ended, locate, recorded
from indexer.cli.continuation import continue_last_run, settings_of_run
from indexer.cli.first_look import confirm_size, wants_index
from indexer.cli.refresh import bring_up_to_date
from indexer.cli.signals import handled_signals
from indexer.cli.summary import print_failures
from indexer.config import Settings
from indexer.errors import CodxIndexError, Stopped
from indexer.index.collection import begin_import
from indexer.index.drift import MOST_FILES, differing
from indexer.index.manifest import Manifest
from indexer.index.stamp import is_about
from indexer.report import Report
from indexer.run.progress import UNINTERRUPTED, Interrupts
from indexer.search.freshness import Freshness, is_at_work, lacks_index
from indexer.settings.setting import Setting
from indexer.settings.values import Value
from indexer.timeline import process_age

AT_WORK = "a run is updating this index, so the search did not update it"
BUILDING = (
    "the index is being built in the background, {:,} files so far: other files are not "
    "found, or are found as they were"
)
FAILURES = "files that could not be indexed: {:,} (codx-index run lists them)"
FAILED = "the last run in the background failed: {}"
CUT = "not all changes could be indexed in time: the next search continues with them"

GIVING_WAY_SECONDS = 2.0  # a run in the background may take this long to end
MOST_CHANGES = 200  # with more, a run in the background is not interrupted
FIRST_SECONDS = 2.5  # for the first words of a first index
LOOK_SECONDS = 0.1


class Coverage(Struct, frozen=True):
    """What an index has: its `files`, its `chunks`, and how many of these still lack a vector."""

    files: int = 0
    chunks: int = 0
    unembedded: int = 0


class _Outcome(Struct, frozen=True):
    """Whether an index is up to date now, and what to note, "" if nothing.

    `chunks` says how many of its chunks lack a vector, and how many there are, if that is known.
    """

    is_current: bool = False
    note: str = ""
    chunks: tuple[int, int] | None = None


class _Project(Struct):
    """`began` is when the last update began (monotonic clock), and `outcome` is its result."""

    settings: Settings
    background: BackgroundRun
    lock: threading.Lock = field(default_factory=threading.Lock)
    began: float = -math.inf
    outcome: _Outcome = _Outcome()


class Refresher:
    """Brings the indexes of some projects up to date before they answer, within a budget.

    `given` has the values of settings from the command line. A project is named by its settings.
    Threads may share it.
    """

    def __init__(
        self,
        projects: Sequence[Settings],
        given: Mapping[Setting, Value],
        interrupts: Interrupts = UNINTERRUPTED,
    ) -> None:
        self._given = given
        self._interrupts = interrupts
        self._projects = {
            one.project: _Project(one, BackgroundRun(one, given))
            for one in projects
            # A reader of other projects, or of a collection alone, has no tree to look at.
            if one.project and one.searched == ()
        }

    def refresh(self, seconds: float = 1.0) -> list[str]:
        """Index by its words what changed, as far as that can be done in this many seconds.

        A run in the background adds vectors that the cache does not have. Returns notes: one
        on each project that could not be brought up to date, with the reason. A failure is never raised.
        """
        found = self.update(seconds).notes.items()
        several = len(self._projects) > 1
        return [f"{name}: {note}" if several else note for name, note in found]

    def update(
        self,
        seconds: float = 1.0,
        *,
        among: Set[str] | None = None,
        builds: bool = False,
    ) -> Freshness:
        """The same. Returns which indexes are up to date now, and notes by project.

        Only the projects `among` these folders are meant; None means all. If it `builds`, a project without
        an index gets one in the background, and this waits a moment for it.
        """
        deadline = time.monotonic() + seconds
        current, notes, chunks = set(), {}, {}
        for folder, project in self._projects.items():
            if among is not None and folder not in among:
                continue
            if builds and lacks_index(project.settings):
                notes[folder] = self._first_words(project)
                continue
            outcome = self._refresh(project, deadline)
            if outcome.is_current:
                current.add(folder)
            if outcome.note:
                notes[folder] = outcome.note
            if outcome.chunks:
                chunks[folder] = outcome.chunks
        return Freshness(current, notes, chunks)

    def build(self, project: Settings, *, quiet: bool) -> None:
        """Make the first index of a project by words; vectors follow in the background.

        Raises what a run does.
        """
        settings = settings_of_run(project, self._given)
        report = Report()
        locate(report, settings)
        words = replace(settings, leaves_vectors=True)
        with closing(Bars(quiet=quiet)) as bars:
            bring_up_to_date(words, report, bars, self._interrupts)
        print_failures(report)
        if settings.embeds and report.chunks.unembedded:
            self.begin(project)

    def begin(self, project: Settings) -> bool:
        """Start a run of the project in the background, unless there is one.

        Returns whether it was started. Raises a `CodxIndexError` if that is not possible.
        """
        return self._projects[project.project].background.begin()

    def at_work(self, project: Settings) -> bool:
        """Whether a run of the project is at work in the background."""
        known = self._projects.get(project.project)
        return known is not None and known.background.is_at_work

    def problem(self, project: Settings) -> str:
        """Why the last run in the background failed, "" if it did not."""
        known = self._projects.get(project.project)
        ending = known.background.ending if known else None
        if ending is None or ending.exit_code in (None, 0, 3, 4, 75):
            return ""  # a killed run goes on where it was
        return ending.error

    def coverage(self, project: Settings) -> Coverage:
        """How much of the project is indexed so far."""
        if not project.has_state:
            return Coverage()
        with Manifest(project.manifest_path, readonly=True) as manifest:
            totals = manifest.totals()
        return Coverage(totals.indexed, totals.chunks, totals.unembedded)

    def _first_words(self, project: _Project) -> str:
        """Build an index in the background, or finish it. Returns what to note about it."""
        if problem := self.problem(project.settings):
            return FAILED.format(problem)  # it would fail again
        try:
            project.background.begin()
        except CodxIndexError as error:
            return str(error)
        deadline = time.monotonic() + FIRST_SECONDS
        while project.background.is_at_work and time.monotonic() < deadline:
            if self.coverage(project.settings).files:
                break
            time.sleep(LOOK_SECONDS)
        return self._progress(project)

    def _progress(self, project: _Project) -> str:
        """What to note while a run in the background is at work, or after it failed."""
        if not project.background.is_at_work:
            problem = self.problem(project.settings)
            return FAILED.format(problem) if problem else ""
        known = self.coverage(project.settings)
        return BUILDING.format(known.files)

    def _refresh(self, project: _Project, deadline: float) -> _Outcome:
        """Bring one index up to date."""
        if not project.settings.has_state:
            return _Outcome()  # a search says so
        asked = time.monotonic()
        if not project.lock.acquire(timeout=max(deadline - asked, 0)):
            return _Outcome(note=AT_WORK)
        report = Report()
        try:
            if project.began > asked:  # by another thread, which saw what we would see
                return project.outcome
            began = time.monotonic()
            with recorded(report):
                project.outcome = self._update(project, report, deadline)
            project.began = began
            return project.outcome
        except Ended:
            if report.status == "interrupted":
                raise Stopped(report.signal) from None
            if report.status == "budget":
                return _Outcome(note=self._left_over(project))
            return _Outcome(note=AT_WORK if report.status == "locked" else report.error)
        finally:
            project.lock.release()

    def _update(self, project: _Project, report: Report, deadline: float) -> _Outcome:
        found = continue_last_run(project.settings, self._given)
        if isinstance(found, str):
            return _Outcome(note=found)
        settings = found.settings
        locate(report, settings)
        was_at_work = project.background.is_at_work
        if was_at_work:
            # Its index has the words of every file as of the stamp; only vectors follow.
            changes = differing(settings)
            if changes == 0:
                return _Outcome(True, found.note)
            is_quick = changes is not None and changes <= MOST_CHANGES
            if not is_quick or not _gives_way(settings):
                return _Outcome(note=self._progress(project) or AT_WORK)
            project.background.interrupt()
            settings = replace(settings, wait=GIVING_WAY_SECONDS)
        elif is_at_work(settings):
            return _Outcome(note=AT_WORK)
        elif found.is_unfinished:
            return _Outcome(
                note=self._first_words(project) if found.goes_on else found.note
            )
        left = max(deadline - time.monotonic(), 0.0) + settings.wait
        settings = replace(settings, max_seconds=process_age() + left)
        bring_up_to_date(settings, report, Bars(quiet=True), self._interrupts)
        is_cut = report.status == "budget"
        problem = ""
        if found.goes_on and (is_cut or report.chunks.unembedded and found.has_vectors):
            problem = self._go_on(project, report, was_at_work=was_at_work)
        if is_cut:
            return _Outcome(note="; ".join(filter(None, [CUT, problem])))
        failed = FAILURES.format(len(report.failures)) if report.failures else ""
        note = "; ".join(filter(None, [found.note, failed, problem]))
        return _Outcome(True, note, (report.chunks.unembedded, report.chunks.total))

    def _left_over(self, project: _Project) -> str:
        """Let a run in the background do what there was no time for. Returns what to note."""
        found = continue_last_run(project.settings, self._given)
        if not isinstance(found, str) and found.goes_on:
            project.background.begin()
        return CUT

    def _go_on(self, project: _Project, report: Report, *, was_at_work: bool) -> str:
        """Let a run in the background do the rest. Returns why the last one failed, if it did.

        What failed is tried again after the next change.
        """
        problem = self.problem(project.settings)
        if not problem or report.status != "unchanged":
            project.background.begin(GIVING_WAY_SECONDS if was_at_work else 0)
        return FAILED.format(problem) if problem else ""


def _gives_way(settings: Settings) -> bool:
    """Whether an update would be quick if the run in the background were stopped for it.

    That is so as long as the run has changed nothing, and again once it only adds vectors.
    """
    with Manifest(settings.manifest_path, readonly=True) as manifest:
        if manifest.get("adds_vectors") == "yes":
            return True
        is_small = manifest.totals().indexed <= MOST_FILES
    return is_small or is_about(settings)


def refresh_for_search(
    projects: Sequence[Settings],
    given: Mapping[Setting, Value],
    *,
    refreshes: bool | None,
    quiet: bool,
) -> Freshness:
    """Bring the indexes up to date before a search if it `refreshes`, and make those that are missing.

    If nobody said whether it does (None), a person at a terminal is asked about missing indexes.
    """
    missing = [one for one in projects if lacks_index(one)]
    if not refreshes and not missing:
        return Freshness()
    with handled_signals() as signals:
        refresher = Refresher(projects, given, signals)
        for one in missing:
            if refreshes or (not quiet and wants_index(one)):
                confirm_size(one, quiet=quiet)
                refresher.build(one, quiet=quiet)
        if not refreshes:
            return Freshness()
        begin_import(
            projects[0]
        )  # the search needs it; git looks at the tree meanwhile
        return refresher.update()
