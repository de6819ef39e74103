"""Writes the manual pages, one for each command, from the commands' own help.

    python release/man.py [FOLDER]      # build/man by default; then: man build/man/codx-index.1

click-man, the library for this, cuts the one-line descriptions short, leaves click's \\b marks in
the text, and knows nothing of the headings of our options.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from indexer import __version__
from indexer.cli.main import PROGRAM, cli
from indexer.settings.options import SettingOption
from indexer.settings.sections import SECTIONS

AS_IT_IS = "\b\n"  # click's mark before a paragraph that keeps its lines
PATHS = (
    (
        ".codx/index/",
        "In the project: the state of its index, and its database unless there is a --uri.",
    ),
    (
        "codx-index.toml, pyproject.toml, .codx/project.json",
        "Settings of a project; the second in its table [tool.codx-index].",
    ),
    (".codxignore", "More that is not indexed, in the syntax of a .gitignore."),
    (
        "~/.cache/codx-index/",
        "Embeddings and converted models, which all projects share.",
    ),
)


def main(folder: str = "build/man") -> None:
    """Write the pages into the folder, and print their paths."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (target / name).write_text(text)
        print(target / name)


def pages() -> dict[str, str]:
    """The text of each page, by the name of its file."""
    commands = dict(commands_of(cli, PROGRAM))
    return {
        f"{file_of(name)}.1": "\n".join(page(name, command)) + "\n"
        for name, command in commands.items()
    }


def commands_of(
    command: click.Command, name: str
) -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, by their whole names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found
            yield from commands_of(found, f"{name} {below}")


def file_of(name: str) -> str:
    """The name of a command's page, as git names its own."""
    return name.replace(" ", "-")


def page(name: str, command: click.Command) -> Iterator[str]:
    """The lines of a page, in the man macros."""
    file = file_of(name)
    context = click.Context(command, info_name=name, **cli.context_settings)
    yield f'.TH {escaped(file).upper()} 1 "" "{PROGRAM} {__version__}" "{PROGRAM}"'
    yield ".nh\n.ad l"  # names that are copied are not divided
    yield ".SH NAME"
    yield f"{escaped(file)} \\- {escaped(first_sentence(command))}"
    yield ".SH SYNOPSIS"
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f".B {escaped(name)}\n{escaped(pieces)}"
    yield ".SH DESCRIPTION"
    yield from paragraphs(command.help or "")
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found
            yield from entry(f"{file_of(name)}-{below}(1)", first_sentence(found))
    yield from options(command, context)
    if command is cli:
        yield ".SH ENVIRONMENT"
        yield from paragraphs(command.epilog or "")
        yield ".SH FILES"
        for path, about in PATHS:
            yield from entry(path, about)
    else:
        yield f".SH SEE ALSO\n.BR {escaped(PROGRAM)} (1)"


def first_sentence(command: click.Command) -> str:
    """What a command is for, without the full stop."""
    text = " ".join((command.help or "").split("\n\n")[0].split())
    return re.split(r"\.(?: |$)", text)[0]


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a command's help."""
    for number, one in enumerate(cleandoc(text).split("\n\n")):
        if number:
            yield ".PP"
        if one.startswith(AS_IT_IS):
            yield f".nf\n{escaped(one.removeprefix(AS_IT_IS))}\n.fi"
        else:
            yield escaped(" ".join(one.split()))


def options(command: click.Command, context: click.Context) -> Iterator[str]:
    """The options, below the headings that the help has."""
    found: dict[str, list[tuple[str, str]]] = {one: [] for one in (*SECTIONS, "Help")}
    for option in command.get_params(context):
        if not isinstance(option, click.Option):
            continue  # an argument, of which the description tells
        section = option.setting.section if isinstance(option, SettingOption) else ""
        if record := option.get_help_record(context):
            found.setdefault(section or "Help", []).append(record)
    yield ".SH OPTIONS"
    for section, records in found.items():
        if records and len(list(filter(None, found.values()))) > 1:
            yield f".SS {escaped(section)}"
        for names, about in records:
            yield from entry(names, about)


def entry(term: str, about: str) -> Iterator[str]:
    """A term in bold, and what it means."""
    yield f".TP\n.B {escaped(term)}\n{escaped(' '.join(about.split()))}"


def escaped(text: str) -> str:
    """A text in which troff finds no commands, and whose hyphens can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)


if __name__ == "__main__":
    main(*sys.argv[1:])
