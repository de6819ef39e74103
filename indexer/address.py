"""Addresses whose secrets are shown to nobody: that of a Milvus, and any other in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from indexer.errors import UsageError

MASK = "***"
OPENAI = "openai"  # whose API the endpoints speak

CLUSTERS = "dask://HOST:PORT, tls://HOST:PORT or dask:FILE"

_CLUSTER = re.compile(r"(?:dask|tls)://[^\s/?#@]+:\d+/?|dask:(?!//).+")
_START = re.compile(r"\s*(?:[A-Za-z][\w+.-]*:)?/*")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:]*)(?::\d*)?")
# Shorter ones are parts of ordinary words. They are masked in the address alone.
_WORTH_HIDING = 4


class Address:
    """The address of a Milvus as it was given.

    As a text it has no password, token or query, so it can be shown and kept anywhere. Two
    addresses are equal if they were given alike, secrets included. `also` are further
    secrets that go to the server.
    """

    __slots__ = ("_also", "_given", "_shown")

    def __init__(self, given: str = "", *also: str) -> None:
        self._given = given
        self._also = also
        self._shown = given if is_local(given) else without_secrets(given)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return repr(self._shown)

    def __format__(self, spec: str) -> str:
        return format(self._shown, spec)

    def __bool__(self) -> bool:
        return bool(self._given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self._given == other._given

    def __hash__(self) -> int:
        return hash(self._given)

    @property
    def has_secrets(self) -> bool:
        """Whether something of it is not shown."""
        return self._shown != self._given

    @property
    def is_loopback(self) -> bool:
        """Whether it leads to this machine, so that no proxy stands between."""
        return self._given.startswith("unix:") or is_loopback(_host(self._given))

    def reveal(self) -> str:
        """The address with its secrets, for the client that connects."""
        return self._given

    def with_secret(self, secret: str) -> Address:
        """This address, which hides one more secret."""
        return Address(self._given, *self._also, secret)

    def hide(self, text: str) -> str:
        """A text that others made of the address, without its secrets."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    def hide_in(self, error: BaseException) -> BaseException | None:
        """The error as the cause of another, its texts without secrets.

        None if a secret is left in it, so that it must not be seen.
        """
        import traceback

        if not self.has_secrets and not any(self._also):
            return error
        for one in _chain(error):
            one.args = tuple(
                self.hide(arg) if isinstance(arg, str) else arg for arg in one.args
            )
            if isinstance(one, OSError) and one.strerror:
                one.strerror = self.hide(one.strerror)
            about = getattr(one, "__dict__", {})
            if isinstance(message := about.get("_message"), str):  # of pymilvus
                about["_message"] = self.hide(message)
        text = "".join(traceback.format_exception(error))
        return error if self.hide(text) == text else None

    def _secrets(self) -> set[str]:
        from urllib.parse import unquote, unquote_plus

        found: set[str] = set()
        if self.has_secrets:
            found |= {self._given, *_parts(self._given)}
        for token in self._also:
            found |= {token, token.partition(":")[2]}
        forms = {
            form for one in found for form in (one, unquote(one), unquote_plus(one))
        }
        forms |= {repr(one)[1:-1] for one in forms}
        return {one for one in forms if len(one) >= _WORTH_HIDING}


