"""The options of the commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

from indexer.config import (
    AUTO,
    DEFAULT_CACHE_SIZE,
    DEFAULT_CONCURRENCY,
    DEFAULT_HOOK_TIMEOUT,
    DEFAULT_MAX_FILE_SIZE,
    DEFAULT_MODEL,
    DEFAULT_TASK_TIMEOUT,
    EXECUTORS,
    HYBRID,
    MASK_SECRETS,
    PRECISIONS,
    SECRETS,
    SPARSE,
)

F = TypeVar("F", bound=Callable[..., Any])


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


class Duration(click.ParamType[float]):
    """Seconds, or a number with a unit: 90, 30s, 10m, 1h, 2d."""

    name = "duration"
    _units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value).strip().lower()
        unit = text[-1:] if text[-1:].isalpha() else ""
        try:
            seconds = float(text.removesuffix(unit)) * self._units[unit]
        except (KeyError, ValueError):
            seconds = -1
        if not 0 <= seconds < float("inf"):
            self.fail(
                f"{value!r} is not a time like 90, 30s, 10m, 1h or 2d", param, ctx
            )
        return seconds


class CommandLine(click.ParamType[tuple[str, ...]]):
    """A program and its arguments, as a shell would split them; no shell runs it."""

    name = "command"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            self.fail(f"{value!r} is no command: {error}", param, ctx)


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


mentions_option = option(
    "--mentions/--no-mentions",
    default=True,
    show_default=True,
    help="Look for mentions, texts for an assistant, in changed files, and leave alone those that "
    "are being worked on.",
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
            "--mode",
            default=HYBRID,
            show_default=True,
            type=click.Choice((HYBRID, SPARSE)),
            help="What every chunk is to have: hybrid is terms and a vector; with sparse, "
            "nothing is embedded and no model is loaded.",
        ),
        mentions_option,
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
            "--external-folders",
            multiple=True,
            type=click.Path(readable=False),
            help="Index the files of this folder too, which lies elsewhere (repeatable).",
        ),
        option(
            "--ignore-containing",
            multiple=True,
            metavar="TEXT",
            help="Leave out files with this text in their path (repeatable).",
        ),
        option(
            "--ignore",
            multiple=True,
            metavar="PATTERN",
            help="Leave out what this pattern, as in a .gitignore, matches (repeatable).",
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


def hook_options(function: F) -> F:
    """Options about what goes on around a run."""
    for decorate in (
        *_program_options("wiki", "asked for a summary of each file of the wiki"),
        option(
            "--wiki-path",
            default="",
            type=click.Path(readable=False),
            help="Folder of the wiki.  [default: PATH/.codx/wiki]",
        ),
        option(
            "--wiki/--no-wiki",
            default=False,
            show_default=True,
            help="Keep a wiki of the project in Markdown, which MkDocs can build.",
        ),
        *_program_options(
            "mentions", "asked about each file with mentions, before it is indexed"
        ),
        option(
            "--webhook",
            default="",
            metavar="URL",
            help="Send what happens to this address. With CODX_INDEX_WEBHOOK_SECRET set, "
            "requests are signed.",
        ),
        option(
            "--events",
            default="",
            metavar="FILE",
            help="Write what happens to FILE, one JSON object a line; - is stdout, fd:N an "
            "open descriptor.",
        ),
        option(
            "--metrics",
            default="",
            metavar="FILE",
            type=click.Path(readable=False),
            help="Write the figures of the run to FILE, for Prometheus' textfile collector.",
        ),
    ):
        function = decorate(function)
    return function


def _program_options(kind: str, what: str) -> list[Callable[[F], F]]:
    return [
        option(
            f"--{kind}-timeout",
            default=DEFAULT_HOOK_TIMEOUT,
            type=Duration(),
            help=f"Time that the {kind} command has for a file; 0: no limit.  [default: 5m]",
        ),
        option(
            f"--{kind}-concurrency",
            default=DEFAULT_CONCURRENCY,
            show_default=True,
            type=click.IntRange(1, 256),
            help=f"How many of the {kind} commands run at the same time.",
        ),
        option(
            f"--{kind}-command",
            default="",
            type=CommandLine(),
            help=f"Program that is {what}: JSON on its stdin, no shell.",
        ),
    ]


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
    "--verbose",
    also=("-v",),
    count=True,
    help="Say more, on stderr; twice: each file and step.",
)
log_format_option = option(
    "--log-format",
    default="text",
    show_default=True,
    type=click.Choice(("text", "json")),
    help="How the lines on stderr are written.",
)


trust_option = option(
    "--trust/--no-trust",
    default=None,
    help="Follow settings in the files of the project that run programs or reach outside of "
    "it, or leave these out.  [default: exit 2 where there are some]",
)
