"""The name under which others import a file or its folder, as declared in the file."""

from __future__ import annotations

import json
import re
import tomllib
from posixpath import basename

_MAX_NAME = 300  # characters

# The declaration of a module, package or namespace, by language.
_DECLARATIONS = {
    "gomod": r"^module[^\S\n]++\"?+([^\s\"]++)",
    "java": r"^[^\S\n]*+package[^\S\n]++([\w.]++)",
    "kotlin": r"^[^\S\n]*+package[^\S\n]++([\w.]++)",
    "php": r"^[^\S\n]*+(?:<\?php[^\S\n]++)?+namespace[^\S\n]++([\w\\]++)",
}


def module_of(path: str, text: str, language: str) -> str:
    """The package of a Java or Kotlin file, the namespace of a PHP file, the module of a
    `go.mod`, or the name in a `package.json` or `Cargo.toml`; "" for any other file."""
    name = basename(path)
    if name == "package.json":
        return _json_name(text)
    if name == "Cargo.toml":
        return _crate_name(text)
    pattern = _DECLARATIONS.get(language)
    found = re.search(pattern, text, re.MULTILINE) if pattern else None
    return found[1][:_MAX_NAME] if found else ""


def _json_name(text: str) -> str:
    try:
        name = json.loads(text)["name"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    if not isinstance(name, str):
        return ""
    # JSON may contain lone surrogates.
    return name[:_MAX_NAME].encode("utf-8", "replace").decode()


def _crate_name(text: str) -> str:
    try:
        name = tomllib.loads(text)["package"]["name"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return ""
    return name[:_MAX_NAME].replace("-", "_") if isinstance(name, str) else ""
