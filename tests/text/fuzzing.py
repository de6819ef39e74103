"""Fuzzing of the decoder and the chunker: a program, run in a process of its own.

    python fuzzing.py <folder> <seconds> <seed>

A grammar is C code and can take the whole process with it, or never come back. So every
input is in `<folder>/input` before it is tried, and its name in `<folder>/about`: whoever
started this process finds there what killed it. What fails with an exception is kept as
`<folder>/failure-<n>`, one for each place that raised. The last line on stdout says how
many inputs were tried and which took longest.
"""

from __future__ import annotations

import faulthandler
import random
import re
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from test_chunking import (
    NASTY,
    PARTS,
    SNIPPETS,
    TOKENIZERS,
    bert,
    check_chunks,
)

from indexer.languages import FILES
from indexer.text.chunks import Tokenizer, chunk_text
from indexer.text.decode import read_text
from indexer.text.languages import language_of

HANGS = 90  # seconds of one input; the slowest that was seen took 2
LARGEST = 60_000  # bytes of a mutated text, mostly
EXAMPLES = 60  # of hypothesis, between rounds of mutations
MUTATIONS = 200

# What is typical of the languages that the tests of the chunker have no text of.
TYPICAL = {
    "clojure": '(ns a.b (:require [c :as d]))\n(defn f "doc" [x & {:keys [y]}] (let [z #(+ % 1)] (z x)))\n',
    "cmake": 'cmake_minimum_required(VERSION 3.1)\nfunction(f a)\n  set(x "${a}" PARENT_SCOPE)\nendfunction()\n',
    "commonlisp": '(defun f (x &key y) "doc" (loop for i from 1 to x collect `(,i ,@y)))\n#| c |#\n',
    "cuda": "__global__ void f(int *a) { a[threadIdx.x] <<= 1; }\nint main() { f<<<1, 2>>>(0); }\n",
    "d": "module a;\nclass B(T) : C { void f() in { assert(1); } do { writeln(`x`); } }\n",
    "dart": "class A<T> extends B with C {\n  final int? x;\n  A(this.x);\n  Future<void> f() async => await g('$x ${x!}');\n}\n",
    "dockerfile": 'FROM a:1 AS b\nRUN <<EOF\necho x\nEOF\nCOPY --from=b ["x", "/y"]\nENV A=b \\\n  C=d\n',
    "elisp": '(defun f (x) "doc" (interactive "p") (let ((y ?\\n)) `(a ,x ,@y)))\n',
    "elm": "module A exposing (..)\ntype B = C Int | D\nf : Int -> B\nf x =\n    case x of\n        1 -> C x\n        _ -> D\n",
    "erlang": "-module(a).\n-export([f/1]).\nf(X) when X > 1 -> case X of <<A:8, _/binary>> -> A; _ -> fun(Y) -> Y end end;\nf(_) -> ok.\n",
    "fish": "function f --argument x\n  if test $x = 1; and true\n    echo (count $argv)\n  end\nend\n",
    "fortran": "program a\n  integer :: x(10) = 1\n  do i = 1, 10\n    if (x(i) .gt. 1) then\n      call f(x)\n    end if\n  end do\nend program a\n",
    "fsharp": "module A\nlet rec f x =\n    match x with\n    | Some y when y > 1 -> [ for i in 1 .. y -> i ]\n    | _ -> []\ntype T = { a: int }\n",
    "gleam": 'import gleam/io\npub fn f(x: Int) -> String {\n  case x { 1 -> "a" _ -> "b" <> "c" }\n}\n',
    "glsl": "#version 330\nuniform mat4 m;\nvoid main() { gl_Position = m * vec4(1.0); }\n",
    "gomod": "module a.b/c\n\ngo 1.21\n\nrequire (\n\tx.y/z v1.2.3 // indirect\n)\n",
    "graphql": "type A implements B @d(x: 1) {\n  f(x: [Int!]! = [1]): String\n}\nquery Q($a: Int) { f(x: $a) { ...F } }\n",
    "groovy": "class A { def f(x) { x.collect { it ?: \"${y}\" } } }\ntask b(type: C) { doLast { println 'x' } }\n",
    "haxe": "package a;\nclass B<T> extends C { public function f(x:Int):Void { trace('$x'); } }\n",
    "hcl": 'resource "a" "b" {\n  x = var.y["z"]\n  dynamic "c" { for_each = [for k, v in d : k if v] }\n  t = <<EOF\n${a}\nEOF\n}\n',
    "ini": "; c\n[a.b]\nx = 1\ny: z\n",
    "julia": 'module A\nfunction f(x::T) where {T<:Int}\n  @time [i^2 for i in 1:x if i != 2]\n  """$(x)"""\nend\nend\n',
    "latex": "\\documentclass{a}\n\\begin{document}\n\\section{B} $x^{2}$ \\cite{c}\n\\begin{verbatim}\n}{\n\\end{verbatim}\n\\end{document}\n",
    "make": "A := $(shell x)\nifeq ($(A),b)\nc: d | e\n\t@echo $< \\\n\t  f\nendif\ndefine G\nh\nendef\n",
    "matlab": "function y = f(x)\n  % c\n  if x == 1\n    y = [1, 2; 3 4]';\n  end\nend\n",
    "meson": "project('a', 'c')\nforeach x : ['b', 'c']\n  if x == 'b'\n    executable(x, files('d.c'))\n  endif\nendforeach\n",
    "nim": "proc f[T](x: T): int =\n  ## doc\n  for i in 0..<x:\n    if i == 1: result += i\ntype A = object\n  b: int\n",
    "nix": "{ pkgs ? import <x> {} }:\nlet a = ''\n  ${b}\n''; in rec { c = with pkgs; [ d ]; inherit (e) f; }\n",
    "objc": '@interface A : B <C>\n@property (nonatomic) int x;\n- (void)f:(int)y with:(id)z;\n@end\n@implementation A\n- (void)f:(int)y with:(id)z { [self g:@"a"]; }\n@end\n',
    "ocaml": "module A = struct\n  let rec f x = function\n    | Some y when y > 1 -> begin match x with _ -> y end\n    | _ -> (* c (* d *) *) {|x|}\nend\n",
    "ocaml_interface": "module type A = sig\n  type 'a t\n  val f : 'a t -> (int * 'b) list\nend\n",
    "pascal": "unit A;\ninterface\ntype B = class(C)\n  procedure F(x: Integer);\nend;\nimplementation\nprocedure B.F(x: Integer);\nbegin { c } if x = 1 then WriteLn('a') end;\nend.\n",
    "perl": "package A;\nsub f { my ($x) = @_; $x =~ s/a{2}/b/g; return qw(a b); }\n=pod\n\nx\n\n=cut\n1;\n__END__\n",
    "powershell": 'function F { param([int]$x) if ($x -eq 1) { Write-Host "$($x)" @{a=1} } }\n$y = @"\n$x\n"@\n',
    "prisma": 'model A {\n  id Int @id @default(autoincrement())\n  b B[] @relation("x")\n  @@map("c")\n}\n',
    "properties": "# c\na.b=c\\\n  d\ne: f\n! g\n",
    "proto": 'syntax = "proto3";\nmessage A { oneof b { int32 c = 1; } map<string, D> e = 2; }\nservice S { rpc F (A) returns (stream A); }\n',
    "r": "f <- function(x, ...) {\n  if (x %in% c(1, 2)) y <<- x[[1]] else `a b`$c\n}\n",
    "rst": "Title\n=====\n\n.. code:: x\n\n   y\n\n* a\n\n  - b `c <d>`_\n\n+---+\n| e |\n+---+\n",
    "scheme": "(define (f x) ; c\n  (let loop ((i 0)) (if (< i x) (loop (+ i 1)) #| d |# '(a . b))))\n",
    "scss": "@mixin a($x: 1px) { &:hover { width: calc(#{$x} + 1px); } }\n.b { @include a; .c & { @extend %d; } }\n",
    "solidity": 'pragma solidity ^0.8.0;\ncontract A is B {\n  mapping(address => uint) x;\n  function f() external payable returns (uint) { require(x[msg.sender] > 1, "a"); }\n}\n',
    "starlark": 'load(":a.bzl", "b")\ndef f(x):\n    return [y for y in x if y]\nb(name = "c", deps = select({}))\n',
    "svelte": '<script>\n  export let x = 1;\n</script>\n{#if x}\n  <p on:click={() => x++}>{@html y}</p>\n{:else}\n  {#each z as w (w.id)}{w}{/each}\n{/if}\n<style>a { b: c }</style>\n',
    "tcl": "proc f {x {y 1}} {\n  if {$x > 1} { puts \"[expr {$x + 1}] ${y}\" } else { set a(b) {} }\n}\n",
    "thrift": "namespace py a\nstruct B { 1: optional list<i32> c = [1], }\nservice S extends T { oneway void f(1: B b) throws (1: E e) }\n",
    "verilog": "module a #(parameter W = 1) (input clk, output reg [W-1:0] b);\n  always @(posedge clk) begin\n    if (b == 4'hF) b <= 0; else b <= b + 1;\n  end\nendmodule\n",
    "vhdl": "library ieee;\nentity a is port (b : in std_logic); end a;\narchitecture c of a is begin\n  process (b) begin if rising_edge(b) then d <= '1'; end if; end process;\nend c;\n",
    "vim": "function! s:F(x) abort\n  if a:x ==# 'b' | let g:y = {'c': [1]} | endif\nendfunction\nau BufRead * call s:F(<q-args>)\n",
    "vue": '<template>\n  <a v-for="b in c" :key="b.id" @click="d">{{ b | e }}</a>\n</template>\n<script setup lang="ts">\nconst x = ref<number>(1)\n</script>\n',
    "wgsl": "@group(0) @binding(0) var<uniform> a: mat4x4<f32>;\n@vertex fn f(@location(0) b: vec3<f32>) -> vec4<f32> { return a * vec4(b, 1.0); }\n",
    "xml": '<?xml version="1.0"?>\n<!DOCTYPE a [<!ENTITY b "c">]>\n<a x="1"><![CDATA[ <d> ]]><!-- e --><f:g/></a>\n',
    "zig": 'const a = @import("std");\npub fn f(comptime T: type, x: ?T) !void {\n  if (x) |y| { _ = y; } else return error.B;\n  defer g();\n}\n',
}  # fmt: skip

