"""The settings of a command, and the places and names that follow from them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any

from indexer.address import Address, Endpoint, endpoint_of, is_local, is_remote
from indexer.errors import (
    NoIndexError,
    ProjectError,
    UsageError,
    explained,
)
from indexer.paths import escape_path

STATE_FOLDER = os.path.join(".codx", "index")
DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_MAX_FILE_SIZE = 1024 * 1024
DEFAULT_CACHE_SIZE = 2 * 1024**3
NO_FOLDER = os.path.join(os.devnull, "codx-index")  # of a cache: nobody can make it
EMBEDDED_COLLECTION = "codx_index"
HYBRID, DENSE, SPARSE = "hybrid", "dense", "sparse"
EMBEDS = MEANING, ALL = ("meaning", "all")
EXECUTORS = ("process", "thread", "serial")
AUTO = "auto"
NO_SEED = "none"
PRECISIONS = (AUTO, "f32", "bf16", "int8")
SECRETS = MASK_SECRETS, SKIP_SECRETS, KEEP_SECRETS = ("mask", "skip-file", "off")
DEFAULT_TASK_TIMEOUT = 300.0
DEFAULT_HOOK_TIMEOUT = 300.0
DEFAULT_CONCURRENCY = 8
DEFAULT_MODEL_CONCURRENCY = 16
WIKI_FOLDER = os.path.join(".codx", "wiki")
WIKI_SETTINGS = "mkdocs.yml"
WIKI_MARKER = "# Written by codx-index"  # the first line of that file


class Effect(Enum):
    """What a changed setting does to an existing index."""

    NONE = "nothing"
    RECHECK = "the next run looks at every file"
    EMBED = "the next run embeds what has no vector yet"
    REBUILD = "the next run builds a new index"


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of a file is read: what is done about secrets, and which files are in a
    language that their name does not show. Both are as in `Settings`."""

    secrets: str = MASK_SECRETS
    languages: tuple[tuple[str, str], ...] = ()


AS_USUAL = Reading()


@dataclass(frozen=True, slots=True)
class Embedding:
    """Which files get vectors. Both are as in `Settings`."""

    embed: str = MEANING
    by_words: tuple[str, ...] = ()


BY_MEANING = Embedding()

# A field that does not name its effect counts as `Effect.RECHECK`: a setting that somebody
# forgets here costs a look at every file, not a wrong "unchanged".
_NONE = {"effect": Effect.NONE}
_EMBED = {"effect": Effect.EMBED}
_REBUILD = {"effect": Effect.REBUILD}


@dataclass(frozen=True, slots=True)
class MentionSettings:
    """What a run does about mentions.

    `command` is asked about each file with mentions: at most `concurrency` of them run at a
    time, and each has `timeout` seconds (0: no limit).
    """

    enabled: bool = True
    command: tuple[str, ...] = field(default=(), metadata=_NONE)
    concurrency: int = field(default=DEFAULT_CONCURRENCY, metadata=_NONE)
    timeout: float = field(default=DEFAULT_HOOK_TIMEOUT, metadata=_NONE)


