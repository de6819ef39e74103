"""What a run saw of a tree beside its files, and whether that still holds.

A run with nothing to do imports this much of the room, so it does not import the scan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexer.tree import git_status

if TYPE_CHECKING:
    from indexer.types import Stat


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository of a tree.

    `prefix` is its folder, relative to the project. `index` is the path of git's index, and
    `index_stat` how that looked. git `vouches` for the files that it may compare with the
    disk without opening any. `answer` is what it said.
    """

    prefix: str
    index: str
    index_stat: Stat
    vouches: bool
    answer: git_status.Answer


@dataclass(frozen=True, slots=True)
class Survey:
    """All that must stay as it is for the tree to be unchanged.

    `watched` has the stat fields of paths in the project, None for what is not there.
    `ignore_files` has those of the ignore files outside it.
    """

    repositories: list[Repository]
    watched: dict[str, Stat | None]
    ignore_files: dict[str, Stat | None]


@contextmanager
def compare_with_survey(project: str, survey: Survey) -> Iterator[Callable[[], bool]]:
    """Ask git whether the tree still is as the survey saw it.

    git is at work from the start. Yields a function that waits for it and returns whether
    nothing changed. Both raise `GitError` and `OSError` where that cannot be told.
    """
    with ExitStack() as stack:
        answers = []
        for repository in survey.repositories:
            folder = os.path.join(project, repository.prefix)
            check = git_status.check(folder, stat_tracked=repository.vouches)
            answers.append(stack.enter_context(check))
        yield lambda: _agrees(project, survey, answers)


def _agrees(
    project: str, survey: Survey, answers: list[Callable[[], git_status.Answer]]
) -> bool:
    if not _has_same_stats(project, survey):
        return False
    for wait_for_answer, repository in zip(answers, survey.repositories, strict=True):
        answer = wait_for_answer()
        if answer != repository.answer:
            return False
        # HOME may have changed, which git's answer does not show.
        if not survey.ignore_files.keys() >= set(answer.ignore_files):
            return False
        # The index may have been written meanwhile.
        if stat_fields(os.stat(repository.index)) != repository.index_stat:
            return False
    return True


def _has_same_stats(project: str, survey: Survey) -> bool:
    """Whether all that is watched, and every ignore file outside the tree, is as it was."""
    top = os.path.join(project, "")
    for path, before in survey.watched.items():
        try:
            now = stat_fields(os.lstat(top + path))
        except OSError:
            now = None
        if now != before:
            return False
    return survey.ignore_files == stats_of(survey.ignore_files)


def stat_fields(info: os.stat_result) -> Stat:
    """The fields of a stat call that tell whether a file was touched."""
    return (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def stats_of(paths: Iterable[str]) -> dict[str, Stat | None]:
    """The stat fields of what each path leads to through symlinks, None if it is not there."""
    found: dict[str, Stat | None] = {}
    for path in paths:
        try:
            found[path] = stat_fields(os.stat(path))
        except OSError:
            found[path] = None
    return found
