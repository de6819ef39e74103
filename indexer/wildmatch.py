"""One pattern of a `.gitignore` as a regular expression that takes polynomial time.

It means what wildmatch.c and dir.c of git make of the pattern. A star takes the shortest
text after which the next fixed part fits, and `**/` the fewest folders after which the next
part fits: whatever follows fits there too, or nowhere. An atomic group, `(?>…)`, says just
that, so no second way is ever tried. However many stars there are, a match costs at most
the length of the path times the length of the pattern.
"""

from __future__ import annotations

import re

MAX_LENGTH = 4096  # bytes; no path is longer, so a pattern that needs more matches none

SPECIAL = re.compile(rb"[*?\[\\]")

_NO_FOLDER_OR_MORE = b"(?:[^/]*/)*?"
_ONE_FOLDER_OR_MORE = b"(?:[^/]*/)+?"
_SLASH, _DASH, _BRACKET, _COLON, _BACKSLASH = b"/-[:\\"
_CLOSING = ord("]")
_NEGATIONS = frozenset(b"!^")


def _bytes_of(*ranges: bytes) -> frozenset[int]:
    return frozenset(byte for low, high in ranges for byte in range(low, high + 1))


_CLASSES = {  # as git's ctype.c has them: ASCII, whatever the locale
    b"alnum": _bytes_of(b"09", b"AZ", b"az"),
    b"alpha": _bytes_of(b"AZ", b"az"),
    b"blank": _bytes_of(b"  ", b"\t\t"),
    b"cntrl": _bytes_of(b"\x00\x1f", b"\x7f\x7f"),
    b"digit": _bytes_of(b"09"),
    b"graph": _bytes_of(b"!~"),
    b"lower": _bytes_of(b"az"),
    b"print": _bytes_of(b" ~"),
    b"punct": _bytes_of(b"!/", b":@", b"[`", b"{~"),
    b"space": _bytes_of(b"\t\n", b"\r\r", b"  "),
    b"upper": _bytes_of(b"AZ"),
    b"xdigit": _bytes_of(b"09", b"AF", b"af"),
}


class NeverMatches(Exception):
    """No path matches the pattern: a bracket is not closed, say."""


def translate(pattern: bytes, *, is_path: bool) -> bytes:
    """The regular expression of a pattern, without an anchor at its end.

    `is_path` tells whether it is matched with a whole path, not only with its last part. A
    slash at the end, or at the beginning of a path, must have been taken away. Raises
    `NeverMatches`.
    """
    regex = _Regex()
    at, length = 0, len(pattern)
    # git compares what comes before the first wildcard by itself. So two stars that follow
    # are at the beginning of what it calls the pattern, even after a letter.
    special = SPECIAL.search(pattern)
    wild_from = special.start() if special else length
    while at < length:
        byte = pattern[at : at + 1]
        if byte == b"*":
            end = at
            while pattern[end : end + 1] == b"*":
                end += 1
            is_free = at == wild_from or pattern[at - 1] == _SLASH
            if not (is_path and end - at > 1 and is_free):
                regex.add_star()
            elif end == length:
                regex.add_rest()
            elif pattern[end] == _SLASH:
                end += 1
                regex.add_folders(_NO_FOLDER_OR_MORE)
            elif pattern.startswith(b"\\/", end):
                end += 2
                regex.add_folders(_ONE_FOLDER_OR_MORE)
            else:
                regex.add_star()
            at = end
            continue
        if byte == b"?":
            regex.add_byte(b"[^/]")
        elif byte == b"[":
            members, at = _bracket(pattern, at)
            regex.add_byte(_class(members))
        else:
            if byte == b"\\":
                at += 1
                byte = pattern[at : at + 1]
            if not byte:
                raise NeverMatches
            if byte == b"/":
                regex.add_slash()
            else:
                regex.add_byte(re.escape(byte))
        at += 1
    return regex.finish()


class _Regex:
    """A regular expression in the making.

    The pattern falls into parts, with `**` before each but the first. A part falls into
    whole folders, and each name into texts with a star between them.
    """

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._folders = b""  # what `**` before this part may take
        self._part: list[bytes] = []
        self._texts: list[list[bytes]] = [[]]
        self._length = 0

    def add_byte(self, regex: bytes) -> None:
        """Add what takes one byte other than a slash."""
        self._lengthen()
        self._texts[-1].append(regex)

    def add_star(self) -> None:
        """Add what takes any bytes other than slashes."""
        self._texts.append([])

    def add_slash(self) -> None:
        """End the name of a folder."""
        self._lengthen()
        self._part.append(b"(?>%b/)" % self._name())

    def add_folders(self, how_many: bytes) -> None:
        """Begin a new part, with folders before it."""
        part = b"".join(self._part) + self._name()
        if part or self._folders == _ONE_FOLDER_OR_MORE:
            self._done.append(b"(?>%b%b)" % (self._folders, part))
        self._folders, self._part = how_many, []

    def add_rest(self) -> None:
        """Add what takes all that is left."""
        self._texts[-1].append(b".*")

    def finish(self) -> bytes:
        """The regular expression."""
        part = b"".join(self._part) + self._name()
        return b"".join(self._done) + self._folders + part

    def _name(self) -> bytes:
        first, *others = (b"".join(text) for text in self._texts)
        self._texts = [[]]
        if not others:
            return first
        *inner, last = others
        stars = b"".join(b"(?>[^/]*?%b)" % text for text in inner)
        return first + stars + b"[^/]*" + last

    def _lengthen(self) -> None:
        self._length += 1
        if self._length > MAX_LENGTH:
            raise NeverMatches


def _bracket(pattern: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes that the bracket at this place takes, and where it is closed."""
    members: set[int] = set()
    closing = -1
    at += 1
    is_negated = pattern[at : at + 1] in (b"!", b"^")
    at += is_negated
    previous = 0
    while True:
        byte, following = _byte(pattern, at), pattern[at + 1 : at + 2]
        if byte == _BACKSLASH:
            at += 1
            byte = _byte(pattern, at)
            members.add(byte)
        elif byte == _DASH and previous and following not in (b"", b"]"):
            at += 1
            if following == b"\\":
                at += 1
            members.update(range(previous, _byte(pattern, at) + 1))
            byte = 0
        elif byte == _BRACKET and following == b":":
            if closing < at + 2:
                closing = pattern.find(b"]", at + 2)
            if closing < 0:
                raise NeverMatches
            if closing == at + 2 or pattern[closing - 1] != _COLON:
                members.add(byte)
            else:
                known = _CLASSES.get(pattern[at + 2 : closing - 1])
                if known is None:
                    raise NeverMatches
                members |= known
                at, byte = closing, 0
        else:
            members.add(byte)
        previous = byte
        at += 1
        if _byte(pattern, at) == _CLOSING:
            break
    found = frozenset(range(256)) - members if is_negated else members
    return frozenset(found) - {_SLASH}, at


def _byte(pattern: bytes, at: int) -> int:
    """The byte at this place. Raises `NeverMatches` at the end of the pattern."""
    if at >= len(pattern):
        raise NeverMatches
    return pattern[at]


def _class(members: frozenset[int]) -> bytes:
    """A regular expression for one of these bytes."""
    if not members:
        raise NeverMatches
    ranges: list[list[int]] = []
    for byte in sorted(members):
        if ranges and ranges[-1][1] == byte - 1:
            ranges[-1][1] = byte
        else:
            ranges.append([byte, byte])
    return b"[%b]" % b"".join(b"\\x%02x-\\x%02x" % tuple(pair) for pair in ranges)