@dataclass(frozen=True, slots=True)
class WikiSettings:
    """Whether a run writes a wiki, and where.

    `folder` is an absolute path, or "" for the one in the project's `.codx`. `command` is asked
    for a summary of each file. The rest is as in `MentionSettings`.
    """

    enabled: bool = False
    folder: str = ""
    command: tuple[str, ...] = ()
    concurrency: int = field(default=DEFAULT_CONCURRENCY, metadata=_NONE)
    timeout: float = field(default=DEFAULT_HOOK_TIMEOUT, metadata=_NONE)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a command needs to know. Paths are absolute, sizes are bytes and times
    are seconds.

    `project` "" means that no folder is known: a collection is read where it is.
    `model_from` is the variable, or the file and key, that names the model, "" if none does.
    A model may be an `endpoint`. Then it has a `model_revision`, and gets texts of at most `model_max_tokens` (0: what is known
    about it) and at most `model_concurrency` requests at a time. `uri` "" means the
    project's embedded database. `token` and the secrets of `uri` are kept out of `repr`, so that no
    log or traceback shows them. `cache_size` 0 means no cache; `task_timeout` 0 and `max_seconds` 0 mean no limit.

    `mode` is `HYBRID`, or `SPARSE` if nothing is embedded. `sparse_first` makes every file
    searchable by its terms before the first one is embedded. A run that `leaves_vectors` embeds
    nothing either, but a later one does. `embed` is `ALL`, or `MEANING` if
    files that nobody looks for by their meaning get no vector. Patterns in `by_words`, as in a `.gitignore`, name
    more files that get none; those with a `!` name files that always get one. Unless a run `uses_git`, a work
    tree is walked like any other folder. With `default_excludes`, folders that tools fill are
    left out if git does not track them.

    In a `shared_collection`, which has the rows of many projects, the project has a
    `project_name`, "" for its path. A search there covers the projects with the names
    `searched`: by default only this one, and all of them if it is None.

    `takes_over` makes the collection this project's, even if it belongs to another.

    `origin` is the address of the repository that the project is a clone of, for clones that may be
    anywhere: their index is named after it. "" means that the project is its folder.

    `seed` is the index that a first one starts from: the folder of a project, or the path or address of an
    exported index. `AUTO` is the nearest work tree, and `NO_SEED` none.

    `state_root` is the folder below which the state of the index is kept, "" for the project itself.

    `own_files` are files that the command itself writes; they belong to no tree. `ignore` has
    patterns as in a `.gitignore`. `ignore_containing` has texts that must not occur in a path
    with a `/` before it. `only` has the paths (files or folders, relative to the project) that
    are looked at; None means all.
    `languages` pairs an ending (`.inc`) or a pattern as in a `.gitignore` with the language of such
    files, "" for plain text. `changed_within` leaves out files that changed longer ago than that, and `settle` leaves out
    files that changed more recently; 0 leaves out none. Whatever the `max_seconds`, a small
    plan gets `least_seconds`.

    A process that `asks_once` about one project, and ends, does not serve the embedded database to others.

    The metadata of a field has its `Effect` on an existing index.
    """

    project: str
    cache_dir: str = field(metadata=_NONE)
    model: str = field(metadata=_REBUILD)
    model_from: str = field(default="", metadata=_NONE)
    model_revision: str = field(default="", metadata=_REBUILD)
    model_max_tokens: int = field(default=0, metadata=_REBUILD)
    model_concurrency: int = field(default=DEFAULT_MODEL_CONCURRENCY, metadata=_NONE)
    precision: str = field(default=AUTO, metadata=_REBUILD)
    mode: str = field(default=HYBRID, metadata=_EMBED)
    sparse_first: bool = field(default=False, metadata=_NONE)
    leaves_vectors: bool = field(default=False, metadata=_NONE)
    embed: str = MEANING
    by_words: tuple[str, ...] = ()
    uri: Address = field(default=Address(), metadata=_NONE)
    token: str = field(default="", repr=False, metadata=_NONE)
    collection: str = field(default="", metadata=_NONE)
    shared_collection: str = field(default="", metadata=_NONE)
    project_name: str = field(default="", metadata=_NONE)
    searched: tuple[str, ...] | None = field(default=(), metadata=_NONE)
    state_root: str = field(default="", metadata=_NONE)
    origin: str = field(default="", metadata=_NONE)
    seed: str = field(default=AUTO, repr=False, metadata=_NONE)
    takes_over: bool = field(default=False, metadata=_NONE)
    jobs: int = field(default=0, metadata=_NONE)
    executor: str = field(default="process", metadata=_NONE)
    task_timeout: float = field(default=DEFAULT_TASK_TIMEOUT, metadata=_NONE)
    wait: float = field(default=0, metadata=_NONE)
    asks_once: bool = field(default=False, metadata=_NONE)
    force: bool = field(default=False, metadata=_NONE)
    retry_failed: bool = field(default=False, metadata=_NONE)
    include_secrets: bool = False
    secrets: str = field(default=MASK_SECRETS, metadata=_REBUILD)
    languages: tuple[tuple[str, str], ...] = field(default=(), metadata=_REBUILD)
    uses_git: bool = True
    recurse_submodules: bool = True
    default_excludes: bool = True
    max_file_size: int = DEFAULT_MAX_FILE_SIZE
    cache_size: int = field(default=DEFAULT_CACHE_SIZE, metadata=_NONE)
    name: str = ""
    own_files: tuple[str, ...] = field(default=(), metadata=_NONE)
    ignore: tuple[str, ...] = ()
    ignore_containing: tuple[str, ...] = ()
    external_folders: tuple[str, ...] = ()
    only: frozenset[str] | None = field(default=None, metadata=_NONE)
    changed_within: float = field(default=0, metadata=_NONE)
    settle: float = field(default=0, metadata=_NONE)
    max_seconds: float = field(default=0, metadata=_NONE)
    least_seconds: float = field(default=0, metadata=_NONE)
    mentions: MentionSettings = MentionSettings()
    wiki: WikiSettings = WikiSettings()

    @property
    def embeds(self) -> bool:
        """Whether the chunks get vectors."""
        return self.mode != SPARSE and not self.leaves_vectors

    @property
    def embeds_at_once(self) -> bool:
        """Whether the model is needed from the start."""
        return self.embeds and not self.sparse_first

    @property
    def endpoint(self) -> Endpoint | None:
        """The server that embeds, None if a model on this machine does."""
        return endpoint_of(self.model)

    @property
    def reading(self) -> Reading:
        """How the text of a file is read."""
        return Reading(self.secrets, self.languages)

    @property
    def embedding(self) -> Embedding:
        """Which files get vectors."""
        return Embedding(self.embed, self.by_words)

    @property
    def subject(self) -> str:
        """What the index is about: the path of a folder, or the address of a repository."""
        return self.origin or self.project

    @property
    def state_home(self) -> str:
        """The folder that contains the state folder of the project."""
        return state_home(self.subject, self.state_root)

    @property
    def state_dir(self) -> str:
        """The folder with the state of the index, "" if no project is known."""
        if not self.project:
            return ""
        return os.path.join(self.state_home, STATE_FOLDER)

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
    def own_paths(self) -> list[str]:
        """The real paths of the files and folders that this program writes itself."""
        own = (self.state_dir, self.cache_dir, self.wiki_dir, *self.own_files)
        return [os.path.realpath(path) for path in own]

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
    def title(self) -> str:
        """What a person calls the index: the project, or the collection if no project is known."""
        return (
            self.project or f"the collection {self.collection_name} at {self.address}"
        )

    @property
    def collection_name(self) -> str:
        """The name of the alias.

        If projects share a Milvus, it contains a hash of the project's path, so that two folders with
        the same name do not collide. For a project with its own embedded database it has no hash, so that
        the project may be moved.
        """
        return self.shared_collection or self.collection or self._default_collection

    @property
    def project_label(self) -> str:
        """What the project is called in a collection that it shares."""
        return self.project_name or escape_path(self.subject)

    @property
    def project_key(self) -> str:
        """The key of the project in the collection that it shares, "" if that is its own."""
        return key_of_project(self.project_label) if self.shared_collection else ""

    @property
    def _default_collection(self) -> str:
        if not self.uri:
            return EMBEDDED_COLLECTION
        return f"codx_{_slug(self.subject)}_{_hash_of_path(self.subject)[:8]}"

    @property
    def has_name_of_another_folder(self) -> bool:
        """Whether the collection has the name or place that another folder's has by default."""
        name = self.collection_name
        if self.shared_collection:
            return False
        if name == EMBEDDED_COLLECTION:
            folder = os.path.dirname(self.database)
            own = os.path.realpath(self.state_dir)
            return folder.endswith(os.sep + STATE_FOLDER) and (
                os.path.realpath(folder) != own
            )
        is_default = re.fullmatch(r"codx_\w{,64}_[0-9a-f]{8}", name, re.ASCII)
        return bool(is_default) and name != self._default_collection


