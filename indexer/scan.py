"""The candidate files of a tree, with cheap stat fields, and the safe way to read one.

`scan` opens no candidate. In a git work tree it takes git's list; elsewhere it walks the
folders and honours nested `.gitignore` files. In both, `.codxignore` files (same syntax,
nested too, from the project root down) leave out more. What is left out is counted with
its reason.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from indexer import git
from indexer.config import WIKI_MARKER, WIKI_SETTINGS
from indexer.errors import ProjectError
from indexer.ignore import IgnoreRules
from indexer.paths import escape_path
from indexer.types import SourceFile

# Reasons to leave a file out. Files that git ignores, the state folder and version
# control's own folders are not part of the tree, and not counted.
IGNORED = "ignored"  # by a .codxignore; outside git, an ignored folder counts as one
SYMLINK = "symlink"
SPECIAL = "special"  # FIFO, socket, device
SECRET = "secret"
LOCK_FILE = "lock_file"
GENERATED = "generated"
BINARY = "binary"
PATH_TOO_LONG = "path_too_long"
EMPTY = "empty"
TOO_LARGE = "too_large"

# UTF-8 bytes of an escaped path: the size of the column that holds it.
MAX_PATH_BYTES = 4096
# A larger ignore file is not one that a person wrote.
MAX_IGNORE_FILE_BYTES = 1 << 20
READ_ATTEMPTS = 3

CODXIGNORE = b".codxignore"
VERSION_CONTROL = frozenset({b".git", b".hg", b".svn"})
# What nobody wants indexed where no repository says so. The weakest rules of all: a
# `.gitignore` brings any of these back with a `!` pattern.
IGNORED_OUTSIDE_GIT = b"""\
.bzr/
.cache/
.direnv/
.eggs/
.gradle/
.hypothesis/
.ipynb_checkpoints/
.mypy_cache/
.next/
.nox/
.nuxt/
.pytest_cache/
.ruff_cache/
.svelte-kit/
.terraform/
.tox/
.venv/
__pycache__/
bower_components/
node_modules/
venv/
.DS_Store
"""

# All names are compared in lower case.
LOCK_FILE_NAMES = frozenset("""
    bun.lock bun.lockb cargo.lock composer.lock conda-lock.yml deno.lock flake.lock
    gemfile.lock go.sum go.work.sum gradle.lockfile mix.lock npm-shrinkwrap.json
    package-lock.json package.resolved packages.lock.json pdm.lock pipfile.lock pixi.lock
    pnpm-lock.yaml podfile.lock poetry.lock pubspec.lock uv.lock yarn.lock
    """.split())
SECRET_NAMES = frozenset("""
    .dockercfg .envrc .git-credentials .htpasswd .netrc .npmrc .pgpass .pypirc .s3cfg
    .vault-token _netrc credentials credentials.json id_dsa id_ecdsa id_ecdsa_sk id_ed25519
    id_ed25519_sk id_rsa master.key secrets.yaml secrets.yml service-account.json
    """.split())
SECRET_EXTENSIONS = frozenset(
    "gpg jks kdbx key keystore ovpn p12 p8 pem pfx pgp ppk tfstate".split()
)
SECRET_PATTERN = re.compile(
    # `.env` and its variants, but not the templates that projects share.
    r"\.env(?![a-z0-9])(?!.*[._-](?:example|sample|template|dist|defaults)$).*"
    r"|.+\.env|.*\.tfvars|terraform\.tfstate\..*",
    re.DOTALL,
)
GENERATED_PATTERN = re.compile(
    r".*(?:[.-]min\.(?:js|mjs|cjs|css)|\.(?:bundle|chunk)\.(?:js|mjs|cjs|css)|\.map"
    r"|_pb2(?:_grpc)?\.pyi?|\.pb(?:\.gw)?\.go|\.pb\.(?:cc|h)|\.g\.dart|\.freezed\.dart"
    r"|\.designer\.cs|\.snap)",
    re.DOTALL,
)
BINARY_EXTENSIONS = frozenset(
    # Only what is never text: an extension that some language shares (`dot`, `mo`, `ts`)
    # is left to whoever reads the file.
    # images, video, sound, fonts
    """
    ai avif bmp cur dds eps exr gif heic heif hdr icns ico jfif jp2 jpeg jpg jxl png psd raw
    tga tif tiff webp xcf
    3gp avi flv m4v mkv mov mp4 mpeg mpg ogv webm wmv
    aac aif aiff amr flac m4a mid midi mp3 oga ogg opus wav wma
    eot otf ttc ttf woff woff2
    """
    # archives, packages, disk images
    """
    7z apk ar br bz2 cab cpio crate crx deb dmg ear gem gz img ipa iso jar lz lz4 lzma msi
    nupkg pkg qcow2 rar rpm tar tbz tbz2 tgz txz vdi vmdk war whl xpi xz z zip zst
    """
    # compiled code and machine data
    """
    a beam bin class dex dll dylib elc exe hi ko lib node nib o obj pch pdb pyc pyd pyo rlib
    rmeta so swiftmodule wasm
    avro bson ckpt db feather gguf h5 hdf5 joblib keras lmdb mdb npy npz onnx orc
    parquet pb pickle pkl pt pth rdb safetensors sav shelve sqlite sqlite3 tfevents tflite
    tfrecord
    """
    # documents and models that no line of text can be taken from
    """
    doc docm docx dotx epub mobi numbers odg odp ods odt pages pdf potx pps ppsx
    ppt pptm pptx vsd vsdx xls xlsb xlsm xlsx
    3ds blend dwg fbx glb skp stl uasset
    """.split()
)


class Vanished(Exception):
    """The file is not there any more, nor is anything that could be read in its place."""


class NotIndexable(Exception):
    """The file turned into something that a scan would skip; `reason` is one of the above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scan:
    """What a tree holds.

    `files` are sorted by the bytes of their path, each once. `skipped` counts by reason.
    `failures` are (path, error) of folders and entries that could not be looked at, so
    that the scan may miss files. `object_format` is `sha1` or `sha256`.

    In a git work tree `listing` is what git listed, and the rest says what else the answer
    hangs on: `passed_over` are skipped for what they are now, not for their name; `absent`
    are listed and not there; `ignore_files` are the `.codxignore` files that were looked
    for, None where there is none. `started_ns` is the wall clock (ns) before the first
    look.
    """

    files: list[SourceFile]
    skipped: dict[str, int]
    failures: list[tuple[str, str]]
    object_format: str
    listing: git.Listing | None
    passed_over: list[SourceFile]
    absent: list[str]
    ignore_files: dict[str, SourceFile | None]
    started_ns: int = field(compare=False)

    @property
    def is_git(self) -> bool:
        """Was it git that listed the files?"""
        return self.listing is not None


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes and the stat fields of the very file that they were read from.

    `read_ns` is the wall clock (ns) just before `stat` was taken. Not `stable`: the file
    changed during each attempt to read it, and the bytes may be of no single version.
    """

    data: bytes
    stat: SourceFile
    stable: bool
    read_ns: int


def scan(
    root: str,
    *,
    max_file_size: int,
    own_paths: Sequence[str],
    recurse_submodules: bool = True,
    include_secrets: bool = False,
    ignore: Sequence[str] = (),
    ignore_containing: Sequence[str] = (),
) -> Scan:
    """List the indexable files below `root`.

    `max_file_size` is in bytes. `include_secrets` lists files whose names say that they hold
    secrets. `ignore` has patterns as in a `.gitignore` at the root, against which no file of
    patterns says anything; `ignore_containing` texts that no path with a `/` before it may
    hold. The `own_paths`, files and folders that we write, are left out, and so is any
    other `.codx/index`. Raises ProjectError where `root` is not a folder that can
    be read, and GitError where git refuses to list it.
    """
    if not os.path.isdir(root):
        raise ProjectError(f"{root} is not a folder")
    started_ns = time.time_ns()
    tree = git.work_tree(root)
    scanner = _Scanner(
        root,
        max_file_size,
        own_paths,
        honour_gitignore=tree is None,
        include_secrets=include_secrets,
        ignore=ignore,
        ignore_containing=ignore_containing,
    )
    listing = None
    if tree is not None:
        listing = git.list_files(
            root, scanner.warn, recurse_submodules=recurse_submodules
        )
    for path in listing.files if listing else sorted(scanner.walk()):
        scanner.look_at(path)
    return Scan(
        files=scanner.files,
        skipped=dict(sorted(scanner.skipped.items())),
        failures=scanner.failures,
        object_format=tree.object_format if tree else "sha1",
        listing=listing,
        passed_over=scanner.passed_over,
        absent=scanner.absent,
        ignore_files=scanner.ignore_files,
        started_ns=started_ns,
    )


# Ignore files from the deepest up, each with the length of the path of its folder.
_Rules = tuple[tuple[int, IgnoreRules], ...]


def _below(root: str, path: str) -> bytes:
    """The path from the root, without a `/` at the end."""
    return os.fsencode(os.path.relpath(os.path.realpath(path), os.path.realpath(root)))


def _is_ignored(path: bytes, rules: _Rules) -> bool:
    for start, file in rules:
        verdict = file.verdict(path[start:])
        if verdict is not None:
            return verdict
    return False


@dataclass(frozen=True, slots=True)
class _Folder:
    is_ignored: bool = False
    gitignore: _Rules = ()
    codxignore: _Rules = ()


class _Scanner:
    """One scan in progress. Paths are bytes relative to the root; a folder's ends with `/`,
    and the root's is empty."""

    def __init__(
        self,
        root: str,
        max_file_size: int,
        own_paths: Sequence[str],
        *,
        honour_gitignore: bool,
        include_secrets: bool,
        ignore: Sequence[str],
        ignore_containing: Sequence[str],
    ) -> None:
        self.files: list[SourceFile] = []
        self.skipped: Counter[str] = Counter()
        self.failures: list[tuple[str, str]] = []
        self.passed_over: list[SourceFile] = []
        self.absent: list[str] = []
        self.ignore_files: dict[str, SourceFile | None] = {}
        self._top = os.path.join(os.fsencode(root), b"")
        self._max_file_size = max_file_size
        self._honour_gitignore = honour_gitignore
        self._include_secrets = include_secrets
        self._own_paths = {_below(root, path) for path in own_paths}
        self._ignored_texts = [os.fsencode(text) for text in ignore_containing]
        self._ignored = IgnoreRules(os.fsencode("\n".join(ignore)))
        for pattern in self._ignored.unusable:
            self.warn(f"too complex a pattern to ignore: {pattern!r}")
        default = ((0, IgnoreRules(IGNORED_OUTSIDE_GIT)),) if honour_gitignore else ()
        self._folders: dict[bytes, _Folder | None] = {
            b"": self._with_own_rules(b"", _Folder(gitignore=default))
        }

    def warn(self, message: str) -> None:
        self.failures.append((".", message))

    def walk(self) -> Iterator[bytes]:
        """Every entry that is not a folder, symlinks and all, and that no `.gitignore`
        leaves out. Ignored folders are not entered."""
        pending = [b""]
        while pending:
            path = pending.pop()
            folder = self._folder(path)
            if folder is None:
                continue
            if folder.is_ignored:
                self.skipped[IGNORED] += 1
                continue
            try:
                with os.scandir(self._top + path) as entries:
                    for entry in entries:
                        child = path + entry.name
                        is_folder = entry.is_dir(follow_symlinks=False)
                        child += b"/" if is_folder else b""
                        if _is_ignored(child, folder.gitignore):
                            continue
                        if is_folder:
                            pending.append(child)
                        elif entry.name not in VERSION_CONTROL:
                            yield child
            except OSError as error:
                if not path:
                    raise ProjectError(
                        f"the project folder cannot be read: {error}"
                    ) from error
                self._failed(path, error)

    def look_at(self, path: bytes) -> None:
        """Sort a candidate into files, skipped and failures."""
        if path in self._own_paths:
            return
        name = os.fsdecode(path)
        folder = self._folder(path[: path.rfind(b"/") + 1])
        if folder is None:
            self.absent.append(name)
            return
        try:
            info = os.lstat(self._top + path)
        except OSError as error:
            self.absent.append(name)
            self._failed(path, error)
            return
        if stat.S_ISDIR(info.st_mode):  # It took the place of a tracked file.
            self.absent.append(name)
        elif folder.is_ignored or self._is_left_out(path, folder.codxignore):
            self.skipped[IGNORED] += 1
        elif reason := _skip_reason_by_path(
            name, include_secrets=self._include_secrets
        ):
            self.skipped[reason] += 1
        elif reason := self._skip_reason(info):
            self.skipped[reason] += 1
            self.passed_over.append(_source_file(name, info))
        else:
            self.files.append(_source_file(name, info))

    def _skip_reason(self, info: os.stat_result) -> str | None:
        if not stat.S_ISREG(info.st_mode):
            return SYMLINK if stat.S_ISLNK(info.st_mode) else SPECIAL
        if not info.st_size:
            return EMPTY
        return TOO_LARGE if info.st_size > self._max_file_size else None

    def _is_left_out(self, path: bytes, rules: _Rules) -> bool:
        """By a setting, or else by a `.codxignore`?"""
        if any(text in b"/" + path for text in self._ignored_texts):
            return True
        verdict = self._ignored.verdict(path)
        return _is_ignored(path, rules) if verdict is None else verdict

    def _folder(self, path: bytes) -> _Folder | None:
        """What is known of a folder, or None if nothing in it belongs to the tree."""
        if path in self._folders:
            return self._folders[path]
        unknown = []
        while path not in self._folders:
            unknown.append(path)
            path = path[: path.rfind(b"/", 0, -1) + 1]
        # A loop: a path can have more folders than Python allows nested calls.
        folder = self._folders[path]
        for path in reversed(unknown):
            folder = self._folders[path] = folder and self._enter(path, folder)
        return folder

    def _enter(self, path: bytes, parent: _Folder) -> _Folder | None:
        name = path[path.rfind(b"/", 0, -1) + 1 : -1]
        # A crafted git index can hold `..`, and even an honest one holds files below what
        # has meanwhile become a symlink.
        if name in (b"", b".", b"..") or name in VERSION_CONTROL:
            return None
        if path[:-1] in self._own_paths or self._is_wiki(path):
            return None
        if (b"/" + path).endswith(b"/.codx/index/"):
            return None
        try:
            if not stat.S_ISDIR(os.lstat(self._top + path[:-1]).st_mode):
                return None
        except OSError as error:
            self._failed(path, error)
            return None
        is_ignored = parent.is_ignored or self._is_left_out(path, parent.codxignore)
        folder = _Folder(is_ignored, parent.gitignore, parent.codxignore)
        return folder if is_ignored else self._with_own_rules(path, folder)

    def _is_wiki(self, path: bytes) -> bool:
        """Did we write a wiki into this folder, whatever the settings are now?"""
        try:
            fd = os.open(self._top + path + os.fsencode(WIKI_SETTINGS), _OPEN_FILE)
        except OSError:
            return False
        try:
            return os.read(fd, len(WIKI_MARKER)) == WIKI_MARKER.encode()
        except OSError:
            return False
        finally:
            os.close(fd)

    def _with_own_rules(self, path: bytes, folder: _Folder) -> _Folder:
        gitignore: _Rules = ()
        if self._honour_gitignore:
            gitignore, _ = self._ignore_file(path, b".gitignore")
        codxignore, file = self._ignore_file(path, CODXIGNORE)
        self.ignore_files[os.fsdecode(path + CODXIGNORE)] = file
        if not gitignore and not codxignore:
            return folder
        return _Folder(
            False, gitignore + folder.gitignore, codxignore + folder.codxignore
        )

    def _ignore_file(
        self, folder: bytes, name: bytes
    ) -> tuple[_Rules, SourceFile | None]:
        """The rules of an ignore file, and the file they were read from."""
        path = folder + name
        shown = os.fsdecode(path)
        try:
            # As git does, not through a symlink; and a FIFO must not block.
            fd = os.open(self._top + path, _OPEN_FILE)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                self._failed(path, error)
            return (), None
        file = None
        try:
            file = _source_file(shown, os.fstat(fd))
            text = _read_open_file(fd, shown, MAX_IGNORE_FILE_BYTES).data
        except NotIndexable as error:
            if error.reason != EMPTY:
                self.failures.append((shown, f"not an ignore file: {error.reason}"))
            return (), file
        except Vanished:  # It is a folder.
            return (), file
        except OSError as error:
            self._failed(path, error)
            return (), file
        finally:
            os.close(fd)
        rules = IgnoreRules(text)
        for pattern in rules.unusable:
            self.failures.append((shown, f"too complex: {pattern!r}"))
        return ((len(folder), rules),), file

    def _failed(self, path: bytes, error: OSError) -> None:
        if error.errno == errno.ENAMETOOLONG:
            self.skipped[PATH_TOO_LONG] += 1
        elif error.errno not in (errno.ENOENT, errno.ENOTDIR):
            name = os.fsdecode(path.removesuffix(b"/"))
            self.failures.append((name, error.strerror or str(error)))


