"""The command line: the only place that prints or chooses an exit code."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from indexer import __version__
from indexer.boundary import Ended, recorded, reporting
from indexer.config import DENSE, HYBRID, SPARSE, Settings, project_folder
from indexer.errors import CacheError, CodxIndexError, UsageError
from indexer.options import (
    Duration,
    F,
    cache_dir_option,
    cache_size_option,
    hook_options,
    json_option,
    log_format_option,
    option,
    path_argument,
    place_options,
    tree_options,
    trust_option,
    verbose_option,
    work_options,
)
from indexer.outlets import Outlets, traced
from indexer.project_options import (
    ProjectCommand,
    SearchCommand,
    cache_folder,
    given_arguments,
    make_settings,
    selected,
    settings_for,
    settings_of,
)
from indexer.report import Report
from indexer.terminal import (
    Bars,
    Signals,
    behind,
    cache_line,
    count_text,
    differences_dict,
    entries_text,
    log,
    plan_dict,
    print_differences,
    print_failures,
    print_json,
    print_plan,
    print_settings,
    print_status,
    printable,
    profile_table,
    result_line,
    shown,
    size_text,
    summary,
)

if TYPE_CHECKING:
    from collections.abc import Set

    from indexer.pool import Workshop
    from indexer.verify import Difference


LINES_AROUND = 3  # the best line of a hit, at a terminal
_ABOUT_THE_SEARCH = frozenset(
    "as_json context explain language like limit mode patterns verbose".split()
)
BOTH_WANT_STDOUT = "--json and --events - both want stdout: give one a file"

# --- commands --------------------------------------------------------------------------


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option can also be set in the environment, as shown in its help, and most "
    "in a file of the project: see codx-index init.",
)
@click.version_option(__version__, "-V", "--version", prog_name="codx-index")
def cli() -> None:
    """Make a Milvus collection equal to a source tree, and search it."""


def run_options(function: F) -> F:
    """The options of `run` that `run-all` has as well."""
    for decorate in (
        log_format_option,
        verbose_option,
        option("--quiet", also=("-q",), is_flag=True, help="Print nothing but errors."),
        json_option,
        option(
            "--max-seconds",
            default=0,
            type=Duration(),
            help="Stop in time to end within about this time, and exit with 4 if work is "
            "left; 0: no limit.",
        ),
        option(
            "--settle",
            default=0,
            type=Duration(),
            help="Leave for later the files that changed less than this time ago.",
        ),
        option(
            "--changed-within",
            default=0,
            type=Duration(),
            help="Leave for later the files that changed longer than this time ago.",
        ),
        option(
            "--wait",
            default=0,
            type=Duration(),
            help="Time to wait for another run on this index.  [default: exit 75 at once]",
        ),
        option(
            "--retry-failed",
            is_flag=True,
            help="Try again the files that failed before and have not changed since.",
        ),
        option(
            "--sparse-first",
            is_flag=True,
            help="Make every file searchable by its words before the first is embedded.",
        ),
        option("--force", is_flag=True, help="Index every file again, changed or not."),
        hook_options,
        work_options,
        tree_options,
        place_options,
        trust_option,
    ):
        function = decorate(function)
    return function


@cli.command(cls=ProjectCommand)
@path_argument
@run_options
@option(
    "--file",
    also=("files",),
    multiple=True,
    type=click.Path(readable=False),
    help="Index this file or folder alone, and leave the rest as it is (repeatable).",
)
@option(
    "--files-from",
    default="",
    type=click.Path(readable=False),
    help="The same, for each path that stands in a line of this file; - is stdin.",
)
@option(
    "--null",
    also=("-z",),
    is_flag=True,
    help="The paths of --files-from end with a NUL instead of a line break.",
)
@option("--dry-run", is_flag=True, help="Print what would be done; touch nothing.")
@option("--profile", is_flag=True, help="Print where the time went, file by file too.")
@option(
    "--trace",
    default="",
    metavar="FILE",
    type=click.Path(readable=False),
    help="Write a timeline of every stage and worker to FILE, in the Chrome trace format "
    "(https://ui.perfetto.dev opens it).",
)
def run(
    path: str,
    files: tuple[str, ...],
    files_from: str,
    null: bool,
    dry_run: bool,
    profile: bool,
    trace: str,
    as_json: bool,
    quiet: bool,
    verbose: int,
    log_format: str,
    **options: Any,
) -> int:
    """Make the index of the project in PATH equal to its files.

    PATH is the folder of the project; the current one by default. Only what changed since
    the last run is read, embedded and written.

    \b
    Exit codes:
      0   the index equals the tree, but for what was left for later (said)
      1   failed; the message says why
      2   wrong usage
      3   done, but some files could not be indexed, or a hook failed (listed)
      4   stopped by --max-seconds; run again to go on
      69  Milvus cannot be reached
      75  another run is at work on this index
      128+n  stopped by signal n (130: ctrl-C); what was done is kept
    """
    report = Report()
    with reporting(report, as_json, verbose, log_format):
        outlets = Outlets.take(options)
        if as_json and outlets.events == "-":
            raise UsageError(BOTH_WANT_STDOUT)
        settings = make_settings(path, **options, own_files=outlets.files)
        settings = _select(settings, files, files_from, null)
        _place(report, settings)
        if dry_run:
            return _dry_run(settings, report, as_json=as_json, quiet=quiet)
        is_quiet = quiet or as_json
        with outlets.open(report, is_quiet), traced(trace, report):
            _run(settings, report, quiet=is_quiet)
        if as_json:
            about = {"profile": report.profile()} if profile else {}
            print_json({**report.as_dict(), **about})
        elif not quiet:
            # Where stdout has the events, nothing else belongs there.
            click.echo(summary(report), err=outlets.events == "-")
            if profile:
                click.echo(profile_table(report), err=outlets.events == "-")
        print_failures(report)
    return report.exit_code


def _select(
    settings: Settings, files: tuple[str, ...], files_from: str, null: bool
) -> Settings:
    """The settings for the files that were named, or for all."""
    if not files and not files_from:
        if null:
            raise UsageError(
                "-z is about the paths of --files-from, which is not given"
            )
        return settings
    listed = _listed(files_from, null) if files_from else []
    only, named = selected(settings.project, files, listed)
    return replace(settings, only=only, named=named)


def _listed(source: str, null: bool) -> list[str]:
    """The paths in a file, or on stdin, one a line or each with a NUL behind it."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read() if sys.stdin else b""
        else:
            with open(source, "rb") as file:
                data = file.read()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    paths = data.split(b"\0") if null else data.splitlines()
    return [os.fsdecode(path) for path in paths if path]


