"""The folders of a tree: whether one belongs to it, and which ignore rules count there."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from indexer.config import WIKI_MARKER, WIKI_SETTINGS
from indexer.tree import defaults
from indexer.tree.files import (
    OPEN_FILE,
    NotIndexable,
    Vanished,
    read_open_file,
)
from indexer.tree.ignore import IgnoreRules, NestedRules, SettingsRules
from indexer.tree.names import BY_DEFAULT, EMPTY, WORKTREE
from indexer.tree.repository import (
    DOT_GIT,
    common_folder,
    entry_of_moved,
    has_main_work_tree,
    is_linked,
    is_repository,
    is_work_tree_of,
)
from indexer.types import Stat, stat_fields

CODXIGNORE = b".codxignore"
# No person writes a larger ignore file.
MAX_IGNORE_FILE_BYTES = 1 << 20
VERSION_CONTROL = frozenset({b".git", b".hg", b".svn"})


def is_state_folder(path: bytes) -> bool:
    """Whether a folder, whose path ends with `/`, is the state folder of some project."""
    return (b"/" + path).endswith(b"/.codx/index/")


class Folder(Struct, frozen=True):
    """A folder of the tree, and the rules that count in it.

    Where it `is_ignored`, so is all that it holds. All that lies in one that `is_ours` was
    written by this program, and does not belong to the tree.
    """

    is_ours: bool = False
    is_ignored: bool = False
    gitignore: NestedRules = NestedRules()
    codxignore: NestedRules = NestedRules()


class LeftOut(Struct, frozen=True):
    """A folder that is left out as a whole, and the reason, as in `names`."""

    folder: bytes
    reason: str


class Folders:
    """Looks at each folder of a tree once, when it is first asked for.

    Paths are bytes relative to the root. That of a folder ends with `/`, and the root's is
    empty. `consulted` has the stat fields of every file that was opened because it decides
    about others, by path; None where there is none. The `own_paths` are the real paths of
    files and folders that this program writes. `checkouts` are the work trees of the tree:
    the folder of each, by what all work trees of its repository share.
    `on_error` gets the path of what could not be looked at and the error, `on_warning` what
    is wrong with an ignore file and its path.
    """

    def __init__(
        self,
        root: str,
        own_paths: Sequence[str],
        settings: SettingsRules,
        *,
        honours_gitignore: bool,
        has_defaults: bool,
        on_error: Callable[[bytes, OSError], None],
        on_warning: Callable[[str, str], None],
    ) -> None:
        self.top = os.path.join(os.fsencode(root), b"")
        self.consulted: dict[str, Stat | None] = {}
        self._own_paths = {_below(root, path) for path in own_paths}
        self._settings = settings
        self._honours_gitignore = honours_gitignore
        self._has_defaults = has_defaults
        self.checkouts: dict[bytes, bytes] = {}
        self._on_error = on_error
        self._on_warning = on_warning
        self._known: dict[bytes, Folder | None] = {
            b"": self._with_own_rules(b"", Folder())
        }
        self._left_out: dict[bytes, LeftOut | None] = {b"": None}
        self._decided_with = 0  # the number of checkouts that were known then
        self._gitignores: dict[bytes, IgnoreRules | None] = {}
        self._last_names: tuple[bytes, frozenset[bytes]] = (b"", frozenset())

    def find(self, path: bytes) -> Folder | None:
        """A folder of the tree, or None if nothing in it belongs to the tree."""
        if path in self._known:
            return self._known[path]
        unknown = []
        while path not in self._known:
            unknown.append(path)
            path = path[: path.rfind(b"/", 0, -1) + 1]
        # A loop, because a path can have more folders than Python allows nested calls.
        folder = self._known[path]
        for path in reversed(unknown):
            folder = self._known[path] = folder and self._look_at(path, folder)
        return folder

    def left_out(self, path: bytes) -> LeftOut | None:
        """The folder at or above `path` that is left out as a whole, None if none is.

        That is so of what git does not track; the root itself is never left out.
        """
        if len(self.checkouts) != self._decided_with:
            self._left_out = {b"": None}
            self._decided_with = len(self.checkouts)
        unknown = []
        while path not in self._left_out:
            unknown.append(path)
            path = path[: path.rfind(b"/", 0, -1) + 1]
        found = self._left_out[path]
        for path in reversed(unknown):
            found = self._left_out[path] = found or self._leave_out(path)
        return found

    def other_work_tree(self, path: bytes) -> LeftOut:
        """A folder that is left out as another work tree; what says so is noted."""
        self.has(path + DOT_GIT)
        for common in self.checkouts:
            if entry := entry_of_moved(self.top + path[:-1], common):
                self.has(os.path.relpath(entry, self.top))
        return LeftOut(path, WORKTREE)

    def is_own(self, path: bytes) -> bool:
        """Whether this program writes a file or folder, whose path has no `/` at its end."""
        return path in self._own_paths

    def is_left_out(self, path: bytes, rules: NestedRules) -> bool:
        """Whether the settings leave a path out or, if they are silent, the rules do."""
        verdict = self._settings.verdict(path)
        return bool(rules.verdict(path) if verdict is None else verdict)

    def has(self, path: bytes) -> bool:
        """Whether there is anything at a path that decides about others; it is noted."""
        name = os.fsdecode(path)
        if self._is_surely_absent(path):
            self.consulted[name] = None
            return False
        try:
            self.consulted[name] = stat_fields(os.lstat(self.top + path))
        except OSError:
            self.consulted[name] = None
            return False
        return True

    def is_repository(self, path: bytes) -> bool:
        """Whether git would take a folder for the top of a work tree."""
        return DOT_GIT in self._names(path) and is_repository(self.top + path)

    def note_repository(self, path: bytes) -> None:
        """Take the repository in a folder for one of the tree, unless it is a linked work tree."""
        folder = self.top + path[:-1]
        if not is_linked(folder) and (common := common_folder(folder)):
            self.checkouts.setdefault(common, path)

    def _names(self, path: bytes) -> frozenset[bytes]:
        """The names in a folder. They are kept until those of another are asked for."""
        if self._last_names[0] != path or not path:
            try:
                self._last_names = (path, frozenset(os.listdir(self.top + path)))
            except OSError:  # whoever enters it says so
                self._last_names = (b"", frozenset())
        return self._last_names[1]

    def _is_surely_absent(self, path: bytes) -> bool:
        """Whether a path is not there, because the folder whose names are known lacks it."""
        end = path.rfind(b"/") + 1
        return self._last_names[0] == path[:end] and bool(
            end and path[end:] not in self._last_names[1]
        )

    def _leave_out(self, path: bytes) -> LeftOut | None:
        """Whether a folder is left out, which lies in none that is."""
        parent = self.find(path[: path.rfind(b"/", 0, -1) + 1])
        if parent is None or parent.is_ours or parent.is_ignored:
            return None
        name = path[path.rfind(b"/", 0, -1) + 1 : -1]
        if name in VERSION_CONTROL or self.is_own(path[:-1]) or is_state_folder(path):
            return None
        if DOT_GIT in self._names(path) and self._is_other_work_tree(path):
            return self.other_work_tree(path)
        if not self._has_defaults or self._settings.verdict(path) is not None:
            return None
        if parent.codxignore.verdict(path) is not None:
            return None
        if not defaults.is_left_out(path, self.has, self._begins):
            return None
        if self._gitignore_verdict(path) is False:
            return None
        return LeftOut(path, BY_DEFAULT)

    def _is_other_work_tree(self, path: bytes) -> bool:
        """Whether the folder is a work tree of a repository that has one in this tree already.

        git tells it of those that it lists. Others are what it no longer knows, whose files it
        takes for new ones of the repository around them, and what a walk meets.
        """
        folder = self.top + path[:-1]
        others = [common for common, its in self.checkouts.items() if its != path]
        if is_work_tree_of(folder, others):
            return True
        common = common_folder(folder)
        return (
            self._honours_gitignore
            and is_linked(folder)
            and common is not None
            and has_main_work_tree(common)
            and common.startswith(os.path.realpath(self.top) + b"/")
        )

    def _gitignore_verdict(self, path: bytes) -> bool | None:
        """What the `.gitignore` files above a folder say of it."""
        parent = path
        while parent:
            parent = parent[: parent.rfind(b"/", 0, -1) + 1]
            if parent not in self._gitignores:
                rules = self._read_ignore_file(parent + b".gitignore")
                self._gitignores[parent] = rules
            rules = self._gitignores[parent]
            verdict = rules.verdict(path[len(parent) :]) if rules else None
            if verdict is not None:
                return verdict
        return None

    def _begins(self, path: bytes, text: bytes) -> bool:
        """Whether a file that decides about others begins like this; it is noted."""
        if self._is_surely_absent(path):
            self.consulted[os.fsdecode(path)] = None
            return False
        try:
            fd = self._consult(path)
        except OSError:
            return False
        try:
            return os.read(fd, len(text)) == text
        except OSError:
            return False
        finally:
            os.close(fd)

    def _look_at(self, path: bytes, parent: Folder) -> Folder | None:
        name = path[path.rfind(b"/", 0, -1) + 1 : -1]
        # A crafted git index can hold `..`. Even an honest one has files below what has
        # become a symlink since.
        if name in (b"", b".", b"..") or name in VERSION_CONTROL:
            return None
        if parent.is_ours or self._is_ours(path):
            return Folder(is_ours=True)
        try:
            if not stat.S_ISDIR(os.lstat(self.top + path[:-1]).st_mode):
                return None
        except OSError as error:
            self._on_error(path, error)
            return None
        is_ignored = parent.is_ignored or self.is_left_out(path, parent.codxignore)
        folder = Folder(False, is_ignored, parent.gitignore, parent.codxignore)
        return folder if is_ignored else self._with_own_rules(path, folder)

    def _is_ours(self, path: bytes) -> bool:
        return self.is_own(path[:-1]) or is_state_folder(path) or self._is_wiki(path)

    def _is_wiki(self, path: bytes) -> bool:
        """Whether this program wrote a wiki into the folder, whatever the settings are now."""
        return self._begins(path + os.fsencode(WIKI_SETTINGS), WIKI_MARKER.encode())

    def _with_own_rules(self, path: bytes, folder: Folder) -> Folder:
        """The folder with the rules of the ignore files that lie in it."""
        gitignore, codxignore = folder.gitignore, folder.codxignore
        if self._honours_gitignore:
            if rules := self._read_ignore_file(path + b".gitignore"):
                gitignore = gitignore.with_file(path, rules)
        if rules := self._read_ignore_file(path + CODXIGNORE):
            codxignore = codxignore.with_file(path, rules)
        return Folder(False, False, gitignore, codxignore)

    def _read_ignore_file(self, path: bytes) -> IgnoreRules | None:
        """The rules of an ignore file, None if there is none."""
        shown = os.fsdecode(path)
        try:
            fd = self._consult(path)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                self._on_error(path, error)
            return None
        try:
            rules = IgnoreRules(read_open_file(fd, shown, MAX_IGNORE_FILE_BYTES).data)
        except NotIndexable as error:
            if error.reason != EMPTY:
                self._on_warning(shown, f"not an ignore file: {error.reason}")
            return None
        except Vanished:  # It is a folder.
            return None
        except OSError as error:
            self._on_error(path, error)
            return None
        finally:
            os.close(fd)
        return rules

    def _consult(self, path: bytes) -> int:
        """Open a file that decides about others, and note what it looks like.

        Every such file is opened here, so that a later change of it is noticed. It is not
        opened through a symlink, as with git, and a FIFO does not block. Raises OSError.
        """
        name = os.fsdecode(path)
        self.consulted[name] = None
        try:
            fd = os.open(self.top + path, OPEN_FILE)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError:
            with suppress(OSError):
                self.consulted[name] = stat_fields(os.lstat(self.top + path))
            raise
        self.consulted[name] = stat_fields(os.fstat(fd))
        return fd


def _below(root: str, path: str) -> bytes:
    """The path relative to the root, without a `/` at its end."""
    return os.fsencode(os.path.relpath(os.path.realpath(path), os.path.realpath(root)))
