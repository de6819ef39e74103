"""The language of a file, and its tree-sitter grammar."""

from __future__ import annotations

import re
from functools import cache
from posixpath import basename
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from tree_sitter import Language
    from tree_sitter_language_pack import SupportedLanguage

# The endings (".py") and whole names ("makefile") of each language's files, in lower case.
_FILES = {
    "bash": ".sh .bash .zsh .ksh .bats .bashrc .bash_profile .bash_aliases .bash_logout "
    ".profile .zshrc .zshenv .zprofile .envrc pkgbuild",
    "c": ".c .h",
    "clojure": ".clj .cljs .cljc .edn",
    "cmake": ".cmake cmakelists.txt",
    "commonlisp": ".lisp .lsp .cl",
    "cpp": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .ipp .inl .tpp .ino",
    "csharp": ".cs .csx",
    "css": ".css",
    "cuda": ".cu .cuh",
    "d": ".d .di",
    "dart": ".dart",
    "dockerfile": ".dockerfile dockerfile containerfile",
    "elisp": ".el .emacs",
    "elixir": ".ex .exs",
    "elm": ".elm",
    "erlang": ".erl .hrl",
    "fish": ".fish",
    "fortran": ".f .f90 .f95 .f03 .f08 .for",
    "fsharp": ".fs .fsx",
    "gleam": ".gleam",
    "glsl": ".glsl .vert .frag",
    "go": ".go",
    "gomod": "go.mod",
    "graphql": ".graphql .gql .graphqls",
    "groovy": ".groovy .gradle jenkinsfile",
    "haskell": ".hs",
    "haxe": ".hx",
    "hcl": ".hcl .tf .tfvars .nomad",
    "html": ".html .htm .xhtml",
    "ini": ".ini .cfg .conf .editorconfig .gitconfig .gitmodules .flake8 .pylintrc .coveragerc "
    ".desktop .service .timer .socket",
    "java": ".java",
    "javascript": ".js .mjs .cjs .jsx .es6",
    "json": ".json .jsonc .json5 .geojson .ipynb .webmanifest .babelrc .eslintrc .prettierrc "
    "composer.lock pipfile.lock",
    "julia": ".jl",
    "kotlin": ".kt .kts",
    "latex": ".tex .sty .cls",
    "lua": ".lua",
    "make": ".mk .mak makefile gnumakefile kbuild",
    "markdown": ".md .markdown .mdown .mkd .mdx",
    "matlab": ".matlab",
    "meson": "meson.build meson_options.txt",
    "nim": ".nim .nims",
    "nix": ".nix",
    "objc": ".m .mm",
    "ocaml": ".ml",
    "ocaml_interface": ".mli",
    "pascal": ".pas .pp .dpr .lpr",
    "perl": ".pl .pm .t",
    "php": ".php .php5 .phtml",
    "powershell": ".ps1 .psm1 .psd1",
    "prisma": ".prisma",
    "properties": ".properties",
    "proto": ".proto",
    "python": ".py .pyi .pyw .pyx .pxd sconstruct sconscript",
    "r": ".r .rprofile",
    "rst": ".rst",
    "ruby": ".rb .rake .gemspec .ru .podspec rakefile gemfile guardfile vagrantfile podfile "
    "brewfile fastfile",
    "rust": ".rs",
    "scala": ".scala .sc .sbt",
    "scheme": ".scm .ss .rkt",
    "scss": ".scss",
    "solidity": ".sol",
    "sql": ".sql .ddl .dml .psql",
    "starlark": ".bzl .star build.bazel workspace.bazel module.bazel",
    "svelte": ".svelte",
    "swift": ".swift",
    "tcl": ".tcl",
    "thrift": ".thrift",
    "toml": ".toml cargo.lock poetry.lock uv.lock pipfile",
    "tsx": ".tsx",
    "typescript": ".ts .mts .cts",
    "verilog": ".v .sv .svh .vh",
    "vhdl": ".vhd .vhdl",
    "vim": ".vim .vimrc",
    "vue": ".vue",
    "wgsl": ".wgsl",
    "xml": ".xml .xsd .xsl .xslt .svg .rss .atom .plist .csproj .vbproj .fsproj .vcxproj "
    ".props .targets .pom .wsdl .xaml",
    "yaml": ".yaml .yml .clang-format .clang-tidy",
    "zig": ".zig .zon",
}
LANGUAGES = frozenset(_FILES)

_LANGUAGE_BY_NAME = {
    name: language for language, names in _FILES.items() for name in names.split()
}

_INTERPRETERS = {
    "python": "python",
    "pypy": "python",
    "sh": "bash",
    "bash": "bash",
    "dash": "bash",
    "ksh": "bash",
    "zsh": "bash",
    "fish": "fish",
    "node": "javascript",
    "nodejs": "javascript",
    "deno": "typescript",
    "bun": "typescript",
    "ruby": "ruby",
    "perl": "perl",
    "php": "php",
    "lua": "lua",
    "luajit": "lua",
    "rscript": "r",
    "julia": "julia",
    "elixir": "elixir",
    "escript": "erlang",
    "pwsh": "powershell",
    "tclsh": "tcl",
    "make": "make",
}

# The interpreter in `#!/usr/bin/env -S python3.11 -u`: the last part of the first word that is
# neither `env` nor one of its options or assignments.
_SHEBANG = re.compile(
    r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z]+)"
)


def language_of(path: str, first_line: str = "") -> str | None:
    """The language of the file at `path`, None for text of an unknown kind.

    The file's whole name decides, then its ending, both without regard to case. For a name
    that tells nothing, the `#!` of `first_line` decides.
    """
    name = basename(path).lower()
    if name.startswith(("dockerfile.", "containerfile.")):
        return "dockerfile"
    if name.startswith("makefile."):
        return "make"
    stem, dot, ending = name.rpartition(".")
    language = _LANGUAGE_BY_NAME.get(name) or _LANGUAGE_BY_NAME.get(dot + ending)
    if language is None and (shebang := _SHEBANG.match(first_line[:200])):
        language = _INTERPRETERS.get(shebang[1].lower())
    return language


# A few bytes can make these crash the process or never return.
_UNSAFE_GRAMMARS = frozenset({"perl"})


@cache
def grammar_of(language: str | None) -> Language | None:
    """The tree-sitter grammar of a language that `language_of` names, loaded on first use.

    None where the installed pack has no such grammar or it is not safe to use. The text is
    then cut without syntax.
    """
    if language is None or language in _UNSAFE_GRAMMARS:
        return None
    from tree_sitter_language_pack import get_language

    try:
        return get_language(cast("SupportedLanguage", language))
    except (LookupError, ValueError):
        return None