# What scanners of grammars look for: ends that are missing, and beginnings without an end.
TOKENS = """
    ( ) [ ] { } < > </ /> /* */ <!-- --> <![CDATA[ ]]> {# #} {% %} {{ }} ${ #{ `` ``` ~~~
    ''' \"\"\" ' " ` $$ r#" "# @" R"x( )x" <<EOF <<~EOF <<-'E' EOF E %q( %w[ =begin =end
    =pod =cut __END__ --[==[ ]==] (* *) {- -} #| |# #if #else #endif begin end do done fi
    esac case if else elsif endif function fn def class lambda => -> :: .. ... ; ;; , : =
    == != && || ! ? @ # % ^ & * + - ~ \\ / | _ 0x 1e999 \\u{110000} &#x0; ]]]]> \\begin{a}
    \\end{a} $( $(( )) [[ ]] [^1]: - * + 1. > --- === | ||| @media @@ ?> <?php <script> </script>
    <style> </style> <template> {:else} {/if} {#if & * !!tag &a *a ? |- >+ %YAML
    """.split()
TOKENS += [" ", "\t", "\n", "\r\n", "\r", "\f", "\v", "\u2028", "\x85", "\ufeff", "é"]
TOKENS += ["名", "🎈", "e\u0301", "\u202e", "\n\n", "    ", " " * 9, "\0", "\x1b[0m"]
HOSTILE = [token.encode() for token in TOKENS] + [b"\xff", b"\xc3", b"\xed\xa0\x80"]

ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1251", "cp932"]
ENCODINGS += ["gb18030", "euc_jp", "cp037"]

