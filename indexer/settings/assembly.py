"""The `Settings` of a command, made of the values of its settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from indexer.address import Address, endpoint_of, is_cluster, is_remote
from indexer.config import (
    AUTO,
    KEEP_SECRETS,
    MentionSettings,
    Settings,
    WikiSettings,
    check_collection,
    check_uri,
    project_folder,
)
from indexer.errors import UsageError
from indexer.settings.declarations import (
    CACHE_DIR,
    COLLECTION,
    EXECUTOR,
    INCLUDE_SECRETS,
    MODEL,
    MODEL_MAX_TOKENS,
    MODEL_REVISION,
    NAME,
    PLACE,
    PRECISION,
    PROJECT_PATH,
    SECRETS_IN_TEXT,
    SHARED_COLLECTION,
    STATE_DIR,
    TOKEN,
    URI,
    WIKI_PATH,
)
from indexer.settings.files import ProjectFiles, project_files
from indexer.settings.folders import cache_folder, state_folder, state_root
from indexer.settings.place import NOWHERE, find_place
from indexer.settings.requests import TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import (
    Value,
    Values,
    in_folder,
    option_values,
    resolve,
)


def make_settings(
    path: str, values: Values, own_files: tuple[str, ...] = ()
) -> Settings:
    """The settings of a command on the project at `path`, or on none if that is "".

    `own_files` are the files that the command writes. Raises `UsageError` and `ProjectError`.
    """
    files = values.files
    project = project_folder(files.text(PROJECT_PATH) or path) if path else ""
    groups = _by_group(values)
    fields, wiki = groups.pop(""), groups.pop("wiki", {})
    if "external_folders" in fields:
        fields["external_folders"] = _external(project, fields["external_folders"])
    if folder := wiki.get("folder"):
        wiki["folder"] = os.path.abspath(os.path.expanduser(folder))
    elif folder := files.text(WIKI_PATH):  # the command itself writes no wiki
        wiki["folder"] = in_folder(files.folder, WIKI_PATH, folder)
    fields["model_from"] = values.found[MODEL].place
    _check_model(values)
    fields["cache_dir"] = cache_folder(fields["cache_dir"])
    with values.naming(STATE_DIR):
        fields["state_root"] = state_folder(fields["state_root"])
    with values.naming(URI):
        fields["uri"] = check_uri(fields["uri"])
    with values.naming(COLLECTION):
        check_collection(fields["collection"])
    with values.naming(SHARED_COLLECTION):
        check_shared_collection(fields)
    return Settings(
        project=project,
        name=files.text(NAME),
        own_files=own_files,
        mentions=MentionSettings(**groups.pop("mentions", {})),
        wiki=WikiSettings(**wiki),
        **fields,
    )


def _check_model(values: Values) -> None:
    """Raise `UsageError` for settings that do not go with the model, as with an endpoint."""
    with values.naming(MODEL):
        endpoint = endpoint_of(values[MODEL])
    if endpoint is None:
        for setting in (MODEL_REVISION, MODEL_MAX_TOKENS):
            if values[setting]:
                with values.naming(setting):
                    raise UsageError(
                        f"--{setting.option} is for an endpoint, and {values[MODEL]} is not "
                        "one"
                    )
        return
    if values[PRECISION] != AUTO:
        with values.naming(PRECISION):
            raise UsageError(
                f"--precision {values[PRECISION]}: an endpoint decides its own precision; "
                "leave the option out"
            )
    if EXECUTOR in values.found and is_cluster(values[EXECUTOR]):
        with values.naming(EXECUTOR):
            raise UsageError(
                f"--executor {values[EXECUTOR]}: {endpoint.origin} embeds, and the rest is "
                "done here; leave the option out"
            )
    for setting, unmasked in ((SECRETS_IN_TEXT, KEEP_SECRETS), (INCLUDE_SECRETS, True)):
        is_known = setting in values.found
        if is_known and values[setting] == unmasked and not endpoint.is_loopback:
            with values.naming(setting):
                raise UsageError(
                    f"credentials would be sent to {endpoint.origin}: leave out "
                    f"--{setting.option}"
                )


def check_shared_collection(fields: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a shared collection that cannot be, by these fields of `Settings`."""
    name = check_collection(fields["shared_collection"])
    if name and fields["collection"]:
        raise UsageError(
            f"the rows cannot be both in the collection {fields['collection']!r} and in the "
            f"shared collection {name!r}: give either --collection or --shared-collection"
        )
    if name and not fields["uri"]:
        raise UsageError(
            "--shared-collection needs a Milvus that projects share: give its address with "
            "--uri"
        )
    if fields["project_name"] and not name:
        raise UsageError(
            "--project is a name in a shared collection: give that with --shared-collection"
        )
    if any(not one.isprintable() for one in fields["project_name"]):
        raise UsageError(f"not a project name: {fields['project_name']!r}")


