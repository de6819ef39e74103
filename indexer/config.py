"""The settings of a command, and the places and names that follow from them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from indexer.address import Address, is_local
from indexer.errors import NoIndexError, ProjectError, StateError, UsageError

STATE_FOLDER = os.path.join(".codx", "index")
DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_MAX_FILE_SIZE = 1024 * 1024
DEFAULT_CACHE_SIZE = 2 * 1024**3
EMBEDDED_COLLECTION = "codx_index"
HYBRID, DENSE, SPARSE = "hybrid", "dense", "sparse"
EXECUTORS = ("process", "thread", "serial")
AUTO = "auto"
PRECISIONS = (AUTO, "f32", "bf16", "int8")
SECRETS = MASK_SECRETS, SKIP_SECRETS, KEEP_SECRETS = ("mask", "skip-file", "off")
DEFAULT_TASK_TIMEOUT = 300.0
DEFAULT_HOOK_TIMEOUT = 300.0
DEFAULT_CONCURRENCY = 8
WIKI_FOLDER = os.path.join(".codx", "wiki")
WIKI_SETTINGS = "mkdocs.yml"
WIKI_MARKER = "# Written by codx-index"  # the first line of that file


class Effect(Enum):
    """What a changed setting does to an index that exists."""

    NONE = "nothing"
    RECHECK = "the next run looks at every file"
    EMBED = "the next run embeds what has no vector yet"
    REBUILD = "the next run builds another index"


_RECHECK = {"effect": Effect.RECHECK}
_EMBED = {"effect": Effect.EMBED}
_REBUILD = {"effect": Effect.REBUILD}


@dataclass(frozen=True, slots=True)
class MentionSettings:
    """What a run does about mentions.

    `command` is asked about each file with mentions: at most `concurrency` of them run at a
    time, and each has `timeout` seconds (0: no limit).
    """

    enabled: bool = field(default=True, metadata=_RECHECK)
    command: tuple[str, ...] = ()
    concurrency: int = DEFAULT_CONCURRENCY
    timeout: float = DEFAULT_HOOK_TIMEOUT


@dataclass(frozen=True, slots=True)
class WikiSettings:
    """Whether a run writes a wiki, and where.

    `folder` is an absolute path, or "" for the one in the project's `.codx`. `command` is asked
    for a summary of each file. The rest is as in `MentionSettings`.
    """

    enabled: bool = field(default=False, metadata=_RECHECK)
    folder: str = field(default="", metadata=_RECHECK)
    command: tuple[str, ...] = field(default=(), metadata=_RECHECK)
    concurrency: int = DEFAULT_CONCURRENCY
    timeout: float = DEFAULT_HOOK_TIMEOUT


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a command needs to know. Paths are absolute, sizes are bytes and times
    are seconds.

    `model_from` is the file and key that name the model, "" if no file does. `uri` "" means the
    project's embedded database. `token` and the secrets of `uri` are kept out of `repr`, so that no
    log or traceback shows them. `cache_size` 0 means no cache; `task_timeout` 0 and `max_seconds` 0 mean no limit.

    `mode` is `HYBRID`, or `SPARSE` if nothing is embedded. `sparse_first` makes every file
    searchable by its terms before the first one is embedded. Unless a run `uses_git`, a work
    tree is walked like any other folder.

    `own_files` are files that the command itself writes; they belong to no tree. `ignore` has
    patterns as in a `.gitignore`. `ignore_containing` has texts that must not occur in a path
    with a `/` before it. `only` has the paths (files or folders, relative to the project) that
    are looked at; None means all. Each path in `named` must exist in the tree or in the index.
    `changed_within` leaves out files that changed longer ago than that, and `settle` files that
    changed more recently; 0 leaves out none.

    The metadata of a field has its `Effect` on an index that exists.
    """

    project: str
    cache_dir: str
    model: str = field(metadata=_REBUILD)
    model_from: str = ""
    precision: str = field(default=AUTO, metadata=_REBUILD)
    mode: str = field(default=HYBRID, metadata=_EMBED)
    sparse_first: bool = False
    uri: Address = Address()
    token: str = field(default="", repr=False)
    collection: str = ""
    jobs: int = 0
    executor: str = "process"
    task_timeout: float = DEFAULT_TASK_TIMEOUT
    wait: float = 0
    force: bool = False
    retry_failed: bool = False
    include_secrets: bool = field(default=False, metadata=_RECHECK)
    secrets: str = field(default=MASK_SECRETS, metadata=_REBUILD)
    uses_git: bool = field(default=True, metadata=_RECHECK)
    recurse_submodules: bool = field(default=True, metadata=_RECHECK)
    max_file_size: int = field(default=DEFAULT_MAX_FILE_SIZE, metadata=_RECHECK)
    cache_size: int = DEFAULT_CACHE_SIZE
    name: str = ""
    own_files: tuple[str, ...] = ()
    ignore: tuple[str, ...] = field(default=(), metadata=_RECHECK)
    ignore_containing: tuple[str, ...] = field(default=(), metadata=_RECHECK)
    external_folders: tuple[str, ...] = field(default=(), metadata=_RECHECK)
    only: frozenset[str] | None = None
    named: frozenset[str] = frozenset()
    changed_within: float = 0
    settle: float = 0
    max_seconds: float = 0
    mentions: MentionSettings = MentionSettings()
    wiki: WikiSettings = WikiSettings()

    @property
    def embeds(self) -> bool:
        """Whether the chunks get vectors."""
        return self.mode != SPARSE

    @property
    def embeds_at_once(self) -> bool:
        """Whether the model is needed from the start."""
        return self.embeds and not self.sparse_first

    @property
    def state_dir(self) -> str:
        return os.path.join(self.project, STATE_FOLDER)

    @property
    def lock_path(self) -> str:
        return os.path.join(self.state_dir, "lock")

    @property
    def manifest_path(self) -> str:
        return os.path.join(self.state_dir, "manifest.sqlite")

    @property
    def stamp_path(self) -> str:
        return os.path.join(self.state_dir, "stamp.json")

    @property
    def wiki_dir(self) -> str:
        return self.wiki.folder or os.path.join(self.project, WIKI_FOLDER)

    @property
    def wiki_state_path(self) -> str:
        return os.path.join(self.state_dir, "wiki.sqlite")

    @property
    def has_state(self) -> bool:
        """Whether a run ever worked on this project."""
        return bool(self.project) and os.path.exists(self.manifest_path)

    @property
    def database(self) -> str:
        """The folder of the embedded database, "" if a server holds the index."""
        if not self.uri:
            return os.path.join(self.state_dir, "milvus.db")
        return os.path.abspath(str(self.uri)) if is_local(str(self.uri)) else ""

    @property
    def address(self) -> str:
        """The place of the index, as a person would name it."""
        return self.database or str(self.uri)

    @property
    def collection_name(self) -> str:
        """The name of the alias.

        Projects that share a Milvus have a hash of their path in it, so that two folders with
        the same name do not collide. A project with its own embedded database has none, so that
        it may be moved.
        """
        if self.collection:
            return self.collection
        if not self.uri:
            return EMBEDDED_COLLECTION
        slug = re.sub(r"\W+", "_", os.path.basename(self.project), flags=re.ASCII)
        path = hashlib.sha256(os.fsencode(self.project)).hexdigest()
        return f"codx_{slug[:64]}_{path[:8]}"


