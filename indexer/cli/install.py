"""`codx-index install`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec

import click

from indexer.cli.boundary import reporting
from indexer.cli.client_changes import (
    MCP,
    SKILL,
    Agreement,
    Plan,
    Where,
    find_where,
    project_here,
    wanted_clients,
)
from indexer.cli.log import log
from indexer.cli.texts import shown
from indexer.clients.entry import NAME, is_ours
from indexer.clients.programs import BY_NAME, CLIENTS, Client
from indexer.errors import ClientFileError, UsageError
from indexer.report import Report
from indexer.settings.options import GroupedCommand, options
from indexer.settings.requests import (
    BY_HAND,
    DRY_RUN,
    IN_PROJECT,
    LIST,
    ONLY,
    SERVE,
    VERBOSE,
    YES,
)


@click.command(cls=GroupedCommand)
@click.argument(
    "clients", metavar="[CLIENT]...", nargs=-1, type=click.Choice([*BY_NAME])
)
@options(IN_PROJECT, SERVE, ONLY, LIST, DRY_RUN, YES, BY_HAND, VERBOSE)
def install(
    clients: Sequence[str],
    in_project: bool,
    served: Sequence[str],
    only: str | None,
    lists: bool,
    dry_run: bool,
    yes: bool,
    force: bool,
    verbose: int,
) -> int:
    """Tell CLIENTS, such as claude or cursor, to start `codx-index mcp`, and give them a skill.

    They are antigravity, claude, claude-desktop, cline, codex, copilot, cursor, gemini, opencode,
    vscode, windsurf and zed; without a name, all that are found on this machine. What would be
    written is shown first. Comments and everything else in a client's file stay as they are, and
    `codx-index uninstall` takes back exactly what was written. docs/how-to/agents.md has a section for each.
    """
    with reporting(Report(), False, verbose):
        where = find_where(in_project=in_project)
        if lists:
            _list(where)
            return 0
        if served and in_project:
            raise UsageError("--serve is about your own files, and --project is not")
        chosen = wanted_clients(clients, where)
        if not chosen:
            known = ", ".join(BY_NAME)
            raise UsageError(f"no client was found here: name one of {known}")
        from indexer.clients.command import installed_command

        command = NAME if in_project else installed_command()
        if only != SKILL and find_spec("mcp") is None:
            log.warn("codx-index mcp needs the extra: pip install 'codx-index[mcp]'")
        agreement = Agreement(
            is_named=bool(clients), is_yes=yes, is_force=force, is_dry=dry_run
        )
        for client in chosen:
            try:
                plans = _plans(client, where, command, served, only, agreement)
            except UsageError as error:
                if clients:
                    raise
                agreement.fail(f"{client.name}: {error}")
                continue
            agreement.settle(client, plans)
        return agreement.conclude()


def _plans(
    client: Client,
    where: Where,
    command: str,
    served: Sequence[str],
    only: str | None,
    agreement: Agreement,
) -> list[Plan]:
    plans: list[Plan] = []
    if only != SKILL:
        server, serves = where.server_file(client), _serves(client, where, served)
        plans.append(lambda: server.with_entry(command, serves, agreement.receipts))
    skill = where.skill_file(client)
    if only != MCP and skill:
        plans.append(lambda: skill.written(agreement.receipts))
    return plans


def _serves(client: Client, where: Where, served: Sequence[str]) -> list[str]:
    """What the client's server is given as PATH. Raises `UsageError` where that is not known."""
    if where.project:
        return [client.project_serves]
    if served:
        for path in served:
            if not os.path.isdir(path):
                raise UsageError(f"--serve: there is no folder {shown(path)}")
        return [os.path.realpath(path) for path in served]
    return [client.user_serves or project_here()]


def _list(where: Where) -> None:
    """Print each client, whether it is here, whether it knows us, and the file that says so."""
    for client in CLIENTS:
        if where.project and not client.project:
            continue
        server = where.server_file(client)
        try:
            state = "installed" if is_ours(server.look()) else ""
        except ClientFileError as error:
            log.error(str(error))
            state = "unreadable"
        state = state or ("found" if client.is_on(where.machine) else "-")
        click.echo(f"{client.name:15} {state:11} {shown(server.path)}")