def _dry_run(settings: Settings, report: Report, *, as_json: bool, quiet: bool) -> int:
    from indexer.status import plan

    planned = plan(settings, report)
    report.status = "unchanged" if planned.is_empty else "updated"
    report.status = "partial" if report.failures else report.status
    if as_json:
        print_json({**report.as_dict(), "dry_run": True, **plan_dict(planned)})
    elif not quiet:
        print_plan(planned)
        click.echo(behind(planned) or "nothing to do")
    print_failures(report)
    return report.exit_code


def _run(
    settings: Settings,
    report: Report,
    *,
    quiet: bool,
    doubted: Set[str] = frozenset(),
) -> None:
    report.spans.begin("start")
    with Bars(quiet=quiet) as bars, Signals() as signals:
        _run_with(settings, report, bars, signals, doubted)


def _run_with(
    settings: Settings,
    report: Report,
    bars: Bars,
    signals: Signals,
    doubted: Set[str] = frozenset(),
    workshop: Workshop | None = None,
) -> None:
    from indexer.report import RUN
    from indexer.stamp import is_unchanged

    with report.spans.span(RUN):
        has_all = not (settings.force or doubted) and settings.only is None
        if not has_all or not is_unchanged(settings, report):
            from indexer.pipeline import run as run_pipeline

            run_pipeline(settings, report, bars, signals, doubted, workshop)


