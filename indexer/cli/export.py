"""`codx-index export`."""

from __future__ import annotations

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.texts import confirm, count_text, shown
from indexer.config import Settings
from indexer.errors import NoIndexError, UsageError
from indexer.report import Report
from indexer.settings.assembly import make_settings
from indexer.settings.command import ProjectCommand
from indexer.settings.declarations import PLACE
from indexer.settings.kinds import PATH
from indexer.settings.options import options, path_argument
from indexer.settings.place import Place
from indexer.settings.requests import HERE, TRUST, VERBOSE
from indexer.settings.values import Values


@click.command("export", cls=ProjectCommand)
@click.argument("file", type=PATH)
@path_argument
@options(HERE, TRUST, *PLACE, VERBOSE)
def export(place: Place, values: Values, file: str, verbose: int) -> int:
    """Write the index of a project to FILE, for `run --seed` elsewhere.

    Searches and runs go on meanwhile. A FILE that exists is overwritten only if it is an earlier
    export. It is compressed if its name ends in .gz, and has the text of the project's files.
    """
    with reporting(Report(), False, verbose):
        from indexer.index.seed_file import export_index

        settings = make_settings(place.folder, values)
        _refuse_server(settings)
        exported = export_index(settings, file)
        if not exported.is_complete:
            log.warn(
                "the index was left unfinished, or a run is at work: it has what is written so far"
            )
        confirm(
            f"exported {count_text(exported.chunks, 'chunk')} of "
            f"{count_text(exported.files, 'file')}, {exported.bytes / 1e6:,.1f} MB, to {shown(file)}"
        )
    return 0


def _refuse_server(settings: Settings) -> None:
    if settings.uri:
        raise UsageError(
            "only an index in the project's own database can be exported: with --uri, others read it "
            "where it is"
        )
    if not settings.has_state:
        raise NoIndexError(
            f"there is no index of {shown(settings.project)} yet: codx-index run makes it"
        )