# No `Struct`, because every command imports this module, and the short ones nothing else with one.
@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP server that speaks OpenAI's embeddings API, and the model that it is asked for.

    `base` is its address without a slash at the end, and has no secrets. `name` is what the server
    calls the model.
    """

    base: str
    name: str

    @property
    def label(self) -> str:
        """The model as an index names it: without the address, which may change."""
        return f"{OPENAI}#{self.name}"

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return public_part(self.base)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, so that nothing leaves it."""
        return is_loopback(_host(self.base))

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody in between can read what is sent."""
        return self.base.startswith("https:")


_ENDPOINT_FORM = f"{OPENAI}+https://HOST/v1#NAME"


def endpoint_of(model: str) -> Endpoint | None:
    """The endpoint that a model's name is the address of, None for any other name.

    Raises `UsageError` for an address that cannot be, or has a secret in it: a model's name is
    shown and kept.
    """
    if not model.startswith(f"{OPENAI}+"):
        return None
    given, _, name = model.partition("+")[2].partition("#")
    base, query = _cut(given, "?")
    shown = f"{OPENAI}+{without_secrets(base)}"
    if base != without_secrets(base) or query:
        raise UsageError(
            f"{shown} contains more than an address: put a key in CODX_INDEX_API_KEY"
        )
    if not re.fullmatch(
        r"https?://(\[[\da-fA-F:.]+\]|[\w.-]+)(:\d{1,5})?(/[!-~]*)?", base
    ):
        raise UsageError(f"{shown} is not the endpoint of a model: {_ENDPOINT_FORM}")
    if not name.strip():
        raise UsageError(f"{shown} does not name the model: {_ENDPOINT_FORM}")
    return Endpoint(base.rstrip("/"), name)


def endpoint_name(label: str) -> str:
    """The name of the model in an `Endpoint.label`, "" if it is none."""
    return label.removeprefix(f"{OPENAI}#") if label.startswith(f"{OPENAI}#") else ""


def is_local(uri: str) -> bool:
    """Whether the address is the path of an embedded database."""
    return uri.endswith(".db") and not is_remote(uri)


def is_remote(text: str) -> bool:
    """Whether a text is an address of a server, well-formed or not, and no path."""
    return bool(re.match(r"\w+://|unix:", text))


def is_cluster(executor: str) -> bool:
    """Whether an executor is a Dask cluster: the address of its scheduler, or the file that the
    scheduler wrote it to."""
    return bool(_CLUSTER.fullmatch(executor))


def is_private_cluster(executor: str) -> bool:
    """Whether nobody can read on the way what goes to a Dask cluster: it is encrypted, or does not
    leave this machine."""
    return executor.startswith("tls://") or is_loopback(_host(executor))


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is that of this machine itself."""
    host = host.casefold().strip("[]").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return host == "::1" or bool(
        re.fullmatch(r"127(\.\d+){1,3}|::ffff:127(\.\d+){3}", host)
    )


def _host(uri: str) -> str:
    """The host of an address, without user and port."""
    place, _ = _cut(_split(uri)[1].rpartition("@")[2], "/?#")
    return re.sub(r":\d*$", "", place)


def without_secrets(uri: str) -> str:
    """An address without passwords, tokens and queries, however malformed it is.

    What follows the user's name up to the last `@` is a password, because one that is not
    percent-encoded can have any character in it.
    """
    start, rest = _split(uri)
    user, at, rest = rest.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        is_user = colon and start.endswith("//")
        start += f"{name}:{MASK}@" if is_user else f"{MASK}@"
    place, query = _cut(rest, "?#")
    host, path = _cut(place, "/")
    if not _HOST.fullmatch(host):  # a password that has lost its host
        host = f"{host.partition(':')[0]}:{MASK}"
    shown = [_without_value(one) for one in re.split("([?#&;])", query)]
    return "".join([start, host, path, *shown])


def without_passwords(text: str) -> str:
    """Any text, such as a message, without the passwords and tokens of addresses in it."""
    text = re.sub(r"(\w[\w+.-]*://[^\s:@/]*):\S*@", rf"\1:{MASK}@", text)
    return re.sub(
        r"(?i)([?&;](?:\w*token|password|api_?key)=)[^\s&;'\"]+", rf"\1{MASK}", text
    )


def public_part(url: str) -> str:
    """Scheme, host and port of a URL whose path may be a secret, as those of webhooks."""
    start, rest = _split(url)
    rest = rest.rpartition("@")[2]
    host, _ = _cut(rest, "/?#")
    return start + (host if _HOST.fullmatch(host) else MASK)


def _split(uri: str) -> tuple[str, str]:
    start = _START.match(uri)
    assert start is not None  # it matches nothing too
    return start[0], uri[start.end() :]


def _cut(text: str, marks: str) -> tuple[str, str]:
    """The text before the first of the marks, and the text from there on."""
    before = re.split(f"[{re.escape(marks)}]", text, maxsplit=1)[0]
    return before, text[len(before) :]


def _without_value(part: str) -> str:
    if not part or part in "?#&;":
        return part
    name, equals, _ = part.partition("=")
    return f"{name}={MASK}" if equals else MASK


def _parts(uri: str) -> Iterator[str]:
    """What is a secret of an address, or a piece of one that a parser could show."""
    start, rest = _split(uri)
    user, at, rest = rest.rpartition("@")
    if at:
        name, colon, password = user.partition(":")
        secret = password if colon and start.endswith("//") else user
        yield secret
        yield from re.split("[/?#@:]", secret)
    place, query = _cut(rest, "?#")
    host, _ = _cut(place, "/")
    if not _HOST.fullmatch(host):
        yield host.partition(":")[2]
    for one in re.split("[?#&;]", query):
        yield one.partition("=")[2] or one


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that led to it."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [one.__cause__, one.__context__]
