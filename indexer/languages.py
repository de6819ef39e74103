"""The languages that are told apart, and which files are in each."""

from __future__ import annotations

NOTEBOOK = "jupyter"

# The endings (".py") and whole names ("makefile") of each language's files, in lower case.
FILES = {
    "astro": ".astro",
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
    "json": ".json .jsonc .json5 .geojson .webmanifest .babelrc .eslintrc .prettierrc "
    "composer.lock pipfile.lock",
    "julia": ".jl",
    NOTEBOOK: ".ipynb",
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
    "po": ".po .pot",
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
LANGUAGES = frozenset(FILES)

LANGUAGE_BY_NAME = {
    name: language for language, names in FILES.items() for name in names.split()
}


def known_language(text: str) -> str | None:
    """The language that a text means, its name or the ending of its files; None if there is none."""
    text = text.strip().lower()
    if text in LANGUAGES:
        return text
    return LANGUAGE_BY_NAME.get(f".{text.removeprefix('.')}")


def similar_languages(text: str, most: int) -> list[str]:
    """The names of languages most like a text, for a message."""
    import difflib

    return difflib.get_close_matches(text.strip().lower(), sorted(LANGUAGES), most)
