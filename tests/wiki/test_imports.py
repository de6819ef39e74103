"""Import statements of each language, and the files that they mean."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.text.languages import language_of
from indexer.wiki.imports import MAX_IMPORTS, imports_of
from indexer.wiki.modules import module_of
from indexer.wiki.resolver import Resolver

LANGUAGES = "bash c cpp go java javascript kotlin php python ruby rust tsx vue".split()


def resolve(files: Mapping[str, str], path: str) -> list[str]:
    """What a file of a project imports, from the statements on."""
    languages = {name: language_of(name) or "" for name in files}
    modules = {n: module_of(n, text, languages[n]) for n, text in files.items()}
    resolver = Resolver(files, {name: m for name, m in modules.items() if m})
    targets = imports_of(files[path], languages[path])
    return list(resolver.resolve(path, languages[path], targets))


def project(names: str, **contents: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "") | contents


def check(files: Mapping[str, str], path: str, text: str, found: str) -> None:
    assert resolve({**files, path: text}, path) == sorted(found.split())


PYTHON = project("""
    pkg/__init__.py pkg/a.py pkg/b.py pkg/sub/__init__.py pkg/sub/c.py pkg/types.py
    tests/conftest.py tests/test_a.py script.py helper.py
    """)


@pytest.mark.parametrize(
    "path, text, found",
    [
        ("pkg/b.py", "import pkg.a", "pkg/a.py"),
        ("pkg/b.py", "import pkg.a as x, pkg.sub.c, os", "pkg/a.py pkg/sub/c.py"),
        ("pkg/b.py", "from pkg import a, types as t", "pkg/a.py pkg/types.py"),
        ("pkg/b.py", "from pkg.a import f", "pkg/a.py"),
        ("pkg/b.py", "from pkg import VERSION", "pkg/__init__.py"),
        ("pkg/b.py", "from . import a", "pkg/a.py"),
        ("pkg/b.py", "from . import name", "pkg/__init__.py"),
        ("pkg/b.py", "from .sub import c, d", "pkg/sub/__init__.py pkg/sub/c.py"),
        ("pkg/b.py", "from .sub import *", "pkg/sub/__init__.py"),
        ("pkg/sub/c.py", "from ..a import f", "pkg/a.py"),
        ("pkg/sub/c.py", "from .. import a", "pkg/a.py"),
        ("pkg/sub/c.py", "from .... import a", ""),
        ("pkg/b.py", "import types", ""),
        ("tests/test_a.py", "import conftest", "tests/conftest.py"),
        ("tests/test_a.py", "from tests.conftest import x", "tests/conftest.py"),
        ("script.py", "import helper", "helper.py"),
        ("pkg/b.py", "if x:\n    from pkg import a  # why", "pkg/a.py"),
        (
            "pkg/b.py",
            "from pkg import (\n    a,  # one\n    types,\n)",
            "pkg/a.py pkg/types.py",
        ),
        ("pkg/b.py", "from pkg import a, \\\n    types", "pkg/a.py pkg/types.py"),
        ("pkg/b.py", '"""\nimport pkg.a\n"""\n# import pkg.a\nx = "import pkg.a"', ""),
        ("pkg/b.py", "import pkg.b", ""),
        ("pkg/b.py", "from", ""),
    ],
)
def test_python(path: str, text: str, found: str) -> None:
    check(PYTHON, path, text, found)


def test_python_in_src_and_in_a_monorepo() -> None:
    files = project("""
        src/app/__init__.py src/app/core.py tests/test_core.py src/ns/part/mod.py
        one/lib/__init__.py one/lib/x.py one/main.py two/lib/__init__.py two/lib/x.py two/main.py
        two/stubs.pyi
        """)
    check(files, "tests/test_core.py", "from app.core import f", "src/app/core.py")
    check(files, "tests/test_core.py", "import ns.part.mod", "src/ns/part/mod.py")
    check(
        files,
        "two/main.py",
        "from lib import x\nimport stubs",
        "two/lib/x.py two/stubs.pyi",
    )
    check(files, "one/main.py", "from lib import x", "one/lib/x.py")
    check(files, "src/app/core.py", "from lib import x", "one/lib/x.py")


SCRIPTS = project(
    """src/a.ts src/b.tsx src/c/index.ts src/d.js src/data.json src/w.vue src/e.d.ts
    lib/x.mts packages/ui/src/button.ts packages/ui/index.js app/main.ts""",
    **{"packages/ui/package.json": '{"name": "@acme/ui"}'},
)


@pytest.mark.parametrize(
    "text, found",
    [
        ("import x from './b'", "src/b.tsx"),
        ('import {\n  x,\n  y\n} from "./c";', "src/c/index.ts"),
        ("import './d.js'", "src/d.js"),
        ("import '../lib/x.mjs'", "lib/x.mts"),
        ("import './b.js'", "src/b.tsx"),
        ("export * from './b'\nexport {x} from './c'", "src/b.tsx src/c/index.ts"),
        (
            "const d = require('./d'), j = require('./data.json')",
            "src/d.js src/data.json",
        ),
        ("const w = await import('./w.vue')", "src/w.vue"),
        ("import type { E } from './e'", "src/e.d.ts"),
        ("/// <reference path='e.d.ts' />", "src/e.d.ts"),
        ("import x from '@/b'", "src/b.tsx"),
        ("import { B } from '@acme/ui'", "packages/ui/index.js"),
        ("import { B } from '@acme/ui/button'", "packages/ui/src/button.ts"),
        ("import react from 'react'; import '../../up'", ""),
        ("// import './b'\n/* import './c' */ const s = \"import './d'\"", ""),
        ("const t = `import './b'\n`", ""),
        ("import x from './b?raw'", "src/b.tsx"),
    ],
)
def test_javascript_and_typescript(text: str, found: str) -> None:
    check(SCRIPTS, "src/a.ts", text, found)
    check(SCRIPTS, "src/other.vue", f"<script>\n{text}\n</script>", found)


C = project("""
    src/main.c src/util.h src/net/http.h include/acme/core.h include/acme/util.h string.h
    other/util.h gen/table.inc
    """)


@pytest.mark.parametrize(
    "text, found",
    [
        ('#include "util.h"', "src/util.h"),
        ('  #  include "net/http.h" // why', "src/net/http.h"),
        ('#include "http.h"', "src/net/http.h"),
        ("#include <acme/core.h>", "include/acme/core.h"),
        ('#include "acme/util.h"', "include/acme/util.h"),
        ('#include "../other/util.h"', "other/util.h"),
        ('#include "table.inc"', "gen/table.inc"),
        ("#include <string.h>\n#include <stdio.h>", ""),
        ('/*\n#include "util.h"\n*/\n// #include "util.h"', ""),
        ('char *s = "/*";\n#include "util.h"', "src/util.h"),
    ],
)
def test_c(text: str, found: str) -> None:
    check(C, "src/main.c", text, found)
    check(C, "src/more.cpp", text, found)


def test_java_and_kotlin() -> None:
    files = project(
        "",
        **{
            "src/main/java/com/acme/A.java": "package com.acme;",
            "src/main/java/com/acme/util/B.java": "package com.acme.util;",
            "src/main/java/com/acme/util/C.java": "package com.acme.util;",
            "src/main/kotlin/D.kt": "package com.acme.data\n",
        },
    )
    path = "src/main/java/com/acme/A.java"

    def java(text: str, found: str) -> None:
        folder = "src/main/java/com/acme/util/"
        names = " ".join(
            name if "/" in name else folder + name for name in found.split()
        )
        check(files, path, f"package com.acme;\n{text}", names)

    java("import com.acme.util.B;\nimport java.util.List;", "B.java")
    java("import static com.acme.util.B.of;", "B.java")
    java("import com.acme.util.B.Inner;", "B.java")
    java("import com.acme.util.*;", "B.java C.java")
    java("import com.acme.data.D", "src/main/kotlin/D.kt")
    java("import com.acme.data.topLevel", "src/main/kotlin/D.kt")
    java("// import com.acme.util.B;\n/* import com.acme.util.C; */", "")
    check(
        files,
        "src/E.kt",
        "import com.acme.util.C as X\n",
        "src/main/java/com/acme/util/C.java",
    )


def test_go() -> None:
    files = project(
        "cmd/app/main.go pkg/a/a.go pkg/a/more.go pkg/a/a_test.go sub/x/x.go",
        **{
            "go.mod": "// mine\nmodule example.com/acme\n\ngo 1.22\n",
            "sub/go.mod": 'module "example.com/acme/sub"\n',
        },
    )
    text = """package main

