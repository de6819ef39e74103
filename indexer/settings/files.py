"""What a project says of itself: its files of settings, and the projects below a folder.

Three files may hold settings; where several have the same one, the first of these counts:
`codx-index.toml`, `[tool.codx-index]` in `pyproject.toml`, and `.codx/project.json`, which
codx-junior writes and of which we take what we know.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from indexer.config import STATE_FOLDER
from indexer.errors import UsageError

OWN_FILE = "codx-index.toml"
PYPROJECT = "pyproject.toml"
CODX_JUNIOR = os.path.join(".codx", "project.json")
MAX_FILE_BYTES = 1 << 20

WATCHING = "watching"  # no option of the command line: it is of the project itself

KEYS = frozenset("""
    cache-dir cache-size changed-within collection events executor external-folders ignore
    include-secrets jobs log-format max-file-size max-seconds mode mentions.command
    mentions.concurrency mentions.enabled mentions.timeout metrics model name precision
    recurse-submodules secrets settle sparse-first task-timeout uri wait watching webhook wiki.command
    wiki.concurrency wiki.enabled wiki.path wiki.timeout
    """.split())
"""What may stand in `codx-index.toml` and below `[tool.codx-index]`."""

NEEDS_TRUST = frozenset("""
    cache-dir events external-folders mentions.command metrics project_path uri webhook
    wiki.command wiki.path
    """.split())
"""Those with which a project could have a program of its choice run, files outside of it read
or written, or its user's data sent elsewhere."""

# codx-junior's key: ours. Lists are texts with commas there.
_CODX_JUNIOR = {
    "project_name": "name",
    "project_path": "project_path",
    "watching": "watching",
    "project_wiki": "wiki.enabled",
    "project_wiki_path": "wiki.path",
    "knowledge_file_ignore": "ignore_containing",
    "knowledge_external_folders": "external-folders",
    "embeddings_model": "model",
}
_LISTS = frozenset({"ignore", "ignore_containing", "external-folders"})
_COMMANDS = frozenset({"mentions.command", "wiki.command"})
_FLAGS = frozenset({"watching", "use_knowledge"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it stands; `key` is the name in that `file`."""

    value: Any
    file: str
    key: str

    @property
    def place(self) -> str:
        """File and key, for a message."""
        return f"{self.file}: {self.key}"


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The settings of the project in `folder`, by our key (see `KEYS`)."""

    folder: str
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """A setting that is a text, "" where there is none."""
        return str(self.settings[key].value) if key in self.settings else ""

    @property
    def is_watched(self) -> bool:
        """Is the project one of those that `run-all` keeps up to date?

        A file of ours says so by being there, codx-junior's by `watching`; `use_knowledge`
        false means no index at all.
        """
        if (
            "use_knowledge" in self.settings
            and not self.settings["use_knowledge"].value
        ):
            return False
        if WATCHING in self.settings:
            return bool(self.settings[WATCHING].value)
        return os.path.isfile(os.path.join(self.folder, OWN_FILE))


def read_project_files(folder: str) -> ProjectFiles:
    """The settings that stand in the files of a folder.

    Raises `UsageError`, with file and key, for what cannot be read or is not known.
    """
    found: dict[str, Setting] = {}
    for read, name in (
        (_own, OWN_FILE),
        (_pyproject, PYPROJECT),
        (_codx_junior, CODX_JUNIOR),
    ):
        path = os.path.join(folder, name)
        text = _text(path)
        if text is not None:
            for key, setting in read(path, text):
                found.setdefault(key, setting)
    return ProjectFiles(folder, found)


def _text(path: str) -> str | None:
    """None where there is no such file. What is no regular file is not opened."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"cannot read {path}: {reason}") from error
    if len(text) > MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than a file of settings can be")
    return text


def _own(path: str, text: str) -> Iterator[tuple[str, Setting]]:
    return _known(path, _toml(path, text), "")


def _pyproject(path: str, text: str) -> Iterator[tuple[str, Setting]]:
    if "codx-index" not in text:  # most are somebody else's
        return iter(())
    table = _toml(path, text).get("tool", {})
    table = table.get("codx-index", {}) if isinstance(table, dict) else {}
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
) -> Iterator[tuple[str, Setting]]:
    for shown, value in _flat(table):
        key = shown.replace("_", "-")
        key = key + ".enabled" if key in ("mentions", "wiki") else key
        setting = Setting(value, path, prefix + shown)
        if key == "token":
            raise UsageError(
                f"{setting.place}: a token does not belong in a file of the project: "
                "give it as CODX_INDEX_TOKEN"
            )
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"{setting.place}: there is no such setting{hint}")
        yield key, _checked(key, setting)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _checked(key: str, setting: Setting) -> Setting:
    """The setting with a value of the right kind; what it may be is for the option to say."""
    value = setting.value
    if key in _LISTS or key in _COMMANDS:
        is_list = isinstance(value, list) and all(isinstance(x, str) for x in value)
        if not (is_list or isinstance(value, str)):
            raise UsageError(f"{setting.place}: not a text, nor a list of texts")
        if key in _LISTS and isinstance(value, str):
            return Setting([value], setting.file, setting.key)
    elif key in _FLAGS and not isinstance(value, bool):
        raise UsageError(f"{setting.place}: {value!r} is neither true nor false")
    elif not isinstance(value, str | int | float):
        raise UsageError(f"{setting.place}: {value!r} is not one text or number")
    return setting


def _codx_junior(path: str, text: str) -> Iterator[tuple[str, Setting]]:
    """Empty values are as good as none there."""
    try:
        table = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise UsageError(f"{path} is not an object of settings")
    if isinstance(table.get("use_knowledge"), bool):
        yield "use_knowledge", Setting(table["use_knowledge"], path, "use_knowledge")
    for name, key in _CODX_JUNIOR.items():
        value = table.get(name)
        if value is None or value == "":
            continue
        setting = Setting(value, path, name)
        if key in _LISTS and isinstance(value, str):
            parts = [part.strip() for part in value.split(",")]
            setting = Setting([part for part in parts if part], path, name)
        setting = _checked(key, setting)
        # There, a relative one is not looked at either.
        if key != "project_path" or os.path.isabs(str(value)):
            yield key, setting


def last_change(folder: str) -> float:
    """When a file of settings in the folder was last written, in seconds since 1970; 0
    where there is none."""
    times = [0.0]
    for name in (OWN_FILE, PYPROJECT, CODX_JUNIOR):
        with suppress(OSError):
            times.append(os.stat(os.path.join(folder, name)).st_mtime)
    return max(times)


def find_projects(roots: Iterable[str]) -> list[str]:
    """The folders at and below the roots that have a settings file of ours or codx-junior's.

    Sorted, each once. Symlinks are not followed; version control's folders, and those of
    packages that were installed, are not entered.
    """
    found: set[str] = set()
    for root in roots:
        for folder, folders, files in os.walk(os.path.realpath(root)):
            folders[:] = [name for name in folders if name not in _NOT_ENTERED]
            if OWN_FILE in files or os.path.isfile(os.path.join(folder, CODX_JUNIOR)):
                found.add(folder)
    return sorted(found)


_NOT_ENTERED = frozenset(
    ".git .hg .svn .codx node_modules .venv venv .tox .nox __pycache__".split()
)


def indexed_project(path: str) -> str:
    """The folder at or above `path` that holds an index, else `path` itself."""
    folder = path
    while not os.path.isdir(os.path.join(folder, STATE_FOLDER)):
        parent = os.path.dirname(folder)
        if parent == folder:
            return path
        folder = parent
    return folder