def state_home(project: str, state_root: str) -> str:
    """The folder that contains the state folder of a project.

    That is the project, unless there is a `state_root`. Below that, each project has a folder named
    after its own, with a hash of its path. The state is in there as it would be in a project, so that it is
    recognized wherever it is found.
    """
    if not state_root:
        return project
    name = f"{_slug(project)}-{_hash_of_path(project)[:16]}"
    return os.path.join(state_root, name)


def key_of_project(label: str) -> str:
    """The key that a project with this name, or path, has in a collection that it shares.

    It is a hash, so it can be part of a Milvus condition whatever the name is.
    """
    return hashlib.sha256(label.encode()).hexdigest()[:32]


def _slug(project: str) -> str:
    return re.sub(r"\W+", "_", os.path.basename(project), flags=re.ASCII)[:64]


def _hash_of_path(project: str) -> str:
    return hashlib.sha256(os.fsencode(project)).hexdigest()


def recheck_basis(settings: Any) -> dict[str, Any]:
    """The settings that must be as they were for an unchanged tree to mean an unchanged index.

    These are all that no other part of the basis covers: the fingerprint holds those with
    `Effect.REBUILD`. Each group is a dictionary of its own, and the values are JSON-ready.
    """
    found: dict[str, Any] = {}
    for one in fields(settings):
        value = getattr(settings, one.name)
        if is_dataclass(value):
            found[one.name] = recheck_basis(value)
        elif effect_of(one) is Effect.RECHECK:
            found[one.name] = [*value] if isinstance(value, tuple) else value
    return found