import "fmt"
import a "example.com/acme/pkg/a"
import (
    "os" // one (two)
    _ "example.com/acme/sub/x"
    // "example.com/acme/cmd/app"
)
"""
    check(files, "cmd/app/main.go", text, "pkg/a/a.go pkg/a/more.go sub/x/x.go")
    check(files, "pkg/a/a.go", 'import "./none"\nimport "example.com/other"', "")


RUST = project(
    """src/main.rs src/net/mod.rs src/net/tcp.rs src/store.rs src/store/disk.rs
    other/src/lib.rs other/src/deep.rs""",
    **{
        "Cargo.toml": '[package]\nname = "acme"\n',
        "other/Cargo.toml": '[package]\nname = "other-crate"\n',
    },
)


@pytest.mark.parametrize(
    "path, text, found",
    [
        (
            "src/main.rs",
            "mod net;\npub(crate) mod store;",
            "src/net/mod.rs src/store.rs",
        ),
        ("src/store.rs", "mod disk;", "src/store/disk.rs"),
        ("src/store.rs", "use crate::net::tcp::Stream;", "src/net/tcp.rs"),
        (
            "src/store.rs",
            "use crate::{net::{self, tcp::{A, B}}, store};",
            "src/net/mod.rs src/net/tcp.rs",
        ),
        ("src/net/tcp.rs", "use super::Listener;\n", "src/net/mod.rs"),
        ("src/net/tcp.rs", "use super::super::store::X;\n", "src/store.rs"),
        ("src/net/tcp.rs", "use super::super::X;\nuse crate::Y;", "src/main.rs"),
        ("other/src/deep.rs", "use crate::X;", "other/src/lib.rs"),
        ("src/net/tcp.rs", "mod tests {\n    use super::*;\n}", ""),
        ("src/net/mod.rs", "use self::tcp::X;", "src/net/tcp.rs"),
        ("src/main.rs", "use net::tcp;\nuse std::io;", "src/net/tcp.rs"),
        ("src/main.rs", "use other_crate::deep::X;", "other/src/deep.rs"),
        ("src/main.rs", "use other_crate::X;\nextern crate std;", "other/src/lib.rs"),
        ("src/main.rs", '// use crate::net;\nlet s = "use crate::net;";', ""),
    ],
)
def test_rust(path: str, text: str, found: str) -> None:
    check(RUST, path, text, found)


def test_ruby_php_and_shell() -> None:
    files = project(
        "lib/acme/a.rb lib/b.rb bin/run lib/c.rb web/inc/x.php web/index.php bin/lib.sh bin/go.sh",
        **{"web/src/User.php": "<?php\nnamespace App\\Models;\nclass User {}\n"},
    )
    ruby = "require_relative 'acme/a'\nrequire 'b'\n# require 'c'\nrequire 'json'\n"
    check(files, "lib/c.rb", ruby, "lib/acme/a.rb lib/b.rb")
    php = """<?php
        require_once __DIR__ . '/inc/x.php'; // include 'none.php'
        include('index.php');
        use App\\Models\\{User, Other as O};
        """
    check(files, "web/index.php", php, "web/inc/x.php web/src/User.php")
    check(
        files,
        "web/inc/x.php",
        "<?php include dirname(__FILE__).'/../index.php';",
        "web/index.php",
    )
    for line in (
        "source ./lib.sh",
        ". lib.sh",
        '. "$(dirname "$0")/lib.sh"',
        'source "${BASH_SOURCE[0]%/*}/lib.sh" || exit',
        'cd "$HERE" && . "$HERE"/lib.sh',
        "if true; then source bin/lib.sh; fi",
    ):
        check(files, "bin/go.sh", f"#!/bin/sh\n{line}\n", "bin/lib.sh")
    check(files, "bin/go.sh", "# . lib.sh\necho . lib.sh\n. $X$Y\n", "")


def test_other_languages_import_nothing() -> None:
    assert imports_of("import x", "rst") == ()
    assert Resolver(["x"], {}).resolve("a.rst", "rst", ["x"]) == ()


def test_documents_link_to_files() -> None:
    paths = ("docs/a b.md", "docs/c.md", "README.md", "src/x.py", "out.md")
    files = dict.fromkeys(paths, "")
    for link, target in {
        "[x](c.md#part)": "docs/c.md",
        "[x](<a b.md>)": "docs/a b.md",
        "[x](a%20b.md)": "docs/a b.md",
        "[x](../README.md?plain=1)": "README.md",
        "[x](/src/x.py)": "src/x.py",
        "[x]\n\n[x]: ../src/x.py": "src/x.py",
        "- > **[`x`](./c.md)**": "docs/c.md",
        "`[x](c.md)`": "",
        "[x](../../out.md)": "",
        "[x](https://example.org/c.md) [x](//c.md) [x](#c.md)": "",
        "[x](docs/)": "",
    }.items():
        found = resolve({**files, "docs/index.md": link}, "docs/index.md")
        assert found == ([target] if target else []), link


def test_modules() -> None:
    assert module_of("a/package.json", '{"name": "x"}', "json") == "x"
    for text in ("{", "[]", '{"name": 1}', '{"name": "\\ud800"}', "[" * 100_000):
        module_of("package.json", text, "json").encode()
    assert module_of("Cargo.toml", "x = [", "toml") == ""
    assert module_of("Cargo.toml", '[package]\nname = "a-b"\n', "toml") == "a_b"


def test_targets_are_bounded() -> None:
    text = "\n".join(f"import a{n}" for n in range(2 * MAX_IMPORTS))
    assert len(imports_of(text, "python")) == MAX_IMPORTS
    assert imports_of("import " + "a" * 5_000, "python") == ()


HOSTILE = [
    "/*", '"""', "'''", "`", '"', "'", "use x\n", "use {", "import (", "from a import (",
    "import (\n", "#", "//", "use a::{", "{", "import ", "\\", ". ", "source $(", "${",
    "=begin\n", "require '", "\n\n", "import a,", "from ", "<reference path='", " ", "import\n",
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_takes_long(language: str) -> None:
    for part in HOSTILE:
        started = time.process_time()
        imports_of(part * (200_000 // len(part)), language)
        assert time.process_time() - started < 1.5, part


TEXTS = st.text(st.sampled_from("ab./:{}*,;'\"`<>()@~\\ \n$#-")) | st.lists(
    st.sampled_from(
        [*HOSTILE, "mod a;", "crate::", "super::", "a", "b", "/", "..", "x.h"]
    )
).map("".join)
PATHS = st.sets(
    st.sampled_from(
        "a.py b.py c/a.py c/__init__.py __init__.py a.rs c/mod.rs x.h a".split()
    )
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, PATHS, st.sampled_from(LANGUAGES), st.sampled_from(["a.py", "c/d/e.x"]))
def test_any_text_gives_files_of_the_project(
    text: str, paths: set[str], language: str, path: str
) -> None:
    targets = imports_of(text, language)
    found = Resolver(paths, {}).resolve(path, language, targets)
    assert set(found) <= paths - {path}
    # Nor does what is made of other bytes than text.
    Resolver(paths, {}).resolve(path, language, [text, f"mod {text}", f"<{text}>"])
