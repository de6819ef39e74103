"""Tells whether a tree still is as a survey saw it, without listing it again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from indexer.tree import git_status
from indexer.tree.survey import Survey, stat_fields, stats_of


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
