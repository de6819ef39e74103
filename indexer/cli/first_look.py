"""The question whether a large folder that does not look like a project is meant."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from indexer.cli.counter import Counter
from indexer.cli.texts import shown
from indexer.errors import UsageError
from indexer.index.gate import admit

if TYPE_CHECKING:
    from indexer.config import Settings


def wants_index(settings: Settings) -> bool:
    """Whether a person at the terminal wants a project without an index to get one."""
    about = f"there is no index in {shown(settings.project)}"
    return _has_person() and click.confirm(f"{about}. Build one?", err=True)


def _has_person() -> bool:
    return bool(sys.stdin) and sys.stdin.isatty() and sys.stderr.isatty()


def confirm_size(settings: Settings, *, quiet: bool) -> None:
    """Ask before a folder of many files is indexed for the first time, if nothing marks it.

    Raises `UsageError` where nobody can be asked, or the answer is no; before, what the gate
    raises for a state that is not believed.
    """
    admit(settings)
    from indexer.run.size import MOST_FILES_UNASKED, is_doubtful

    with closing(Counter(quiet=quiet)) as counter:
        if not is_doubtful(settings, counter.count):
            return
    about = (
        f"{shown(settings.project)} has more than {MOST_FILES_UNASKED:,} files, and nothing "
        "marks it as a project: no git, no settings, no manifest"
    )
    if _has_person():
        if click.confirm(f"{about}. Index it?", err=True):
            return
        raise UsageError("nothing was done")
    raise UsageError(
        f"{about}. Is it the right folder? --yes indexes it, and `codx-index init` marks it"
    )
