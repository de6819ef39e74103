"""The files in which a project keeps its settings, and the projects below a folder.

Three files may hold settings: `codx-index.toml`, `[tool.codx-index]` in `pyproject.toml`, and
`.codx/project.json`. codx-junior writes the last one; we take from it the keys that we know.
If several files have the same setting, the first of them in this order counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from indexer.errors import UsageError
from indexer.settings.declarations import (
    PROJECT_PATH,
    SEED,
    SETTINGS,
    STATE_DIR,
    TOKEN,
    URI,
    USE_KNOWLEDGE,
    WATCHING,
    WEBHOOK,
)
from indexer.settings.kinds import CommandLine
from indexer.settings.setting import Form, Setting, Source

OWN_FILE = "codx-index.toml"
PYPROJECT = "pyproject.toml"
CODX_JUNIOR = os.path.join(".codx", "project.json")
MAX_FILE_BYTES = 1 << 20

_NOT_ENTERED = frozenset(
    ".git .hg .svn .codx node_modules .venv venv .tox .nox __pycache__".split()
)

_KEYS = {one.name: one for one in SETTINGS if Source.FILE in one.sources}
_TABLES = {one.name for one in _KEYS.values() if one.form is Form.TABLE}
_CODX_JUNIOR = [one for one in SETTINGS if one.codx_junior]


class Entry(Struct, frozen=True):
    """A value in a file: `key` is its name in that `file`."""

    value: Any
    file: str
    key: str

    @property
    def place(self) -> str:
        """File and key, for a message."""
        return f"{self.file}: {self.key}"


class ProjectFiles(Struct, frozen=True):
    """The settings in the files of the project in `folder`, by the name of the setting."""

    folder: str
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def text(self, setting: Setting) -> str:
        """The value of a setting that is a text, "" if the files do not have it."""
        entry = self.entries.get(setting.name)
        return str(entry.value) if entry else ""

    @property
    def is_watched(self) -> bool:
        """Whether `run-all` keeps the project up to date.

        Our own file says so by being there, codx-junior's by `watching`. `use_knowledge` false
        means that there shall be no index at all.
        """
        knowledge = self.entries.get(USE_KNOWLEDGE.name)
        if knowledge and not knowledge.value:
            return False
        if watching := self.entries.get(WATCHING.name):
            return bool(watching.value)
        return os.path.isfile(os.path.join(self.folder, OWN_FILE))


def project_files(path: str) -> ProjectFiles:
    """The settings of the project at `path`.

    There are none if the folder does not exist: saying so is up to `project_folder`. Raises
    `UsageError` as `read_project_files` does.
    """
    if not os.path.isdir(path):
        return ProjectFiles(path)
    return read_project_files(os.path.realpath(path))


def read_project_files(folder: str) -> ProjectFiles:
    """The settings in the files of a folder.

    Raises `UsageError`, with file and key, for what cannot be read or is not known.
    """
    found: dict[str, Entry] = {}
    for read, name in (
        (_own, OWN_FILE),
        (_pyproject, PYPROJECT),
        (_codx_junior, CODX_JUNIOR),
    ):
        path = os.path.join(folder, name)
        text = _text(path)
        if text is not None:
            for setting, entry in read(path, text):
                found.setdefault(setting.name, entry)
    return ProjectFiles(folder, found)


def settings_files(folder: str) -> Iterator[str]:
    """The files in a folder that hold settings of a project, readable or not."""
    for name in (OWN_FILE, CODX_JUNIOR):
        if os.path.isfile(path := os.path.join(folder, name)):
            yield path
    path = os.path.join(folder, PYPROJECT)
    with suppress(UsageError):  # that of another program may be whatever it likes
        if (text := _text(path)) and _has_table(path, text):
            yield path


def _text(path: str) -> str | None:
    """The text of a file, None if there is none. Opens regular files only."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"cannot read {path}: {reason}") from error
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is too large for a file of settings")
    return text


def _own(path: str, text: str) -> Iterator[tuple[Setting, Entry]]:
    return _known(path, _toml(path, text), "")


def _has_table(path: str, text: str) -> bool:
    """Whether a pyproject.toml is about us; one that is no TOML is, if it looks like that."""
    try:
        return _own_table(path, text) is not None
    except UsageError:
        return "[tool.codx-index" in text


def _own_table(path: str, text: str) -> Any:
    """What `tool.codx-index` is in a pyproject.toml, None if it is not there."""
    if "codx-index" not in text:  # most of these files are not about us
        return None
    table = _toml(path, text).get("tool")
    return table.get("codx-index") if isinstance(table, dict) else None