@cli.command("run-all")
@click.argument("roots", nargs=-1, required=True, type=click.Path(readable=False))
@run_options
@option(
    "--parallel",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How many projects are worked on at the same time.",
)
@option("--no-backoff", is_flag=True, help="Try again those that failed a moment ago.")
@click.pass_context
def run_all(
    context: click.Context,
    /,
    roots: tuple[str, ...],
    parallel: int,
    no_backoff: bool,
    as_json: bool,
    quiet: bool,
    verbose: int,
    log_format: str,
    **options: Any,
) -> int:
    """Run for each project at or below the ROOTS that is watched.

    A project is a folder with a codx-index.toml, or with codx-junior's .codx/project.json in
    which watching is true. The options count for all of them. One that fails does not stop
    the others, and is left alone for 1, 10, 30, then 120 minutes, until it succeeds or its
    settings are changed.

    \b
    Exit codes:
      0   every index equals its tree
      1   projects failed; where all did so with the same code, such as 2 or 69, that one
      3   a project could not be indexed in all, or is left alone for now
      4   stopped by --max-seconds; run again to go on
      75  another run is at work on a project
      128+n  stopped by signal n
    """
    report = Report()
    with reporting(report, as_json, verbose, log_format):
        from indexer.run_all import Result, combined, run_projects, watched_projects

        started = time.monotonic()
        if as_json and options["events"] == "-":
            raise UsageError(BOTH_WANT_STDOUT)
        if options["metrics"]:
            raise UsageError(
                "--metrics is a file for one project: set metrics in the settings of each"
            )
        arguments = given_arguments(context, but={"parallel", "no_backoff", "as_json"})

        def run_one(folder: str, workshop: Workshop) -> Report:
            return _run_one(folder, arguments, signals, workshop)

        def tell(result: Result) -> None:
            if not quiet and not as_json:
                click.echo(f"{shown(result.project)}: {result_line(result)}")
            if result.report:
                print_failures(result.report, result.project)
            if result.until:
                log.error(
                    f"{shown(result.project)}: left alone until {result.until} "
                    f"(--no-backoff tries at once), for it failed: {result.reason}"
                )

        projects = watched_projects([project_folder(root) for root in roots])
        with Signals() as signals, signals.deferred():
            results = run_projects(
                projects,
                run_one,
                tell,
                parallel,
                cache_folder(options["cache_dir"]),
                lambda: signals.received,
                waits=not no_backoff,
            )
        total = combined(results, signals.received, time.monotonic() - started)
        if as_json:
            print_json(total)
    return int(total["exit_code"])


def _run_one(
    folder: str, arguments: list[str], signals: Signals, workshop: Workshop
) -> Report:
    """One project of many; what becomes of it stands in the report."""
    report = Report(project=folder)
    with suppress(Ended), recorded(report):
        try:
            context = run.make_context("run", [*arguments, "--", folder])
        except click.ClickException as error:
            raise UsageError(error.format_message()) from error
        options = context.params
        for name in (
            "path files files_from null dry_run profile trace as_json quiet verbose log_format"
        ).split():
            options.pop(name)
        with context.scope():
            outlets = Outlets.take(options)
            settings = make_settings(folder, **options, own_files=outlets.files)
        _place(report, settings)
        with outlets.open(report, quiet=False), Bars(quiet=True) as bars:
            _run_with(settings, report, bars, signals, workshop=workshop)
    return report


