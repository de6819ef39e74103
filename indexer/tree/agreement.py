"""Whether a tree still is as a survey saw it, without listing it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from indexer.tree import git_index
from indexer.tree.survey import Repository, stat_fields, stats_of
from indexer.types import Stat


class Agreement:
    """Whether a tree still is as a survey saw it. git looks from the start; `holds` waits.

    The arguments are what the `Survey` found. Raises `GitError` and `OSError` where that
    cannot be told.
    """

    def __init__(
        self,
        project: str,
        repositories: Sequence[Repository],
        watched: Mapping[str, Stat | None],
        ignore_files: Mapping[str, Stat | None],
    ) -> None:
        self._project = project
        self._repositories = repositories
        self._watched = watched
        self._ignore_files = ignore_files
        self._stack = ExitStack()
        self._checks: list[git_index.Check] = []

    def __enter__(self) -> Agreement:
        with ExitStack() as stack:
            for repository in self._repositories:
                folder = os.path.join(self._project, repository.prefix)
                check = git_index.Check(folder, stat_tracked=repository.vouches)
                self._checks.append(stack.enter_context(check))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def holds(self) -> bool:
        """Whether nothing changed."""
        if not self._is_as_it_was():
            return False
        for check, repository in zip(self._checks, self._repositories, strict=True):
            answer = check.answer()
            if answer != repository.answer:
                return False
            # HOME may be another.
            if not self._ignore_files.keys() >= set(answer.ignore_files):
                return False
            # Written while we looked?
            if stat_fields(os.stat(repository.index)) != repository.index_stat:
                return False
        return True

    def _is_as_it_was(self) -> bool:
        top = os.path.join(self._project, "")
        for path, before in self._watched.items():
            try:
                now = stat_fields(os.lstat(top + path))
            except OSError:
                now = None
            if now != before:
                return False
        return self._ignore_files == stats_of(self._ignore_files)
