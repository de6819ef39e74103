"""`codx-index uninstall`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from indexer.cli.boundary import reporting
from indexer.cli.client_changes import (
    MCP,
    SKILL,
    Agreement,
    Plan,
    Where,
    find_where,
    wanted_clients,
)
from indexer.clients.programs import BY_NAME, Client
from indexer.report import Report
from indexer.settings.options import GroupedCommand, options
from indexer.settings.requests import (
    BY_HAND,
    DRY_RUN,
    IN_PROJECT,
    ONLY,
    VERBOSE,
    YES,
)


@click.command(cls=GroupedCommand)
@click.argument(
    "clients", metavar="[CLIENT]...", nargs=-1, type=click.Choice([*BY_NAME])
)
@options(IN_PROJECT, ONLY, DRY_RUN, YES, BY_HAND, VERBOSE)
def uninstall(
    clients: Sequence[str],
    in_project: bool,
    only: str | None,
    dry_run: bool,
    yes: bool,
    force: bool,
    verbose: int,
) -> int:
    """Take back what `codx-index install` told CLIENTS, and nothing else.

    Without a name, all clients are meant. A file in which nothing else was changed is byte for byte what it
    was, and one that was made is removed, with the folders that were made for it.
    """
    with reporting(Report(), False, verbose):
        where = find_where(in_project=in_project)
        chosen = wanted_clients(clients, where) if clients else _all(where)
        agreement = Agreement(
            is_named=bool(clients), is_yes=yes, is_force=force, is_dry=dry_run
        )
        for client in chosen:
            agreement.settle(client, _plans(client, where, only, agreement))
        return agreement.conclude()


def _all(where: Where) -> list[Client]:
    return [one for one in BY_NAME.values() if one.project or not where.project]


def _plans(
    client: Client, where: Where, only: str | None, agreement: Agreement
) -> list[Plan]:
    plans: list[Plan] = []
    if only != SKILL:
        server = where.server_file(client)
        plans.append(lambda: server.without_entry(agreement.receipts))
    skill = where.skill_file(client)
    if only != MCP and skill:
        plans.append(lambda: skill.removed(agreement.receipts))
    return plans
