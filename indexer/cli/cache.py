"""`codx-index cache`."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from indexer.cli.boundary import reporting
from indexer.cli.log import log, shown
from indexer.cli.texts import cache_line, entries_text, print_json, size_text
from indexer.errors import CacheError
from indexer.report import Report
from indexer.settings.assembly import cache_folder
from indexer.settings.declarations import CACHE_DIR, CACHE_SIZE
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.requests import JSON, VERBOSE


@click.group("cache")
def cache_group() -> None:
    """Look after the embedding cache, which all projects share."""


@cache_group.command("info")
@options(CACHE_DIR, CACHE_SIZE, JSON, VERBOSE)
def cache_info(cache_dir: str, cache_size: int, as_json: bool, verbose: int) -> int:
    """Say where the cache is, how big, and what is in it."""
    with reporting(Report(), as_json, verbose):
        from indexer.cache.admin import cache_bytes, describe
        from indexer.paths import escape_path

        folder = cache_folder(cache_dir)
        size, files = cache_bytes(folder), describe(folder)
        if as_json:
            print_json(
                {
                    "folder": escape_path(folder),
                    "bytes": size,
                    "limit": cache_size,
                    "files": [asdict(file) for file in files],
                }
            )
        else:
            click.echo(f"{'folder':<8}{shown(folder)}")
            click.echo(f"{'size':<8}{size_text(size)} of {size_text(cache_size)}")
            for file in files:
                click.echo(cache_line(file))
    return 0


@cache_group.command("prune")
@options(CACHE_DIR, CACHE_SIZE, VERBOSE)
def cache_prune(cache_dir: str, cache_size: int, verbose: int) -> int:
    """Bring the cache under its size now, as each run does at its end.

    What was not used for the longest time goes first; with size 0, everything does.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.admin import prune

        pruned = prune(cache_folder(cache_dir), cache_size)
        click.echo(
            f"removed {entries_text(pruned.entries)}, {size_text(pruned.bytes)}; "
            f"now {size_text(pruned.bytes_left)} of {size_text(cache_size)}"
        )
        if pruned.error:
            raise CacheError(f"could not prune all of it: {pruned.error}")
    return 0


@cache_group.command("export")
@click.argument("file", type=PATH)
@options(CACHE_DIR, VERBOSE)
def cache_export(file: str, cache_dir: str, verbose: int) -> int:
    """Write all of the cache to FILE, for a CI job or a colleague.

    Only an earlier export is overwritten.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.transfer import export_entries

        count = export_entries(cache_folder(cache_dir), file, log.warn)
        click.echo(f"exported {entries_text(count)}")
    return 0


@cache_group.command("import")
@click.argument("file", type=PATH)
@options(CACHE_DIR, VERBOSE)
def cache_import(file: str, cache_dir: str, verbose: int) -> int:
    """Add what FILE, written by export, has and the cache has not.

    Checksums find damage, not forgery: import only what comes from people you trust.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.transfer import import_entries

        done = import_entries(cache_folder(cache_dir), os.path.abspath(file), log.warn)
        line = f"imported {done.new:,} new of {entries_text(done.entries)}"
        if done.damaged:
            line += f"; {done.damaged:,} damaged and left out"
        click.echo(line)
    return 0
