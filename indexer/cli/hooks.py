"""`codx-index hooks`: the hooks of git, which keep an index up to date."""

from __future__ import annotations

import os
import sys

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.texts import confirm, shown
from indexer.config import Settings, project_folder
from indexer.environment import leave_git
from indexer.errors import UsageError
from indexer.githooks.files import NAMES, HookFile, install, uninstall
from indexer.githooks.folder import (
    HooksFolder,
    find_hooks_folder,
    project_in,
    work_tree_around,
)
from indexer.report import Report
from indexer.settings.folders import state_root
from indexer.settings.kinds import PATH
from indexer.settings.options import options, path_argument
from indexer.settings.place import find_place
from indexer.settings.requests import AFTER, HERE, VERBOSE, YES

_ALL = f"{', '.join(NAMES[:-1])} and {NAMES[-1]}"


@click.group("hooks")
def hooks_group() -> None:
    """Let git's hooks keep the index of a project up to date."""


@hooks_group.command("install")
@path_argument
@options(HERE, YES, VERBOSE)
def hooks_install(path: str, is_here: bool, yes: bool, verbose: int) -> int:
    """Install git hooks that bring the index of the project around PATH up to date.

    They go to the repository around PATH and serve all of its work trees. Each commit, merge,
    checkout and rebase starts a run in the background. Hooks that are there already stay, and
    run first.
    """
    with reporting(Report(), False, verbose):
        top, project = _find(path, is_here=is_here)
        folder = find_hooks_folder(top)
        if not _may_write(folder, yes=yes):
            return 1
        # Not before it is known that nothing stands in the way.
        for name, before in install(folder.path, project_in(top, project)):
            if before:
                log.warn(f"the {name} that was there runs first: it is now {before}")
        confirm(
            f"installed the git hooks {_ALL} in {shown(folder.path)}, for all its work trees"
        )
        if not _settings(project).has_state:
            log.warn(
                f"there is no index in {shown(project)} yet: codx-index run builds it, and the "
                "hooks keep it up to date"
            )
    return 0


@hooks_group.command("uninstall")
@path_argument
@options(HERE, YES, VERBOSE)
def hooks_uninstall(path: str, is_here: bool, yes: bool, verbose: int) -> int:
    """Take the git hooks out of the repository around PATH. Hooks that were there before stay."""
    with reporting(Report(), False, verbose):
        top, project = _find(path, is_here=is_here)
        folder = find_hooks_folder(top)
        if not any(HookFile(folder.path, name).ours for name in NAMES):
            confirm(f"there are no git hooks of codx-index in {shown(folder.path)}")
            return 0
        if not _may_write(folder, yes=yes):
            return 1
        name = project_in(top, project)
        was_there, stay = uninstall(folder.path, name)
        if not was_there:
            others = ", ".join(map(shown, sorted(stay)))
            raise UsageError(
                f"the git hooks in {shown(folder.path)} are not for {shown(name)}, but for "
                f"{others}: name that"
            )
        confirm(f"removed from {shown(folder.path)}")
    return 0


@hooks_group.command("status")
@path_argument
@options(HERE, VERBOSE)
def hooks_status(path: str, is_here: bool, verbose: int) -> int:
    """Say which git hooks are installed for the project around PATH, and how the last run ended.

    The exit code is 1 if one of them is not installed.
    """
    with reporting(Report(), False, verbose):
        from indexer.cli.background import BackgroundRun
        from indexer.cli.background_status import told
        from indexer.index.gate import admit

        top, project = _find(path, is_here=is_here)
        folder, name = find_hooks_folder(top).path, project_in(top, project)
        click.echo(f"{'folder':<15}{shown(folder)}")
        missing = 0
        for hook in (HookFile(folder, one) for one in NAMES):
            is_there = hook.is_at_work and name in hook.projects
            missing += not is_there
            after = os.path.lexists(hook.before)
            first = f", after {os.path.basename(hook.before)}" if after else ""
            state = f"installed{first}" if is_there else "not installed"
            click.echo(f"{hook.name:<15}{state}")
        settings = _settings(project)
        admit(settings)
        if text := told(BackgroundRun(settings, {})):
            click.echo(f"{'background':<15}{text}")
    return int(missing > 0)


@hooks_group.command("run")
@click.argument("paths", nargs=-1, type=PATH)
@options(AFTER, VERBOSE)
def hooks_run(paths: tuple[str, ...], after: int, verbose: int) -> int:
    """Start a run in the background for each of the PATHS that has an index. Git hooks call this.

    Each PATH is the folder of a project, by default the current one. A run that is at work is
    waited for. If somebody waits already, one run is enough for both.
    """
    with reporting(Report(), False, verbose):
        from indexer.cli.background import BackgroundRun
        from indexer.githooks.moment import Turn
        from indexer.index.gate import admit

        leave_git()
        turn = Turn(os.getcwd(), after)
        try:
            for path in paths or (".",):
                settings = _settings(path)
                if settings.has_state:
                    admit(settings)
                    BackgroundRun(settings, {}).follow(turn)
        finally:
            turn.end()
    return 0


def _find(path: str, *, is_here: bool) -> tuple[str, str]:
    """The top of the work tree around a path, and the folder of the project around it."""
    place = find_place(path, state_root({}), is_here=is_here)
    project = project_folder(place.folder)
    return work_tree_around(os.path.realpath(path or ".")), project


def _settings(project: str) -> Settings:
    """What is known of a project before anything of its files is followed: where its state is."""
    return Settings(os.path.realpath(project), "", "", state_root=state_root({}))


def _may_write(folder: HooksFolder, *, yes: bool) -> bool:
    """Whether hooks may be written there, for which a person may have to be asked."""
    if yes or not folder.concern:
        return True
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(f"{shown(folder.concern)}: --yes writes there all the same")
    return click.confirm(f"{shown(folder.concern)}. Write there?", err=True)
