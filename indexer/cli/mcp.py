"""`codx-index mcp`."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.projects import settings_of_all
from indexer.cli.streams import is_closed
from indexer.config import Settings
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.command import SearchCommand
from indexer.settings.declarations import READ_PLACE
from indexer.settings.kinds import FOLDER
from indexer.settings.options import options
from indexer.settings.place import Place
from indexer.settings.requests import (
    ALL_PROJECTS,
    HTTP,
    IDLE,
    PROJECTS,
    REFRESH,
    TRUST,
    VERBOSE,
)
from indexer.settings.values import Values


@click.command(cls=SearchCommand)
@click.argument("paths", nargs=-1, type=FOLDER)
@options(TRUST, *READ_PLACE, PROJECTS, ALL_PROJECTS, HTTP, IDLE, REFRESH, VERBOSE)
def mcp(
    places: list[Place],
    values: Values,
    all_projects: bool,
    http: str,
    idle: int,
    refresh: bool | None,
    verbose: int,
) -> int:
    """Serve indexes to agents over MCP, on stdin or over HTTP.

    PATH is the folder of a project, or a folder in it; the current one by default. If options
    name an address and a collection, no folder is needed. The tools are search, similar,
    outline, uses, index and status. Needs the extra codx-index[mcp]; docs/how-to/mcp.md says how
    clients start the server, or reach it.
    """
    with reporting(Report(), False, verbose):
        try:
            import indexer.cli.mcp_server  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"codx-index mcp needs the extra: pip install 'codx-index[mcp]' ({error})"
            ) from error

        found = settings_of_all(places, values, all_projects=all_projects)
        settings = [replace(one, only=None) for one in found]
        refreshes = refresh is not False
        if http:
            _serve_http(settings, values, http, idle, refreshes=refreshes)
        elif idle:
            raise UsageError("--idle needs --http")
        else:
            _serve_stdio(settings, values, refreshes=refreshes)
    return 0


def _serve_stdio(settings: list[Settings], values: Values, *, refreshes: bool) -> None:
    from indexer.cli.fresh import Refresher
    from indexer.cli.mcp_stdio import serve
    from indexer.cli.mcp_tools import Projects

    if is_closed(0) or is_closed(1):
        raise UsageError(
            "a client talks to the server on stdin and stdout, but one of them is closed"
        )
    if sys.stdin.isatty():
        log.warn("waiting for a client on stdin; ctrl-C ends it (docs/how-to/mcp.md)")
    refresher = Refresher(settings, values.given)
    serve(Projects(settings, refresher, refreshes=refreshes))


def _serve_http(
    settings: list[Settings],
    values: Values,
    address: str,
    idle: int,
    *,
    refreshes: bool,
) -> None:
    from indexer.cli.fresh import Refresher
    from indexer.cli.mcp_address import listen, origin_of
    from indexer.cli.mcp_http import ROOT, serve
    from indexer.cli.mcp_token import find_token
    from indexer.cli.mcp_tools import Projects

    token = find_token(settings[0].cache_dir)
    with listen(address) as listener:
        if token.path:
            log.warn(f"clients need the token in {token.path}: Authorization: Bearer …")
        click.echo(f"{origin_of(listener)}{ROOT}")
        sys.stdout.flush()
        refresher = Refresher(settings, values.given)
        projects = Projects(settings, refresher, refreshes=refreshes)
        serve(projects, listener, token.value, 60.0 * idle)
