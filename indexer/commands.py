"""The command line: the only place that prints or chooses an exit code."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import asdict
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from indexer import __version__
from indexer.config import (
    AUTO,
    DEFAULT_CACHE_SIZE,
    DEFAULT_MAX_FILE_SIZE,
    DEFAULT_TASK_TIMEOUT,
    EXECUTORS,
    MASK_SECRETS,
    PRECISIONS,
    SECRETS,
    Settings,
    check_collection,
    check_uri,
    project_folder,
)
from indexer.errors import CacheError, CodxIndexError, Stopped, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Set

    from tqdm import tqdm

    from indexer.cache_admin import CacheFile
    from indexer.report import Report
    from indexer.search import Hit
    from indexer.status import Plan
    from indexer.verify import Difference

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MODEL = "all-MiniLM-L6-v2"
SHOWN_FAILURES = 20
SHOWN_FILES = 10
SHOWN_DIFFERENCES = 50
SHOWN_LINES = 4


# --- options ---------------------------------------------------------------------------


class Size(click.ParamType[int]):
    """A number of bytes, with an optional unit: 500k, 2MiB."""

    name = "size"
    _units = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        number = str(value).lower().removesuffix("b").removesuffix("i")
        unit = number[-1:] if number[-1:].isalpha() else ""
        try:
            size = int(float(number.removesuffix(unit)) * self._units[unit])
        except (KeyError, ValueError, OverflowError):
            size = -1
        if size < 0:
            self.fail(f"{value!r} is not a size like 500k or 2MiB", param, ctx)
        return size


def option(name: str, **attributes: Any) -> Callable[[F], F]:
    """A click option that can also be set as CODX_INDEX_<NAME>."""
    main = name.partition("/")[0].strip("-")
    variable = "CODX_INDEX_" + main.replace("-", "_").upper()
    names = [name, *attributes.pop("also", ())]
    return click.option(*names, envvar=variable, show_envvar=True, **attributes)


def path_argument(function: F) -> F:
    """The project's folder, the current one by default."""
    # What is wrong with a path is for project_folder to say.
    kind = click.Path(readable=False)
    return click.argument("path", default=".", type=kind)(function)


cache_dir_option = option(
    "--cache-dir",
    default="",
    type=click.Path(readable=False),
    help="Folder of the embedding cache and of converted models, shared by all "
    "projects.  [default: the platform's user cache folder]",
)
cache_size_option = option(
    "--cache-size",
    default=DEFAULT_CACHE_SIZE,
    type=Size(),
    help="Bound of the embedding cache; what was not used for the longest time goes "
    "first. 0: no cache.  [default: 2GiB]",
)


def place_options(function: F) -> F:
    """Options that say which index is meant."""
    for decorate in (
        cache_dir_option,
        option(
            "--model",
            default=DEFAULT_MODEL,
            show_default=True,
            help="Any sentence-transformers model, or the path of a local one (./folder).",
        ),
        option(
            "--precision",
            default=AUTO,
            show_default=True,
            type=click.Choice(PRECISIONS),
            help="How the model computes: auto is bf16 where the CPU has it, else f32; int8 "
            "is faster and less exact, and needs the extra codx-index[int8].",
        ),
        option(
            "--collection",
            default="",
            help="Name of the collection.  [default: from the project's folder]",
        ),
        option(
            "--token",
            default="",
            help="Token of the Milvus server; safer in the variable than here.",
        ),
        option(
            "--uri",
            default="",
            help="Milvus to write to: http(s)://host:port, or a local path ending in "
            ".db.  [default: the embedded database in PATH/.codx/index]",
        ),
    ):
        function = decorate(function)
    return function


def tree_options(function: F) -> F:
    """Options that say what of the tree belongs to the index."""
    for decorate in (
        option(
            "--secrets",
            default=MASK_SECRETS,
            show_default=True,
            type=click.Choice(SECRETS),
            help="What to do about credentials in the text of a file: mask each, leave out "
            "the file, or nothing.",
        ),
        option(
            "--include-secrets",
            is_flag=True,
            help="Index files that are left out for their name, such as .env or id_rsa.",
        ),
        option(
            "--recurse-submodules/--no-recurse-submodules",
            default=True,
            show_default=True,
            help="Index the files of git submodules that are checked out.",
        ),
        option(
            "--max-file-size",
            default=DEFAULT_MAX_FILE_SIZE,
            type=Size(),
            help="Skip larger files; 500k, 2MiB.  [default: 1MiB]",
        ),
    ):
        function = decorate(function)
    return function