def _by_group(values: Values) -> dict[str, dict[str, Any]]:
    """The values for the fields of `Settings`, and of each group in it."""
    groups: dict[str, dict[str, Any]] = {}
    for setting, found in values.found.items():
        if setting.field:
            group, _, name = setting.field.rpartition(".")
            groups.setdefault(group, {})[name] = found.value
    return groups


def settings_for(where: str, given: Mapping[Setting, Value]) -> Settings:
    """The settings of a reader, for the project around the folder `where`.

    Of what is `given`, only the settings that say which index is meant count. Raises
    `UsageError` and `ProjectError`.
    """
    folder = find_place(project_folder(where), state_root(given)).folder
    values = resolve((TRUST, *PLACE), given, project_files(folder))
    return make_settings(folder, values)


def reader_settings(
    where: str,
    *,
    collection: str,
    shared_collection: str = "",
    projects: Sequence[str] | None = (),
    token: str,
    cache_dir: str,
    state_dir: str,
    trust: bool | None,
    model: str = "",
) -> Settings:
    """The settings of a reader, as a command would have them.

    `where` is a folder in a project, or the address of a server that has the collection; then
    no project is known, and no file gives a setting. In a shared collection, queries are about
    the `projects` with these names, or about all for None. A `model` is only of use if an
    endpoint embedded the index. Raises `UsageError` and `ProjectError`.
    """
    given = {
        COLLECTION: collection,
        SHARED_COLLECTION: shared_collection,
        TOKEN: token,
        CACHE_DIR: cache_dir,
        STATE_DIR: state_dir,
        MODEL: model,
    }
    options: dict[Setting, Any] = {k: value for k, value in given.items() if value}
    if trust is not None:
        options[TRUST] = trust
    if not is_remote(where):
        return _about(settings_for(where, option_values(options)), projects)
    options[URI] = where
    files = ProjectFiles(NOWHERE.folder)
    values = resolve((TRUST, *PLACE), option_values(options), files)
    if not (values[COLLECTION] or values[SHARED_COLLECTION]):
        raise UsageError(f"which collection of {Address(where)}? Give its name")
    if values[SHARED_COLLECTION] and projects is not None and not projects:
        raise UsageError(
            f"which projects in {values[SHARED_COLLECTION]}? Give their names, or None for all"
        )
    return _about(make_settings(NOWHERE.folder, values), projects)


def _about(settings: Settings, projects: Sequence[str] | None) -> Settings:
    """The settings of a reader of these projects in a shared collection; () is the one there."""
    if isinstance(projects, str):
        raise UsageError("projects must be a list of names, not one name")
    searched = None if projects is None else tuple(projects)
    if searched != () and not settings.shared_collection:
        raise UsageError(
            "projects belong to a shared collection: give shared_collection"
        )
    return replace(settings, searched=searched)


def _external(project: str, folders: Iterable[str]) -> tuple[str, ...]:
    """The absolute paths of external folders, without those that lie in the project anyway.

    Raises `UsageError` for a folder that holds the project, whose files would be there twice.
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
