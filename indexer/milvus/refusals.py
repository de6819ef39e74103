"""Turns what clients raise into our errors: who refused, and what can be done about it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from indexer.address import Address, is_local
from indexer.errors import (
    AccessError,
    CodxIndexError,
    StoreError,
    StoreUnavailableError,
)
from indexer.milvus.client_errors import is_imported
from indexer.milvus.internals import is_unavailable, one_line, says_try_again

TOKEN = "CODX_INDEX_TOKEN"

# Milvus words it like this, both in the details of a gRPC error and in its own message.
_PRIVILEGE = re.compile(r"\bPrivilege([A-Z]\w*)")

# What gRPC says if it found something else than it looked for, and what that means.
_OTHER_SERVICES = {
    "UNIMPLEMENTED": "something other than Milvus listens there",
    "HTTP/2": "something other than Milvus listens there, or a Milvus that expects https",
    "Tls handshake failed": "it does not use TLS, or its certificate is not trusted here",
    "SSL_ERROR": "it does not use TLS, or its certificate is not trusted here",
    "hostname lookup": "no such host",
    "Domain name not found": "no such host",
}


def our_error(error: Exception, address: Address, hint: str = "") -> CodxIndexError:
    """The error to raise instead of one of pymilvus, gRPC or the system.

    `hint` is added to what Milvus says, unless that explains itself.
    """
    where = f"Milvus at {address}"
    message = address.hide(_reason(error))
    # If a file cannot be read, the system says that permission is denied.
    is_server = not is_local(str(address))
    if is_server and (refusal := _access_refused(error, address)) is not None:
        return refusal
    if _is_passing(error):
        return StoreUnavailableError(f"{where}: {message}{hint}")
    if re.search(r"database\b.*\b(not found|does not exist)", message):
        return StoreError(
            f"{where}: {message}: create the database, or name another one in --uri"
        )
    is_full = os.strerror(errno.ENOSPC) in message
    return StoreError(f"{where}: {message}{'' if is_full else hint}")


def _is_passing(error: Exception) -> bool:
    """Whether nobody answered, or somebody who says that it will pass."""
    if _is_of_grpc(error):
        return True
    if not is_imported("pymilvus"):
        return False
    from pymilvus.exceptions import MilvusException, MilvusUnavailableException

    return isinstance(error, MilvusUnavailableException) or (
        isinstance(error, MilvusException)
        and (is_unavailable(error) or says_try_again(error))
    )


def _is_of_grpc(error: BaseException) -> bool:
    if not is_imported("grpc"):
        return False
    import grpc

    return isinstance(error, grpc.RpcError)


def cannot_connect(
    error: Exception, address: Address, *, has_token: bool
) -> CodxIndexError:
    """The error to raise if no connection could be made."""
    if (refusal := _access_refused(error, address, has_token=has_token)) is not None:
        return refusal
    message = " ".join(_reason(one) for one in _chain(error))
    cause = next((text for key, text in _OTHER_SERVICES.items() if key in message), "")
    return StoreUnavailableError(
        f"no Milvus answers at {address}{cause and f' ({cause})'}: is it running, is the token "
        "right, and does the scheme (http or https) match its certificate?"
    )


def _access_refused(
    error: Exception, address: Address, *, has_token: bool = True
) -> AccessError | None:
    """What to raise if the token, or a right of its user, is missing."""
    for one in _chain(error):
        message = address.hide(_reason(one))
        code = _code(one)
        if code == "UNAUTHENTICATED":
            what = (
                "refuses the token" if has_token else "requires a token, but got none"
            )
            return AccessError(
                f"Milvus at {address} {what}: set {TOKEN} to a user's token (user:password, "
                "or an API key)"
            )
        is_denied = code == "PERMISSION_DENIED"
        if is_denied or re.search(r"permission den(y|ied)", message, re.IGNORECASE):
            named = _PRIVILEGE.search(message)
            right = f"the privilege {named[1]}" if named else "a privilege"
            return AccessError(
                f"the user of the token lacks {right} at {address}: grant it to a role of the "
                f"user, or put another user's token in {TOKEN} "
                f"(Milvus says: {message})"
            )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it. pymilvus makes some errors their own cause."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__


def _reason(error: BaseException) -> str:
    """The message in one line; for a gRPC error, only its status and details."""
    if code := _code(error):
        text = f"{code}: {error.details()}"  # type: ignore[attr-defined]
        return " ".join(text.split())[:300]
    return one_line(error)


def _code(error: BaseException) -> str:
    """The status of a gRPC error, "" for any other."""
    return str(error.code().name) if _is_of_grpc(error) else ""  # type: ignore[attr-defined]
