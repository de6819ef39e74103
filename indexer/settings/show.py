"""What `config show` shows: each setting, and where its value comes from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from indexer.address import (
    MASK,
    OPENAI,
    Address,
    public_part,
    without_passwords,
    without_secrets,
)
from indexer.settings.declarations import MODEL, SEED, SETTINGS, TOKEN, URI, WEBHOOK
from indexer.settings.files import ProjectFiles, project_files
from indexer.settings.kinds import CommandLine, Duration, LanguageOfFiles, Size
from indexer.settings.requests import TRUST
from indexer.settings.setting import Setting
from indexer.settings.values import Origin, Value, needs_trust, option_values, resolve


class Found(Struct, frozen=True):
    """A setting, its value, and where that comes from.

    `written` is the value with its unit, as it was written or as it would be.
    `source` is "environment", "file" or "default"; `place` is the variable, or the file and
    key. With `needs_trust`, a run asks for --trust.
    """

    name: str
    value: Any
    written: Any
    source: str
    place: str
    needs_trust: bool


def settings_of(folder: str) -> Iterator[Found]:
    """The settings that a run in this folder has without any options.

    Raises `UsageError` for a value that cannot be.
    """
    files = project_files(folder)
    settings = [one for one in SETTINGS if one.has_option]
    # Nothing is followed here: what needs trust is shown, and marked.
    values = resolve((TRUST, *settings), option_values({TRUST: True}), files)
    for setting in settings:
        found = values.found[setting]
        is_from_file = found.origin is Origin.FILE
        yield Found(
            setting.option,
            shown_value(setting, found.value),
            shown_value(setting, _written(setting, found, files)),
            found.origin.value,
            found.place,
            is_from_file and needs_trust(values.found, files, setting.name),
        )
    shown = {setting.name for setting in settings}
    for name, entry in files.entries.items():
        if name not in shown:  # of the project itself
            source = Origin.FILE.value
            trust = needs_trust(values.found, files, name)
            yield Found(name, entry.value, entry.value, source, entry.place, trust)


def _written(setting: Setting, found: Value, files: ProjectFiles) -> Any:
    """The value of a size or a time as a person writes it; other values as they are."""
    if not isinstance(setting.kind, Size | Duration):
        return found.value
    if found.origin is Origin.FILE:
        return files.entries[setting.name].value
    return os.environ.get(found.place) or setting.kind.text(found.value)


_TELLING = r"(?:\w*[-_])?(?:token|passw(?:or)?d|secret|api[-_]?key|authorization)"
_BEFORE_SECRET = re.compile(rf"-+{_TELLING}", re.IGNORECASE)
_WITH_SECRET = re.compile(rf"(.*?\b{_TELLING}\s*[=:]\s*).+", re.IGNORECASE | re.DOTALL)


def shown_value(setting: Setting, value: Any) -> Any:
    """The value of a setting without the secrets that it may have."""
    if setting is TOKEN:
        return MASK if value else value
    if setting is URI:
        return str(Address(value))
    if setting is SEED and "://" in value:
        return without_secrets(value)
    if setting is MODEL and value.startswith(f"{OPENAI}+"):
        address, hash_, name = value.partition("#")
        return f"{without_secrets(address)}{hash_}{name}"
    if setting is WEBHOOK:
        shown = public_part(value)  # the rest, even the path, may be a secret
        return value if value.rstrip("/") == shown else f"{shown}/{MASK}"
    if isinstance(setting.kind, CommandLine):
        return _shown_command(value)
    if isinstance(setting.kind, LanguageOfFiles):
        return tuple(map(setting.kind.text, value))
    return value


def _shown_command(arguments: Sequence[str]) -> tuple[str, ...]:
    """A command line in which the values of options that are named like secrets are masked."""
    return tuple(
        (
            MASK
            if _BEFORE_SECRET.fullmatch(before)
            else without_passwords(_WITH_SECRET.sub(rf"\1{MASK}", argument))
        )
        for before, argument in zip(("", *arguments), arguments)
    )