def recheck_basis(settings: Settings) -> dict[str, Any]:
    """The settings that must be as they were for an unchanged tree to mean an unchanged index.

    The fingerprint holds those with `Effect.REBUILD`. The values are JSON-ready; a group has
    its only value, or a list of all its values.
    """
    found: dict[str, Any] = {}
    for name, value in _rechecked(settings):
        found[name] = [*value] if isinstance(value, tuple) else value
    ((_, found["mentions"]),) = _rechecked(settings.mentions)
    wiki = replace(settings.wiki, folder=settings.wiki_dir)
    found["wiki"] = [
        one
        for _, value in _rechecked(wiki)
        for one in (value if isinstance(value, tuple) else (value,))
    ]
    return found


def _rechecked(settings: Any) -> list[tuple[str, Any]]:
    """Name and value of the fields with `Effect.RECHECK`."""
    return [
        (one.name, getattr(settings, one.name))
        for one in fields(settings)
        if one.metadata.get("effect") is Effect.RECHECK
    ]


def require_state(settings: Settings) -> None:
    """Raise `NoIndexError` if no run ever worked on this project."""
    if not settings.has_state:
        raise NoIndexError(
            f"no index in {settings.project}: build it with codx-index run"
        )


def project_folder(path: str) -> str:
    """The absolute path of the project's folder.

    Raises `ProjectError` if it is missing, is not a folder, or may not be read.
    """
    if not os.path.exists(path):
        raise ProjectError(f"no such folder: {path}")
    if not os.path.isdir(path):
        raise ProjectError(f"not a folder: {path} (give the folder of a project)")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ProjectError(f"cannot read the folder {path}: permission denied")
    return os.path.realpath(path)


def check_uri(uri: str) -> Address:
    """The address. Raises `UsageError` if it cannot be that of a Milvus."""
    address = Address(uri)
    if not uri or is_local(uri):
        return address
    if re.match(r"(https?|tcp)://[^/\s]|unix:.", uri):
        return address
    raise UsageError(
        f"not a Milvus address: {address!r} "
        "(http://host:19530, https://host, unix:/path, or a local path ending in .db)"
    )


def check_collection(name: str) -> str:
    """Return the name. Raises `UsageError` if Milvus would refuse it."""
    if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,244}", name):
        raise UsageError(
            f"not a collection name: {name!r} (letters, digits and _, no digit first)"
        )
    return name


_STATE_NAMES = (
    ".gitignore",
    "lock",
    "manifest.sqlite",
    "manifest.sqlite-journal",
    "milvus.db",
    "stamp.json",
    "stamp.json.new",
    "wiki.sqlite",
    "wiki.sqlite-journal",
)


def check_state_dir(path: str) -> None:
    """Raise `StateError` if the state folder, or anything in it, is a symlink.

    A repository may bring one, and what it points to would be written or cleared.
    """
    files = [os.path.join(path, name) for name in _STATE_NAMES]
    for name in (os.path.dirname(path), path, *files):
        if os.path.islink(name):
            raise StateError(f"{name} is a symlink: remove it to use this project")


def make_state_dir(path: str) -> None:
    """Create the state folder, closed to other users and invisible to git.

    Raises `StateError` if it cannot be written, or holds a symlink.
    """
    check_state_dir(path)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        os.chmod(path, 0o700)
        ignore = os.path.join(path, ".gitignore")
        if not os.path.exists(ignore):
            with open(ignore, "w", encoding="ascii") as file:
                file.write("*\n")
    except OSError as error:
        raise StateError(
            f"cannot write the state folder {path}: {error.strerror}"
        ) from error


def fingerprint(**parts: object) -> str:
    """The hex sha256 of the named parts, which two indexes must share to be compatible."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
