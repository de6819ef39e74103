"""The repositories that a list names: folders, and addresses to clone from.

A line is a folder, or an address with `@` and a revision behind it or without. Addresses are
those of git: https://host/path, ssh://user@host/path, user@host:path, file:///path; a bare
repository on the disk is cloned, too, and so is any with a revision.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote

from msgspec import Struct

from indexer.address import without_passwords, without_secrets
from indexer.errors import UsageError
from indexer.tree.repository import is_git_folder
from indexer.tree.transport import Remote

_COMMENT = re.compile(r"(?:^|\s)#.*")
_URL = re.compile(r"(?i)([a-z][a-z0-9+.-]*)://([^/]*)(/.*)?", re.S)
_HELPER = re.compile(r"[A-Za-z0-9]+::")  # git-remote-NAME, such as ext
# As git's own: a colon before the first slash, and a user and a host before it.
_SCP = re.compile(r"(?:([\w.-]+)@)?([A-Za-z0-9][\w.-]*):(?!:)([^@]+)(?:@(.*))?", re.S)
_AUTHORITY = re.compile(
    r"(?:([^@]*)@)?([A-Za-z0-9][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::(\d+))?", re.S
)
_REVISION = re.compile(r"[A-Za-z0-9_][\w./+#-]*")
_PORTS = {"https": "443", "http": "80", "ssh": "22"}
_SCHEMES = "https://, ssh://, user@host:path, file:// or the path of a folder"


class Repository(Struct, frozen=True):
    """A repository of a list.

    `name` is what it is called, and has no secrets. It is the path of a folder, unless there is a
    `remote` to clone it from: then it is the address without the revision, which is the same
    wherever the clone lies. Without `is_watched`, its settings say that it is to be left alone.
    """

    name: str
    remote: Remote | None = None
    is_watched: bool = True

    @property
    def key(self) -> str:
        """What failures are remembered by: another revision is another try."""
        revision = self.remote.revision if self.remote else ""
        return f"{self.name}@{revision}" if revision else self.name


def listed_repositories(data: bytes, source: str) -> list[Repository]:
    """The repositories of a list, each once. `source` is what the list is called.

    Raises `UsageError` with the number of the first line that names none.
    """
    found: dict[str, tuple[int, Repository]] = {}
    for number, line in _lines(data):
        try:
            repository = parse(line)
            before = found.setdefault(repository.name, (number, repository))
            if before[1] != repository:
                raise UsageError(
                    f"{repository.name} is the repository of line {before[0]} written "
                    "differently: they would share a collection"
                )
        except UsageError as error:
            raise UsageError(f"{source}, line {number}: {error}") from error
    return [repository for _, repository in found.values()]


def _lines(data: bytes) -> Iterator[tuple[int, str]]:
    text = os.fsdecode(data).removeprefix("\N{BYTE ORDER MARK}")
    for number, line in enumerate(text.split("\n"), 1):
        if line := _COMMENT.sub("", line.rstrip("\r")).strip():
            yield number, line


def parse(line: str) -> Repository:
    """The repository that a line names. Raises `UsageError`."""
    if line.startswith("-"):
        raise UsageError(
            f"{_shown(line)!r} looks like an option: write ./{_shown(line)} for a folder of "
            "that name"
        )
    if not line.isprintable() and not _is_name(line):
        raise UsageError("it contains control characters")
    if os.path.lexists(line):
        return _local(line)
    if url := _URL.fullmatch(line):
        return _from_url(line, url[1].lower(), url[2], url[3] or "")
    if _HELPER.match(line):
        raise _not_allowed(line)
    if scp := _SCP.fullmatch(line):
        if "/" not in line.partition(":")[0]:
            return _from_scp(scp[1] or "", scp[2], scp[3], scp[4])
    path, at, revision = line.rpartition("@")
    if at and os.path.isdir(path):
        return _cloned(os.path.abspath(path), _checked(revision))
    return Repository(os.path.abspath(line))  # its run says that it is missing


def _is_name(line: str) -> bool:
    """Whether it is unprintable only for bytes of a file's name that are not UTF-8."""
    return all(
        one.isprintable() or "\udc80" <= one <= "\udcff" or one == "\t" for one in line
    )


def _local(path: str) -> Repository:
    whole = os.path.abspath(path)
    if is_git_folder(os.fsencode(whole)):
        return _cloned(whole, "")
    return Repository(whole)


def _cloned(path: str, revision: str) -> Repository:
    name = f"file://{path}"
    return Repository(name, Remote(path, revision))


def _from_url(line: str, scheme: str, authority: str, path: str) -> Repository:
    if scheme not in ("file", *_PORTS):
        raise _not_allowed(line)
    if re.search(r"\s|[?#\\]", line):
        raise UsageError(
            f"{_shown(line)} contains whitespace, a query, a fragment or a backslash"
        )
    path, revision = _without_revision(path, is_local=scheme == "file")
    if not path.strip("/"):
        raise UsageError(f"{_shown(line)} names a host, but no repository on it")
    if scheme == "file":
        if authority not in ("", "localhost"):
            raise UsageError(f"{_shown(line)} contains a host: write file:///path")
        return _cloned(os.path.normpath(unquote(path)), revision)
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        raise UsageError(f"{_shown(line)}: not a valid host")
    user, host, port = found[1] or "", found[2].lower(), found[3] or ""
    place = host if port in ("", _PORTS[scheme]) else f"{host}:{port}"
    if scheme == "ssh":
        user = user.partition(":")[0]  # ssh takes no password
        if not re.fullmatch(r"[\w.-]*", user) or user.startswith("-"):
            raise UsageError(f"{_shown(line)}: not a valid user")
        place, user = (f"{user}@{place}" if user else place), ""
    name = f"{scheme}://{place}{_plain(path)}"
    return Repository(name, Remote(f"{scheme}://{place}{path}", revision, user))


def _from_scp(user: str, host: str, path: str, revision: str | None) -> Repository:
    host = host.lower()
    place = f"{user}@{host}" if user else host
    below = path if path.startswith("/") else f"/~/{path}"
    name = f"ssh://{place}{_plain(below)}"
    revision = "" if revision is None else _checked(revision)
    return Repository(name, Remote(f"{place}:{path}", revision))


def _without_revision(path: str, *, is_local: bool) -> tuple[str, str]:
    """The path of an address, and the revision behind it, "" for none.

    An `@` that begins a part of the path is not that of a revision, as in https://host/@user/x.
    """
    if is_local and os.path.isdir(unquote(path)):
        return path, ""
    before, at, revision = path.rpartition("@")
    if not at or before.endswith("/"):
        return path, ""
    return before, _checked(revision)


def _checked(revision: str) -> str:
    is_odd = ".." in revision or revision.endswith((".", "/", ".lock"))
    if is_odd or not _REVISION.fullmatch(revision):
        raise UsageError(
            f"{without_passwords(revision)!r} is not a revision: give a branch, a tag or a "
            "full commit id"
        )
    return revision


def _plain(path: str) -> str:
    return "/" + path.strip("/").removesuffix(".git").rstrip("/")


def _not_allowed(line: str) -> UsageError:
    return UsageError(f"{_shown(line)} cannot be fetched: give {_SCHEMES}")


def _shown(line: str) -> str:
    return without_secrets(line) if "://" in line else without_passwords(line)
