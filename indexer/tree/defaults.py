"""The folders that nobody wants indexed, even if no rule of the project says so.

A name counts alone where no person gives it to a folder of sources. Names that people do give,
such as `build`, count only with a sign that a tool filled the folder.
"""

from __future__ import annotations

from collections.abc import Callable

# The defaults of ruff, black and eslint, and what else tools make and can make again.
NAMES = frozenset(
    name.encode()
    for name in
    # Python
    """
    .eggs .hypothesis .ipynb_checkpoints .mypy_cache .nox .pants.d .pyenv .pyre .pytest_cache
    .pytype .ruff_cache .tox .venv __pycache__ __pypackages__ htmlcov site-packages
    """
    # JavaScript
    """
    .angular .astro .docusaurus .expo .next .npm .nuxt .nyc_output .parcel-cache .pnpm-store
    .sass-cache .svelte-kit .turbo .vite .yarn bower_components jspm_packages node_modules
    """
    # other languages
    """
    .bloop .build .bundle .cabal-sandbox .ccls-cache .clangd .cpcache .dart_tool .elixir_ls
    .gradle .kotlin .metals .shadow-cljs .stack-work .zig-cache DerivedData _build
    buck-out dist-newstyle elm-stuff zig-cache zig-out
    """
    # services and machines
    """
    .aws-sam .devenv .direnv .netlify .serverless .terraform .terragrunt-cache .vagrant .vercel
    .wrangler
    """
    # caches, editors, version control
    """
    .cache .idea .vs .vscode .bzr .git-rewrite .jj .pijul .sl _darcs
    """.split()
)

_ENDINGS = (b".egg-info", b".dist-info")

# These count where one of the files lies beside the folder.
_BESIDE = {
    name.encode(): tuple(file.encode() for file in files.split())
    for name, files in {
        "target": "Cargo.toml pom.xml build.sbt project.clj",
        "build": "build.gradle build.gradle.kts settings.gradle settings.gradle.kts "
        "CMakeLists.txt meson.build package.json pubspec.yaml pyproject.toml setup.cfg setup.py",
        "dist": "package.json pyproject.toml setup.cfg setup.py",
        "vendor": "composer.json go.mod",
        "deps": "mix.exs",
        "Pods": "Podfile",
        "Library": "ProjectSettings",
    }.items()
}
# These count where one of them lies in the folder.
_INSIDE = {
    name.encode(): tuple(file.encode() for file in files.split())
    for name, files in {
        "target": ".rustc_info.json",
        "build": "CMakeCache.txt build.ninja",
        "cmake-build-debug": "CMakeCache.txt",
        "cmake-build-release": "CMakeCache.txt",
        "vendor": "modules.txt autoload.php bundle",
        "bin": "Debug Release",
        "obj": "project.assets.json Debug Release",
        "coverage": "lcov.info lcov-report coverage-final.json clover.xml",
    }.items()
}
# Of any folder, whatever its name: a virtual environment, and that of conda.
_ENVIRONMENT = (b"pyvenv.cfg", b"conda-meta")
_CACHE_TAG = b"CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
_BARE = (b"HEAD", b"objects", b"refs")


def is_left_out(
    path: bytes, has: Callable[[bytes], bool], begins: Callable[[bytes, bytes], bool]
) -> bool:
    """Whether a folder, whose path ends with `/`, is left out by default.

    `has` tells whether there is anything at a path, `begins` whether a file is there that
    begins with these bytes.
    """
    start = path.rfind(b"/", 0, -1) + 1
    parent, name = path[:start], path[start:-1]
    if name in NAMES or name.endswith(_ENDINGS):
        return True
    if name == b"venv":  # Python has a package of this name
        return not has(path + b"__init__.py")
    return (
        any(has(parent + file) for file in _BESIDE.get(name, ()))
        or any(has(path + file) for file in _INSIDE.get(name, ()))
        or any(has(path + file) for file in _ENVIRONMENT)
        or begins(path + _CACHE_TAG, CACHE_SIGNATURE)
        or all(has(path + file) for file in _BARE)
    )


def default_excludes() -> tuple[str, ...]:
    """What `is_left_out` says, for a person: names of folders, and signs in or beside them."""
    by_sign: dict[bytes, list[str]] = {}
    for name, files in _BESIDE.items():
        by_sign.setdefault(name, []).append("beside " + _either(files))
    for name, files in _INSIDE.items():
        by_sign.setdefault(name, []).append("with " + _either(files))
    return (
        *sorted(f"{name.decode()}/" for name in NAMES),
        *(f"*{ending.decode()}/" for ending in _ENDINGS),
        "venv/ without __init__.py",
        *(f"{name.decode()}/ {' or '.join(by_sign[name])}" for name in sorted(by_sign)),
        f"folders with {_either((*_ENVIRONMENT, _CACHE_TAG))}",
        "bare repositories",
    )


def _either(names: tuple[bytes, ...]) -> str:
    return "/".join(name.decode() for name in names)
