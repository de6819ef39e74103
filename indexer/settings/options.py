"""The click options of declared settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from indexer.settings.kinds import FOLDER, PATH, Duration, Size
from indexer.settings.sections import SECTIONS
from indexer.settings.setting import Form, Setting

MOST_UNGROUPED = 10  # options; so many are seen at once

F = TypeVar("F", bound=Callable[..., Any])


class SettingOption(click.Option):
    """The option, and the variable in the environment, that a setting declares."""

    def __init__(self, names: Sequence[str] = (), *, setting: Setting) -> None:
        name = f"--{setting.option}"
        if setting.form is Form.SWITCH:
            name += f"/--no-{setting.option}"
        help_text, default_text = setting.help, _default_text(setting)
        if default_text:
            help_text += f"  [default: {default_text}]"
        attributes: dict[str, Any] = {}
        if setting.form in (Form.VALUE, Form.SWITCH):
            is_shown = setting.form is Form.SWITCH or bool(setting.default)
            attributes["default"] = setting.default
            attributes["show_default"] = is_shown and not default_text
        if setting.form is Form.VALUE or setting.is_repeatable:
            attributes["type"] = setting.kind
        super().__init__(
            [name, *setting.also, *names],
            multiple=setting.is_repeatable,
            is_flag=setting.form is Form.FLAG or None,
            count=setting.form is Form.COUNT,
            envvar=setting.variable if setting.has_variable else None,
            show_envvar=setting.has_variable,
            metavar=setting.metavar,
            help=help_text,
            **attributes,
        )
        self.setting = setting

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        return self.setting.from_environment() or None

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        if record is None or not self.setting.bare:
            return record
        return record[0].replace(" [=", "[="), record[1]


class GroupedCommand(click.Command):
    """A command whose help shows its options by purpose, if there are many."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, of which an option may stand without its value."""
        bare = {
            f"--{one.setting.option}": one.setting.bare
            for one in self.params
            if isinstance(one, SettingOption) and one.setting.bare
        }
        end = args.index("--") if "--" in args else len(args)
        given = [f"{one}={bare[one]}" if one in bare else one for one in args[:end]]
        return super().parse_args(ctx, [*given, *args[end:]])

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """The names of the option that shows the help, also where no group says them.

        click asks once, and a context without a group may be the first.
        """
        return ["-h", "--help"]

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write each option below the heading of its section."""
        sections: dict[str, list[tuple[str, str]]] = {one: [] for one in SECTIONS}
        for parameter in self.get_params(ctx):
            if not isinstance(parameter, click.Option):
                continue  # an argument, of which the text above tells
            section = "Help"
            if isinstance(parameter, SettingOption):
                section = parameter.setting.section
            if record := parameter.get_help_record(ctx):
                sections.setdefault(section, []).append(record)
        rows = [row for section in sections.values() for row in section]
        if len(rows) <= MOST_UNGROUPED:
            super().format_options(ctx, formatter)
            return
        wide = min(max(len(names) for names, _ in rows), (formatter.width + 2) * 3 // 8)
        for heading, found in sections.items():
            if found:
                with formatter.section(heading):
                    formatter.write_dl(
                        [(names.ljust(wide), text) for names, text in found], wide
                    )


def _default_text(setting: Setting) -> str:
    if not setting.default_text and isinstance(setting.kind, Size | Duration):
        return setting.kind.text(setting.default) if setting.default else ""
    return setting.default_text


def options(*settings: Setting) -> Callable[[F], F]:
    """Decorate a command's function with the options of these settings."""

    def decorate(function: F) -> F:
        for setting in reversed(settings):
            function = click.option(cls=SettingOption, setting=setting)(function)
        return function

    return decorate


def path_argument(function: F) -> F:
    """What is meant of a project, by default the one around the current folder."""
    return click.argument("path", default="", type=PATH)(function)


def folder_argument(function: F) -> F:
    """The same where only a folder can be meant."""
    return click.argument("path", default="", type=FOLDER)(function)
