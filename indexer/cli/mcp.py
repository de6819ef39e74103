"""`codx-index mcp`."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.projects import settings_of_all
from indexer.cli.streams import is_closed
from indexer.errors import UsageError
from indexer.report import Report
from indexer.settings.command import SearchCommand
from indexer.settings.declarations import READ_PLACE
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.place import Place
from indexer.settings.requests import ALL_PROJECTS, PROJECTS, TRUST, VERBOSE
from indexer.settings.values import Values


@click.command(cls=SearchCommand)
@click.argument("paths", nargs=-1, type=PATH)
@options(TRUST, *READ_PLACE, PROJECTS, ALL_PROJECTS, VERBOSE)
def mcp(places: list[Place], values: Values, all_projects: bool, verbose: int) -> int:
    """Serve the indexes of the projects in the PATHS to an agent: MCP on stdin and stdout.

    PATH is the folder of a project, or a folder in it; the current one by default. Where options
    name an address and a collection, no PATH and no folder is needed. The tools are search, similar and status. Needs the extra codx-index[mcp]; docs/mcp.md says how
    clients start it.
    """
    with reporting(Report(), False, verbose):
        try:
            from indexer.cli.mcp_server import serve
        except ImportError as error:
            raise UsageError(
                f"codx-index mcp needs the extra: pip install 'codx-index[mcp]' ({error})"
            ) from error

        if is_closed(0) or is_closed(1):
            raise UsageError(
                "a client talks to it on stdin and stdout, but one of them is closed"
            )
        found = settings_of_all(places, values, all_projects=all_projects)
        projects = [replace(one, only=None) for one in found]
        if sys.stdin.isatty():
            log.warn("waiting for a client on stdin; ctrl-C ends it (docs/mcp.md)")
        serve(projects, log.info)
    return 0