@cli.command(cls=SearchCommand)
@click.argument("query", required=False)
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@trust_option
@place_options
@option(
    "--limit",
    also=("-k", "-n"),
    default=10,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Number of files.",
)
@option(
    "--mode",
    default=HYBRID,
    show_default=True,
    type=click.Choice((HYBRID, DENSE, SPARSE)),
    help="Find by meaning and by words, by meaning alone, or by words alone (no model).",
)
@option(
    "--language",
    also=("-l",),
    default="",
    help="Only files in this language: its name, or the ending of its files.",
)
@option(
    "--path",
    also=("patterns",),
    multiple=True,
    metavar="GLOB",
    help="Only files that this pattern, as in a .gitignore, matches (repeatable).",
)
@option(
    "--like",
    default="",
    metavar="FILE:LINE",
    help="Find code like that at this place, instead of a QUERY.",
)
@option(
    "--context",
    also=("-C",),
    default=None,
    type=click.IntRange(0, 100),
    help="Lines shown around the best line.  [default: 3 at a terminal, else 0]",
)
@option("--explain", is_flag=True, help="Show where each score comes from.")
@json_option
@verbose_option
@click.pass_context
def search(
    command: click.Context,
    /,
    query: str | None,
    paths: tuple[str, ...],
    limit: int,
    mode: str,
    language: str,
    patterns: tuple[str, ...],
    like: str,
    context: int | None,
    explain: bool,
    as_json: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Find the files of the projects in the PATHS that answer QUERY.

    PATH is the folder of a project, or one in it; the current one by default. With --like
    FILE:LINE there is no QUERY. At a terminal each file is shown by its best lines; where
    a program reads, a line is path:line:text as grep writes it.
    """
    with reporting(Report(), as_json, verbose):
        from indexer.finding import find, hit_dict
        from indexer.hits import explained, grep_lines, is_for_person, page
        from indexer.scope import make_scope
        from indexer.search import Wanted, clean, indexed_project

        if like and query:  # what stands in the place of the query is the first PATH
            query, paths = "", (query, *paths)
        query = clean(query or "")
        if not like and not query.strip():
            raise UsageError("the query is empty: say what to look for")
        folder = indexed_project(project_folder(paths[0] if paths else "."))
        projects = [make_settings(folder, **options)]
        arguments = given_arguments(command, but=_ABOUT_THE_SEARCH)
        projects += [settings_for(arguments, path) for path in paths[1:]]
        is_seen = is_for_person() and not as_json
        around = LINES_AROUND if context is None and is_seen else context or 0
        scope = make_scope(language, patterns)
        wanted = Wanted(limit, mode, scope, around)
        answer, remarks = find(projects, query, like, wanted)
        for note in answer.notes:
            (log.info if answer.hits or as_json else log.warn)(note)
        for remark in remarks if not as_json else []:
            log.warn(remark)
        if as_json:
            hits = [hit_dict(hit, explain=explain) for hit in answer.hits]
            asked = {"like": like} if like else {"query": query}
            notes = [*answer.notes, *remarks]
            print_json({**asked, "mode": mode, "hits": hits, "notes": notes})
        for hit in [] if as_json else answer.hits:
            prefix = shown(hit.project) + "/" if len(projects) > 1 else ""
            show = page if is_seen else grep_lines
            lines = [*show(hit, query, around, prefix)]
            if explain:
                lines += [f"    {line}" for line in explained(hit.explanation)]
            click.echo("\n".join([*lines, *([""] if is_seen else [])]))
        if not answer.hits and not as_json:
            log.warn("no hits")
    return 0


@cli.command(cls=SearchCommand)
@click.argument("paths", nargs=-1, type=click.Path(readable=False))
@trust_option
@place_options
@verbose_option
@click.pass_context
def mcp(
    command: click.Context, /, paths: tuple[str, ...], verbose: int, **options: Any
) -> int:
    """Serve the indexes of the projects in the PATHS to an agent: MCP on stdin and stdout.

    PATH is the folder of a project, or one in it; the current one by default. The tools are
    search, similar and status. Needs the extra codx-index[mcp]; docs/mcp.md says how clients
    start it.
    """
    with reporting(Report(), False, verbose):
        from indexer.search import indexed_project

        try:
            from indexer.mcp_server import serve
        except ImportError as error:
            raise UsageError(
                f"codx-index mcp needs the extra: pip install 'codx-index[mcp]' ({error})"
            ) from error

        if not (sys.stdin and sys.stdout):
            raise UsageError("a client speaks to it on stdin and stdout: one is closed")
        folder = indexed_project(project_folder(paths[0] if paths else "."))
        projects = [make_settings(folder, **options)]
        arguments = given_arguments(command, but={"verbose"})
        projects += [settings_for(arguments, path) for path in paths[1:]]
        if sys.stdin.isatty():
            log.warn("it waits for a client on stdin; ctrl-C ends it (docs/mcp.md)")
        serve(projects, log.info)
    return 0


@cli.command(cls=ProjectCommand)
@path_argument
@trust_option
@place_options
@tree_options
@option("--check", is_flag=True, help="Exit 1 when the index is not up to date.")
@json_option
@verbose_option
def status(
    path: str,
    check: bool,
    as_json: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Say what a run would do, how big the index is, and which model it uses."""
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.status import plan

        settings = make_settings(path, **options)
        _place(report, settings)
        planned = plan(settings, report)
        current = planned.is_empty and not report.failures
        report.status = "unchanged" if current else "updated"
        if as_json:
            print_json(
                {
                    **report.as_dict(),
                    "exit_code": int(check and not current),
                    "up_to_date": current,
                    "model": planned.identity.backend.model.name,
                    "indexed_files": planned.indexed_files,
                    **plan_dict(planned),
                }
            )
        else:
            print_status(report, planned)
        print_failures(report)
    return int(check and not current)


@cli.command(cls=ProjectCommand)
@path_argument
@trust_option
@place_options
@tree_options
@work_options
@option(
    "--repair",
    is_flag=True,
    help="Rewrite the files that differ, and remove rows of no file.",
)
@json_option
@verbose_option
def verify(
    path: str,
    repair: bool,
    as_json: bool,
    verbose: int,
    **options: Any,
) -> int:
    """Compare every row of the collection with what its file gives now.

    Reads every file and every row; exits 1 and lists what differs, 0 when nothing does.
    With --repair it exits like a run: 0 when, after it, nothing differs.
    """
    report = Report()
    with reporting(report, as_json, verbose):
        from indexer.verify import verify as find_differences

        settings = make_settings(path, **options)
        _place(report, settings)
        differences = find_differences(settings, report)
        if repair and differences:
            return _repair(settings, differences, as_json=as_json, verbose=verbose)
        report.status = "failed" if differences else "unchanged"
        if as_json:
            found = differences_dict(differences)
            print_json({**report.as_dict(), "differences": found})
        elif differences:
            print_differences(differences)
            click.echo(
                f"the index differs from the tree in {count_text(len(differences), 'place')}: "
                "codx-index verify --repair rewrites what does",
                err=True,
            )
        else:
            click.echo(
                f"verified: {count_text(report.chunks.total, 'row')} of "
                f"{count_text(report.files.unchanged, 'file')} equal the tree"
            )
    return report.exit_code


def _repair(
    settings: Settings, differences: list[Difference], *, as_json: bool, verbose: int
) -> int:
    """Run with the differing files in doubt, then look again."""
    from indexer.verify import verify as find_differences

    report = Report()
    _place(report, settings)
    with reporting(report, as_json, verbose):
        doubted = {difference.path for difference in differences}
        _run(settings, report, quiet=as_json, doubted=doubted)
        left = [] if report.exit_code else find_differences(settings, Report())
        if left:
            report.status = "failed"
            report.error = f"{shown(left[0].path)}: {left[0].problem}, still"
        if as_json:
            found = differences_dict(differences)
            print_json({**report.as_dict(), "differences": found})
        else:
            print_differences(differences)
            click.echo(f"repaired; {summary(report)}" if not left else report.error)
        print_failures(report)
    return report.exit_code


@cli.command(cls=ProjectCommand)
@path_argument
@trust_option
@place_options
@option("--yes", also=("-y",), is_flag=True, help="Do not ask.")
@verbose_option
def clear(path: str, yes: bool, verbose: int, **options: Any) -> int:
    """Remove the index of the project in PATH: its collection and its state."""
    with reporting(Report(), False, verbose):
        from indexer.index import clear as clear_index

        settings = make_settings(path, **options)
        question = f"Remove {settings.collection_name} at {shown(settings.address)}?"
        if not yes and not click.confirm(question, err=True):
            return 1
        removed = clear_index(settings)
        click.echo("removed" if removed else "there was no index")
    return 0


@cli.command()
@click.argument("path", default=".", type=click.Path(readable=False))
@option("--force", is_flag=True, help="Write over a file that is there.")
def init(path: str, force: bool) -> int:
    """Write a codx-index.toml with every setting, commented out, to the folder PATH."""
    with reporting(Report(), False, 0):
        from indexer.project_template import TEMPLATE
        from indexer.projects import OWN_FILE

        name = os.path.join(project_folder(path), OWN_FILE)
        try:
            with open(name, "w" if force else "x", encoding="utf-8") as file:
                file.write(TEMPLATE)
                os.fchmod(file.fileno(), 0o644)  # nothing in it is a secret
        except FileExistsError:
            raise UsageError(
                f"{name} is there already (--force writes over it)"
            ) from None
        except OSError as error:
            raise UsageError(f"cannot write {name}: {error.strerror}") from error
        click.echo(f"wrote {shown(name)}")
    return 0


@cli.group("config")
def config_group() -> None:
    """Look at the settings of a project."""


@config_group.command("show")
@path_argument
@json_option
@verbose_option
def config_show(path: str, as_json: bool, verbose: int) -> int:
    """Print each setting that a run in PATH would have, and where it comes from."""
    with reporting(Report(), as_json, verbose):
        found = list(settings_of(run, project_folder(path)))
        if as_json:
            print_json({"settings": {one.name: asdict(one) for one in found}})
        else:
            print_settings(found)
    return 0


@cli.group("cache")
def cache_group() -> None:
    """Look after the embedding cache, which all projects share."""


@cache_group.command("info")
@cache_dir_option
@cache_size_option
@json_option
@verbose_option
def cache_info(cache_dir: str, cache_size: int, as_json: bool, verbose: int) -> int:
    """Say where the cache is, how big, and what is in it."""
    with reporting(Report(), as_json, verbose):
        from indexer.cache_admin import cache_bytes, describe
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
@cache_dir_option
@cache_size_option
@verbose_option
def cache_prune(cache_dir: str, cache_size: int, verbose: int) -> int:
    """Bring the cache under its size now, as each run does at its end.

    What was not used for the longest time goes first; with size 0, everything does.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache_admin import prune

        pruned = prune(cache_folder(cache_dir), cache_size)
        click.echo(
            f"removed {entries_text(pruned.entries)}, {size_text(pruned.bytes)}; "
            f"now {size_text(pruned.bytes_left)} of {size_text(cache_size)}"
        )
        if pruned.error:
            raise CacheError(f"could not prune all of it: {pruned.error}")
    return 0


@cache_group.command("export")
@click.argument("file", type=click.Path(readable=False))
@cache_dir_option
@verbose_option
def cache_export(file: str, cache_dir: str, verbose: int) -> int:
    """Write all of the cache to FILE, for a CI job or a colleague.

    Only an earlier export is overwritten.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache_transfer import export_entries

        count = export_entries(cache_folder(cache_dir), file, log.warn)
        click.echo(f"exported {entries_text(count)}")
    return 0


@cache_group.command("import")
@click.argument("file", type=click.Path(readable=False))
@cache_dir_option
@verbose_option
def cache_import(file: str, cache_dir: str, verbose: int) -> int:
    """Add what FILE, written by export, has and the cache has not.

    Checksums find damage, not forgery: import only what comes from people you trust.
    """
    with reporting(Report(), False, verbose):
        from indexer.cache_transfer import import_entries

        done = import_entries(cache_folder(cache_dir), os.path.abspath(file), log.warn)
        line = f"imported {done.new:,} new of {entries_text(done.entries)}"
        if done.damaged:
            line += f"; {done.damaged:,} damaged and left out"
        click.echo(line)
    return 0


def _place(report: Report, settings: Settings) -> None:
    report.project = settings.project
    report.collection = settings.collection_name
    report.uri = settings.address


def main() -> None:
    """Entry point of the console script, `python -m indexer` and `cli.py`."""
    os.umask(0o077)  # the index holds the project's source
    _hide_token()
    ended: list[int] = []
    atexit.register(_skip_teardown, ended)
    ended.append(exit_code(sys.argv[1:]))
    sys.exit(ended[0])


def exit_code(arguments: list[str]) -> int:
    """Do what a command line says. Returns its exit code, or raises `SystemExit` with it.

    What belongs to the process and not to the command is in `main`, so that a process can
    call this any number of times.
    """
    try:
        code = cli.main(arguments, prog_name="codx-index", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "codx-index"
        message = error.format_message().rstrip(".")
        click.echo(f"codx-index: {message} (see {where} --help)", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"codx-index: {error.format_message()}", err=True)
        return error.exit_code
    except CodxIndexError as error:  # in a file of the project
        click.echo(f"codx-index: {printable(str(error))}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):  # also the end of input at a question
        click.echo(err=True)
        return 128 + signal.SIGINT
    return code if isinstance(code, int) else 0


def _hide_token() -> None:
    """Keep a `--token` of the command line out of the list of processes."""
    shown = [
        (
            "--token=***"
            if value.startswith("--token=")
            else "***" if before == "--token" else value
        )
        for before, value in zip(["", *sys.argv], sys.argv)
    ]
    if shown != sys.argv:
        from setproctitle import setproctitle

        setproctitle(" ".join(shown))


def _skip_teardown(ended: list[int]) -> None:
    """Leave at once, as the last thing at exit: unloading Milvus and the model, which the
    system does as well, takes 0.3 s."""
    if ended:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended[0])
