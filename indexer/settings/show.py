"""Each setting with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from click.core import ParameterSource

from indexer.settings.settings import _needs_trust, _parameter, project_files


@dataclass(frozen=True, slots=True)
class Found:
    """A setting and where it comes from: `source` is "environment", "file" or "default",
    `place` the variable, or the file and key. With `needs_trust` a run asks for --trust.
    """

    name: str
    value: Any
    source: str
    place: str
    needs_trust: bool


def settings_of(command: click.Command, folder: str) -> Iterator[Found]:
    """The settings that a run in this folder has without any options.

    Raises `UsageError` for one that cannot be.
    """
    files = project_files(folder)
    # Only looked at: what needs trust is shown, and marked.
    context = command.make_context("run", ["--trust", "--", folder])
    keys = {_parameter(key): key for key in files.settings}
    for parameter in command.params:
        name = parameter.name or ""
        key = keys.pop(name, "")
        if not isinstance(parameter, click.Option) or name in _NO_SETTINGS:
            continue
        source = context.get_parameter_source(name)
        value = context.params[name]
        needs_trust = False
        if name == "token" and value:
            value = "***"
        if source is ParameterSource.ENVIRONMENT:
            found, place = "environment", str(parameter.envvar)
        elif source is ParameterSource.DEFAULT_MAP:
            found, place = "file", files.settings[key].place
            needs_trust = _needs_trust(files, key)
        else:
            found, place = "default", ""
        shown_name = parameter.opts[0].removeprefix("--")
        yield Found(shown_name, value, found, place, needs_trust)
    for key in keys.values():  # of the project itself, no options
        setting = files.settings[key]
        yield Found(key, setting.value, "file", setting.place, _needs_trust(files, key))


# What is asked of one run, and no setting.
_NO_SETTINGS = frozenset(
    "dry_run files files_from force null profile quiet retry_failed trace trust verbose as_json".split()
)
