"""Brings what clients of MCP write differently into the form that the tools declare.

An optional value may be null, or empty; a number may be a text; a list of one may be its
only entry. Nothing here guesses: what is still wrong is refused with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NONE: Any = object()


def lenient_params(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The params of a request, in which null means absent."""
    params = _without_nulls(params)
    for name in ("_meta", "arguments", "capabilities", "clientInfo"):
        if name in params:
            params[name] = _as_object(params[name])
    if isinstance(capabilities := params.get("capabilities"), dict):
        params["capabilities"] = {k: _as_object(one) for k, one in capabilities.items()}
    if method == "initialize":
        info = params.setdefault("clientInfo", {})
        if isinstance(info, dict):
            params["clientInfo"] = {"name": "", "version": ""} | info
        params.setdefault("capabilities", {})
        params["protocolVersion"] = str(params.get("protocolVersion", ""))
    return params


def lenient_arguments(
    arguments: Mapping[str, Any], properties: Mapping[str, dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The arguments of a tool with these parameters, and the names that it does not have."""
    found: dict[str, Any] = {}
    strange = []
    for given, value in arguments.items():
        name = _parameter(given, properties)
        if value is None:
            continue
        if not name:
            strange.append(given)
        elif name not in found or given == name:
            fitted = _fitted(value, properties[name])
            if fitted is not _NONE:
                found[name] = fitted
    return found, strange


def _parameter(given: str, properties: Mapping[str, Any]) -> str:
    """The parameter that is meant, "" if none is: its case, `_` and plural do not matter."""
    if given in properties:
        return given
    plain = re.sub("[-_]", "", given).casefold().rstrip("s")
    return next((one for one in properties if one.rstrip("s") == plain), "")


def _fitted(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value for a parameter with this schema, `_NONE` if its default is meant."""
    kind = schema.get("type")
    if kind == "array":
        return _listed(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) and kind != "string":
        value = value.strip()
    if value in (None, "") and "default" in schema:
        return _NONE
    if kind == "integer":
        return _whole(value)
    if kind == "string":
        if _is_number(value):
            return str(value)
        if isinstance(value, str) and "enum" in schema:
            return value.strip().lower()
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            read = json.loads(value)  # as Claude Desktop writes lists
        except (ValueError, RecursionError):
            read = None
        value = read if isinstance(read, list) else [value]
    if _is_number(value):
        value = [value]
    if not isinstance(value, list):
        return value
    texts = [str(one) if _is_number(one) else one for one in value]
    return [one for one in texts if one not in (None, "")]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> Any:
    """5 for 5.0, "5" and "5.0"; anything else as it is."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    is_whole = not isinstance(value, bool) and number.is_integer()
    return int(number) if is_whole else value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(one) for k, one in value.items() if one is not None}
    return value


def _as_object(value: Any) -> Any:
    """An object that was written as text, or as the empty list that some languages write for it."""
    if value in ("", []):
        return {}
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return _without_nulls(found) if isinstance(found, dict) else value
    return value
