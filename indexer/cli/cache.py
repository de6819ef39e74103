"""`codx-index cache`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click
from msgspec.structs import asdict

from indexer.cli.boundary import reporting
from indexer.cli.log import log
from indexer.cli.texts import confirm, print_json, printable, shown
from indexer.config import NO_FOLDER
from indexer.errors import CacheError
from indexer.report import Report
from indexer.settings.declarations import CACHE_DIR, CACHE_SIZE, STATE_DIR
from indexer.settings.folders import cache_folder, state_folder
from indexer.settings.kinds import PATH
from indexer.settings.options import options
from indexer.settings.requests import JSON, VERBOSE

if TYPE_CHECKING:
    from indexer.cache.contents import CacheFile


@click.group("cache")
def cache_group() -> None:
    """Manage the embedding cache, which all projects share."""


@cache_group.command("info")
@options(CACHE_DIR, CACHE_SIZE, JSON, VERBOSE)
def cache_info(cache_dir: str, cache_size: int, as_json: bool, verbose: int) -> int:
    """Show where the cache is, how big it is, and what it holds."""
    with reporting(Report(), as_json, verbose):
        from indexer.cache.contents import describe
        from indexer.cache.folder import cache_bytes
        from indexer.paths import escape_path

        folder = _folder(cache_dir)
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
            click.echo(f"{'size':<8}{_size_text(size)} of {_size_text(cache_size)}")
            for file in files:
                click.echo(_cache_line(file))
    return 0


@cache_group.command("prune")
@options(CACHE_DIR, CACHE_SIZE, STATE_DIR, VERBOSE)
def cache_prune(cache_dir: str, cache_size: int, state_dir: str, verbose: int) -> int:
    """Shrink the cache to its size limit, and remove what is kept for projects that are gone.

    Each run shrinks the cache at its end.

    The entries unused for longest go first; with size 0, all of them go. What is kept for a
    project, such as a worktree that was removed, is its state if that lies elsewhere
    (--state-dir), and what run-all remembers of its failures.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.pruning import prune
        from indexer.index.gone import is_gone, remove_gone
        from indexer.run.backoff import Backoff

        for project in remove_gone(state_folder(state_dir)) if state_dir else ():
            confirm(f"removed the state of {shown(project)}, which is gone")
        Backoff(_folder(cache_dir)).forget_gone(is_gone)
        pruned = prune(_folder(cache_dir), cache_size)
        confirm(
            f"removed {_entries_text(pruned.entries)}, {_size_text(pruned.bytes)}; "
            f"now {_size_text(pruned.bytes_left)} of {_size_text(cache_size)}"
        )
        if pruned.error:
            raise CacheError(f"could not prune all of it: {pruned.error}")
    return 0


@cache_group.command("export")
@click.argument("file", type=PATH)
@options(CACHE_DIR, VERBOSE)
def cache_export(file: str, cache_dir: str, verbose: int) -> int:
    """Write the whole cache to FILE, for a CI job or a colleague.

    An existing FILE is overwritten only if it is an earlier export.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.transfer import export_entries

        count = export_entries(_folder(cache_dir), file, log.warn)
        confirm(f"exported {_entries_text(count)}")
    return 0


@cache_group.command("import")
@click.argument("file", type=PATH)
@options(CACHE_DIR, VERBOSE)
def cache_import(file: str, cache_dir: str, verbose: int) -> int:
    """Add those entries of FILE, an export, that the cache lacks.

    Checksums reveal damage, not forgery: import only files from people you trust.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache.transfer import import_entries

        done = import_entries(_folder(cache_dir), os.path.abspath(file), log.warn)
        line = f"imported {done.new:,} new of {_entries_text(done.entries)}"
        if done.damaged:
            line += f"; {done.damaged:,} damaged and left out"
        confirm(line)
    return 0


def _cache_line(file: CacheFile) -> str:
    """One file of the cache, in a line."""
    if file.error:
        return f"{shown(file.name)}: {_size_text(file.bytes)}, unreadable: {printable(file.error)}"
    model = f"{printable(file.model)} ({printable(file.precision)}, {file.dimension})"
    line = f"{model}: {_entries_text(file.entries)}, {_size_text(file.bytes)}"
    return f"{line}, last used {file.last_used}" if file.last_used else line


def _folder(cache_dir: str) -> str:
    """The folder of the cache. Raises `CacheError` if it is not known where that is."""
    folder = cache_folder(cache_dir)
    if folder == NO_FOLDER:
        raise CacheError(
            "no home folder is known: give the cache folder with --cache-dir "
            "(CODX_INDEX_CACHE_DIR)"
        )
    return folder


def _entries_text(number: int) -> str:
    """A number of cache entries as a person reads it."""
    return f"{number:,} " + ("entry" if number == 1 else "entries")


def _size_text(size: int) -> str:
    """A number of bytes as a person reads it: 118.2 MiB."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
