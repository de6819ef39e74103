"""The tables of docs/reference/settings.md, made from the declarations of the settings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
from command_page import COMMANDS

from indexer.config import Effect
from indexer.settings import requests
from indexer.settings.declarations import SETTINGS, STATE_DIR, TOKEN
from indexer.settings.kinds import Duration, Size
from indexer.settings.options import SettingOption
from indexer.settings.setting import Form, Setting, Source

REQUESTS = [one for one in vars(requests).values() if isinstance(one, Setting)]
HEADS = (
    "| key (codx-junior's) | option | default | reaches (needs trust) | when it changes | meaning |",
    "| option | commands | default | meaning |",
)


def declared_by(command: click.Command) -> list[Setting]:
    """The settings of which a command has the options."""
    return [one.setting for one in command.params if isinstance(one, SettingOption)]


def tables() -> list[str]:
    """The settings of a project, and what is asked of one run, each as a Markdown table."""
    made = []
    for heads, rows in zip(HEADS, (_settings_rows(), _request_rows()), strict=True):
        made.append("\n".join([heads, re.sub("[^|]+", "---", heads), *rows]))
    return made


def with_tables(page: str) -> str:
    """The page with each of the tables in the place of the one with its heads."""
    for heads, table in zip(HEADS, tables(), strict=True):
        found = re.compile(re.escape(heads) + r"\n(\|.*\n)+")
        page = found.sub(lambda _, table=table: table + "\n", page)  # type: ignore[misc]
    return page


def _option_names(setting: Setting) -> str:
    names = [f"--{setting.option}", *(one for one in setting.also if one[0] == "-")]
    if setting.form is Form.SWITCH:
        names.append(f"--no-{setting.option}")
    return ", ".join(f"`{name}`" for name in names)


def _default_of(setting: Setting) -> str:
    value = setting.default
    if setting.is_request and setting.form in (Form.FLAG, Form.COUNT):
        return ""
    if setting.default_text:
        return setting.default_text
    if isinstance(setting.kind, Size | Duration):
        return f"`{setting.kind.text(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value or value == 0 else ""


def _settings_rows() -> Iterator[str]:
    for one in SETTINGS:
        key = f"`{one.name}`" if Source.FILE in one.sources else ""
        if one.codx_junior:
            key += f" (`{one.codx_junior}`)" if key else f"(`{one.codx_junior}`)"
        option = _option_names(one) if one.has_option else ""
        effect = "" if one.effect is Effect.NONE else one.effect.value
        needs = "" if one in (TOKEN, STATE_DIR) else one.reach.words
        if one.harmless.text:
            needs += f", unless {one.harmless.text}"
        cells = key, option, _default_of(one), needs, effect, one.help
        yield "| " + " | ".join(cells) + " |"


def _request_rows() -> Iterator[str]:
    for one in REQUESTS:
        having = [f"`{k}`" for k, v in COMMANDS.items() if one in declared_by(v)]
        of = "all but " + ", ".join(
            f"`{k}`" for k, v in COMMANDS.items() if one not in declared_by(v)
        )
        where = of if len(having) > len(COMMANDS) / 2 else ", ".join(having)
        yield f"| {_option_names(one)} | {where} | {_default_of(one)} | {one.help} |"
