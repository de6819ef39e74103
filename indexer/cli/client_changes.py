"""What `install` and `uninstall` share: clients, their files, and changes that a person agrees to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence

import click
from msgspec import Struct

from indexer.cli.log import log
from indexer.cli.texts import confirm, count_text, shown
from indexer.clients.changes import Change
from indexer.clients.entry import NAME
from indexer.clients.programs import BY_NAME, CLIENTS, Client, Machine
from indexer.clients.receipts import Receipts, load
from indexer.clients.server_file import ServerFile
from indexer.clients.skill_file import SkillFile
from indexer.errors import ClientFileError, UsageError
from indexer.settings.place import find_place, is_in_project

MCP = "mcp"
SKILL = "skill"

Plan = Callable[[], Change | None]
"""Reads one file, and says what would have to change. Raises `ClientFileError`."""


class Where(Struct, frozen=True):
    """Whose files are meant: the user's, or those of a project."""

    machine: Machine
    project: str = ""

    def server_file(self, client: Client) -> ServerFile:
        """The file in which this client is told of its servers: of several, the one that is there."""
        if self.project:
            paths = [os.path.join(self.project, one) for one in client.project]
        else:
            paths = self.machine.paths(client.user)
        there = [one for one in paths if os.path.lexists(one)]
        return ServerFile(client, [*there, *paths][0], bool(self.project))

    def skill_file(self, client: Client) -> SkillFile | None:
        """The file of our skill for this client, None if it reads none."""
        if self.project:
            folder = os.path.join(self.project, client.project_skills)
        elif client.user_skills:
            (folder,) = self.machine.paths((client.user_skills,))
        else:
            return None
        path = os.path.join(folder, NAME, "SKILL.md")
        return SkillFile(client, path, bool(self.project))


def find_where(*, in_project: bool) -> Where:
    """Where files lie, as HOME and the current folder have it. Raises `UsageError`."""
    is_unset = os.environ.get("HOME") == ""  # which "~" would take for the root
    home = "" if is_unset else os.path.expanduser("~")
    if not os.path.isabs(home):
        raise UsageError("it is not known where your home folder is: set HOME")
    machine = Machine(home, sys.platform, os.environ)
    return Where(machine, project_here() if in_project else "")


def project_here() -> str:
    """The folder of the project around the current folder. Raises `UsageError` if there is none."""
    if not is_in_project():
        raise UsageError(
            "nothing marks the current folder as part of a project (git, or settings of ours): go "
            "to one, or `codx-index init` marks it"
        )
    return find_place("").folder


def wanted_clients(names: Sequence[str], where: Where) -> list[Client]:
    """The clients with these names; without names, those that are found on this machine.

    Raises `UsageError` for one that has no file in a project if that is meant.
    """
    if names:
        chosen = [BY_NAME[name] for name in dict.fromkeys(names)]
    else:
        chosen = [one for one in CLIENTS if one.is_on(where.machine)]
    if not where.project:
        return chosen
    for client in chosen:
        if names and not client.project:
            raise UsageError(
                f"{client.title} has no file in a project that could start a server for all who "
                f"work on it: leave out --project"
            )
    return [one for one in chosen if one.project]


class Agreement:
    """Shows changes, asks, and makes those that are agreed to.

    Clients that a person named (`is_named`) are told of if there is nothing to do. Nobody is asked
    with `is_yes`, nor where nobody can be, and then nothing is made. What a person
    wrote is replaced only if they were asked, or with `is_force`.
    """

    def __init__(
        self, *, is_named: bool, is_yes: bool, is_force: bool, is_dry: bool
    ) -> None:
        self._is_named = is_named
        self._is_yes = is_yes
        self._is_force = is_force
        self._is_dry = is_dry
        self._can_ask = bool(sys.stdin) and sys.stdin.isatty()
        self._has_failed = False
        self._is_left_undone = False
        self._has_changes = False
        self.receipts: Receipts = load()

    def settle(self, client: Client, plans: Sequence[Plan]) -> None:
        """Find the changes for one client, and make them if they are agreed to.

        A file that cannot be read or changed is named in a line, and the others are done.
        """
        changes = [*self._found(plans)]
        shown_ones = [one for one in changes if one.lines]
        if not shown_ones:
            if self._is_named and not self._has_failed:
                confirm(f"{client.name}: nothing to do")
            self._make([] if self._is_dry else changes)
            return
        self._has_changes = True
        for change in shown_ones:
            click.echo(shown(change.path))
            for line in change.lines:
                click.echo(f"  {shown(line)}")
        if self._is_dry:
            return
        if not self._is_yes and not self._can_ask:
            self._is_left_undone = True
            return
        count = count_text(len(shown_ones), "file")
        if self._is_yes or click.confirm(
            f"Change {count} of {client.title}?", err=True
        ):
            self._make(changes)
        else:
            self._has_failed = True

    def conclude(self) -> int:
        """The exit code. Raises `UsageError` if somebody should have been asked."""
        if self._is_left_undone:
            raise UsageError(
                "nothing was changed, because nobody can be asked here: --yes"
            )
        if not (self._is_named or self._has_changes or self._has_failed):
            confirm("nothing to do")
        return int(self._has_failed)

    def fail(self, message: str) -> None:
        """Say that something could not be done; the others are."""
        log.error(message)
        self._has_failed = True

    def _found(self, plans: Sequence[Plan]) -> Iterator[Change]:
        for plan in plans:
            try:
                change = plan()
            except ClientFileError as error:
                self.fail(str(error))
                continue
            if change and change.is_by_hand and not self._may_replace:
                self.fail(
                    f"{change.path} has what somebody changed by hand, so it stays: --force "
                    "replaces it"
                )
            elif change:
                yield change

    @property
    def _may_replace(self) -> bool:
        return self._is_force or self._is_dry or (self._can_ask and not self._is_yes)

    def _make(self, changes: Sequence[Change]) -> None:
        for change in changes:
            try:
                change.make(self.receipts)
            except ClientFileError as error:
                self.fail(str(error))
                continue
            if change.lines:
                done = "removed" if change.after is None else "wrote"
                confirm(f"{done} {shown(change.path)}")
