"""What a run saw of a tree, and where the tree differs from it now.

A run with nothing to do imports this much of the room, so it does not import the scan.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from indexer.tree import git_status
from indexer.types import Stat, stat_fields

if TYPE_CHECKING:
    from indexer.tree.git_index import IndexChange

Listing = Callable[["Repository"], bytes | None]
"""Finds what git listed of a repository's index for a survey, None if that was not kept."""


class Unsure(Exception):
    """What is known of the tree does not tell enough, so all of it must be looked at."""


class Repository(Struct, frozen=True):
    """One repository of a tree.

    `prefix` is its folder, relative to the project. `index` is the path of git's index, and
    `index_stat` how that looked. git `vouches` for the files that it may compare with the
    disk without opening any. `answer` is what it said, and `listing` the checksum of what it
    listed.
    """

    prefix: str
    index: str
    index_stat: Stat
    vouches: bool
    answer: git_status.Answer
    listing: int


class Survey(Struct, frozen=True):
    """All that must stay as it is for the tree to be unchanged. Paths are relative to the project.

    `watched` has the stat fields of files, None for what is not there, and `folders` those of the
    folders in which a new file would count. `ignore_files` has those of the ignore files outside
    the project, by their absolute paths.

    The rest lets a part of the tree be scanned again. `deciding` are the names of files that decide
    about others. `left_out` are the folders that were left out as a whole, and `passed_over` the
    files that were skipped for what they are; each with the reason. `unwatched` are files that were
    skipped for their paths, of which only the folder tells that they are gone. `object_format` is
    `sha1` or `sha256`.
    """

    repositories: list[Repository]
    watched: dict[str, Stat | None]
    folders: dict[str, Stat]
    ignore_files: dict[str, Stat | None]
    deciding: list[str]
    left_out: dict[str, str]
    passed_over: dict[str, str]
    unwatched: list[str]
    object_format: str


class Difference(Struct, frozen=True):
    """Where a tree is not as a survey saw it.

    `files` and `folders` are those that were watched and have other stat fields: with the fields
    that they have now, None for what is not there. `answers` are those of git, in the order of the
    survey's repositories, and so are the changes of their `indexes`, None for one that nobody wrote.
    `looked_ns` is the wall clock (ns) before the first look.
    """

    files: dict[str, Stat | None]
    folders: dict[str, Stat | None]
    answers: list[git_status.Answer]
    indexes: list[IndexChange | None]
    looked_ns: int


@contextmanager
def compare_with_survey(
    project: str, survey: Survey, listing: Listing = lambda repository: None
) -> Iterator[Callable[[], Difference | None]]:
    """Ask git and the disk where the tree is not as the survey saw it.

    git is at work from the start. Yields a function that waits for it and returns the difference:
    None if it cannot be told by files and folders, because git's settings or an ignore file outside
    the project changed, or its index, of which no `listing` was kept. Both raise `GitError` and
    `OSError` where nothing can be told.
    """
    with ExitStack() as stack:
        answers: list[Callable[[], git_status.Answer]] = []
        indexes: list[IndexChange | None] = []
        looked_ns = time.time_ns()
        for repository in survey.repositories:
            folder = os.path.join(project, repository.prefix)
            change = None
            # Before git looks at the files: of some entries it would open them.
            if stat_fields(os.stat(repository.index)) != repository.index_stat:
                change = _index_change(folder, repository, listing)
                if change is None:
                    yield lambda: None
                    return
            indexes.append(change)
            check = git_status.check(folder, stat_tracked=repository.vouches)
            answers.append(stack.enter_context(check))
        yield lambda: _difference(project, survey, answers, indexes, looked_ns)


def agrees(survey: Survey, difference: Difference | None) -> bool:
    """Whether the tree is as the survey saw it."""
    return (
        difference is not None
        and not difference.files
        and not difference.folders
        and not any(difference.indexes)
        and difference.answers == [one.answer for one in survey.repositories]
    )


def _index_change(
    folder: str, repository: Repository, listing: Listing
) -> IndexChange | None:
    # Where git vouches for no file, it may now, which only a look at all of them tells.
    if not repository.vouches or (before := listing(repository)) is None:
        return None
    from indexer.tree.git_index import change_since

    return change_since(folder, repository.index, repository.index_stat, before)


def _difference(
    project: str,
    survey: Survey,
    answers: list[Callable[[], git_status.Answer]],
    indexes: list[IndexChange | None],
    looked_ns: int,
) -> Difference | None:
    if survey.ignore_files != stats_of(survey.ignore_files):
        return None
    files = _changed(project, survey.watched)
    folders = _changed(project, survey.folders)
    found = []
    for wait_for_answer, repository, change in zip(
        answers, survey.repositories, indexes, strict=True
    ):
        answer = wait_for_answer()
        if replace(answer, changed="") != replace(repository.answer, changed=""):
            return None
        # HOME may have changed, which git's answer does not show.
        if not survey.ignore_files.keys() >= set(answer.ignore_files):
            return None
        # The index may have been written meanwhile.
        expected = change.stat if change else repository.index_stat
        if stat_fields(os.stat(repository.index)) != expected:
            return None
        found.append(answer)
    return Difference(files, folders, found, indexes, looked_ns)


def _changed(
    project: str, before: dict[str, Stat] | dict[str, Stat | None]
) -> dict[str, Stat | None]:
    """The stat fields of those paths that have others than before."""
    top = os.path.join(project, "")
    changed: dict[str, Stat | None] = {}
    for path, stat in before.items():
        try:
            now = stat_fields(os.lstat(top + path))
        except OSError:
            now = None
        if now != stat:
            changed[path] = now
    return changed


def stats_of(paths: Iterable[str]) -> dict[str, Stat | None]:
    """The stat fields of what each path leads to through symlinks, None if it is not there."""
    found: dict[str, Stat | None] = {}
    for path in paths:
        try:
            found[path] = stat_fields(os.stat(path))
        except OSError:
            found[path] = None
    return found