ENDINGS = {language: names.split() for language, names in FILES.items()}


def corpus() -> list[tuple[str, bytes]]:
    """Names and contents: typical texts of every language, and real files."""
    found = [
        (_name(language), snippet.replace("FILL", f"{comment} {'word ' * 9}").encode())
        for language, (comment, snippet, _) in SNIPPETS.items()
    ]
    found += [(_name(language), text.encode()) for language, text in TYPICAL.items()]
    library = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for path in random.Random(0).sample(library, 60):
        found.append((path.name, path.read_bytes()))
    found += [(name, text[:LARGEST].encode()) for name, text in NASTY.items()]
    return found


def _name(language: str) -> str:
    ending = ENDINGS[language][0]
    return f"a{ending}" if ending.startswith(".") else ending


class Mutator:
    """Makes texts that no one writes of texts that somebody wrote."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.corpus = corpus()

    def draw(self) -> tuple[str, bytes]:
        """A name and a content: mutated once or many times."""
        name, data = self.rng.choice(self.corpus)
        if self.rng.random() < 0.15:
            name = _name(self.rng.choice(list(ENDINGS)))
        acts = [self.scramble, self.tokens, self.lines, self.splice, self.repeat]
        acts += [self.tokens, self.cut, self.indent, self.nest, self.breaks]
        for _ in range(self.rng.choice([1, 1, 2, 3, 5, 8, 20])):
            data = self.rng.choice(acts)(data)
        if self.rng.random() < 0.1:
            data = self.encode(data)
        return name, data[: LARGEST if self.rng.random() < 0.98 else 5 * LARGEST]

    def _spot(self, data: bytes) -> int:
        return self.rng.randint(0, len(data))

    def _slice(self, data: bytes, longest: int = 2_000) -> tuple[int, int]:
        start = self._spot(data)
        return start, min(len(data), start + self.rng.randint(1, longest))

    def scramble(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self.rng.randint(1, 9)):
            start, end = self._slice(data, 3)
            changed[start:end] = self.rng.randbytes(self.rng.randint(0, 3))
        return bytes(changed)

    def tokens(self, data: bytes) -> bytes:
        for _ in range(self.rng.choice([1, 1, 2, 5, 30])):
            at = self._spot(data)
            data = data[:at] + self.rng.choice(HOSTILE) + data[at:]
        return data

    def lines(self, data: bytes) -> bytes:
        lines = data.split(b"\n")
        start = self.rng.randrange(len(lines))
        end = min(len(lines), start + self.rng.randint(1, 30))
        part = lines[start:end]
        self.rng.shuffle(part)
        lines[start:end] = self.rng.choice([[], part, part * 2])
        return b"\n".join(lines)

    def splice(self, data: bytes) -> bytes:
        _, other = self.rng.choice(self.corpus)
        start, end = self._slice(other)
        at = self._spot(data)
        return data[:at] + other[start:end] + data[self._spot(data) :]

    def repeat(self, data: bytes) -> bytes:
        start, end = self._slice(data, self.rng.choice([3, 30, 300]))
        times = self.rng.choice([2, 9, 99, 999, 9_999])
        times = min(times, max(1, LARGEST // max(1, end - start)))
        return data[:start] + data[start:end] * times + data[end:]

    def cut(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return self.rng.choice(
            [data[:start], data[start:], data[start:end], data[:start] + data[end:]]
        )

    def indent(self, data: bytes) -> bytes:
        deeper = self.rng.choice([b" ", b"\t", b"  ", b"> ", b"- ", b"("])
        return b"\n".join(
            deeper * min(n, 300) + line for n, line in enumerate(data.split(b"\n"))
        )

    def nest(self, data: bytes) -> bytes:
        opening, closing = self.rng.choice(HOSTILE), self.rng.choice(HOSTILE)
        depth = self.rng.choice([5, 50, 500, 5_000])
        at = self._spot(data)
        return data[:at] + opening * depth + data[at:] + closing * depth

    def breaks(self, data: bytes) -> bytes:
        other = self.rng.choice([b"\r\n", b"\r", b"", b" ", b"\n\n", b"\f\n", b"\0"])
        return data.replace(b"\n", other)

    def encode(self, data: bytes) -> bytes:
        encoding = self.rng.choice(ENCODINGS)
        return data.decode("utf-8", "ignore").encode(encoding, "ignore")


def check(name: str, data: bytes, tokenizer: Tokenizer, max_tokens: int) -> None:
    """What holds for every file: it is text or it is not, and its chunks cover it."""
    text, reason = read_text(name, data)
    assert not (text and reason)
    if reason:
        return
    assert "\0" not in text
    text.encode()
    language = language_of(name, text.partition("\n")[0])
    chunks = chunk_text(text, language, tokenizer, max_tokens)
    # White space larger than a chunk: where it has tokens, that can be little.
    is_exact = tokenizer is bert() and not re.search(r"\s{2000}", text)
    check_chunks(text, chunks, tokenizer, max_tokens, blank_pieces=not is_exact)
    assert bool(chunks) == bool(text.strip())


class Fuzzer:
    """Tries inputs, and remembers what came of them."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.tried = 0
        self.slowest = (0.0, "")
        self.failures: dict[str, str] = {}

    def attempt(self, name: str, data: bytes) -> None:
        tokenizer = bert() if self.rng.random() < 0.8 else self._other_tokenizer()
        max_tokens = self.rng.choice([16, 64, 256, 256])
        about = f"{name}, {len(data)} bytes, at most {max_tokens} tokens"
        (self.folder / "input").write_bytes(data)
        (self.folder / "about").write_text(about)
        faulthandler.dump_traceback_later(HANGS, exit=True)
        started = time.perf_counter()
        try:
            check(name, data, tokenizer, max_tokens)
        except Exception as error:
            self._keep(error, about, data)
        seconds = time.perf_counter() - started
        faulthandler.cancel_dump_traceback_later()
        self.tried += 1
        if seconds > self.slowest[0]:
            self.slowest = (seconds, about)
            (self.folder / "slowest").write_bytes(data)

    def _other_tokenizer(self) -> Tokenizer:
        choices: list[Callable[[], Tokenizer]] = list(TOKENIZERS.values())
        return self.rng.choice(choices)()

    def _keep(self, error: Exception, about: str, data: bytes) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{type(error).__name__} at {frame.filename}:{frame.lineno}"
        if place not in self.failures:
            kept = self.folder / f"failure-{len(self.failures)}"
            kept.write_bytes(data)
            self.failures[place] = f"{kept}: {about}"
            traceback.print_exception(error)


