"""The value of each setting: the first that an option, a variable, a file or a default gives."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from typing import Any

import click
from msgspec import Struct
from msgspec.structs import replace

from indexer.config import AUTO, NO_SEED
from indexer.errors import UsageError
from indexer.settings.declarations import SEED, SETTINGS, URI
from indexer.settings.files import ProjectFiles
from indexer.settings.options import SettingOption
from indexer.settings.reach import Reach, Situation
from indexer.settings.requests import TRUST
from indexer.settings.setting import Setting

_BY_NAME = {one.name: one for one in SETTINGS}
_IN_FILES_ALONE = {one.name for one in SETTINGS if not one.has_option}


class Origin(Enum):
    """Where a value comes from."""

    OPTION = "option"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Value(Struct, frozen=True):
    """A value and its origin; `place` is the variable, or the file and key."""

    value: Any
    origin: Origin
    place: str = ""


class Values(Struct, frozen=True):
    """The values of some settings, and the files of the project that gave some of them.

    The files are without the settings that needed trust and did not get it.
    """

    found: Mapping[Setting, Value]
    files: ProjectFiles

    def __getitem__(self, setting: Setting) -> Any:
        return self.found[setting].value

    @contextmanager
    def naming(self, setting: Setting) -> Iterator[None]:
        """A block whose `UsageError` names the variable, or file and key, of the value."""
        try:
            yield
        except UsageError as error:
            place = self.found[setting].place if setting in self.found else ""
            if not place:
                raise
            raise UsageError(f"{place}: {error}") from error

    @property
    def given(self) -> dict[Setting, Value]:
        """The values that options of the command line gave."""
        return {k: v for k, v in self.found.items() if v.origin is Origin.OPTION}


def option_values(values: Mapping[Setting, Any]) -> dict[Setting, Value]:
    """The values as if options of the command line had given them."""
    return {k: Value(value, Origin.OPTION) for k, value in values.items()}


def resolve(
    settings: Iterable[Setting], given: Mapping[Setting, Value], files: ProjectFiles
) -> Values:
    """The values of these settings, the `given` ones before all others.

    Raises `UsageError` for a value that cannot be, with the place where it stands, and for one
    that needs trust.
    """
    settings = [*settings]
    found = {one: given.get(one) or _find(one, files) for one in settings}
    followed = {one.name for one, v in found.items() if v.origin is Origin.FILE}
    untrusted = [
        name
        for name in files.entries
        if name in followed | _IN_FILES_ALONE and needs_trust(found, files, name)
    ]
    is_trusted = found[TRUST].value
    if is_trusted or not untrusted:
        return Values(found, files)
    if is_trusted is None:
        first = untrusted[0]
        raise UsageError(
            f"{files.entries[first].place} {_BY_NAME[first].reach.reason}: allow it with "
            f"--trust ({TRUST.variable}=1), or leave such settings out with --no-trust"
        )
    kept = {k: entry for k, entry in files.entries.items() if k not in untrusted}
    return resolve(settings, given, replace(files, entries=kept))


def needs_trust(found: Mapping[Setting, Value], files: ProjectFiles, name: str) -> bool:
    """Whether a setting in the files is followed with --trust only.

    `found` has the values of the settings that a command knows, and so the address of Milvus.
    """
    setting = _BY_NAME[name]
    if setting.reach is Reach.INSIDE:
        return False
    value = found[setting].value if setting in found else files.entries[name].value
    uri = found[URI].value if URI in found else ""
    return not setting.harmless.holds(value, Situation(files.folder, uri))


def _find(setting: Setting, files: ProjectFiles) -> Value:
    if text := setting.from_environment():
        value: Any = text
        if setting.is_repeatable:
            value = setting.kind.split_envvar_value(text)
        try:
            value = setting.convert(value)
        except click.BadParameter as error:
            # As the command line would say it: with the option and its variable.
            error.param = SettingOption(setting=setting)
            raise UsageError(error.format_message()) from error
        return Value(value, Origin.ENVIRONMENT, setting.variable)
    if entry := files.entries.get(setting.name):
        try:
            value = setting.convert(in_folder(files.folder, setting, entry.value))
        except click.BadParameter as error:
            raise UsageError(f"{entry.place}: {error.message}") from error
        return Value(value, Origin.FILE, entry.place)
    default = setting.default
    # Some have no default: the command decides.
    return Value(
        default if default is None else setting.convert(default), Origin.DEFAULT
    )


def in_folder(folder: str, setting: Setting, value: Any) -> Any:
    """The value, but a path in a file of the project is relative to its folder."""
    if not setting.is_path:
        return value
    if not isinstance(value, str):
        return [in_folder(folder, setting, one) for one in value]
    is_path = value not in ("", "-") and not value.startswith("fd:")
    if not is_path or (setting is URI and ":" in value):
        return value
    if setting is SEED and (value in (AUTO, NO_SEED) or "://" in value):
        return value
    return os.path.join(folder, os.path.expanduser(value))
