"""The options of the commands, and the settings that they come to.

An option on the command line counts more than its variable in the environment, this more
than the files of the project, and these more than the default.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from indexer.config import (
    AUTO,
    DEFAULT_CACHE_SIZE,
    DEFAULT_CONCURRENCY,
    DEFAULT_HOOK_TIMEOUT,
    DEFAULT_MAX_FILE_SIZE,
    DEFAULT_TASK_TIMEOUT,
    EXECUTORS,
    MASK_SECRETS,
    PRECISIONS,
    SECRETS,
    MentionSettings,
    Settings,
    WikiSettings,
    check_collection,
    check_uri,
    project_folder,
)
from indexer.errors import UsageError
from indexer.projects import NEEDS_TRUST, ProjectFiles, read_project_files

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_MODEL = "all-MiniLM-L6-v2"


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

_OPTION_OF = {"mentions.enabled": "mentions", "wiki.enabled": "wiki"}
_PATHS = frozenset("cache-dir events external-folders metrics uri wiki.path".split())


def _parameter(key: str) -> str:
    return _OPTION_OF.get(key) or key.replace(".", "_").replace("-", "_")


class ProjectCommand(click.Command):
    """A command on a project, whose files give the defaults of its options.

    The context's `obj` are the `ProjectFiles`.
    """

    def folder_of(self, path: str) -> str:
        """The folder with the files of the project that PATH means."""
        return path

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        path = given.get("path")
        files = project_files(self.folder_of(path if isinstance(path, str) else "."))
        rest = self._parse(ctx, args, files)
        if untrusted := self._untrusted(ctx, files):
            if ctx.params["trust"] is None:
                raise UsageError(
                    f"{files.settings[untrusted[0]].place} could run a program or reach outside "
                    "of the project: allow it with --trust (CODX_INDEX_TRUST=1), or leave "
                    "such settings out with --no-trust"
                )
            kept = {k: v for k, v in files.settings.items() if k not in untrusted}
            files = ProjectFiles(files.folder, kept)
            ctx.params.clear()
            rest = self._parse(ctx, args, files)
        ctx.obj = files
        return rest

    def _parse(
        self, ctx: click.Context, args: list[str], files: ProjectFiles
    ) -> list[str]:
        ctx.default_map = {
            _parameter(key): _in_folder(files.folder, key, setting.value)
            for key, setting in files.settings.items()
        }
        try:
            return super().parse_args(ctx, list(args))
        except click.BadParameter as error:
            for key, setting in files.settings.items():
                name = _parameter(key)
                if (
                    error.param
                    and error.param.name == name
                    and _is_from_file(ctx, name)
                ):
                    raise UsageError(f"{setting.place}: {error.message}") from error
            raise

    def _untrusted(self, ctx: click.Context, files: ProjectFiles) -> list[str]:
        """The settings that this command would follow and that need trust."""
        if ctx.params.get("trust"):
            return []
        return [
            key
            for key in files.settings
            if key in NEEDS_TRUST
            and (key == "project_path" or _is_from_file(ctx, _parameter(key)))
            and not _stays_inside(files, key)
        ]


class SearchCommand(ProjectCommand):
    """A command for which PATH may be a folder in the project."""

    def folder_of(self, path: str) -> str:
        from indexer.search import indexed_project

        return indexed_project(os.path.realpath(path))


def _is_from_file(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def _stays_inside(files: ProjectFiles, key: str) -> bool:
    """Does a path lead to a place in the project?"""
    if key not in ("wiki.path", "project_path"):
        return False
    root = os.path.realpath(files.folder)
    path = os.path.realpath(os.path.join(root, files.text(key)))
    return path == root or path.startswith(os.path.join(root, ""))


def project_files(path: str) -> ProjectFiles:
    """The settings of the project at `path`; none where there is no such folder, which is
    for others to say."""
    if not os.path.isdir(path):
        return ProjectFiles(path)
    return read_project_files(os.path.realpath(path))


def _in_folder(folder: str, key: str, value: Any) -> Any:
    """A path in a file of the project is relative to the project."""
    if key not in _PATHS:
        return value
    if not isinstance(value, str):
        return [_in_folder(folder, key, one) for one in value]
    if value in ("", "-") or value.startswith("fd:") or (key == "uri" and ":" in value):
        return value
    return os.path.join(folder, os.path.expanduser(value))


def cache_folder(cache_dir: str) -> str:
    """The absolute path of the cache, of the platform where none is given."""
    if not cache_dir:
        import platformdirs

        cache_dir = platformdirs.user_cache_dir("codx-index", appauthor=False)
    return os.path.abspath(os.path.expanduser(cache_dir))


def make_settings(
    path: str,
    *,
    cache_dir: str,
    uri: str,
    collection: str,
    trust: bool | None = None,
    **others: Any,
) -> Settings:
    """Settings from the values of options, all of those that the command of the current
    context has. Raises `UsageError` and `ProjectError`."""
    files = click.get_current_context().obj
    assert isinstance(files, ProjectFiles)
    project = project_folder(files.text("project_path") or path)
    for name in ("ignore", "ignore_containing", "external_folders"):
        if name in others:
            others[name] = tuple(others[name])
    if "external_folders" in others:
        others["external_folders"] = _external(project, others["external_folders"])
    wiki: dict[str, Any] = {}
    if wiki_path := others.pop("wiki_path", ""):
        wiki["folder"] = os.path.abspath(os.path.expanduser(wiki_path))
    elif wiki_path := files.text("wiki.path"):  # of a command that writes none
        wiki["folder"] = _in_folder(files.folder, "wiki.path", wiki_path)
    if "wiki" in others:
        wiki |= _group(others, "wiki")
    if "mentions_command" in others:
        others["mentions"] = MentionSettings(**_group(others, "mentions"))
    elif "mentions" in others:
        others["mentions"] = MentionSettings(enabled=others["mentions"])
    return Settings(
        project=project,
        cache_dir=cache_folder(cache_dir),
        uri=check_uri(uri),
        collection=check_collection(collection),
        name=files.text("name"),
        wiki=WikiSettings(**wiki),
        **others,
    )


def _group(options: dict[str, Any], kind: str) -> dict[str, Any]:
    """The options of one of the hooks, taken out."""
    return {
        "enabled": options.pop(kind),
        "command": options.pop(f"{kind}_command") or (),
        "concurrency": options.pop(f"{kind}_concurrency"),
        "timeout": options.pop(f"{kind}_timeout"),
    }


def _external(project: str, folders: Iterable[str]) -> tuple[str, ...]:
    """Absolute paths, without those that lie in the project anyway.

    Raises `UsageError` for one that holds the project, which would be there twice.
    """
    found: list[str] = []
    for folder in folders:
        path = os.path.realpath(os.path.expanduser(folder))
        if project.startswith(os.path.join(path, "")):
            raise UsageError(f"the external folder {path} holds the project itself")
        if path != project and not path.startswith(os.path.join(project, "")):
            found.append(path)
    return tuple(
        path
        for path in dict.fromkeys(found)
        if not any(path.startswith(os.path.join(other, "")) for other in found)
    )


@dataclass(frozen=True, slots=True)
class Found:
    """A setting and where it comes from: `source` is "environment", "file" or "default",
    `place` the variable, or the file and key. With `needs_trust` a run asks for --trust.
    """

    name: str
    value: Any
    source: str
    place: str
    needs_trust: bool


def settings_of(command: click.Command, folder: str) -> Iterator[Found]:
    """The settings that a run in this folder has without any options.

    Raises `UsageError` for one that cannot be.
    """
    files = project_files(folder)
    # Only looked at: what needs trust is shown, and marked.
    context = command.make_context("run", ["--trust", "--", folder])
    keys = {_parameter(key): key for key in files.settings}
    for parameter in command.params:
        name = parameter.name or ""
        key = keys.pop(name, "")
        if not isinstance(parameter, click.Option) or name in _NO_SETTINGS:
            continue
        source = context.get_parameter_source(name)
        value = context.params[name]
        needs_trust = False
        if name == "token" and value:
            value = "***"
        if source is ParameterSource.ENVIRONMENT:
            found, place = "environment", str(parameter.envvar)
        elif source is ParameterSource.DEFAULT_MAP:
            found, place = "file", files.settings[key].place
            needs_trust = key in NEEDS_TRUST and not _stays_inside(files, key)
        else:
            found, place = "default", ""
        shown_name = parameter.opts[0].removeprefix("--")
        yield Found(shown_name, value, found, place, needs_trust)
    for key in keys.values():  # of the project itself, no options
        setting = files.settings[key]
        needs_trust = key in NEEDS_TRUST and not _stays_inside(files, key)
        yield Found(key, setting.value, "file", setting.place, needs_trust)


# What is asked of one run, and no setting.
_NO_SETTINGS = frozenset(
    "dry_run files files_from force null profile quiet retry_failed trace trust verbose as_json".split()
)


def given_arguments(context: click.Context, but: Set[str]) -> list[str]:
    """The options that stand on the command line, as arguments for another command that has
    all of them, `but` for these."""
    found: list[str] = []
    for option_ in context.command.params:
        name = option_.name or ""
        source = context.get_parameter_source(name)
        if source is not ParameterSource.COMMANDLINE or name in but:
            continue
        if not isinstance(option_, click.Option):
            continue
        value = context.params[name]
        if option_.count:
            found += option_.opts[:1] * value
        elif option_.is_flag:
            found += (option_.opts if value else option_.secondary_opts)[:1]
        elif option_.multiple:
            found += [f"{option_.opts[0]}={one}" for one in value]
        else:
            text = shlex.join(value) if isinstance(value, tuple) else value
            found.append(f"{option_.opts[0]}={text}")
    return found


def selected(
    project: str, files: Sequence[str], listed: Iterable[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """All selected paths, and those that a person named, relative to the project.

    Raises `UsageError` for what lies elsewhere.
    """
    named = frozenset(_relative(project, path) for path in files)
    return named | {_relative(project, path) for path in listed}, named


def _relative(project: str, path: str) -> str:
    # The last part may be a symlink, or gone; the folders before it may be reached by one.
    folder, name = os.path.split(os.path.abspath(path))
    whole = os.path.join(os.path.realpath(folder), name)
    if whole == project:
        return ""
    if not whole.startswith(os.path.join(project, "")):
        raise UsageError(f"{path} is not in the project {project}")
    return os.path.relpath(whole, project)
