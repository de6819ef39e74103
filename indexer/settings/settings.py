"""From options, environment and the files of a project to settings.

An option on the command line counts more than its variable in the environment, this more
than the files of the project, and these more than the default.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import click
from click.core import ParameterSource

from indexer.config import (
    DEFAULT_MODEL,
    MentionSettings,
    Settings,
    WikiSettings,
    check_collection,
    check_uri,
    project_folder,
)
from indexer.errors import UsageError
from indexer.settings.files import NEEDS_TRUST, ProjectFiles, read_project_files
from indexer.settings.options import path_argument, place_options, trust_option

_OPTION_OF = {"mentions.enabled": "mentions", "wiki.enabled": "wiki"}
_PATHS = frozenset("cache-dir events external-folders metrics uri wiki.path".split())


def _parameter(key: str) -> str:
    return _OPTION_OF.get(key) or key.replace(".", "_").replace("-", "_")


class ProjectCommand(click.Command):
    """A command on a project, whose files give the defaults of its options.

    The context's `obj` are the `ProjectFiles`.
    """

    def path_of(self, given: Mapping[str, Any]) -> str:
        """The PATH among the parameters that were given, the first of several."""
        path = given.get("path")
        return path if isinstance(path, str) else "."

    def folder_of(self, path: str) -> str:
        """The folder with the files of the project that PATH means."""
        return path

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        files = project_files(self.folder_of(self.path_of(given)))
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
            if _needs_trust(files, key)
            and (key == "project_path" or _is_from_file(ctx, _parameter(key)))
        ]


class SearchCommand(ProjectCommand):
    """A command for which PATH, the first of several, may be a folder in the project."""

    def path_of(self, given: Mapping[str, Any]) -> str:
        paths = given.get("paths")
        if not isinstance(paths, Sequence):
            paths = ()
        if isinstance(given.get("like"), str) and isinstance(given.get("query"), str):
            paths = (given["query"], *paths)  # there is no query then
        return paths[0] if paths else super().path_of(given)

    def folder_of(self, path: str) -> str:
        from indexer.settings.files import indexed_project

        return indexed_project(os.path.realpath(path))


def _is_from_file(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def _needs_trust(files: ProjectFiles, key: str) -> bool:
    return key in NEEDS_TRUST and not _stays_inside(files, key)


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
    context = click.get_current_context()
    files = context.obj
    assert isinstance(files, ProjectFiles)
    if _is_from_file(context, "model"):
        others["model_from"] = files.settings["model"].place
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


def reader_settings(
    where: str, *, collection: str, token: str, cache_dir: str, trust: bool | None
) -> Settings:
    """Settings for somebody who only reads, as a command would have them: of the project at
    or above the folder `where`, or of a collection at the address of a server.

    Raises `UsageError` and `ProjectError`.
    """
    if re.match(r"\w+://|unix:", where):
        if not collection:
            raise UsageError(f"which collection of {where}? Give its name")
        return Settings(
            project="",
            cache_dir=cache_folder(cache_dir),
            model=DEFAULT_MODEL,
            uri=check_uri(where),
            token=token or os.environ.get("CODX_INDEX_TOKEN", ""),
            collection=check_collection(collection),
        )
    given = {"collection": collection, "token": token, "cache-dir": cache_dir}
    arguments = [f"--{name}={value}" for name, value in given.items() if value]
    if trust is not None:
        arguments.append("--trust" if trust else "--no-trust")
    return settings_for(arguments, where)


def settings_for(arguments: Sequence[str], where: str) -> Settings:
    """Settings of somebody who only reads, for the project at or above the folder `where`.

    The arguments are options about the place of the index.
    """
    from indexer.settings.files import indexed_project

    folder = indexed_project(project_folder(where))
    try:
        context = _reading.make_context("search", [*arguments, "--", folder])
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    with context.scope():
        names = {parameter.name for parameter in _reading.params} - {"path"}
        options = {name: context.params[name] for name in names if name}
        return make_settings(folder, **options)


@click.command(cls=SearchCommand)
@path_argument
@trust_option
@place_options
def _reading(**options: Any) -> None:
    """Never called: it stands for the options of a reader."""


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