def work_options(function: F) -> F:
    """Options that say how the CPU-bound work is done."""
    for decorate in (
        cache_size_option,
        option(
            "--task-timeout",
            default=DEFAULT_TASK_TIMEOUT,
            show_default=True,
            type=click.FloatRange(min=0),
            help="Seconds that a worker has for one task before it is stopped and the file "
            "to blame fails; 0: no limit.",
        ),
        option(
            "--executor",
            default="process",
            show_default=True,
            type=click.Choice(EXECUTORS),
            help="What runs chunking and embedding.",
        ),
        option(
            "--jobs",
            also=("-j",),
            default=0,
            type=click.IntRange(0, 1024),
            help="Number of workers.  [default: the CPUs this process may use]",
        ),
    ):
        function = decorate(function)
    return function


json_option = option(
    "--json", also=("as_json",), is_flag=True, help="Print one JSON object."
)
verbose_option = option(
    "--verbose", also=("-v",), is_flag=True, help="Say more, on stderr."
)


def _cache_folder(cache_dir: str) -> str:
    if not cache_dir:
        import platformdirs

        cache_dir = platformdirs.user_cache_dir("codx-index", appauthor=False)
    return os.path.abspath(os.path.expanduser(cache_dir))


def _settings(path: str, *, cache_dir: str, uri: str, **others: Any) -> Settings:
    return Settings(
        project=project_folder(path),
        cache_dir=_cache_folder(cache_dir),
        uri=check_uri(uri),
        collection=check_collection(others.pop("collection")),
        **others,
    )


# --- commands --------------------------------------------------------------------------


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Every option can also be set in the environment, as shown in its help.",
)
@click.version_option(__version__, "-V", "--version", prog_name="codx-index")
def cli() -> None:
    """Make a Milvus collection equal to a source tree, and search it."""