PIECES = PARTS | st.sampled_from(TOKENS)
CONTENTS = (
    st.lists(PIECES, max_size=150).map("".join).map(str.encode)
    | st.text(max_size=300).map(str.encode)
    | st.binary(max_size=400)
    | st.builds(
        lambda mark, data: mark + data,
        st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0"]),
        st.binary(max_size=400),
    )
)


def generate(fuzzer: Fuzzer, number: int) -> None:
    """A round of inputs that hypothesis makes up."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(list(ENDINGS)), CONTENTS)
    def example(language: str, data: bytes) -> None:
        fuzzer.attempt(_name(language), data)

    example()


def main(folder: Path, seconds: float, number: int) -> int:
    faulthandler.enable()
    rng = random.Random(number)
    fuzzer, mutator = Fuzzer(folder, rng), Mutator(rng)
    for name, data in mutator.corpus:
        fuzzer.attempt(name, data)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        generate(fuzzer, rng.getrandbits(32))
        for _ in range(MUTATIONS):
            if time.monotonic() > deadline:
                break
            fuzzer.attempt(*mutator.draw())
    for place, kept in fuzzer.failures.items():
        print(f"failed: {place}: {kept}")
    took, about = fuzzer.slowest
    print(f"{fuzzer.tried} inputs; the slowest took {took:.1f} s: {about}")
    return 1 if fuzzer.failures else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
