"""What `config show` shows: each setting, and where its value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from indexer.settings.declarations import SETTINGS, TOKEN
from indexer.settings.files import project_files
from indexer.settings.requests import TRUST
from indexer.settings.values import Origin, needs_trust, option_values, resolve


@dataclass(frozen=True, slots=True)
class Found:
    """A setting, its value, and where that comes from.

    `source` is "environment", "file" or "default"; `place` is the variable, or the file and
    key. With `needs_trust`, a run asks for --trust.
    """

    name: str
    value: Any
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
            "***" if setting is TOKEN and found.value else found.value,
            found.origin.value,
            found.place,
            is_from_file and needs_trust(values.found, files, setting.name),
        )
    shown = {setting.name for setting in settings}
    for name, entry in files.entries.items():
        if name not in shown:  # of the project itself
            source = Origin.FILE.value
            trust = needs_trust(values.found, files, name)
            yield Found(name, entry.value, source, entry.place, trust)
