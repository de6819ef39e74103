"""The page of the commands, made from the commands of the command line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from indexer.cli.main import cli
from indexer.settings.options import SettingOption
from indexer.settings.sections import SECTIONS

HEAD = """# Commands

    codx-index COMMAND [OPTIONS] [ARGUMENTS]

`codx-index COMMAND --help` prints what stands here. Every option can also be set in the environment, and most in a file of the project:
[Settings](settings.md) has their variables, keys and defaults, and [Exit codes](exit-codes.md) what a command ends with. `python -m indexer`
and, in a checkout, `python cli.py` are the same command.
"""


def commands(
    group: click.Group = cli, prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its name, those of the groups in the group included."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(commands())


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([HEAD, *(_part(*one) for one in COMMANDS.items())])


def _part(name: str, command: click.Command) -> str:
    # click keeps the first answer to what the option of the help is called.
    context = click.Context(
        command, info_name=f"codx-index {name}", help_option_names=["-h", "--help"]
    )
    usage = command.get_usage(context).removeprefix("Usage: ")
    told = _told(inspect.cleandoc(command.help or ""))
    parts = [f"## {name}\n", f"    {' '.join(usage.split())}\n", told]
    for section, options in _by_section(command).items():
        rows = [_row(one, context) for one in options]
        parts += [f"**{section}**\n", "| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def _told(text: str) -> str:
    """A command's help in Markdown: what click is not to wrap is a block of code."""
    paragraphs = []
    for one in text.split("\n\n"):
        if one.startswith("\b\n"):
            lines = one.removeprefix("\b\n").split("\n")
            # The first line is the heading of what is indented below it.
            if len(lines) > 1 and not lines[0].startswith(" "):
                paragraphs.append(_escaped(lines.pop(0)))
            one = "\n".join(f"    {line.strip()}" for line in lines)
            paragraphs.append(one)
        else:
            paragraphs.append(_escaped(" ".join(one.split("\n"))))
    return "\n\n".join(paragraphs) + "\n"


def _by_section(command: click.Command) -> dict[str, list[SettingOption]]:
    found: dict[str, list[SettingOption]] = {one: [] for one in SECTIONS}
    for option in command.params:
        if isinstance(option, SettingOption):
            found[option.setting.section].append(option)
    return {section: options for section, options in found.items() if options}


def _row(option: SettingOption, context: click.Context) -> str:
    record = option.get_help_record(context)
    assert record
    names = ", ".join(f"`{one}`" for one in re.split(", | / ", record[0]))
    return f"| {names.replace('|', chr(92) + '|')} | {_escaped(option.setting.help)} |"


def _escaped(text: str) -> str:
    """A sentence of the help, in which nothing is a mark of Markdown."""
    return re.sub(r"([|*_<\[\]`])", r"\\\1", text)