def _pyproject(path: str, text: str) -> Iterator[tuple[Setting, Entry]]:
    table = _own_table(path, text)
    if table is None:
        return iter(())
    if not isinstance(table, dict):
        raise UsageError(f"{path}: tool.codx-index is not a table")
    return _known(path, table, "tool.codx-index.")


def _toml(path: str, text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _known(
    path: str, table: Mapping[str, Any], prefix: str
) -> Iterator[tuple[Setting, Entry]]:
    import difflib

    for written, value in _flat(table):
        entry = Entry(value, path, prefix + written)
        key = written.replace("_", "-")
        if key == TOKEN.name:
            raise UsageError(
                f"{entry.place}: a token does not belong in a project's file: set "
                f"{TOKEN.variable}"
            )
        if key == STATE_DIR.name:
            raise UsageError(
                f"{entry.place}: the folder of the state does not belong in a project's file: "
                f"set {STATE_DIR.variable}"
            )
        # `wiki = true` stands for `wiki.enabled = true`.
        setting = _KEYS.get(key) or _KEYS.get(f"{key}.enabled")
        if not setting:
            near = difflib.get_close_matches(key, _KEYS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"{entry.place}: there is no such setting{hint}")
        yield setting, _checked(setting, entry)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        is_empty = isinstance(value, dict) and not value  # as `init` writes each table
        if isinstance(value, dict) and (is_empty or prefix + name not in _TABLES):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _checked(setting: Setting, entry: Entry) -> Entry:
    """The entry with a value of the right type.

    Which values an option accepts, its kind says later.
    """
    value = entry.value
    if setting.form is Form.TABLE:
        return _checked_table(entry)
    is_list = setting.form is Form.LIST
    if is_list or isinstance(setting.kind, CommandLine):
        is_texts = isinstance(value, list) and all(isinstance(x, str) for x in value)
        if not (is_texts or isinstance(value, str)):
            raise UsageError(f"{entry.place}: neither a string nor a list of strings")
        if is_list and isinstance(value, str):
            return replace(entry, value=[value])
    elif setting.form is Form.FLAG and not setting.has_option:
        if not isinstance(value, bool):
            raise UsageError(f"{entry.place}: {value!r} is neither true nor false")
    elif not isinstance(value, str | int | float):
        # An address may have a password in it.
        what = "that" if setting in (SEED, URI, WEBHOOK) else repr(value)
        raise UsageError(f"{entry.place}: {what} is neither a string nor a number")
    return entry


def _checked_table(entry: Entry) -> Entry:
    """The entry with each key and value of its table as an option has them."""
    if not isinstance(entry.value, dict):
        raise UsageError(f"{entry.place}: not a table such as [{entry.key}]")
    pairs = []
    for key, value in entry.value.items():
        if not isinstance(value, str):
            # Keys with a dot in them need quotes, or they are tables in the table.
            raise UsageError(
                f"{entry.place}: {key!r} is not a string (a key with a dot needs quotes)"
            )
        pairs.append(f"{key}={value}")
    return replace(entry, value=pairs)


def _codx_junior(path: str, text: str) -> Iterator[tuple[Setting, Entry]]:
    """The entries with keys that we know. An empty value counts as a missing one."""
    try:
        table = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path} is not an object of settings")
    for setting in _CODX_JUNIOR:
        value = table.get(setting.codx_junior)
        if value is None or value == "":
            continue
        if setting is USE_KNOWLEDGE and not isinstance(value, bool):
            continue
        if setting.form is Form.LIST and isinstance(value, str):  # "a, b"
            parts = [part.strip() for part in value.split(",")]
            value = [part for part in parts if part]
        entry = _checked(setting, Entry(value, path, setting.codx_junior))
        # codx-junior does not look at a relative path either.
        if setting is not PROJECT_PATH or os.path.isabs(str(value)):
            yield setting, entry


def last_change(folder: str) -> float:
    """When a file of settings in the folder was last written, in seconds since 1970.

    0 if there is none.
    """
    times = [0.0]
    for name in (OWN_FILE, PYPROJECT, CODX_JUNIOR):
        with suppress(OSError):
            times.append(os.stat(os.path.join(folder, name)).st_mtime)
    return max(times)


def find_projects(roots: Iterable[str]) -> list[str]:
    """The folders at and below the roots with a settings file of ours or of codx-junior's.

    They are sorted, and each is there once. Symlinks are not followed. The folders of version
    control and of installed packages are not entered.
    """
    found: set[str] = set()
    for root in roots:
        for folder, folders, files in os.walk(os.path.realpath(root)):
            folders[:] = [name for name in folders if name not in _NOT_ENTERED]
            if OWN_FILE in files or os.path.isfile(os.path.join(folder, CODX_JUNIOR)):
                found.add(folder)
    return sorted(found)
