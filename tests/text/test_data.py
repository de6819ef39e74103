"""Runs of data are found, what somebody wrote is not, and nothing takes more than a pass."""

from __future__ import annotations

import base64
import json
import random
import sysconfig
import uuid
from pathlib import Path

import pytest
from conftest import every_fourth
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chunking import PARTS, bert, check_chunks

from indexer.text.chunks import chunk_text
from indexer.text.data import find_data
from indexer.text.decode import decode
from indexer.text.shown import LONGEST_GAP, PLACEHOLDER, ShownText

RNG = random.Random(0)
BYTES = RNG.randbytes(6_000)
BASE64 = base64.b64encode(BYTES).decode()
AROUND = ("import os\n\n", "\n\ndef after(path):\n    return os.stat(path)\n")


def wrapped(text: str, width: int, before: str = "", after: str = "") -> str:
    return "\n".join(
        f"{before}{text[at : at + width]}{after}" for at in range(0, len(text), width)
    )


def numbers(count: int, between: str = ", ") -> str:
    return between.join(f"{RNG.gauss(0, 99):.3f}" for _ in range(count))


# A text with data in it, and what is shown of the lines that are not blank.
DATA = {
    "base64 in one line": (f'LOGO = "{BASE64}"', 'LOGO = "[…]"'),
    "base64 in lines": (f'X = """\n{wrapped(BASE64, 76)}\n"""', 'X = """\n[…]\n"""'),
    "base64 in quotes": (
        "x = (\n" + wrapped(BASE64, 60, "    b'", "'") + "\n)",
        "x = (\n    b'[…]'\n)",
    ),
    "base64, added": (
        "const img =\n" + wrapped(BASE64, 60, "  '", "' +") + "\n  '';",
        "const img =\n  '[…]' +\n  '';",
    ),
    "url-safe base64": (
        f"x = '{base64.urlsafe_b64encode(BYTES).decode()}'",
        "x = '[…]'",
    ),
    "a certificate": (
        f"-----BEGIN CERTIFICATE-----\n{wrapped(BASE64, 64)}\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\n[…]\n-----END CERTIFICATE-----",
    ),
    "a data URI": (
        f".a {{ background: url(data:image/png;base64,{BASE64}) }}",
        ".a { background: url(data:image/png;base64,[…]) }",
    ),
    "a source map": (
        f"go();\n//# sourceMappingURL=data:application/json;base64,{BASE64}",
        "go();\n//# sourceMappingURL=data:application/json;base64,[…]",
    ),
    "mappings": (
        '{"names":["foo"],"mappings":"' + "AAAA,SAASA,IAAI;" * 90 + '"}',
        '{"names":["foo"],"mappings":"[…]"}',
    ),
    "hex": (f"x = '{BYTES.hex()}'", "x = '[…]'"),
    "HEX in lines": (
        "data:\n" + wrapped(BYTES.hex().upper(), 32, "  "),
        "data:\n  […]",
    ),
    "an array of bytes": (
        "static const uint8_t logo[] = {\n"
        + wrapped("".join(f"0x{b:02X}," for b in BYTES), 60, "  ")
        + "\n};",
        "static const uint8_t logo[] = {\n  […],\n};",
    ),
    "bytes as Python has them": (f"PNG = {BYTES!r}", None),
    "escapes in lines": (
        'char x[] =\n"'
        + '"\n"'.join("".join(f"\\{b:03o}" for b in BYTES[at:][:16]) for at in range(0, 800, 16))
        + '";',
        'char x[] =\n"[…]";',
    ),
    "a dump": (
        "dump\n"
        + "".join(
            f"{at:08x}: {BYTES[at : at + 2].hex()} {BYTES[at + 2 : at + 4].hex()} "
            f"{BYTES[at + 4 : at + 6].hex()} {BYTES[at + 6 : at + 8].hex()}  .PNG.abc\n"
            for at in range(0, 800, 8)
        ),
        "dump\n[…]",
    ),
    "a binary patch": (
        "literal\n" + wrapped(base64.b85encode(BYTES).decode(), 65, "z") + "\n\nend",
        None,
    ),
    "numbers in one line": (f"x = [{numbers(900)}]", "x = [[…]]"),
    "a number a line": (
        '{\n "values": [\n  ' + numbers(900, ",\n  ") + '\n ],\n "name": "n"\n}',
        '{\n "values": [\n  […]\n ],\n "name": "n"\n}',
    ),
    "a table of numbers": (
        "time,value\n" + "".join(f"{n},{numbers(1)}\n" for n in range(900)),
        "time,value\n[…]",
    ),
    "times": (
        "time,value\n"
        + "".join(f"2024-01-05T10:{n % 60:02}:00Z,{numbers(1)}\n" for n in range(900)),
        None,
    ),
    "points": (
        f'{{"type": "Line", "coordinates": [[{numbers(900, "], [")}]]}}',
        '{"type": "Line", "coordinates": [[[…]]]}',
    ),
    "digits": (f"pi = 3.{''.join(RNG.choices('0123456789', k=2_000))}", "pi = […]"),
    "a path": (
        '<svg><title>Logo</title><path d="'
        + " ".join(f"{c}{numbers(1)},{numbers(1)}" for c in "MLcCs" * 99)
        + '"/></svg>',
        '<svg><title>Logo</title><path d="[…]"/></svg>',
    ),
    "identifiers": (
        "ids\n" + "\n".join(str(uuid.UUID(int=RNG.getrandbits(128))) for _ in range(99)),
        "ids\n[…]",
    ),
    "hashes": (
        "requests==1.0 \\\n"
        + " \\\n".join(
            f"    --hash=sha256:{RNG.randbytes(32).hex()}" for _ in range(40)
        ),
        "requests==1.0 \\\n    --hash=sha256:[…]",
    ),
    "a sequence": (">mouse\n" + wrapped("ACGTTGCAAC" * 98, 70), ">mouse\n[…]"),
    "a row of one letter": (f"x = '{'A' * 3_000}'", "x = '[…]'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_a_run_of_data_is_one_placeholder(name: str) -> None:
    data, expected = DATA[name]
    before, after = AROUND
    text = before + data + after
    shown = ShownText.of(text)
    visible = "\n".join(line for line in shown.lines if line.strip())
    head, tail = before.strip() + "\n", "\n" + after.strip()
    assert visible.startswith(head) and visible.endswith(tail), visible
    assert len(visible) < len(head) + len(tail) + 120
    if expected is not None:
        assert visible == head + expected + tail
    assert shown.lines[0] == "import os" and shown.lines[-2:] == text.split("\n")[-2:]
    for max_tokens in (32, 256):
        chunks = chunk_text(text, "python", bert(), max_tokens)
        check_chunks(text, chunks, bert(), max_tokens)  # every line is in one
        assert len(chunks) < 7
        (found,) = [chunk for chunk in chunks if "def after" in chunk.text]
        row = found.text.split("\n").index("def after(path):")
        line = text.split("\n").index("def after(path):") + 1
        assert found.start_line + row == line, "lines stay where they are"


WRITTEN = {
    "a long name": "should_return_true_when_the_user_is_logged_in_" * 9,
    "a long camel": "shouldReturnTrueWhenTheUserIsLoggedInAndTheSessionHasExpired" * 5,
    "paths": "\n".join(f"src/main/java/com/example/part{n}/ThingFactory.java" for n in range(99)),
    "a link": "https://example.org/a/very/long/path/to/some/page?with=a&few=parameters#" * 9,
    "rulers": "#" * 500 + "\n" + "=-" * 400 + "\n" + "+---+---+\n|   |   |\n" * 99,
    "Chinese": "这是一个没有空格的很长的句子用来测试索引" * 99,
    "Chinese, written as numbers": "&#36825;&#26159;&#19968;&#20010;" * 99,
    "Chinese, escaped": "\\u8fd9\\u662f\\u4e00\\u4e2a" * 99,
    "Japanese": "これは空白のない長い文章です。" * 99,
    "Russian": "проверка длинного текста без чисел " * 50,
    "rows of text": "".join(
        f"INSERT INTO users VALUES ({n}, 'Ada Lovelace', 'ada{n}@example.org', NULL);\n" for n in range(99)
    ),
    "a table with words": "name,price\n" + "".join(f"apple,{n}.50\n" for n in range(400)),
    "objects": json.dumps([{"id": n, "name": f"thing {n}"} for n in range(99)]),
    "formulas": "d = m[0] * m[5] * m[10] - m[0] * m[9] * m[6] + m[8] * m[1];\n" * 40,
    "more formulas": "t1 = t2 * t3 + t4 * t5 - 2 * t6\n" * 40,
    "an expression": "(([0-9a-fA-F]{1,4}:){7,7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:)" * 9,
    "a small table": "static const int t[] = { 1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31 };\n",
    "a hash in code": f'HASH = "{bytes(range(32)).hex()}"\n',
    "colours": "\n".join(f'echo "\\x1b[3{n % 8}mError in line {n}\\x1b[0m"' for n in range(99)),
    "verse": "the face of a decade added a facade\n" * 40,
    "a log": "".join(f"2024-01-05 10:00:{n:02} INFO started worker {n}\n" for n in range(60)),
    "styles": ".a { margin: 0 4px 8px 12px; padding: 1px 2px 3px 4px }\n" * 40,
    "options": "--no-default-excludes --files-from --changed-within --sparse-first\n" * 20,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_somebody_wrote_is_shown(name: str) -> None:
    before, after = AROUND
    text = before + WRITTEN[name] + after
    assert [text[start:end] for start, end in find_data(text)] == []
    assert ShownText.of(text).lines == text.split("\n")


def test_names_in_a_list_of_hashes_are_shown() -> None:
    rows = [f"{RNG.randbytes(32).hex()}  pool/main/file{n}.tar.gz" for n in range(200)]
    shown = ShownText.of("\n".join(rows)).lines
    assert shown == [f"{PLACEHOLDER}  pool/main/file{n}.tar.gz" for n in range(200)]


def test_the_standard_library_has_next_to_no_data() -> None:
    """Tables of numbers, and nothing that has a word in it."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[a-f]*.py")):
        text = decode(path.read_bytes())
        assert text is not None
        for start, end in find_data(text):
            letters = sum(map(str.isalpha, text[start:end]))
            assert 3 * letters < end - start, (path, text[start:end])


def test_the_rest_of_a_line_stays_on_its_line() -> None:
    text = f"x = [\n{wrapped(numbers(400), 60)}\n] + other(1)\ny = 2\n"
    shown = ShownText.of(text)
    assert [line for line in shown.lines if line] == ["x = [", PLACEHOLDER, "] + other(1)", "y = 2"]  # fmt: skip
    assert shown.lines[-2:] == ["y = 2", ""] == text.split("\n")[-2:]
    ((first, last),) = shown.ends.items()
    assert shown.is_long(first) and last - first > LONGEST_GAP


def test_a_placeholder_says_nothing_of_the_data() -> None:
    """So its vector comes from the cache when the data has changed."""
    one, other = (f'A = "{BASE64[at:]}"\nB = 1\n' for at in (0, 999))
    assert ShownText.of(one) == ShownText.of(other)


SIZE = 1 << 20


def jumbled(letters: str, length: int, between: str) -> str:
    """A mebibyte of words of this length."""
    dice = random.Random(1)
    count = SIZE // (length + 1)
    return between.join("".join(dice.choices(letters, k=length)) for _ in range(count))


REPEATED = ("=", "-", "1", "a=", "\\", "\\x", "\\x00", "\\n", " ", "\n", "a b ", "1,", "ab ", "1e5", "zM", "&#", "漢", '"mappings": "')  # fmt: skip
# Made where it is needed: each worker of the tests imports this.
HOSTILE = {
    "short of base64": lambda: jumbled("ABCabcxyz0189+/", 39, "\n"),
    "lines of base64": lambda: jumbled("ABCDEFabcdefgh0189+/", 41, "\n"),
    "all words": lambda: jumbled("abcdefghij_0123", 4, " "),
    "almost packed": lambda: (("ab!#$%&'()" * 6 + "\n") * 5 + "word\n") * (SIZE // 310),
    "almost a dump": lambda: ("00000000  00 00 00 00 00\n" * 2 + "word\n")
    * (SIZE // 55),
    "many runs": lambda: ("AbC0" * 60 + " word ") * (SIZE // 246),
}


@pytest.mark.parametrize("name", [*every_fourth(REPEATED), *HOSTILE])
def test_a_mebibyte_of_anything_takes_one_pass(name: str) -> None:
    """A second would be a thousand passes too many for what is quadratic: it never ends."""
    text = HOSTILE[name]() if name in HOSTILE else name * (SIZE // len(name))
    assert len(ShownText.of(text).lines) == text.count("\n") + 1


PIECES = PARTS | st.sampled_from(
    [BASE64[:400], BASE64[:64], BYTES[:300].hex(), numbers(150), numbers(9, "\n")]
    + ["\n" + wrapped(BASE64[:1_900], 40) + "\n", repr(BYTES[:300]), "'''", "= ["]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=40).map("".join), st.integers(16, 300))
def test_any_mixture_of_data_and_text(text: str, max_tokens: int) -> None:
    spans = find_data(text)
    assert all(one[0] < one[1] for one in spans)
    assert all(one[1] <= other[0] for one, other in zip(spans, spans[1:], strict=False))
    check_chunks(text, chunk_text(text, "python", bert(), max_tokens), bert(), max_tokens)  # fmt: skip