def rules_of(settings: Settings) -> dict[str, Any]:
    """The settings of a run that others need to go on where it ended, JSON-ready."""
    own = {"own_files": [*settings.own_files], "mode": settings.mode}
    return {**recheck_basis(settings), **own}


def with_rules(settings: Settings, rules: Mapping[str, Any]) -> Settings:
    """The settings of a reader, combined with those of the run that had these `rules_of`.

    They decide which files are indexed. The project may have moved since.
    """
    known = {one.name for one in fields(settings)} - {"project"}
    changed: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in rules.items()
        if name in known and not isinstance(value, dict)
    }
    return replace(settings, **changed)


def effect_of(one: Field[Any]) -> Effect:
    """What a changed value of this field does to an existing index."""
    effect: Effect = one.metadata.get("effect", Effect.RECHECK)
    return effect


def require_state(settings: Settings) -> None:
    """Raise `NoIndexError` if no run ever worked on this project."""
    if not settings.has_state:
        raise no_index(settings)


def no_index(settings: Settings) -> NoIndexError:
    """The error of a command that needs an index but has none."""
    where = f"in {settings.project}"
    if settings.state_root:
        where = f"of {settings.project} below {settings.state_root}"
    return NoIndexError(f"no index {where}: build it with codx-index run")


def project_folder(path: str) -> str:
    """The absolute path of the project's folder.

    Raises `ProjectError` if it is missing, is not a folder, or may not be read.
    """
    if not os.path.exists(path):
        if is_remote(path):
            raise ProjectError(
                f"{Address(path)} is an address, not a folder: give it with --uri, and the "
                "collection to read with --collection"
            )
        raise ProjectError(f"no such folder: {path}")
    if not os.path.isdir(path):
        raise ProjectError(f"not a folder: {path} (give the folder of a project)")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ProjectError(f"cannot read the folder {path}: permission denied")
    try:
        return os.path.realpath(path)
    except FileNotFoundError as error:  # of the current folder
        raise explained(error) or error from error


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


def fingerprint(**parts: object) -> str:
    """The hex sha256 of the named parts. Two indexes must share it to be compatible."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
