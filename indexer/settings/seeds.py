"""What a first index may be told to start from."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from indexer.address import is_loopback, without_secrets
from indexer.config import AUTO, NO_SEED
from indexer.errors import UsageError

_DIGEST = re.compile(r"sha256=[0-9a-f]{64}", re.IGNORECASE)


def check_seed(seed: str, uri: str) -> str:
    """The seed, a path as an absolute one. Raises `UsageError` for one that cannot be.

    `uri` is the address of Milvus, "" for a database of the project's own.
    """
    if seed in ("", AUTO):
        return AUTO
    if seed == NO_SEED:
        return seed
    if uri:
        raise UsageError(
            "only an index in the project's own database starts from another one: leave out --seed "
            "(embeddings of other worktrees come from the cache), or --uri"
        )
    if "://" not in seed:
        return os.path.abspath(os.path.expanduser(seed))
    try:
        parts = urlsplit(seed)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    is_local_file = parts.scheme == "file" and host in ("", "localhost")
    is_encrypted = parts.scheme == "https" and host != ""
    if not (is_local_file or is_encrypted or _is_on_loopback(parts.scheme, host)):
        raise UsageError(
            f"--seed {without_secrets(seed)}: an address begins with https:// or file:///, or with "
            "http:// on this machine"
        )
    if parts.fragment and not _DIGEST.fullmatch(parts.fragment):
        raise UsageError(
            f"--seed {without_secrets(seed)}: behind # stands sha256= and 64 hex digits"
        )
    return seed


def _is_on_loopback(scheme: str, host: str) -> bool:
    return scheme == "http" and is_loopback(host)