def _skip_reason_by_path(path: str, *, include_secrets: bool) -> str | None:
    name = path[path.rfind("/") + 1 :]
    if reason := skip_reason_by_name(name, include_secrets=include_secrets):
        return reason
    # A character takes 4 bytes at most, escaped or not.
    if 4 * len(path) > MAX_PATH_BYTES:
        if len(escape_path(path).encode()) > MAX_PATH_BYTES:
            return PATH_TOO_LONG
    return None


def skip_reason_by_name(name: str, *, include_secrets: bool = False) -> str | None:
    """Why a file with this name (without folders) is not indexed, or None."""
    name = name.lower()
    _, dot, extension = name.rpartition(".")
    if not include_secrets and (
        name in SECRET_NAMES
        or (dot and extension in SECRET_EXTENSIONS)
        or SECRET_PATTERN.fullmatch(name)
    ):
        return SECRET
    if name in LOCK_FILE_NAMES:
        return LOCK_FILE
    if GENERATED_PATTERN.fullmatch(name):
        return GENERATED
    return BINARY if dot and extension in BINARY_EXTENSIONS else None


_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY


@contextmanager
def open_root(root: str) -> Iterator[int]:
    """A file descriptor of the project folder, for `read_file`. Raises OSError."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def read_file(root_fd: int, file: SourceFile, max_bytes: int) -> Content:
    """Read a file of the tree, following no symlink and blocking on no FIFO.

    A file that changes meanwhile is read again, three times at most. Raises Vanished,
    NotIndexable for what became a symlink, special, empty or larger than `max_bytes`,
    and OSError (such as PermissionError) for the rest.
    """
    for _ in range(READ_ATTEMPTS):
        fd = _open_below(root_fd, file.path)
        try:
            content = _read_open_file(fd, file.path, max_bytes)
        finally:
            os.close(fd)
        if content.stable:
            break
    return content


def _open_below(root_fd: int, path: str) -> int:
    """Open a file one folder at a time: a check of the whole path, however fresh, would
    not notice a folder being swapped for a symlink."""
    *folders, name = path.split("/")
    if not {"", ".", ".."}.isdisjoint([*folders, name]):
        raise NotIndexable(SPECIAL)
    parent = root_fd
    try:
        for folder in folders:
            fd = os.open(folder, _OPEN_FOLDER, dir_fd=parent)
            if parent != root_fd:
                os.close(parent)
            parent = fd
        return os.open(name, _OPEN_FILE, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError) as error:
        # A folder that is a symlink now is "not a directory": its files are gone.
        raise Vanished(path) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise NotIndexable(SYMLINK) from error
        if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):  # A socket.
            raise NotIndexable(SPECIAL) from error
        raise
    finally:
        if parent != root_fd:
            os.close(parent)


def _read_open_file(fd: int, path: str, max_bytes: int) -> Content:
    read_ns = time.time_ns()
    info = os.fstat(fd)
    if stat.S_ISDIR(info.st_mode):
        raise Vanished(path)
    if not stat.S_ISREG(info.st_mode):
        raise NotIndexable(SPECIAL)
    if info.st_size > max_bytes:
        raise NotIndexable(TOO_LARGE)
    # One byte more than expected, so that growth shows.
    data = os.read(fd, info.st_size + 1)
    while len(data) <= info.st_size and (
        more := os.read(fd, info.st_size + 1 - len(data))
    ):
        data += more
    before, after = _source_file(path, info), _source_file(path, os.fstat(fd))
    stable = before == after and len(data) == info.st_size
    if stable and not data:
        raise NotIndexable(EMPTY)
    return Content(data, before, stable, read_ns)


def _source_file(path: str, info: os.stat_result) -> SourceFile:
    return SourceFile(
        path, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino
    )