@cli.command()
@path_argument
@place_options
@tree_options
@work_options
@option("--force", is_flag=True, help="Index every file again, changed or not.")
@option(
    "--retry-failed",
    is_flag=True,
    help="Try again the files that failed before and have not changed since.",
)
@option(
    "--wait",
    default=0,
    type=click.FloatRange(min=0),
    help="Seconds to wait for another run on this index.  [default: exit 75 at once]",
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
@json_option
@option("--quiet", also=("-q",), is_flag=True, help="Print nothing but errors.")
@verbose_option
def run(
    path: str,
    dry_run: bool,
    profile: bool,
    trace: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Make the index of the project in PATH equal to its files.

    PATH is the folder of the project; the current one by default. Only what changed since
    the last run is read, embedded and written.

    \b
    Exit codes:
      0   the index equals the tree
      1   failed; the message says why
      2   wrong usage
      3   done, but some files could not be indexed (listed)
      69  Milvus cannot be reached
      75  another run is at work on this index
      128+n  stopped by signal n (130: ctrl-C); what was done is kept
    """
    from indexer.report import Report

    report = Report()
    with _reporting(report, as_json=as_json, verbose=verbose), _traced(trace, report):
        settings = _settings(path, **options)
        _place(report, settings)
        if dry_run:
            from indexer.status import plan

            planned = plan(settings, report)
            report.status = "unchanged" if planned.is_empty else "updated"
            report.status = "partial" if report.failures else report.status
            if as_json:
                _print_json(
                    {**report.as_dict(), "dry_run": True, **_plan_dict(planned)}
                )
            elif not quiet:
                _print_plan(planned)
                click.echo(_behind(planned) or "nothing to do")
            _print_failures(report)
            return report.exit_code
        _run(settings, report, quiet=quiet or as_json, verbose=verbose)
        if as_json:
            about = {"profile": report.profile()} if profile else {}
            _print_json({**report.as_dict(), **about})
        elif not quiet:
            click.echo(_summary(report))
            if profile:
                click.echo(_profile(report))
        _print_failures(report)
    return report.exit_code


@contextmanager
def _traced(path: str, report: Report) -> Iterator[None]:
    """Write the timeline of the block to the file at `path`, if there is one to write,
    however the block ends."""
    if not path:
        yield
        return
    from indexer.timeline import write_trace

    try:
        file = open(path, "w", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the trace cannot be written to {path}: {error.strerror}"
        ) from error
    with file:
        try:
            yield
        finally:
            write_trace(file, report.spans.found, "worker")


def _run(
    settings: Settings,
    report: Report,
    *,
    quiet: bool,
    verbose: bool,
    doubted: Set[str] = frozenset(),
) -> None:
    from indexer.report import RUN
    from indexer.stamp import is_unchanged

    report.spans.begin("start")
    with (
        Bars(quiet=quiet, verbose=verbose) as bars,
        _Signals() as signals,
        report.spans.span(RUN),
    ):
        if settings.force or doubted or not is_unchanged(settings, report):
            from indexer.pipeline import run as run_pipeline

            run_pipeline(settings, report, bars, signals, doubted)


@cli.command()
@click.argument("query")
@path_argument
@place_options
@option(
    "--limit",
    also=("-k",),
    default=10,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Number of hits.",
)
@json_option
@verbose_option
def search(
    query: str, path: str, limit: int, as_json: bool, verbose: bool, **options: Any
) -> int:
    """Find the chunks of the project in PATH that are nearest in meaning to QUERY."""
    from indexer.report import Report

    with _reporting(Report(), as_json=as_json, verbose=verbose):
        from indexer.search import indexed_project
        from indexer.search import search as find

        if not query.strip():
            raise click.UsageError("the query is empty: say what to look for")
        settings = _settings(indexed_project(project_folder(path)), **options)
        hits = find(settings, query, limit)
        if as_json:
            _print_json({"query": query, "hits": [asdict(hit) for hit in hits]})
        else:
            click.echo("\n\n".join(_hit(hit) for hit in hits) or "no hits")
    return 0


@cli.command()
@path_argument
@place_options
@tree_options
@option("--check", is_flag=True, help="Exit 1 when the index is not up to date.")
@json_option
@verbose_option
def status(path: str, check: bool, as_json: bool, verbose: bool, **options: Any) -> int:
    """Say what a run would do, how big the index is, and which model it uses."""
    from indexer.report import Report

    report = Report()
    with _reporting(report, as_json=as_json, verbose=verbose):
        from indexer.status import plan

        settings = _settings(path, **options)
        _place(report, settings)
        planned = plan(settings, report)
        current = planned.is_empty and not report.failures
        report.status = "unchanged" if current else "updated"
        if as_json:
            _print_json(
                {
                    **report.as_dict(),
                    "exit_code": int(check and not current),
                    "up_to_date": current,
                    "model": planned.identity.backend.model.name,
                    "indexed_files": planned.indexed_files,
                    **_plan_dict(planned),
                }
            )
        else:
            _print_status(report, planned)
        _print_failures(report)
    return int(check and not current)


@cli.command()
@path_argument
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
    path: str, repair: bool, as_json: bool, verbose: bool, **options: Any
) -> int:
    """Compare every row of the collection with what its file gives now.

    Reads every file and every row; exits 1 and lists what differs, 0 when nothing does.
    With --repair it exits like a run: 0 when, after it, nothing differs.
    """
    from indexer.report import Report

    report = Report()
    with _reporting(report, as_json=as_json, verbose=verbose):
        from indexer.verify import verify as find_differences

        settings = _settings(path, **options)
        _place(report, settings)
        differences = find_differences(settings, report)
        if repair and differences:
            return _repair(settings, differences, as_json=as_json, verbose=verbose)
        report.status = "failed" if differences else "unchanged"
        if as_json:
            found = _differences_dict(differences)
            _print_json({**report.as_dict(), "differences": found})
        elif differences:
            _print_differences(differences)
            click.echo(
                f"the index differs from the tree in {_count(len(differences), 'place')}: "
                "codx-index verify --repair rewrites what does",
                err=True,
            )
        else:
            click.echo(
                f"verified: {_count(report.chunks.total, 'row')} of "
                f"{_count(report.files.unchanged, 'file')} equal the tree"
            )
    return report.exit_code


def _repair(
    settings: Settings, differences: list[Difference], *, as_json: bool, verbose: bool
) -> int:
    """Run with the differing files in doubt, then look again."""
    from indexer.report import Report
    from indexer.verify import verify as find_differences

    report = Report()
    _place(report, settings)
    with _reporting(report, as_json=as_json, verbose=verbose):
        doubted = {difference.path for difference in differences}
        _run(settings, report, quiet=as_json, verbose=verbose, doubted=doubted)
        left = [] if report.exit_code else find_differences(settings, Report())
        if left:
            report.status = "failed"
            report.error = f"{_shown(left[0].path)}: {left[0].problem}, still"
        if as_json:
            found = _differences_dict(differences)
            _print_json({**report.as_dict(), "differences": found})
        else:
            _print_differences(differences)
            click.echo(f"repaired; {_summary(report)}" if not left else report.error)
        _print_failures(report)
    return report.exit_code


@cli.command()
@path_argument
@place_options
@option("--yes", also=("-y",), is_flag=True, help="Do not ask.")
@verbose_option
def clear(path: str, yes: bool, verbose: bool, **options: Any) -> int:
    """Remove the index of the project in PATH: its collection and its state."""
    from indexer.report import Report

    with _reporting(Report(), as_json=False, verbose=verbose):
        from indexer.index import clear as clear_index

        settings = _settings(path, **options)
        question = f"Remove {settings.collection_name} at {_shown(settings.address)}?"
        if not yes and not click.confirm(question, err=True):
            return 1
        removed = clear_index(settings)
        click.echo("removed" if removed else "there was no index")
    return 0


@cli.group("cache")
def cache_group() -> None:
    """Look after the embedding cache, which all projects share."""


@cache_group.command("info")
@cache_dir_option
@cache_size_option
@json_option
@verbose_option
def cache_info(cache_dir: str, cache_size: int, as_json: bool, verbose: bool) -> int:
    """Say where the cache is, how big, and what is in it."""
    from indexer.report import Report

    with _reporting(Report(), as_json=as_json, verbose=verbose):
        from indexer.cache_admin import cache_bytes, describe
        from indexer.paths import escape_path

        folder = _cache_folder(cache_dir)
        size, files = cache_bytes(folder), describe(folder)
        if as_json:
            _print_json(
                {
                    "folder": escape_path(folder),
                    "bytes": size,
                    "limit": cache_size,
                    "files": [asdict(file) for file in files],
                }
            )
        else:
            click.echo(f"{'folder':<8}{_shown(folder)}")
            click.echo(f"{'size':<8}{_size(size)} of {_size(cache_size)}")
            for file in files:
                click.echo(_cache_line(file))
    return 0


@cache_group.command("prune")
@cache_dir_option
@cache_size_option
@verbose_option
def cache_prune(cache_dir: str, cache_size: int, verbose: bool) -> int:
    """Bring the cache under its size now, as each run does at its end.

    What was not used for the longest time goes first; with size 0, everything does.
    """
    from indexer.report import Report

    with _reporting(Report(), as_json=False, verbose=verbose):
        from indexer.cache_admin import prune

        pruned = prune(_cache_folder(cache_dir), cache_size)
        click.echo(
            f"removed {_entries(pruned.entries)}, {_size(pruned.bytes)}; "
            f"now {_size(pruned.bytes_left)} of {_size(cache_size)}"
        )
        if pruned.error:
            raise CacheError(f"could not prune all of it: {pruned.error}")
    return 0


@cache_group.command("export")
@click.argument("file", type=click.Path(readable=False))
@cache_dir_option
@verbose_option
def cache_export(file: str, cache_dir: str, verbose: bool) -> int:
    """Write all of the cache to FILE, for a CI job or a colleague.

    Only an earlier export is overwritten.
    """
    from indexer.report import Report

    with _reporting(Report(), as_json=False, verbose=verbose):
        from indexer.cache_transfer import export_entries

        count = export_entries(_cache_folder(cache_dir), file, _warn)
        click.echo(f"exported {_entries(count)}")
    return 0


@cache_group.command("import")
@click.argument("file", type=click.Path(readable=False))
@cache_dir_option
@verbose_option
def cache_import(file: str, cache_dir: str, verbose: bool) -> int:
    """Add what FILE, written by export, has and the cache has not.

    Checksums find damage, not forgery: import only what comes from people you trust.
    """
    from indexer.report import Report

    with _reporting(Report(), as_json=False, verbose=verbose):
        from indexer.cache_transfer import import_entries

        done = import_entries(_cache_folder(cache_dir), os.path.abspath(file), _warn)
        line = f"imported {done.new:,} new of {_entries(done.entries)}"
        if done.damaged:
            line += f"; {done.damaged:,} damaged and left out"
        click.echo(line)
    return 0


# --- the terminal ----------------------------------------------------------------------


class Bars:
    """A tqdm bar on a terminal's stderr; elsewhere silence, or lines with --verbose."""

    def __init__(self, *, quiet: bool, verbose: bool) -> None:
        self._is_shown = not quiet and sys.stderr.isatty()
        self._verbose = verbose
        self._bar: tqdm[Any] | None = None
        self._files = 0
        self._done = 0
        self._chunks = 0

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, message: str) -> None:
        if self._is_shown or self._verbose:
            click.echo(message, err=True)

    def warn(self, message: str) -> None:
        _warn(message)

    def start(self, files: int, size: int) -> None:
        self._files = files
        if self._verbose:
            click.echo(f"{_count(files, 'file')} may have changed", err=True)
        if self._is_shown and files:
            from tqdm import tqdm

            # Bytes tell the time left better than files: the largest come first.
            self._bar = tqdm(
                total=size,
                unit="B",
                unit_scale=True,
                leave=False,
                dynamic_ncols=True,
                desc=f" 0/{files:,} files",
                bar_format="{percentage:3.0f}% |{bar}|{desc}, {remaining} left",
            )

    def advance(self, size: int, chunks: int = 0) -> None:
        self._done += 1
        self._chunks += chunks
        if self._bar is not None:
            elapsed = self._bar.format_dict["elapsed"] or 1
            self._bar.set_description_str(
                f" {self._done:,}/{self._files:,} files, {self._chunks:,} chunks, "
                f"{self._chunks / elapsed:,.0f} chunks/s",
                refresh=False,
            )
            self._bar.update(size)


class _Signals:
    """The `Interrupts` of a run at a terminal: the first signal is a polite request to
    stop, the second an end."""

    _handled = ("SIGINT", "SIGTERM", "SIGHUP")

    def __init__(self) -> None:
        self.received = 0
        self._is_deferred = False
        self._old: dict[int, Any] = {}

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._is_deferred = True
        try:
            yield
        finally:
            self._is_deferred = False

    def __enter__(self) -> _Signals:
        for name in self._handled:
            if number := getattr(signal, name, None):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            # The manifest is dirty, so the next run reads the rows and repairs. Workers
            # end with this process.
            os._exit(128 + number)
        self.received = number
        if not self._is_deferred:
            raise Stopped(number)
        with suppress(OSError, RuntimeError):  # the terminal is gone, or was in a print
            sys.stderr.write(
                "codx-index: stopping; what is done is kept (once more: stop at once)\n"
            )


def _summary(report: Report) -> str:
    """One line where a program reads, a few where a person does."""
    files, chunks, seconds = report.files, report.chunks, report.seconds["total"]
    total = f"{_count(chunks.total, 'chunk')} in the index"
    if report.status == "unchanged":
        head = f"unchanged: {_count(files.unchanged, 'file')}, {total}"
        return f"{head} ({seconds:.1f} s)"
    changes = _changes(
        files.added, files.modified, files.renamed, files.deleted, files.failed
    )
    head = f"{report.status}: {changes or 'no files'}; {total}"
    work = (
        f"{chunks.embedded:,} embedded, {chunks.cached:,} from the cache, "
        f"{chunks.deleted:,} removed"
    )
    if not sys.stdout.isatty():
        return f"{head}; {work} ({seconds:.1f} s)"
    if report.status == "interrupted":
        head += "; run again to go on"
    lines = [head, f"  chunks   {work}"]
    if files.skipped:
        skipped = sorted(files.skipped.items(), key=lambda item: -item[1])
        text = ", ".join(f"{count:,} {_word(reason)}" for reason, count in skipped)
        lines.append(f"  skipped  {text}")
    rate = f", {chunks.embedded / seconds:,.0f} chunks/s" if chunks.embedded else ""
    lines.append(f"  time     {seconds:.1f} s{rate}")
    return "\n".join(lines)


def _profile(report: Report) -> str:
    """Two tables: the stages, and the slowest files."""
    from collections import Counter

    seconds = report.seconds
    total = max(seconds.pop("total"), 1e-9)
    counts = Counter(span.name for span in report.spans.found)
    lines = [f"{'stage':8}{'seconds':>9}{'of run':>8}{'times':>8}"]
    for stage, spent in seconds.items():
        if counts[stage]:
            lines.append(f"{stage:8}{spent:9.3f}{spent / total:8.0%}{counts[stage]:8,}")
    slowest = report.slowest()[:SHOWN_FILES]
    if slowest:
        lines.append(f"{'chunk s':>9}{'embed s':>9}{'chunks':>8}  slowest files")
    for file in slowest:
        lines.append(
            f"{file.chunk:9.3f}{file.embed:9.3f}{file.chunks:8,}  {_shown(file.path)}"
        )
    return "\n".join(lines)


def _changes(added: int, modified: int, renamed: int, deleted: int, failed: int) -> str:
    named = {
        "added": added,
        "modified": modified,
        "renamed": renamed,
        "deleted": deleted,
        "failed": failed,
    }
    return ", ".join(f"{count:,} {name}" for name, count in named.items() if count)


def _behind(planned: Plan) -> str:
    """What a run would do, in one line; "" when it would do nothing."""
    changes = _changes(
        len(planned.added),
        len(planned.modified),
        len(planned.renamed),
        len(planned.deleted),
        0,
    )
    return "; ".join(text for text in (planned.doubt, changes) if text)


def _print_plan(planned: Plan) -> None:
    for letter, paths in (("A", planned.added), ("M", planned.modified)):
        for name in paths:
            click.echo(f"{letter} {_shown(name)}")
    for old, new in planned.renamed:
        click.echo(f"R {_shown(old)} -> {_shown(new)}")
    for name in planned.deleted:
        click.echo(f"D {_shown(name)}")


def _plan_dict(planned: Plan) -> dict[str, object]:
    return {
        "doubt": planned.doubt,
        "plan": {
            "added": [_shown(name) for name in planned.added],
            "modified": [_shown(name) for name in planned.modified],
            "renamed": [[_shown(old), _shown(new)] for old, new in planned.renamed],
            "deleted": [_shown(name) for name in planned.deleted],
        },
    }


def _print_differences(differences: list[Difference]) -> None:
    for difference in differences[:SHOWN_DIFFERENCES]:
        click.echo(f"{_shown(difference.path) or 'index'}: {difference.problem}")
    if len(differences) > SHOWN_DIFFERENCES:
        click.echo(f"… and {len(differences) - SHOWN_DIFFERENCES:,} more")


def _differences_dict(differences: list[Difference]) -> list[dict[str, str]]:
    from indexer.paths import escape_path

    return [
        {"path": escape_path(difference.path), "problem": difference.problem}
        for difference in differences
    ]


def _print_status(report: Report, planned: Plan) -> None:
    backend = planned.identity.backend
    files = _count(planned.indexed_files, "file")
    behind = _behind(planned)
    for name, text in (
        ("project", _shown(report.project)),
        ("collection", f"{report.collection} at {_shown(report.uri)}"),
        (
            "model",
            f"{backend.model.name} ({backend.kind}, {backend.precision}, {backend.device})",
        ),
        ("index", f"{files}, {_count(report.chunks.total, 'chunk')}"),
        ("state", f"behind: {behind}" if behind else "up to date"),
    ):
        click.echo(f"{name:<11}{text}")


def _hit(hit: Hit) -> str:
    """path:start-end, score, symbol, and the first lines that say something."""
    head = f"{_shown_row(hit.path)}:{hit.start_line}-{hit.end_line}  {hit.score:.3f}"
    lines = [line for line in hit.text.split("\n") if line.strip()][:SHOWN_LINES]
    body = "\n".join(f"    {_printable(line.rstrip())[:160]}" for line in lines)
    return f"{head}  {_printable(hit.symbol)}".rstrip() + f"\n{body}"


def _print_failures(report: Report) -> None:
    for path, error in sorted(report.failures.items())[:SHOWN_FAILURES]:
        click.echo(f"codx-index: {_shown(path)}: {_printable(error)}", err=True)
    if len(report.failures) > SHOWN_FAILURES:
        more = len(report.failures) - SHOWN_FAILURES
        click.echo(f"codx-index: … and {_count(more, 'more file')}", err=True)


def _cache_line(file: CacheFile) -> str:
    if file.error:
        return f"{_shown(file.name)}: {_size(file.bytes)}, unreadable: {file.error}"
    model = f"{_printable(file.model)} ({_printable(file.precision)}, {file.dimension})"
    line = f"{model}: {_entries(file.entries)}, {_size(file.bytes)}"
    return f"{line}, last used {file.last_used}" if file.last_used else line


def _entries(number: int) -> str:
    return f"{number:,} " + ("entry" if number == 1 else "entries")


def _size(size: int) -> str:
    """Bytes as a person reads them: 118.2 MiB."""
    number, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"


def _warn(message: str) -> None:
    click.echo(f"codx-index: {_printable(message)}", err=True)


def _print_json(value: dict[str, object]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _word(reason: str) -> str:
    return reason.replace("_", " ")


def _shown(path: str) -> str:
    """A path fit for a terminal: bytes that are not UTF-8, and controls, escaped."""
    from indexer.paths import escape_path

    return _shown_row(escape_path(path))


def _shown_row(path: str) -> str:
    """The same, for a path as rows have it."""
    return _printable(path)


def _printable(text: str) -> str:
    """Without the characters that move a cursor or turn text around."""
    return "".join(
        char if char.isprintable() or char in "\t" else f"\\u{ord(char):04x}"
        for char in text
    )


# --- errors ----------------------------------------------------------------------------


def _place(report: Report, settings: Settings) -> None:
    report.project = settings.project
    report.collection = settings.collection_name
    report.uri = settings.address


@contextmanager
def _reporting(report: Report, *, as_json: bool, verbose: bool) -> Iterator[None]:
    """The one error boundary: a line for a person, an object for a program."""
    try:
        yield
        return
    except CodxIndexError as error:
        report.status, report.error_code = error.status, error.exit_code
        report.error = str(error)
        if verbose:
            traceback.print_exc()
    except Stopped as stopped:
        report.status, report.signal = "interrupted", stopped.number
        name = signal.Signals(stopped.number).name
        report.error = f"stopped by {name} before anything was changed"
    except (click.ClickException, click.Abort):
        raise
    except BrokenPipeError:
        # `codx-index search … | head` has what it wanted; click would exit 1.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        report.status, report.error_code = "failed", 1
        report.error = f"unexpected {type(error).__name__}: {error}"
        if verbose:
            traceback.print_exc()
        else:
            report.error += " (--verbose shows where)"
    if as_json:
        _print_json(report.as_dict())
    click.echo(f"codx-index: {_printable(' '.join(report.error.split()))}", err=True)
    sys.exit(report.exit_code)


def main() -> None:
    """Entry point of the console script, `python -m indexer` and `cli.py`."""
    os.umask(0o077)  # the index holds the project's source
    _hide_token()
    ended: list[int] = []
    atexit.register(_skip_teardown, ended)
    try:
        code = cli.main(prog_name="codx-index", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "codx-index"
        message = error.format_message().rstrip(".")
        click.echo(f"codx-index: {message} (see {where} --help)", err=True)
        code = 2
    except click.ClickException as error:
        click.echo(f"codx-index: {error.format_message()}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):  # also the end of input at a question
        click.echo(err=True)
        code = 128 + signal.SIGINT
    ended.append(code if isinstance(code, int) else 0)
    sys.exit(ended[0])


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
